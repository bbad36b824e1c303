"""One simulated run from symbols to figures, for tables, campaigns and tests: the flowgraph of online_calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from isacblocks.blocks.angle_delay_map import AngleDelayMap
from isacblocks.blocks.delay_compressor import DelayCompressor
from isacblocks.blocks.impaired_channel import ImpairedChannel, PhaseStep
from isacblocks.blocks.kappa_calibrator import KappaCalibrator
from isacblocks.blocks.maprt_detector import MaprtDetector
from isacblocks.blocks.methods.choice import METHODS
from isacblocks.blocks.ofdm_source import OfdmSource
from isacblocks.radar import OfdmRadar, Scene
from isacblocks.stream import Flowgraph, Status
from isacblocks.study.evaluation import Evaluation
from isacblocks.study.marks import Marks, TrueKappa

LAG = 2  # messages until a new kappa is in force
MESSAGE = 16  # frames; part of what the tables say, so it is not left to the records' size
P_FA = 1e-2
STEP_MEMORY = 1000.0  # frames: after a jump the old phases must fade
ALL_METHODS = (*METHODS, "known", "none")  # for comparison: the true kappa is assumed, kappa = 1 is


@dataclass(frozen=True)
class Run:
    """What is left of a run: the judge with its figures, the calibrator where there was one, the final status, the marks."""

    judge: Evaluation
    calibrator: KappaCalibrator | None
    status: Status
    marks: Marks | None = None


def matched_memory(radar: OfdmRadar, scene: Scene, drift: float, steps: bool) -> float:
    """The memory in frames that suits the drift (degrees per sqrt(1000 frames)) and, where there are any, phase steps.

    A memory M leaves the variance v / (2 M) of noise and q M / 2 of drift, least at M = sqrt(v / q), with
    v = N (1 + SNR) / (2 SNR^2 P(t = 1)) rad^2 frames and q rad^2 per frame.
    """
    memory = STEP_MEMORY if steps else math.inf
    if drift > 0:
        noise = radar.antennas * (1 + scene.snr) / (2 * scene.snr**2 * scene.target_probability)
        memory = min(memory, math.sqrt(noise / (math.radians(drift) ** 2 / 1000)))
    return memory


def simulate(
    frames: int,
    seed: int,
    method: str = "tracker",
    *,
    radar: OfdmRadar | None = None,
    scene: Scene | None = None,
    impairments: str = "table1",
    drift: float = 0.0,
    steps: Sequence[PhaseStep] = (),
    p_fa: float = P_FA,
    marks: Sequence[int] = (),
    told: bool = False,
    compressed: bool = False,
    refine: bool = False,
    full_circle: bool = False,
    placement: str = "threads",
) -> Run:
    """Run `frames` frames at Table I unless told otherwise.

    method: one of the calibrator's, or "known" (the true kappa is assumed) or "none" (kappa = 1); drift, steps: how the
    phases move, see ImpairedChannel, the calibrator's memory being matched to it; p_fa: nominal; marks: numbers of frames
    after which kappa's error is wanted; told: SNR, P(t = 1) and N0 are told to the receiver instead of estimated by it;
    compressed: frames are drawn in the delay basis, the same law at a third of the work; refine: peaks are moved off the
    grid; full_circle: the calibrator starts from nothing. Raises ValueError for another method.
    """
    if method not in ALL_METHODS:
        raise ValueError(f"method: expected one of {', '.join(ALL_METHODS)}, got {method!r}")
    radar, scene = radar or OfdmRadar(), scene or Scene()

    # Blocks
    source, channel = OfdmSource(radar, seed=seed), ImpairedChannel(radar, scene, impairments, seed, drift, steps)
    source.batch = MESSAGE
    start = channel.kappa if method == "known" else None
    image = AngleDelayMap(radar, kappa=start, scene=scene, refine=refine)
    known, noise = (scene, "known") if told else (None, "estimated")
    detector = MaprtDetector(radar, known, p_fa=p_fa, refine=refine, noise=noise)
    judge = Evaluation(radar)
    markers = Marks(radar, marks, start) if marks else None
    calibrator, points = None, 0 if refine else 100
    if method in METHODS:
        calibrator = KappaCalibrator(
            radar, known, method, n_theta=points, n_tau=points, full_circle=full_circle, window=scene
        )
        calibrator.memory = matched_memory(radar, scene, drift, bool(steps))

    # Connections
    fg = Flowgraph("simulation")
    fg.connect(source, channel)
    _lead_frames(fg, channel, image, calibrator, compressed)
    fg.connect(image, detector, judge.detection)
    fg.connect(channel.truth, judge.truth)
    teacher: KappaCalibrator | TrueKappa | None = calibrator
    if calibrator is not None:
        fg.connect(detector, calibrator, judge.kappa)
        fg.feedback(calibrator.kappa, image.kappa, lag=LAG)
        if not told:
            fg.feedback(calibrator.kappa, detector.kappa, lag=LAG)
    elif method == "known" and (drift > 0 or steps):
        teacher = TrueKappa(radar)
        fg.connect(channel.truth, teacher)
        fg.connect(teacher, image.kappa)
    if markers is not None:
        fg.connect(channel.truth, markers.truth)
        if teacher is not None:
            fg.connect(teacher, markers.kappa)
    return Run(judge, calibrator, fg.run(frames, placement=placement), markers)


def _lead_frames(
    fg: Flowgraph, channel: ImpairedChannel, image: AngleDelayMap, calibrator: KappaCalibrator | None, compressed: bool
) -> None:
    """Frames to the map, drawn whole or compressed, and compressed ones to a calibrator that needs them."""
    needed = calibrator is not None and calibrator.needs_frames
    if not compressed and not needed:
        fg.connect(channel.frame, image.frame)
        return
    samples = channel.compressed
    if not compressed:
        compressor = DelayCompressor(channel.radar, channel.scene)
        fg.connect(channel.frame, compressor)
        samples = compressor.compressed
    fg.connect(samples, image.compressed)
    if calibrator is not None and needed:
        fg.connect(samples, calibrator.compressed)
