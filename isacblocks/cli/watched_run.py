"""A flowgraph's run with all that was asked to go on beside it: a live line, a live view, a desk, metrics."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext

from isacblocks.cli.options import restart_of
from isacblocks.radar import OfdmRadar, Scene
from isacblocks.stream import Flowgraph, Status
from isacblocks.view.access import parse_address, read_token
from isacblocks.view.desk import Desk
from isacblocks.view.live import PORT as VIEW_PORT
from isacblocks.view.live import LiveView, NoViewError
from isacblocks.view.metrics import PORT as METRICS_PORT
from isacblocks.view.metrics import MetricsServer
from isacblocks.view.shown import watch_all
from isacblocks.view.terminal import JsonView, TerminalView


class WatchedRun:
    """One run of a flowgraph, as options of add_run() or add_file_run() ask; nothing is watched yet, but ports are taken.

    Raises ValueError for what cannot be.
    """

    def __init__(self, options: argparse.Namespace, flowgraph: Flowgraph, radar: OfdmRadar, scene: Scene) -> None:
        self.options, self.flowgraph = options, flowgraph
        self.metrics = _metrics_of(options, flowgraph)
        self.live = _view_of(options, flowgraph, radar, scene)
        self.restart = restart_of(options)

    def run(self, counted: str, tell: Callable[[Status], None]) -> None:
        """Run to the end, `tell` what came out, and keep the view up as long as was asked.

        counted: the block whose items say how far it is.
        """
        options = self.options
        with ExitStack() as stack:
            stack.enter_context(self.metrics)
            if self.live is not None:
                left = watch_all(self.live, self.flowgraph)
                without = "".join(f"; without {what}" for what in left)
                print(f"live view: {self.live.url}{without}", file=sys.stderr, flush=True)
            stack.enter_context(_desk_of(options, self.flowgraph, self.live))
            status = self.flowgraph.run(
                options.frames,
                placement=options.placement,
                port=options.port,
                checkpoint=options.checkpoint,
                restart=self.restart,
                view=_line_of(options, counted),
            )
            tell(status)
            if self.live is not None:
                _hold(options, self.live)


def _line_of(options: argparse.Namespace, counted: str) -> TerminalView | None:
    """What tells how far it is, as it was asked for. counted: the block whose items are counted."""
    if options.json:
        return JsonView(options.frames, counted)
    return None if options.no_view or options.quiet else TerminalView(options.frames, counted)


def _metrics_of(options: argparse.Namespace, flowgraph: Flowgraph) -> AbstractContextManager[object]:
    """The server of the flowgraph's counters that was asked for, to be entered while it runs. Raises ValueError."""
    token = None if options.token_file is None else read_token(options.token_file)
    if options.metrics is None:
        return nullcontext()
    host, port = parse_address(options.metrics, METRICS_PORT)
    return MetricsServer(flowgraph, host, port, token)


def _view_of(options: argparse.Namespace, flowgraph: Flowgraph, radar: OfdmRadar, scene: Scene) -> LiveView | None:
    """The live view that was asked for, not yet watching anything. Raises ValueError; without Bokeh says so, once."""
    if options.view is None:
        return None
    token = None if options.token_file is None else read_token(options.token_file)
    host, port = parse_address(options.view, VIEW_PORT)
    try:
        return LiveView(
            flowgraph,
            radar,
            scene,
            host=host,
            port=port,
            token=token,
            calibration=options.calibration or f"{flowgraph.name}.calibration.json",
            noise_known=options.told,
        )
    except NoViewError as error:
        print(error, file=sys.stderr)
        return None


def _desk_of(options: argparse.Namespace, flowgraph: Flowgraph, live: LiveView | None) -> AbstractContextManager[object]:
    """What is entered while the flowgraph runs: the view with its desk, a desk alone, or nothing."""
    return live if live is not None else Desk(flowgraph) if options.desk else nullcontext()


def _hold(options: argparse.Namespace, view: LiveView) -> None:
    """Keep the view up until Enter is pressed, where somebody can press it."""
    if options.hold and sys.stdin.isatty():
        input(f"the view stays at {view.url} until you press Enter ")
