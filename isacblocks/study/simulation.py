"""One simulated run from symbols to figures, for tables, campaigns and tests: the flowgraph of online_calibration."""

from __future__ import annotations

from dataclasses import dataclass

from isacblocks.blocks.angle_delay_map import AngleDelayMap
from isacblocks.blocks.impaired_channel import ImpairedChannel
from isacblocks.blocks.kappa_calibrator import METHODS, KappaCalibrator
from isacblocks.blocks.maprt_detector import MaprtDetector
from isacblocks.blocks.ofdm_source import OfdmSource
from isacblocks.radar import OfdmRadar, Scene
from isacblocks.stream import Flowgraph, Status
from isacblocks.study.evaluation import Evaluation

LAG = 2  # messages until a new kappa is in force
P_FA = 1e-2


@dataclass(frozen=True)
class Run:
    """What is left of a run: the judge with its figures, the calibrator where there was one, the final status."""

    judge: Evaluation
    calibrator: KappaCalibrator | None
    status: Status


def simulate(
    frames: int,
    seed: int,
    method: str = "online",
    *,
    radar: OfdmRadar | None = None,
    scene: Scene | None = None,
    impairments: str = "table1",
    placement: str = "threads",
) -> Run:
    """Run `frames` frames at Table I unless told otherwise.

    method: one of the calibrator's, or "known" (the true kappa is assumed) or "none" (kappa = 1). Raises ValueError for
    another one.
    """
    if method not in (*METHODS, "known", "none"):
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, known, none, got {method!r}")
    radar, scene = radar or OfdmRadar(), scene or Scene()

    # Blocks
    source, channel = OfdmSource(radar, seed=seed), ImpairedChannel(radar, scene, impairments, seed)
    image = AngleDelayMap(radar, kappa=channel.kappa if method == "known" else None)
    detector, judge = MaprtDetector(radar, scene, p_fa=P_FA), Evaluation(radar)

    # Connections
    fg = Flowgraph("simulation")
    fg.connect(source, channel, image, detector, judge.detection)
    fg.connect(channel.truth, judge.truth)
    calibrator = None
    if method in METHODS:
        calibrator = KappaCalibrator(radar, scene, method)
        fg.connect(detector, calibrator, judge.kappa)
        fg.feedback(calibrator.kappa, image.kappa, lag=LAG)
    return Run(judge, calibrator, fg.run(frames, placement=placement))
