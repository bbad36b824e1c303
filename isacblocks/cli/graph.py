"""isacblocks graph SCRIPT: the flowgraph that a script draws or a file describes, as a picture or in words, not run."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from isacblocks.cli.script import UsageError, usage, writable

if TYPE_CHECKING:
    from isacblocks.stream import Flowgraph


class _Drawn(BaseException):  # no error: it ends the script where it would begin to run
    """The script has drawn its flowgraph and wants to start it."""

    def __init__(self, flowgraph: Flowgraph) -> None:
        super().__init__()
        self.flowgraph = flowgraph


def add_parser(commands: Any) -> None:
    """The command and its options; what it does not know goes to the script."""
    parser = commands.add_parser(
        "graph",
        help="draw a script's or a file's flowgraph without running it",
        description="Draw the flowgraph of a script, or of a file NAME.toml, up to where it would start. Further options "
        "go to the script.",
    )
    parser.add_argument("script", metavar="SCRIPT", help="a path of either, or a name that comes with isacblocks")
    parser.add_argument("--svg", metavar="FILE", help="write a picture (default: the edges in words)")


@contextlib.contextmanager
def patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Another value for an attribute while the ``with`` lasts."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def drawn_by(run: Callable[[], Any]) -> Flowgraph:
    """The flowgraph that `run` would start first. Raises UsageError where it starts none."""
    from isacblocks.kernels import jit
    from isacblocks.stream import Flowgraph

    def start(flowgraph: Flowgraph, *_: Any, **__: Any) -> NoReturn:
        flowgraph.check()
        raise _Drawn(flowgraph)

    with patched(Flowgraph, "start", start), patched(jit, "is_warm", lambda: True):  # nothing will run: nothing to compile
        try:
            run()
        except _Drawn as drawn:
            return drawn.flowgraph
    raise UsageError("the script ended without starting a flowgraph; see what it says")


def work(options: argparse.Namespace, run: Callable[[], Any]) -> int:
    """The command; run: the script. Returns the exit status."""
    with usage():
        writable(options.svg)
    flowgraph = drawn_by(run)
    if options.svg is None:
        for edge in flowgraph.edges():
            how = f"  feedback, lag {edge.lag}" if edge.feedback else "" if edge.policy == "block" else f"  {edge.policy}"
            print(f"{edge.sender} -> {edge.receiver}{how}")
        return 0
    from isacblocks.stream.files import write_atomically
    from isacblocks.view.svg import flowgraph_svg

    write_atomically(Path(options.svg), flowgraph_svg(flowgraph).encode())
    print(options.svg)
    return 0
