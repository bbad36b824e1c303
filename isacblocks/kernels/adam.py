"""Adam for complex parameters, and the retraction to ||kappa||^2 = N: lines 9 and 10 of Algorithm 1.

D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015. For a complex parameter the second moment
can be taken of |g|^2 (PyTorch up to 1.12, which the paper's authors used: ``"modulus"``) or of the real and imaginary
parts apart (PyTorch 2: ``"components"``). The two do not converge to the same place with loss (14); see docs/maths.md.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from isacblocks.kernels.arrays import Complex, Float, complex_array
from isacblocks.kernels.impairments import retract
from isacblocks.kernels.jit import jit

SecondMoment = Literal["modulus", "components"]
SECOND_MOMENTS = ("modulus", "components")
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


@jit
def adam_step(
    kappa: Complex, gradient: Complex, mean: Complex, square: Float, step: int, rate: float, components: bool
) -> None:
    """One Adam step on `kappa` (N,) in place, without the retraction; moments `mean` (N,) and `square` (N, 2) too."""
    unbias_1 = 1.0 - BETA_1**step
    unbias_2 = 1.0 - BETA_2**step
    for n in range(kappa.shape[0]):
        g = gradient[n]
        mean[n] = BETA_1 * mean[n] + (1.0 - BETA_1) * g
        real, imag = g.real**2, g.imag**2
        if not components:
            real = imag = g.real**2 + g.imag**2
        square[n, 0] = BETA_2 * square[n, 0] + (1.0 - BETA_2) * real
        square[n, 1] = BETA_2 * square[n, 1] + (1.0 - BETA_2) * imag
        m = mean[n] / unbias_1
        kappa[n] -= rate * complex(
            m.real / (math.sqrt(square[n, 0] / unbias_2) + EPSILON),
            m.imag / (math.sqrt(square[n, 1] / unbias_2) + EPSILON),
        )


class Adam:
    """Adam with the retraction of Algorithm 1.

    learning_rate: step size (Table I: 1e-2); second_moment: "modulus" or "components", see the module.
    Raises ValueError for a rate that is not positive or an unknown second moment.
    """

    def __init__(self, learning_rate: float = 1e-2, second_moment: str = "modulus") -> None:
        if not (isinstance(learning_rate, int | float) and math.isfinite(learning_rate) and learning_rate > 0):
            raise ValueError(f"learning_rate: expected a positive number, got {learning_rate!r}")
        if second_moment not in SECOND_MOMENTS:
            raise ValueError(f"second_moment: expected one of {', '.join(SECOND_MOMENTS)}, got {second_moment!r}")
        self.learning_rate = float(learning_rate)
        self.second_moment = second_moment
        self.steps = 0
        self._mean: Complex | None = None
        self._square: Float | None = None

    def step(self, kappa: ArrayLike, gradient: ArrayLike) -> Complex:
        """The next kappa, complex128 (N,), with ||kappa||^2 = N.

        kappa: (N,); gradient: dJ/dRe(kappa) + j dJ/dIm(kappa), (N,). Raises ValueError for NaN, empty or unequal shapes, and
        where N changes between steps.
        """
        here = complex_array("kappa", kappa, ("N",)).astype(np.complex128)
        slope = complex_array("gradient", gradient, (here.shape[0],)).astype(np.complex128)
        if self._mean is None or self._square is None:
            self._mean = np.zeros_like(here)
            self._square = np.zeros((here.shape[0], 2))
        if self._mean.shape != here.shape:
            raise ValueError(f"kappa: expected {self._mean.shape[0]} antennas as in the first step, got {here.shape[0]}")
        self.steps += 1
        components = self.second_moment == "components"
        adam_step(here, slope, self._mean, self._square, self.steps, self.learning_rate, components)
        return retract(here)
