"""The live view of a flowgraph of our blocks that finds by itself what there is to see: ``fg.run(view=True)``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from isacblocks.blocks import AngleDelayMap, ImpairedChannel, KappaCalibrator, MaprtDetector
from isacblocks.radar import SPEED_OF_LIGHT, Scene
from isacblocks.stream import Flowgraph, Port
from isacblocks.view.access import AccessError
from isacblocks.view.live import LiveView, NoViewError
from isacblocks.view.radar_desk import RadarDesk
from isacblocks.view.tap import looks_on


def only(flowgraph: Flowgraph, kind: type[Any]) -> Any:
    """The block of this kind where there is just one, else None."""
    found = [block for block in flowgraph.blocks.values() if isinstance(block, kind)]
    return found[0] if len(found) == 1 else None


def watch_all(desk: RadarDesk, flowgraph: Flowgraph, *, frames: bool = True) -> list[str]:
    """Show what can be shown and let it be controlled, before the flowgraph runs; returns what is left out, and why.

    frames: also what maps and recordings are made of, and the true kappa, which terminals do without.
    """
    channel, detector = only(flowgraph, ImpairedChannel), only(flowgraph, MaprtDetector)
    image, calibrator = only(flowgraph, AngleDelayMap), only(flowgraph, KappaCalibrator)
    compressed = None if image is None or not frames else _leading_to(flowgraph, image.ports["compressed"])
    left = []
    if compressed is None:
        left.append("the maps: there is not one AngleDelayMap that takes compressed frames")
    if detector is None:
        left.append("detections: there is not one MaprtDetector")
    if calibrator is None:
        left.append("kappa: there is not one KappaCalibrator")
    desk.show(
        compressed,
        None if detector is None else detector.ports["detection"],
        None if calibrator is None else calibrator.ports["kappa"],
        None if channel is None or not frames else channel.ports["truth"],
    )
    if isinstance(channel, ImpairedChannel):
        desk.control(channel)
    return left


def _leading_to(flowgraph: Flowgraph, port: Port) -> Port | None:
    """The output port at the other end of an input's edge."""
    for edge in flowgraph.edges():
        if edge.receiver == f"{port}":
            block, _, name = edge.sender.rpartition(".")
            return flowgraph.blocks[block].ports[name]
    return None


def _opened(flowgraph: Flowgraph, image: AngleDelayMap) -> LiveView:
    """A view of the radar that the map has, at the usual port or, where that is taken, at any."""
    channel = only(flowgraph, ImpairedChannel)
    if isinstance(channel, ImpairedChannel):
        scene = channel.scene
    else:
        near, far = (0.5 * SPEED_OF_LIGHT * delay for delay in image.window)
        scene = Scene(range_min=near, range_max=far)
    try:
        return LiveView(flowgraph, image.radar, scene)
    except AccessError:
        return LiveView(flowgraph, image.radar, scene, port=0)


@contextlib.contextmanager
def shown(flowgraph: Flowgraph) -> Iterator[None]:
    """Around a run: the live view, its address on the standard error output. Without Bokeh, or where there is no map whose
    radar could be shown, one line says so and the run goes on without."""
    image = next((block for block in flowgraph.blocks.values() if isinstance(block, AngleDelayMap)), None)
    if image is None:
        print(f"no live view of {flowgraph.name}: none of its blocks is an AngleDelayMap", file=sys.stderr)
        yield
        return
    try:
        view = _opened(flowgraph, image)
    except NoViewError as error:
        print(error, file=sys.stderr)
        yield
        return
    left = watch_all(view.desk, flowgraph)
    print(f"live view: {view.url}" + "".join(f"; without {what}" for what in left), file=sys.stderr, flush=True)
    try:
        with view:
            yield
    finally:
        for name in [name for name in flowgraph.blocks if looks_on(name)]:
            flowgraph.remove(flowgraph.blocks[name])
