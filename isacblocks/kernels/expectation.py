"""Expectation maximisation for kappa: every frame's place of the target is a hidden variable, averaged over, not decided.

Over a frame's own grid of angles and delays, with T_ij = |s_ij|^2 / (N ||x||^2 N0) and rho = SNR / (1 + SNR), the E-step is

    w_ij ~ exp(rho T_ij), sum w = 1;   A = mean_ij exp(rho T_ij) / (1 + SNR);   p = pi A / (pi A + 1 - pi)

and the log likelihood of kappa LL = sum_k log(1 - pi + pi A_k). The M-step is one power step towards the top eigenvector
of sum p w u u^H:

    g = sum_k p_k sum_ij w_ij u_ij conj(s_ij),    kappa <- sqrt(N) v / ||v||,   v = g - sum_k p_k N0 ||x_k||^2 kappa

which posterior.py adds up without forming any u. The second term of v is the noise in u that is also in s; it is along
kappa, so it moves no fixed point, and without it the steps are longer. beta < 1 raises the likelihood to a power: a flatter
one, with fewer local maxima. Derived in docs/maths.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import Complex, Float, frozen, real_view
from isacblocks.kernels.delay_basis import Compressed, DelayBasis
from isacblocks.kernels.posterior import expectation
from isacblocks.kernels.steering import pitch_of


@dataclass(frozen=True)
class Expectation:
    """What one E-step leaves.

    total: sum p w u conj(s), complex128 (N,); probability: p (F,); level: sum w T (F,); likelihood: log(1 - pi + pi A)
    (F,); delay: posterior over the grid of delays, the sum over the angles of w, (F, n_tau); pull: sum p N0 ||x||^2, what
    the noise adds to the total along kappa.
    """

    total: Complex
    probability: Float
    level: Float
    likelihood: Float
    delay: Float
    pull: float

    @property
    def log_likelihood(self) -> float:
        """LL, relative to no target in any frame."""
        return float(self.likelihood.sum())

    @property
    def prior(self) -> float:
        """The M-step of pi: the mean of p."""
        return float(self.probability.mean())

    @property
    def snr(self) -> float:
        """The M-step of the SNR: T is exponential with mean 1 + SNR where a target is."""
        return float(self.probability @ self.level / max(float(self.probability.sum()), 1e-300) - 1.0)

    def direction(self, kappa: Complex) -> Complex:
        """v = g - pull kappa, complex128 (N,), not scaled: what the one-pass calibrator would have gathered."""
        return np.asarray(self.total - self.pull * kappa)


def em_step(
    frames: Compressed,
    basis: DelayBasis,
    kappa: NDArray[Any],
    theta: Float,
    tau: Float,
    snr: float,
    prior: float,
    noise_power: float = 1.0,
    beta: float = 1.0,
) -> Expectation:
    """The E-step over compressed frames, and the sums that the M-steps of kappa, SNR and pi need.

    kappa: (N,); theta, tau: grids (F or 1, n) in rad and s, uniform over the prior window; snr: linear; prior: pi.
    Raises ValueError for numbers out of range, naming the argument.
    """
    check_law(snr, prior, noise_power)
    if not 0 < beta <= 1:
        raise ValueError(f"beta: expected a power in (0, 1], got {beta!r}")
    radar, count = basis.radar, frames.g.shape[0]
    total = np.zeros(radar.antennas, np.complex128)
    probability, level, likelihood = np.empty(count), np.empty(count), np.empty(count)
    delay = np.empty((count, tau.shape[1]))
    expectation(
        real_view(frames.g),
        frozen(frames.symbol_energy),
        frozen(np.asarray(kappa, np.complex128)),
        frozen(basis.vectors),
        basis.centre,
        frozen(radar.positions),
        pitch_of(radar),
        radar.subcarrier_spacing,
        frozen(theta),
        frozen(tau),
        float(snr),
        float(prior),
        float(noise_power),
        float(beta),
        total,
        probability,
        level,
        likelihood,
        delay,
    )
    pull = noise_power * float(probability @ frames.symbol_energy)
    return Expectation(total, probability, level, likelihood, delay, pull)


def check_law(snr: float, prior: float, noise_power: float) -> None:
    """ValueError for an SNR, P(t = 1) or N0 that no frame can have."""
    if not (math.isfinite(snr) and snr > 0):
        raise ValueError(f"snr: expected a positive number (linear), got {snr!r}")
    if not 0 < prior < 1:
        raise ValueError(f"prior: expected a probability strictly between 0 and 1, got {prior!r}")
    if not (math.isfinite(noise_power) and noise_power > 0):
        raise ValueError(f"noise_power: expected a positive number, got {noise_power!r}")
