"""What every script and command shares: one clear line for an error, exit statuses, signals, the wait for the compiler.

Exit statuses: 0 done, 1 it failed while running, 2 it was called wrongly, 129 stopped by SIGHUP (the terminal was closed),
130 by Ctrl-C, 143 by SIGTERM.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from isacblocks.cli.signals import INTERRUPTED, TerminatedError, ended_by_signals

_REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
FAILED, USAGE = 1, 2
STATUSES = (
    "exit statuses: 0 done, 1 failed while running, 2 called wrongly, 129, 130, 143 stopped by SIGHUP, Ctrl-C, SIGTERM"
)
PICTURES = (".png", ".pdf", ".svg", ".jpg", ".webp")
LEVELS = ("debug", "info", "warning", "error")
# What tells something below isacblocks beside the blocks, by their names
PARTS = (
    "calibration",
    "stream.keeper",
    "stream.link",
    "stream.runner",
    "study.kept",
    "view.desk",
    "view.hub",
    "view.live",
    "view.metrics",
    "view.reel",
)
LogLevel = tuple[str | None, str]  # of a block, or another part below isacblocks; None: of everything


class UsageError(Exception):
    """The command was called wrongly; the message says what was expected."""


def _flush() -> None:
    """Write out what was printed, while an error can still be told. Raises OSError naming it, BrokenPipeError."""
    try:
        print(end="", flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        _silence()
        raise OSError(error.errno, error.strerror, "the standard output") from error


def _named(error: Exception) -> Exception:
    """An error of writing that names no file may come from print(): see whether the standard output takes anything."""
    if isinstance(error, OSError) and error.filename is None and error.errno in _REFUSED:
        try:
            print(flush=True)
        except OSError as again:
            _silence()
            return OSError(again.errno, again.strerror, "the standard output")
    return error


def _silence() -> None:
    """Nobody takes what is printed: let the interpreter's end not fail over what is left of it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def usage() -> Iterator[None]:
    """Around everything that is made from the arguments: what is wrong there is the caller's to mend, exit status 2."""
    try:
        yield
    except (ValueError, TypeError, OSError) as error:
        raise UsageError(_line(error)) from error


def _line(error: BaseException) -> str:
    """An exception as one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def writable(path: str | None) -> Path | None:
    """The path of a file to be written at the end, after seeing that this will be possible. Raises ValueError."""
    if path is None:
        return None
    target = Path(path)
    if target.is_dir():
        raise ValueError(f"{path}: is a directory, expected the name of a file")
    parent = target.absolute().parent
    if not parent.is_dir():
        raise ValueError(f"{path}: there is no directory {parent}; create it first")
    try:  # by trying: permissions do not tell everything
        if target.exists():
            target.open("ab").close()
        else:
            tempfile.TemporaryFile(dir=parent).close()
    except OSError as error:
        raise ValueError(f"{path}: cannot be written to ({error.strerror}); choose another place") from error
    return target


def compile_kernels(stream: object = None) -> None:
    """Have all kernels compiled, saying so where it takes a while: once per version and machine."""
    from isacblocks.kernels import jit, warmup

    if jit.is_warm():
        return
    out = sys.stderr
    print("compiling the kernels, once per version on this machine; this takes up to a minute", file=out, flush=True)

    def say(step: str) -> None:
        print(f"  compiling {step}", file=out, flush=True)

    warmup.compile_all(say)
    print("  compiled", file=out, flush=True)


def positive(text: str) -> int:
    """An option's value: an integer of at least 1."""
    if not text.strip().isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text}")
    return int(text)


def picture(text: str) -> str:
    """An option's value: a picture's name, by its end one that can be drawn."""
    if Path(text).suffix.lower() not in ("", *PICTURES):
        raise argparse.ArgumentTypeError(f"expected a name that ends in one of {', '.join(PICTURES)}, got {text}")
    return text


def add_common(parser: argparse.ArgumentParser) -> None:
    """Options that every command has."""
    parser.add_argument(
        "--log",
        action="append",
        type=log_level,
        metavar="[BLOCK=]LEVEL",
        help=f"how much is told on the standard error output: {', '.join(LEVELS)} (default: warning); with BLOCK=, by one "
        "block, or a part as stream.link; may be given several times",
    )


def log_level(text: str) -> LogLevel:
    """The value of --log."""
    part, equals, level = text.rpartition("=")
    if level not in LEVELS:
        raise argparse.ArgumentTypeError(f"expected [BLOCK=]LEVEL, a level of {', '.join(LEVELS)}, got {text!r}")
    if equals and re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", part) is None:
        raise argparse.ArgumentTypeError(f"expected the name of a block before '=', got {text!r}")
    return (part.removeprefix("isacblocks.") if equals else None), level


def check_log(levels: Iterable[LogLevel] | None, blocks: Iterable[str]) -> None:
    """See whether what --log names is there, where the blocks are known. Raises ValueError."""
    known = [*blocks]
    for part, _ in levels or ():
        if part is None or part in known or any(f"{one}.".startswith(f"{part}.") for one in PARTS):
            continue
        raise ValueError(f"--log: there is no block {part}; there are {', '.join(known)}; and {', '.join(PARTS)}")


def start_logging(levels: Iterable[LogLevel] | None = None) -> None:
    """Log to the standard error output: warnings, or as --log says."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for part, level in levels or ():
        logging.getLogger(None if part is None else f"isacblocks.{part}").setLevel(level.upper())


def execute(name: str, work: Callable[[], int | None]) -> int:
    """Run `work` and turn what goes wrong into one line and an exit status."""
    from isacblocks.stream.errors import BlockError, StreamError, WiringError

    try:
        with ended_by_signals():
            status = work() or 0
            _flush()
            return status
    except (KeyboardInterrupt, TerminatedError) as ended:
        word, status = (ended.word, ended.status) if isinstance(ended, TerminatedError) else ("stopped", INTERRUPTED)
        with contextlib.suppress(OSError):  # the terminal may be gone
            print(f"\n{name}: {word}", file=sys.stderr)
        return status
    except BrokenPipeError:
        _silence()
        return FAILED
    except MemoryError as error:
        print(f"{name}: error: not enough memory: {_line(error)}", file=sys.stderr)
        return FAILED
    except (UsageError, StreamError, OSError, RuntimeError, ValueError) as error:
        print(f"{name}: error: {_line(_named(error))}", file=sys.stderr)
        if isinstance(error, BlockError) and logging.getLogger().isEnabledFor(logging.DEBUG):
            print(error.trace, file=sys.stderr)
        return USAGE if isinstance(error, UsageError | WiringError) else FAILED
