"""A start from nothing: kappa, SNR, P(t = 1) and N0 from the first frames, with phases anywhere on the circle.

    N0 outside the delay subspace -> SNR and pi without kappa -> spectral phases -> EM -> slope -> EM -> slope

The last frames are held back first, and the estimate from the others is tried on them (acceptance.py); then all are used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from isacblocks.kernels.acceptance import Trial, try_estimate
from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.delay_basis import Compressed, DelayBasis
from isacblocks.kernels.expectation import Expectation, check_law, em_step
from isacblocks.kernels.gains import gain_variance, shrink_gains
from isacblocks.kernels.slope_search import search_slope
from isacblocks.kernels.spectral import frame_energies, noncoherent_law, spectral_matrix, spectral_phases

POINTS = 100  # of the grids over angle and over delay
_COARSE = 50  # of those of the first steps
_HELD = 4  # one frame in so many is held back
_BROAD = 10.0, 0.5  # SNR and pi before anything is known
_LEAST_SNR = 0.3
_REACH = 0.5  # of the slope, radians per element
_MOST_STEPS, _STILL = 40, 1e-3  # of EM: when it ends; 1e-3 of the gain is 0.004 dB


@dataclass(frozen=True)
class Law:
    """SNR (linear), pi = P(t = 1), N0; told: which of SNR and pi are not to be estimated."""

    snr: float
    prior: float
    noise_power: float
    told: tuple[bool, bool] = (False, False)

    def learn(self, snr: float, prior: float, frames: int) -> Law:
        """With what was not told replaced; pi is kept half a frame from 0 and 1."""
        bounded = min(max(prior, 0.5 / frames), 1 - 0.5 / frames)
        return Law(
            self.snr if self.told[0] else max(snr, _LEAST_SNR),
            self.prior if self.told[1] else bounded,
            self.noise_power,
            self.told,
        )


@dataclass(frozen=True)
class Start:
    """What the first frames say.

    kappa: complex128 (N,), its gains shrunk; total: v = sum p w (u conj(s) - N0 ||x||^2 kappa), for the one-pass calibrator
    to go on with; law: SNR, pi, N0; log_likelihood: LL; targets: sum p; slope_deviation: standard deviation of the slope,
    radians per element, nan where the array has none; trial: of an estimate from three quarters of the frames on the rest.
    """

    kappa: Complex
    total: Complex
    law: Law
    log_likelihood: float
    targets: float
    slope_deviation: float
    trial: Trial

    @property
    def stands(self) -> bool:
        """True where the trial was passed and the slope has a maximum; otherwise more frames are needed."""
        return self.trial.stands and not math.isinf(self.slope_deviation)


@dataclass(frozen=True)
class Sample:
    """Frames with their basis and prior sectors, theta_min and theta_max (F,) in rad."""

    frames: Compressed
    basis: DelayBasis
    theta_min: Float
    theta_max: Float

    @property
    def count(self) -> int:
        """F."""
        return int(self.frames.g.shape[0])

    def part(self, first: int, last: int) -> Sample:
        """Frames first .. last - 1."""
        of, cut = self.frames, slice(first, last)
        frames = Compressed(of.g[cut], of.energy[cut], of.symbol_energy[cut])
        return Sample(frames, self.basis, self.theta_min[cut], self.theta_max[cut])

    def delays(self, points: int = POINTS) -> Float:
        """The grid over the basis's window, (1, points)."""
        return np.linspace(*self.basis.window, points)[None, :]

    def angles(self, points: int = POINTS) -> Float:
        """The grids over the sectors, (F, points)."""
        return np.asarray(self.theta_min[:, None] + (self.theta_max - self.theta_min)[:, None] * np.linspace(0, 1, points))


def noise_outside(frames: Compressed, basis: DelayBasis) -> float:
    """N0 from the energy outside the delay subspace, N (S - D) samples a frame, for symbols of modulus one.

    Raises ValueError where the basis has all S vectors and nothing is outside.
    """
    _, elements, rank = frames.g.shape
    outside = elements * (basis.radar.subcarriers - rank)
    if outside < 1:
        raise ValueError(f"noise_power: all {rank} subcarriers are in the delay subspace, nothing outside tells N0; give it")
    inside = np.sum(np.square(np.abs(frames.g.astype(np.complex128))), axis=(1, 2))
    return float(np.mean(frames.energy - inside) / outside)


