"""Algorithm 1 of the paper as printed, over frames that are drawn as they are needed.

Iteration i draws a batch of frames by eq. (8), finds the peak of each one's angle-delay map (11) under the present kappa,
takes the gradient of loss (14) or (15), makes one step of Adam and scales kappa to ||kappa||^2 = N, beginning at kappa = 1.

Frames are drawn in the delay basis, exact in law for the QPSK of Sec. IV, :mod:`isacblocks.kernels.compressed_simulation`;
whole ones where that is asked for, at several times the work.
Frame k of iteration i is item i batch + k of the seed's stream, so the result depends on the seed alone. A batch is worked
on in parts by as many threads as there are, and the parts are added in their order: the same bits for any number of threads.

Losses see the noise power N0 in the unit that is asked for. Scaling Y by sqrt(N0) leaves the search alone and multiplies
the gradient of (14) by N0 and that of (15) by sqrt(N0), which is what "watts" does: single precision never meets 1e-13.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.angle_delay_map import sector_grid
from isacblocks.kernels.adam import SECOND_MOMENTS, adam_step
from isacblocks.kernels.arrays import frozen
from isacblocks.kernels.compressed_simulation import simulate_compressed
from isacblocks.kernels.delay_basis import delay_basis
from isacblocks.kernels.impairments import draw_impairments, retract
from isacblocks.kernels.peak import Peaks
from isacblocks.kernels.search import search_compressed
from isacblocks.kernels.simulation import Truth, draw_scene
from isacblocks.kernels.warmup import load
from isacblocks.radar import OfdmRadar, Scene
from isacblocks.study.batch import CHUNK, BatchGradient
from isacblocks.study.kept import Kept, Report, silent

LOSSES = ("max", "reconstruction")  # (14), (15)
SIMULATIONS = tuple(CHUNK)
# k T B of the published program: 1.38e-23 J/K, 290 K, S Delta_f = 61.44 MHz
NOISE_POWER = {"unit": 1.0, "watts": 1.38e-23 * 290 * 256 * 240e3}
_PART = 64  # frames of a batch that are one thread's and are added apart
_SAVED_EVERY = 2.0  # seconds of work that a kill may cost

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Case:
    """One array and what is in front of it: the law and the seed that its kappa and all of its frames are drawn from."""

    law: str = "table1"
    seed: int = 1
    radar: OfdmRadar = field(default_factory=OfdmRadar)
    scene: Scene = field(default_factory=Scene)
    points: int = 100  # N_theta = N_tau of the search grid

    @property
    def kappa(self) -> NDArray[np.complex128]:
        """The true impairments, complex128 (N,)."""
        return np.asarray(draw_impairments(self.law, self.radar.antennas, self.seed), np.complex128)

    def search(self, kappa: NDArray[np.complex128], first: int, count: int) -> tuple[Truth, Peaks]:
        """Draw items first .. first + count - 1 of the case and find their peaks, eqs. (8)-(10), under `kappa` (N,)."""
        basis = delay_basis(self.radar, *self.scene.delay_window(self.radar))
        truth = draw_scene(self.seed, first, count, self.radar, self.scene)
        frames = simulate_compressed(truth, self.kappa, basis, seed=self.seed, first=first)
        theta = sector_grid(truth.theta_min, truth.theta_max, self.points)
        tau = np.linspace(*basis.window, self.points)[None, :]
        return truth, search_compressed(frames, basis, kappa, theta, tau)


@dataclass(frozen=True)
class Training:
    """The parameters of Algorithm 1, those of Table I by default.

    loss: "max" (14) or "reconstruction" (15); second_moment: Adam's, "modulus" (PyTorch 1.12, the authors') or "components";
    unit: of the noise power, "unit" (N0 = 1) or "watts" as in the published program; simulation: frames "compressed" or
    "full", one law. Raises ValueError for other words.
    """

    case: Case
    loss: str
    second_moment: str = "modulus"
    unit: str = "unit"
    iterations: int = 10_000
    batch: int = 1024
    learning_rate: float = 1e-2
    simulation: str = "compressed"

    def __post_init__(self) -> None:
        words = {"loss": LOSSES, "second_moment": SECOND_MOMENTS, "unit": tuple(NOISE_POWER), "simulation": SIMULATIONS}
        for name, known in words.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}, got {getattr(self, name)!r}")
        for name in ("iterations", "batch"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}: expected an integer of at least 1, got {value!r}")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"learning_rate: expected a positive number, got {self.learning_rate!r}")

    @property
    def frames(self) -> int:
        """How many frames are drawn in all."""
        return self.iterations * self.batch

    @property
    def scale(self) -> float:
        """What a gradient for N0 = 1 is multiplied by."""
        power = NOISE_POWER[self.unit]
        return power if self.loss == "max" else math.sqrt(power)


@dataclass(frozen=True)
class Trained:
    """kappa^(I), complex128 (N,); and on the way there, at `iterations` (M,): kappas (M, N), loss (M,) for N0 = 1."""

    kappa: NDArray[np.complex128]
    iterations: NDArray[np.int64]
    kappas: NDArray[np.complex128]
    losses: NDArray[np.float64]


class Workers:
    """Threads for kernels, which release the interpreter's lock; results come in the order of the parts, always."""

    def __init__(self, count: int) -> None:
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"workers: expected an integer of at least 1, got {count!r}")
        self.count = count
        self._pool = ThreadPoolExecutor(count) if count > 1 else None

    def map(self, function: Callable[[T], U], parts: list[T]) -> list[U]:
        """[function(part) for part in parts]."""
        if self._pool is None:
            return [function(part) for part in parts]
        return list(self._pool.map(function, parts))

    def close(self) -> None:
        """End the threads; what has not begun is not begun."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def parts_of(first: int, count: int, size: int) -> list[tuple[int, int]]:
    """Items first .. first + count - 1 in parts (first, count) of at most `size`."""
    return [(k, min(size, first + count - k)) for k in range(first, first + count, size)]


def marks_of(iterations: int, per_decade: int = 12) -> NDArray[np.int64]:
    """Iterations at which the history is kept: evenly spaced logarithmically, the first and the last among them."""
    count = max(2, math.ceil(per_decade * math.log10(max(iterations, 10))) + 1)
    return np.unique(np.rint(np.geomspace(1, iterations, count)).astype(np.int64))


def _begin(training: Training) -> dict[str, Any]:
    antennas = training.case.radar.antennas
    marks = marks_of(training.iterations)
    return {
        "done": 0,
        "kappa": np.ones(antennas, np.complex128),
        "mean": np.zeros(antennas, np.complex128),
        "square": np.zeros((antennas, 2)),
        "iterations": marks,
        "kappas": np.zeros((marks.size, antennas), np.complex128),
        "losses": np.zeros(marks.size),
    }


class Descent:
    """Algorithm 1 under way. state: of an earlier one that is to go on, as :attr:`state` was."""

    def __init__(self, training: Training, workers: Workers | None = None, state: dict[str, Any] | None = None) -> None:
        load("gradient descent")
        load("peak search")
        load("simulation")
        self.training = training
        self.state = state or _begin(training)
        self._workers = workers or Workers(1)
        self._gradient = BatchGradient(training)

    def step(self) -> None:
        """Lines 4 to 10 of Algorithm 1: one batch, one step."""
        training, state = self.training, self.state
        work = partial(self._gradient, state["kappa"])
        loss, gradient = 0.0, np.zeros_like(state["kappa"])
        for part_loss, part_gradient in self._workers.map(
            work, parts_of(state["done"] * training.batch, training.batch, _PART)
        ):
            loss += part_loss
            gradient += part_gradient
        state["done"] += 1
        kappa = state["kappa"].copy()
        gradient = frozen(gradient * (training.scale / training.batch))
        components = training.second_moment == "components"
        adam_step(kappa, gradient, state["mean"], state["square"], state["done"], training.learning_rate, components)
        state["kappa"] = retract(kappa)
        row = int(np.searchsorted(state["iterations"], state["done"]))
        if row < state["iterations"].size and state["iterations"][row] == state["done"]:
            state["kappas"][row] = state["kappa"]
            state["losses"][row] = loss / training.batch


def train(
    training: Training,
    *,
    workers: Workers | None = None,
    kept: Kept | None = None,
    report: Report = silent,
) -> Trained:
    """Run Algorithm 1 to its end.

    workers: threads (one by default); kept: where the state is saved every two seconds, from where the run goes on if it
    was killed; report: told of the frames that are done.
    """
    kept = kept or Kept(None)
    name = f"{training.case.law}-{training.case.seed}-{training.loss}-{training.second_moment}-{training.unit}"
    descent = Descent(training, workers, kept.load(name, training))
    state = descent.state
    report(state["done"] * training.batch, kept=True)
    saved = time.monotonic()
    while state["done"] < training.iterations:
        descent.step()
        report(training.batch)
        if time.monotonic() - saved >= _SAVED_EVERY or state["done"] == training.iterations:
            kept.save(name, training, state)
            saved = time.monotonic()
    return Trained(state["kappa"], state["iterations"], state["kappas"], state["losses"])
