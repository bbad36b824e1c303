"""isacblocks run | demo | top | set | do | campaign | figure | keys | info | warmup."""

from __future__ import annotations

import argparse
import platform
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

from isacblocks._version import __version__
from isacblocks.cli import calibrate, calibration, campaign, demo, desk, figure, graph, new_block
from isacblocks.cli.find import available, find_flowgraph, find_script, is_campaign
from isacblocks.cli.script import STATUSES, UsageError, add_common, compile_kernels, execute, start_logging

PASSING = ("run", "demo", "calibrate", "graph")  # what these do not know goes to a script
_DESCRIPTION = "Streaming blocks that calibrate an antenna array while it senses: no target, no labels, no downtime."
_EPILOG = f"""{STATUSES}

  isacblocks demo                                   online calibration with a live view, a table and a picture
  isacblocks demo --scenario step                   the same, with antennas that jump
  isacblocks top                                    every counter of the flowgraph that runs with --view or --desk
  isacblocks run online_calibration --frames 20000 --placement processes --report report.json
  isacblocks run my_flowgraph.py                    a script of your own
  isacblocks run graph.toml                         a flowgraph from a file
  isacblocks new-block MeanLevel --in detection     a block of your own, with its test
  isacblocks calibrate frames.isac                  a calibration file, a report and a picture from a recording
  isacblocks campaign sweep.toml --summary          a grid of simulations, its table and its figures
  isacblocks keys host.key                          keys for links to other hosts
  isacblocks figure 3                               the paper's Fig. 3 again, scaled down to some minutes"""


def run_flowgraph(path: Path, arguments: list[str]) -> int:
    """Run a script as python would, or a flowgraph's file; returns its exit status."""
    if path.suffix == ".toml":
        from isacblocks.cli import graph_run

        return graph_run.work(path, arguments)
    return run_script(path, arguments)


def run_script(path: Path, arguments: list[str]) -> int:
    """Run a script as python would; returns its exit status."""
    before = sys.argv
    sys.argv = [str(path), *arguments]
    sys.path.insert(0, str(path.resolve().parent))
    try:
        runpy.run_path(str(path), run_name="__main__")
    except SyntaxError as error:
        if error.filename != str(path):
            raise
        raise UsageError(f"{path}: expected a Python script; line {error.lineno}: {error.msg}") from error
    except SystemExit as ending:
        if isinstance(ending.code, str):
            print(ending.code, file=sys.stderr)
            return 1
        return ending.code or 0
    finally:
        sys.argv = before
    return 0


def info() -> int:
    """What is installed, where the kernels are, which blocks there are."""
    import llvmlite
    import msgspec
    import numba
    import numpy as np
    import scipy
    import zmq

    from isacblocks import blocks
    from isacblocks.kernels import jit

    print(f"isacblocks {__version__}, Python {platform.python_version()}, {platform.machine()}")
    print(f"numpy {np.__version__}, scipy {scipy.__version__}, numba {numba.__version__}, llvmlite {llvmlite.__version__}")
    print(f"pyzmq {zmq.__version__} (libzmq {zmq.zmq_version()}), msgspec {msgspec.__version__}")
    state = "compiled" if jit.is_warm() else "not compiled yet; 'isacblocks warmup' does it"
    print(f"kernels: {jit.cache_directory()} ({state})")
    print(f"flowgraphs: {', '.join(available()) or 'none'}")
    print("blocks:")
    for name in blocks.__all__:
        kind = getattr(blocks, name)
        if not hasattr(kind, "inputs"):
            continue
        ins = ", ".join(f"{n}: {p.record.name}" for n, p in kind.inputs().items()) or "-"
        outs = ", ".join(f"{n}: {p.record.name}" for n, p in kind.outputs().items()) or "-"
        print(f"  {name:16s} {ins}  ->  {outs}")
    return 0


def warmup() -> int:
    """Compile and cache the kernels."""
    from isacblocks.kernels import jit

    if jit.is_warm():
        print(f"the kernels are compiled: {jit.cache_directory()}")
    else:
        compile_kernels()
        print(f"the kernels are in {jit.cache_directory()}")
    return 0