def expect(sample: Sample, kappa: Complex, law: Law, points: int = POINTS) -> Expectation:
    """The E-step on a sample."""
    grids = sample.angles(points), sample.delays(points)
    return em_step(sample.frames, sample.basis, kappa, *grids, law.snr, law.prior, law.noise_power)


def maximise(sample: Sample, kappa: Complex, law: Law, points: int = POINTS) -> tuple[Complex, Law]:
    """EM steps for kappa, with shrunk gains, and for what was not told of SNR and pi, until kappa stands still.

    At 15 dB that takes two or three steps; where single frames say little each step is short, and it takes tens.
    """
    for step in range(_MOST_STEPS):
        before, made = kappa, expect(sample, kappa, law, points)
        targets = float(made.probability.sum())
        kappa = shrink_gains(made.direction(kappa), gain_variance(law.snr, kappa.size, targets))
        law = law.learn(made.snr, made.prior, sample.count)
        moved = 1 - abs(np.vdot(before, kappa)) ** 2 / kappa.size**2
        if step > 0 and moved < _STILL:
            break
    return kappa, law


def straighten(sample: Sample, kappa: Complex, law: Law) -> tuple[Complex, float]:
    """kappa at the best slope, and the slope's standard deviation; of a linear array only."""
    if not sample.basis.radar.uniform_linear:
        return kappa, math.nan
    sectors = sample.theta_min, sample.theta_max
    numbers = law.snr, law.prior, law.noise_power, _REACH
    slope, deviation = search_slope(sample.frames, sample.basis, kappa, *sectors, sample.delays()[0], *numbers)
    return np.asarray(kappa * np.exp(1j * slope * np.arange(kappa.size))), deviation


def spectral_start(sample: Sample, law: Law) -> tuple[Complex, Law]:
    """SNR and pi without kappa, where not told, and phases of kappa from the spectral matrix."""
    tau = sample.delays()[0]
    energy = frame_energies(sample.frames, sample.basis, tau, law.noise_power)
    found = noncoherent_law(energy, sample.basis.radar.antennas, law.snr, law.prior, 0 if all(law.told) else 20)
    law = law.learn(found.snr, found.prior, sample.count)
    sectors = sample.theta_min, sample.theta_max
    return spectral_phases(spectral_matrix(sample.frames, sample.basis, found, *sectors, tau, law.noise_power)), law


def full_circle_start(
    frames: Compressed,
    basis: DelayBasis,
    theta_min: Float,
    theta_max: Float,
    *,
    snr: float | None = None,
    prior: float | None = None,
    noise_power: float | None = None,
) -> Start:
    """kappa from compressed frames with phases unknown over the whole circle; see the module and :class:`Start`.

    theta_min, theta_max: prior sectors (F,) in rad; snr (linear), prior, noise_power: estimated where None, N0 only for
    symbols of modulus one. Raises ValueError for fewer than eight frames, or numbers out of range.
    """
    sample = Sample(frames, basis, theta_min, theta_max)
    if sample.count < 2 * _HELD:
        raise ValueError(f"frames: expected at least {2 * _HELD}, got {sample.count}")
    power = noise_outside(frames, basis) if noise_power is None else noise_power
    told = snr is not None, prior is not None
    law = Law(_BROAD[0] if snr is None else snr, _BROAD[1] if prior is None else prior, power, told)
    check_law(law.snr, law.prior, law.noise_power)
    kept = sample.count - sample.count // _HELD
    learned, held = sample.part(0, kept), sample.part(kept, sample.count)
    kappa, law = spectral_start(learned, law)
    kappa, law = maximise(learned, kappa, law, _COARSE)
    kappa, _ = straighten(learned, kappa, law)
    kappa, law = maximise(learned, kappa, law)
    grids = held.angles(), held.delays()
    trial = try_estimate(held.frames, basis, kappa, *grids, law.snr, law.prior, law.noise_power)
    kappa, law = maximise(sample, kappa, law)
    kappa, deviation = straighten(sample, kappa, law)
    made = expect(sample, kappa, law)
    targets = float(made.probability.sum())
    total = made.direction(kappa)
    kappa = shrink_gains(total, gain_variance(law.snr, kappa.size, targets))
    return Start(kappa, total, law, made.log_likelihood, targets, deviation, trial)
