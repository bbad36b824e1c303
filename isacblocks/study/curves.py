"""The curves of the paper's figures: how each one comes to its kappa, how it is called and drawn. The one list of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.angle_delay_map import AngleDelayMap
from isacblocks.blocks.impaired_channel import ImpairedChannel
from isacblocks.blocks.kappa_calibrator import KappaCalibrator
from isacblocks.blocks.methods.tracker import Tracker
from isacblocks.blocks.ofdm_source import OfdmSource
from isacblocks.blocks.probe import Probe
from isacblocks.stream import Flowgraph
from isacblocks.study.case import LOSSES, Case, Training
from isacblocks.study.kept import Kept, Report
from isacblocks.study.training import train
from isacblocks.study.workers import Workers

LAG = 2  # messages until a new kappa is in force
MESSAGE = 16  # frames; part of what the tables say, so it is not left to the records' size


@dataclass(frozen=True)
class Curve:
    """One curve. source: where its kappa comes from, "truth", "ones", "online", or a loss of Algorithm 1."""

    name: str
    label: str
    short: str  # where there is little room
    source: str
    colour: str
    marker: str
    style: str = "-"

    @property
    def trained(self) -> bool:
        """Whether Algorithm 1 learns its kappa."""
        return self.source in ("max", "reconstruction")


# Colours of Okabe and Ito, told apart by every eye; markers and dashes say the same without colour.
CURVES = (
    Curve("known", "kappa known", "known", "truth", "#0072B2", "o"),
    Curve("none", "kappa = 1", "kappa = 1", "ones", "#000000", "s", ":"),
    Curve("loss14", "Algorithm 1, loss (14)", "loss (14)", "max", "#009E73", "^", "--"),
    Curve("loss15", "Algorithm 1, loss (15)", "loss (15)", "reconstruction", "#D55E00", "v", "-."),
    Curve("online", "isacblocks, one pass", "one pass", "online", "#CC79A7", "D"),
)
NAMES = tuple(curve.name for curve in CURVES)


def curves_of(names: tuple[str, ...]) -> tuple[Curve, ...]:
    """The curves of these names, in the order of the list. Raises ValueError for a name that is not one."""
    unknown = [name for name in names if name not in NAMES]
    if unknown or not names:
        raise ValueError(f"curves: expected some of {', '.join(NAMES)}, got {', '.join(unknown) or 'nothing'}")
    return tuple(curve for curve in CURVES if curve.name in names)


@dataclass(frozen=True)
class Online:
    """The one pass over the first `frames` frames of a case's stream.

    noise_seed: of symbols, targets and noise, the case's own where it is None. Raises ValueError for fewer frames than one
    update takes.
    """

    case: Case
    frames: int = 1000
    noise_seed: int | None = None

    def __post_init__(self) -> None:
        if self.frames < Tracker.batch:
            raise ValueError(f"online_frames: expected at least {Tracker.batch}, one update, got {self.frames}")


def run_online(task: Online) -> tuple[NDArray[np.int64], NDArray[np.complex128]]:
    """Frames used (M,) and the estimates after them (M, N): the flowgraph of online_calibration on compressed frames."""
    case = task.case
    radar, scene = case.radar, case.scene
    seed = case.seed if task.noise_seed is None else task.noise_seed
    source, channel = OfdmSource(radar, seed), ImpairedChannel(radar, scene, case.kappa, seed)
    source.batch = MESSAGE
    image = AngleDelayMap(radar, case.points, case.points, scene=scene)
    calibrator, probe = KappaCalibrator(radar, n_theta=case.points, n_tau=case.points, window=scene), Probe()
    fg = Flowgraph("one pass")
    fg.connect(source, channel)
    fg.connect(channel.compressed, image.compressed)
    fg.connect(image, calibrator, probe)
    fg.feedback(calibrator.kappa, image.kappa, lag=LAG)
    fg.run(task.frames)
    return probe.values["frames"].astype(np.int64), probe.values["kappa"].astype(np.complex128)


@dataclass(frozen=True)
class Learning:
    """How the curves that learn are to learn: Algorithm 1's parameters, and the frames of the one pass."""

    second_moment: str = "modulus"
    unit: str = "unit"
    iterations: int = 10_000
    batch: int = 1024
    learning_rate: float = 1e-2
    online_frames: int = 1000

    def __post_init__(self) -> None:
        Online(Case(), self.online_frames)  # refuses what it refuses
        self.training(Case(), LOSSES[0])

    def training(self, case: Case, loss: str) -> Training:
        """Algorithm 1 for one case."""
        options = {name: value for name, value in asdict(self).items() if name != "online_frames"}
        return Training(case, loss, **options)

    def frames(self, curve: Curve) -> int:
        """How many frames the curve learns from."""
        if curve.trained:
            return self.iterations * self.batch
        return self.online_frames if curve.source == "online" else 0


def learn(curve: Curve, case: Case, how: Learning, workers: Workers, kept: Kept, report: Report) -> NDArray[np.complex128]:
    """The kappa of a curve, complex128 (N,). Arguments as for :func:`~isacblocks.study.training.train`."""
    if curve.trained:
        return train(how.training(case, curve.source), workers=workers, kept=kept, report=report).kappa
    if curve.source == "truth":
        return case.kappa
    if curve.source == "ones":
        return np.ones(case.radar.antennas, np.complex128)
    task = Online(case, how.online_frames)
    name = f"{case.law}-{case.seed}-online"
    found: dict[str, Any] | None = kept.load(name, task)
    report(how.online_frames, kept=found is not None)
    if found is None:
        found = {"kappa": run_online(task)[1][-1]}
        kept.save(name, task, found)
    return np.asarray(found["kappa"])
