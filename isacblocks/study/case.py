"""What Algorithm 1 is run on, and with which parameters.

Losses see the noise power N0 in the unit that is asked for. Scaling Y by sqrt(N0) leaves the search alone and multiplies
the gradient of (14) by N0 and that of (15) by sqrt(N0), which is what "watts" does: single precision never meets 1e-13.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.angle_delay_map import sector_grid
from isacblocks.kernels.adam import SECOND_MOMENTS
from isacblocks.kernels.compressed_simulation import simulate_compressed
from isacblocks.kernels.delay_basis import delay_basis
from isacblocks.kernels.impairments import draw_impairments
from isacblocks.kernels.peak import Peaks
from isacblocks.kernels.search import search_compressed
from isacblocks.kernels.simulation import Truth, draw_scene
from isacblocks.radar import OfdmRadar, Scene

LOSSES = ("max", "reconstruction")  # (14), (15)
SIMULATIONS = ("compressed", "full")
# k T B of the published program: 1.38e-23 J/K, 290 K, S Delta_f = 61.44 MHz
NOISE_POWER = {"unit": 1.0, "watts": 1.38e-23 * 290 * 256 * 240e3}


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
