"""Cramer-Rao bounds of what the receiver estimates; derived in docs/maths.md, section 8.

All take the linear SNR = sigma_gamma^2 N S / N0 or, for one target, rho = |gamma|^2 N S / N0. Arrays are broadcast against
each other. The bounds of angle, position and slope are those of the uniform linear array.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from isacblocks.kernels.arrays import Float
from isacblocks.radar import SPEED_OF_LIGHT, OfdmRadar

EDGE = 0.90319729  # integral of phi^2 / Phi: the information about an edge smeared by unit normal noise


def kappa_bound(frames: ArrayLike, antennas: int, snr: float, target_probability: float) -> Float:
    """Least mean ||kappa_hat - kappa||^2 / N, up to common and linear phase, after `frames` frames (any shape):

    (2 N - 3) / 2 (1 + SNR) / (SNR^2 K P(t = 1)).
    """
    used = np.maximum(np.asarray(frames, dtype=np.float64) * target_probability, 1e-300)
    return np.asarray((2 * antennas - 3) / 2 * (1 + snr) / (snr**2 * used))


def loss_bound_db(frames: ArrayLike, antennas: int, snr: float, target_probability: float) -> Float:
    """The loss of gain correlation in dB at the bound of kappa: 20 log10(1 - NMSE / 2), negated; about 4.34 NMSE."""
    error = kappa_bound(frames, antennas, snr, target_probability)
    return np.asarray(-20 * np.log10(np.maximum(1 - error / 2, 1e-15)))


def angle_bound(rho: ArrayLike, theta: ArrayLike, radar: OfdmRadar) -> Float:
    """Least standard deviation of one target's angle, radians: var psi >= 6 / (rho (N^2 - 1)), psi = 2 pi d sin theta."""
    psi = np.sqrt(6 / (np.asarray(rho) * (radar.antennas**2 - 1)))
    return np.asarray(psi / (2 * math.pi * radar.element_spacing * np.abs(np.cos(theta))))


def delay_bound(rho: ArrayLike, radar: OfdmRadar) -> Float:
    """Least standard deviation of one target's delay, s: var omega >= 6 / (rho (S^2 - 1)), omega = 2 pi Delta_f tau."""
    omega = np.sqrt(6 / (np.asarray(rho) * (radar.subcarriers**2 - 1)))
    return np.asarray(omega / (2 * math.pi * radar.subcarrier_spacing))


def position_bound(rho: ArrayLike, theta: ArrayLike, tau: ArrayLike, radar: OfdmRadar) -> Float:
    """Least root mean square distance of one target's estimated position from the true one, metres.

    Across the line of sight R std(theta), along it c / 2 std(tau), R = c tau / 2. rho, theta (rad), tau (s): any shapes.
    """
    across = SPEED_OF_LIGHT * np.asarray(tau) / 2 * angle_bound(rho, theta, radar)
    return np.asarray(np.hypot(across, SPEED_OF_LIGHT / 2 * delay_bound(rho, radar)))


def detection_probability(threshold: ArrayLike, snr: float) -> Float:
    """P(T >= h) in frames with a target, over the fading, for a search off the grid with known kappa; h any shape.

    The peak's height is that at the target's place, exponential with mean 1 + SNR, and what two free parameters gain by
    fitting the noise, exponential with mean 1: ((1 + SNR) exp(-h / (1 + SNR)) - exp(-h)) / SNR. First order in 1 / T.
    """
    h = np.asarray(threshold, dtype=np.float64)
    return np.asarray(((1 + snr) * np.exp(-h / (1 + snr)) - np.exp(-h)) / snr)