def make_keys(path: str) -> int:
    """A pair of keys for links between hosts."""
    from isacblocks.stream import keys
    from isacblocks.stream.address import AccessError

    try:
        own, public = keys.make_keys(path)
    except AccessError as error:
        raise UsageError(str(error)) from error
    print(f"{own}: both keys; it stays on this host, and nobody else may read it")
    print(f"{public}: {keys.load_public(public).hex()}")
    return 0


def parser() -> argparse.ArgumentParser:
    """The options of all commands."""
    top = argparse.ArgumentParser(
        "isacblocks", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--version", action="version", version=f"isacblocks {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run a flowgraph script, or a flowgraph's file",
        description="Run a flowgraph script by its path, or one that comes with isacblocks by its name; or a flowgraph's\n"
        "file, NAME.toml (docs/formats.md says what is in it, online_calibration.toml is one). Both run what they name:\n"
        "take none from strangers.",
        epilog=f"What follows goes to the script: isacblocks run online_calibration --help\n\n{STATUSES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("script", metavar="SCRIPT", help=f"a path, {', '.join(available()) or 'a name'}, or a file NAME.toml")
    run.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="options of the script or the file")
    demo.add_parser(commands)
    desk.add_parsers(commands)
    calibrate.add_parser(commands)
    calibration.add_parser(commands)
    campaign.add_parser(commands)
    figure.add_parser(commands)
    graph.add_parser(commands)
    new_block.add_parser(commands)
    keys = commands.add_parser(
        "keys",
        help="make the keys of a host for links to others",
        description="Make a pair of keys: FILE, of mode 0600, for this host, and FILE.pub, for the others. A sender has a "
        "list of the public keys that it lets in (one a line, what follows is a remark), a receiver the sender's FILE.pub.",
    )
    keys.add_argument("file", metavar="FILE", help="where the keys are to be")
    commands.add_parser("info", help="what is installed, where the compiled kernels are, which blocks there are")
    commands.add_parser("warmup", help="compile and cache the kernels, once per version on this machine")
    _finish(top)
    return top


def _finish(one: argparse.ArgumentParser) -> None:
    """Every command says its exit statuses, and has --log; what goes on to a script has the script's."""
    for action in one._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                _finish(below)
                if STATUSES not in (below.epilog or ""):
                    below.epilog = f"{below.epilog}\n\n{STATUSES}" if below.epilog else STATUSES
                whole = not any(isinstance(a, argparse._SubParsersAction) for a in below._actions)
                if whole and name not in PASSING and "--log" not in below._option_string_actions:
                    add_common(below)


def main(arguments: list[str] | None = None) -> int:
    """The console script; returns the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    options, rest = parser().parse_known_args(given)
    if options.command not in PASSING:
        start_logging(options.log)
    if rest and options.command not in PASSING:
        parser().error(f"unrecognized arguments: {' '.join(rest)}")

    def script(name: str, after: list[str]) -> int:
        return run_flowgraph(find_flowgraph(name), after)

    commands: dict[str, Callable[[], int]] = {
        "run": lambda: script(options.script, given[given.index("run") + 2 :]),
        "demo": lambda: demo.work(options.scenario, rest, lambda after: script("online_calibration", after)),
        "calibrate": lambda: script("replay_recording", calibrate.arguments_of(options, rest)),
        "calibration": lambda: calibration.work(options),
        "campaign": lambda: campaign.work(find_script(options.file, ".toml", "campaign", is_campaign), options),
        "graph": lambda: graph.work(options, lambda: script(options.script, rest)),
        "figure": lambda: figure.work(options),
        "new-block": lambda: new_block.work(options),
        "keys": lambda: make_keys(options.file),
        "info": info,
        "warmup": warmup,
    } | dict.fromkeys(desk.COMMANDS, lambda: desk.work(options))
    return execute("isacblocks", commands[options.command])
