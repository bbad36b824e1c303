"""Steering vectors over angle, eq. (3), and over delay, eq. (5).

[a(theta)]_n = exp(-j 2 pi (x_n cos theta + y_n sin theta)),  positions in wavelengths; eq. (3) for y_n = n d_R / lambda
[b(tau)]_s   = exp(-j 2 pi s Delta_f tau)

Kernels whose name says ``ula`` use that neighbouring elements differ by one constant factor; the others take any array.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from isacblocks.kernels.arrays import Complex, Float, frozen, real_array
from isacblocks.kernels.jit import jit
from isacblocks.radar import OfdmRadar


@jit
def steering_table(positions: Float, theta: Float, out_r: Float, out_i: Float) -> None:
    """Any planar array: real and imaginary parts of a(theta_i), shape (n, N), from `positions` (N, 3)."""
    for i in range(theta.shape[0]):
        cosine, sine = math.cos(theta[i]), math.sin(theta[i])
        for n in range(positions.shape[0]):
            phase = -2.0 * math.pi * (positions[n, 0] * cosine + positions[n, 1] * sine)
            out_r[i, n] = math.cos(phase)
            out_i[i, n] = math.sin(phase)


@jit
def phasor_table(step: Float, out_r: Float, out_i: Float) -> None:
    """Powers exp(j k step_i) for k = 0, 1, ..., shape (n, K): a uniform array over its elements, b(tau) over subcarriers.

    By recurrence in double precision: the error after K steps is about K times 1e-16.
    """
    for i in range(step.shape[0]):
        turn_r, turn_i = math.cos(step[i]), math.sin(step[i])
        real, imag = 1.0, 0.0
        for k in range(out_r.shape[1]):
            out_r[i, k] = real
            out_i[i, k] = imag
            real, imag = real * turn_r - imag * turn_i, real * turn_i + imag * turn_r


@jit
def array_table(positions: Float, pitch: float, theta: Float, out_r: Float, out_i: Float) -> None:
    """a(theta_i) for any array: by recurrence where `pitch` > 0 says uniform linear, else element by element."""
    if pitch > 0.0:
        step = np.empty(theta.shape[0])
        for i in range(theta.shape[0]):
            step[i] = -2.0 * math.pi * pitch * math.sin(theta[i])
        phasor_table(step, out_r, out_i)
    else:
        steering_table(positions, theta, out_r, out_i)


def pitch_of(radar: OfdmRadar) -> float:
    """The element spacing in wavelengths of a uniform linear array, 0 for any other."""
    return radar.element_spacing if radar.uniform_linear else 0.0


def steering_vectors(theta: ArrayLike, radar: OfdmRadar) -> Complex:
    """Array response a(theta), eq. (3).

    theta: angles in radians, shape (n,). Returns complex128 (n, N). Raises ValueError for NaN, empty or wrong shapes.
    """
    angles = real_array("theta", theta, ("n",))
    out = np.empty((2, angles.size, radar.antennas))
    array_table(frozen(radar.positions), pitch_of(radar), frozen(angles), out[0], out[1])
    return np.asarray(out[0] + 1j * out[1])


def delay_vectors(tau: ArrayLike, radar: OfdmRadar) -> Complex:
    """Frequency response b(tau) of a delay, below eq. (5).

    tau: delays in seconds, shape (n,). Returns complex128 (n, S). Raises ValueError for NaN, empty or wrong shapes.
    """
    delays = real_array("tau", tau, ("n",))
    out = np.empty((2, delays.size, radar.subcarriers))
    phasor_table(frozen(-2.0 * np.pi * radar.subcarrier_spacing * delays), out[0], out[1])
    return np.asarray(out[0] + 1j * out[1])