def detected_inverse_rho(threshold: ArrayLike, snr: float) -> Float:
    """Mean of 1 / rho over the fading in frames whose target is detected, same shape as `threshold` (h on T, h > 0).

    Detection at a given rho has the probability Q_2(sqrt(2 rho), sqrt(2 h)), less (1 + h) exp(-h), what noise alone would
    have made of it: with that the mean over an exponential rho is infinite. A series of positive terms, Poisson weighted.
    """
    h = np.atleast_1d(np.asarray(threshold, dtype=np.float64))
    if not (np.isfinite(h).all() and (h > 0).all()):
        raise ValueError("threshold: expected positive finite values")
    if not (math.isfinite(snr) and snr > 0):
        raise ValueError(f"snr: expected a positive finite number, got {snr!r}")
    top = float(h.max())
    k = np.arange(1, math.ceil(top + 12 * math.sqrt(top) + 40))
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(k))])
    # B_m = sum over k >= m of r^k / k, r = SNR / (1 + SNR), from the far end so that nothing cancels
    ratio = snr / (1 + snr)
    far = np.arange(1, k.size + math.ceil(40 * (1 + snr)))
    tail = np.cumsum((np.exp(far * math.log(ratio)) / far)[::-1])[::-1]
    m = k[1:]
    poisson = np.exp(m * np.log(h[:, None]) - h[:, None] - log_factorial[m])  # e^-h h^m / m! for m >= 2
    sums = poisson @ tail[m - 2]
    detected = detection_probability(h, snr) - (1 + h) * np.exp(-h)
    return np.asarray((sums / (snr * detected)).reshape(np.shape(threshold)))


def detected_position_bound(threshold: ArrayLike, snr: float, theta: ArrayLike, tau: ArrayLike, radar: OfdmRadar) -> float:
    """Root of the mean squared position bound over detected targets, metres: what an RMSE over many frames is held against.

    threshold: h on T of every frame's window; theta (rad), tau (s): where targets are, drawn by the scene's laws; (F,) each.
    The fading is averaged in closed form, frames count with their probability of detection.
    """
    weight = np.broadcast_to(detection_probability(threshold, snr), np.shape(theta))
    square = detected_inverse_rho(threshold, snr) * np.square(position_bound(1.0, theta, tau, radar))
    return math.sqrt(float(np.sum(weight * square) / np.sum(weight)))


def slope_information(theta_min: ArrayLike, theta_max: ArrayLike, snr: float, radar: OfdmRadar) -> Float:
    """Mean Fisher information of one target about the slope of kappa, 1 / (rad per element)^2, by the edges of its sector.

    theta_min, theta_max: the prior sector in which theta is uniform, rad, any shape. Over psi = 2 pi d sin theta the density
    ends with the heights 1 / (2 pi d cos(theta) (theta_max - theta_min)); each edge, smeared by the error of psi_hat, has
    the information EDGE height / std(psi_hat), std = sqrt(6 / (rho (N^2 - 1))), E sqrt(rho) = sqrt(pi SNR) / 2. Holds for
    sectors wider than a few std.
    """
    low, high = np.asarray(theta_min, dtype=np.float64), np.asarray(theta_max, dtype=np.float64)
    return np.asarray(slope_worth(snr, radar) * (1 / np.cos(low) + 1 / np.cos(high)) / np.abs(high - low))


def slope_worth(snr: float, radar: OfdmRadar) -> float:
    """What :func:`slope_information` multiplies the sector's edges with: EDGE / (2 pi d std(psi_hat))."""
    inverse_std = math.sqrt((radar.antennas**2 - 1) / 6) * math.sqrt(math.pi * snr) / 2
    return EDGE * inverse_std / (2 * math.pi * radar.element_spacing)


def slope_bound(
    frames: ArrayLike,
    theta_min: ArrayLike,
    theta_max: ArrayLike,
    snr: float,
    target_probability: float,
    radar: OfdmRadar,
    prior_deviation: float = math.inf,
) -> Float:
    """Least standard deviation of the slope of kappa after `frames` frames (any shape), rad per element.

    theta_min, theta_max: the frames' sectors, or many drawn by the scene's laws, (F,); prior_deviation: of the slope before
    the first frame, rad per element. As a boresight bias: :func:`boresight_bound`.
    """
    each = float(np.mean(slope_information(theta_min, theta_max, snr, radar)))
    information = np.asarray(frames, dtype=np.float64) * target_probability * each + prior_deviation**-2
    return np.asarray(1 / np.sqrt(np.maximum(information, 1e-300)))


def boresight_bound(slope: ArrayLike, radar: OfdmRadar) -> Float:
    """A slope of kappa in rad per element as a bias of angles at the boresight, rad: arcsin(slope / (2 pi d))."""
    return np.asarray(np.arcsin(np.minimum(np.asarray(slope) / (2 * math.pi * radar.element_spacing), 1.0)))
