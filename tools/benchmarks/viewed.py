"""online_calibration's flowgraph for measurements, watched in a browser or not."""

from __future__ import annotations

import math

from isacblocks import OfdmRadar, Scene
from isacblocks.blocks import AngleDelayMap, ImpairedChannel, KappaCalibrator, MaprtDetector, OfdmSource
from isacblocks.stream import Flowgraph
from isacblocks.study.evaluation import Evaluation
from isacblocks.view.live import LiveView


def flowgraph(view: bool, rate: float = math.inf) -> tuple[Flowgraph, LiveView | None, ImpairedChannel]:
    """online_calibration's flowgraph, watched or not."""
    radar, scene = OfdmRadar(), Scene()
    source, channel = OfdmSource(radar, seed=1), ImpairedChannel(radar, scene, seed=1)
    source.rate = rate
    image, detector = AngleDelayMap(radar, scene=scene), MaprtDetector(radar, noise="estimated")
    calibrator, judge = KappaCalibrator(radar, window=scene), Evaluation(radar)
    fg = Flowgraph("online_calibration")
    fg.connect(source, channel)
    fg.connect(channel.compressed, image.compressed)
    fg.connect(image, detector, judge.detection)
    fg.connect(channel.truth, judge.truth)
    fg.connect(detector, calibrator, judge.kappa)
    fg.feedback(calibrator.kappa, image.kappa, lag=2)
    fg.feedback(calibrator.kappa, detector.kappa, lag=2)
    if not view:
        return fg, None, channel
    live = LiveView(fg, radar, scene, port=0)
    live.watch(channel.compressed, detector.detection, calibrator.kappa, channel.truth)
    live.control(channel)
    return fg, live, channel
