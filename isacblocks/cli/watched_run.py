"""A flowgraph's run with all that was asked to go on beside it: a table or a live line, a live view, a desk, metrics."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext, redirect_stdout
from typing import Any

from isacblocks.cli.options import restart_of
from isacblocks.cli.script import check_log
from isacblocks.cli.signals import HUNG_UP, TerminatedError
from isacblocks.radar import OfdmRadar, Scene
from isacblocks.stream import Flowgraph, Status
from isacblocks.view.access import parse_address, read_token
from isacblocks.view.client import NearClient
from isacblocks.view.feed import Feed
from isacblocks.view.live import PORT as VIEW_PORT
from isacblocks.view.live import LiveView, NoViewError
from isacblocks.view.metrics import PORT as METRICS_PORT
from isacblocks.view.metrics import MetricsServer
from isacblocks.view.radar_desk import RadarDesk
from isacblocks.view.shown import watch_all
from isacblocks.view.tap import looks_on
from isacblocks.view.terminal import JsonView, TerminalView, takes_a_table


class WatchedRun:
    """One run of a flowgraph, as options of add_run() or add_file_run() ask; nothing is watched yet, but ports are taken.

    Raises ValueError for what cannot be.
    """

    def __init__(self, options: argparse.Namespace, flowgraph: Flowgraph, radar: OfdmRadar, scene: Scene) -> None:
        self.options, self.flowgraph = options, flowgraph
        self.radar, self.scene = radar, scene
        check_log(options.log, flowgraph.blocks)
        self.restart = restart_of(options)
        self.metrics = _metrics_of(options, flowgraph)
        self.live = self._live_view()

    def run(self, counted: str, tell: Callable[[Status], None]) -> None:
        """Run to the end, `tell` what came out, if anything did, and keep the view up as long as was asked.

        counted: the block whose items say how far it is. Ctrl-C, SIGTERM and SIGHUP end the run early, as isacblocks do stop
        does: what came by then is told and left, then they go on; the second of them ends that too.
        """
        options = self.options
        with ExitStack() as stack:
            stack.enter_context(self.metrics)
            view = self._watched(stack, counted)
            try:
                status = self.flowgraph.run(
                    options.frames,
                    placement=options.placement,
                    port=options.port,
                    checkpoint=options.checkpoint,
                    restart=self.restart,
                    view=view,
                )
            except (KeyboardInterrupt, TerminatedError) as ended:
                status = self.flowgraph.status
                with ExitStack() as said:
                    if isinstance(ended, TerminatedError) and ended.status == HUNG_UP:  # nobody is there to read it
                        said.enter_context(redirect_stdout(None))
                    elif view is not None:
                        view(status)
                    if _has_come_to_something(self.flowgraph, status, counted):
                        tell(status)
                raise
            if _has_come_to_something(self.flowgraph, status, counted):
                tell(status)
            else:
                print(f"{self.flowgraph.name}: {status.phase} before anything came; nothing to report", file=sys.stderr)
            if self.live is not None:
                _hold(options, self.live)

    def _watched(self, stack: ExitStack, counted: str) -> Callable[[Status], None] | None:
        """Enter all who look on; returns what is told how far it is."""
        options = self.options
        plain = options.no_view or options.quiet or options.json
        table = not plain and takes_a_table()
        desk = self._desk(table)
        if self.live is not None or desk is not None:
            stack.enter_context(self.live or desk)  # type: ignore[arg-type]
        if desk is not None and table:
            from isacblocks.view.dashboard import Dashboard

            beside = "" if self.live is None else self.live.url
            return stack.enter_context(Dashboard(Feed(NearClient(desk)), options.frames, counted, beside))

        def paused() -> bool:
            return desk is not None and desk.paused  # without a desk nobody can

        if options.json:
            return JsonView(options.frames, counted, paused=paused)
        return None if plain else TerminalView(options.frames, counted, paused=paused)

    def _desk(self, table: bool) -> RadarDesk | None:
        """Where views, a table and other shells ask; None where none of them may come. Says where the view is."""
        frames = self.live is not None or self.options.desk
        if not (frames or table):
            return None
        desk = RadarDesk(self.flowgraph, self.radar, self.scene, **self._told()) if self.live is None else self.live.desk
        left = watch_all(desk, self.flowgraph, frames=frames)
        if self.live is not None:
            without = "".join(f"; without {what}" for what in left)
            print(f"live view: {self.live.url}{without}", file=sys.stderr, flush=True)
        return desk

    def _told(self) -> dict[str, Any]:
        """What every desk is told."""
        path = self.options.calibration or f"{self.flowgraph.name}.calibration.json"
        return {"calibration": path, "noise_known": self.options.told}

    def _live_view(self) -> LiveView | None:
        """The view for browsers that was asked for, not yet watching anything; without Bokeh says so, once."""
        if self.options.view is None:
            return None
        token = None if self.options.token_file is None else read_token(self.options.token_file)
        host, port = parse_address(self.options.view, VIEW_PORT)
        try:
            return LiveView(self.flowgraph, self.radar, self.scene, host=host, port=port, token=token, **self._told())
        except NoViewError as error:
            print(error, file=sys.stderr)
            return None


def _has_come_to_something(flowgraph: Flowgraph, status: Status, counted: str) -> bool:
    """Whether there is anything to tell: who stops a flowgraph at once may find blocks without a state, or without items."""
    if status.phase == "finished":
        return True
    blocks = flowgraph.blocks.values()
    begun = all(hasattr(block, state) for block in blocks if not looks_on(block.label) for state in block.states())
    return begun and counted in status.blocks and status.blocks[counted].items_in > 0


def _metrics_of(options: argparse.Namespace, flowgraph: Flowgraph) -> AbstractContextManager[object]:
    """The server of the flowgraph's counters that was asked for, to be entered while it runs. Raises ValueError."""
    token = None if options.token_file is None else read_token(options.token_file)
    if options.metrics is None:
        return nullcontext()
    host, port = parse_address(options.metrics, METRICS_PORT)
    server = MetricsServer(flowgraph, host, port, token)
    if not options.quiet:
        print(f"metrics: http://{server.host}:{server.port}/metrics", file=sys.stderr, flush=True)
    return server


def _hold(options: argparse.Namespace, view: LiveView) -> None:
    """Keep the view up until Enter is pressed, where somebody can press it."""
    if options.hold and sys.stdin.isatty():
        input(f"the view stays at {view.url} until you press Enter ")
