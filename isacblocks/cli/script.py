"""What every script and command shares: one clear line for an error, exit statuses, signals, the wait for the compiler.

Exit statuses: 0 done, 1 it failed while running, 2 it was called wrongly, 130 stopped by Ctrl-C, 143 by SIGTERM.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

FAILED, USAGE, INTERRUPTED, TERMINATED = 1, 2, 130, 143


class UsageError(Exception):
    """The command was called wrongly; the message says what was expected."""


class _TerminatedError(BaseException):
    """SIGTERM."""


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise _TerminatedError


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
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {text}")
    return value


def add_common(parser: argparse.ArgumentParser) -> None:
    """Options that every command has."""
    parser.add_argument(
        "--log",
        choices=("debug", "info", "warning", "error"),
        default="warning",
        help="how much to log to the standard error output (default: warning)",
    )


def start_logging(level: str) -> None:
    """Log to the standard error output."""
    logging.basicConfig(level=level.upper(), format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)


def execute(name: str, work: Callable[[], int | None]) -> int:
    """Run `work` and turn what goes wrong into one line and an exit status."""
    from isacblocks.stream.errors import BlockError, StreamError, WiringError

    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        return work() or 0
    except KeyboardInterrupt:
        print(f"\n{name}: stopped", file=sys.stderr)
        return INTERRUPTED
    except _TerminatedError:
        print(f"\n{name}: terminated", file=sys.stderr)
        return TERMINATED
    except (UsageError, WiringError) as error:
        print(f"{name}: error: {_line(error)}", file=sys.stderr)
        return USAGE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (StreamError, OSError, RuntimeError, ValueError) as error:
        print(f"{name}: error: {_line(error)}", file=sys.stderr)
        if isinstance(error, BlockError) and logging.getLogger().isEnabledFor(logging.DEBUG):
            print(error.trace, file=sys.stderr)
        return FAILED
    finally:
        signal.signal(signal.SIGTERM, before)
