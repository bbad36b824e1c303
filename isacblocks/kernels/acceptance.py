"""Whether an estimate of kappa stands, asked of frames that it has not seen; nothing of the truth is needed.

**Gain.** The sum over frames of log(1 - pi + pi A), with kappa, less the same without kappa (spectral.py: kappa anywhere
with equal probability): the logarithm of a likelihood ratio. Where kappa tells nothing, its exponential has a mean of at
most one, so that the gain exceeds h with a probability of at most exp(-h), whatever the number of frames (Markov).

**Loss.** The share of the echoes' energy that kappa does not collect. With c = |gamma|^2 N ||x||^2 / N0 and g the
correlation of kappa with the truth, E = ||u||^2 / (||x||^2 N0) at the target's place has the mean c + N and T has c g^2 +
1. E - T lies in what is orthogonal to kappa: noise of mean and variance N - 1, independent of T, and c (1 - g^2). So

    1 - g^2 = sum p (E - T - (N - 1)) / sum p (E - N),   standard error sqrt((N - 1) sum p^2) / sum p (E - N)

with E and T averaged over the places the target may be at. Derived in docs/maths.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import Float
from isacblocks.kernels.delay_basis import Compressed, DelayBasis
from isacblocks.kernels.expectation import em_step
from isacblocks.kernels.spectral import frame_energies, noncoherent_law

LEAST_GAIN = 7.0  # nats: one chance in a thousand
MOST_LOSS = 0.5  # of the echoes' energy, at two standard errors


@dataclass(frozen=True)
class Trial:
    """frames: how many were asked; gain: nats, of all of them; loss, loss_error: 1 - g^2 and its standard error."""

    frames: int
    gain: float
    loss: float
    loss_error: float

    @property
    def stands(self) -> bool:
        """True where kappa is beyond doubt worth more than no kappa, and collects most of the echoes' energy."""
        return self.gain > LEAST_GAIN and self.loss + 2 * self.loss_error < MOST_LOSS

    @property
    def loss_db(self) -> float:
        """The loss of array gain, -10 log10 of g^2; infinite where nothing is collected."""
        return -10 * math.log10(1 - self.loss) if self.loss < 1 else math.inf


def try_estimate(
    frames: Compressed,
    basis: DelayBasis,
    kappa: NDArray[np.complexfloating],
    theta: Float,
    tau: Float,
    snr: float,
    prior: float,
    noise_power: float = 1.0,
) -> Trial:
    """Ask frames that `kappa` was not learned from; arguments as for :func:`em_step`, tau (1, n).

    Raises ValueError for numbers out of range.
    """
    elements = kappa.shape[0]
    made = em_step(frames, basis, kappa, theta, tau, snr, prior, noise_power)
    energy = frame_energies(frames, basis, tau[0], noise_power)
    worth = made.likelihood - noncoherent_law(energy, elements, snr, prior).likelihood
    p, at_target = made.probability, np.sum(made.delay * energy, axis=1)
    echoes = max(float(p @ (at_target - elements)), 1e-12)
    return Trial(
        frames=p.size,
        gain=float(worth.sum()),
        loss=float(p @ (at_target - made.level - (elements - 1))) / echoes,
        loss_error=math.sqrt((elements - 1) * float(p @ p)) / echoes,
    )
