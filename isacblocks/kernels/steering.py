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
from isacblocks.kernels.jit import jit_exact
from isacblocks.radar import OfdmRadar


@jit_exact
def _any_response(positions: Float, theta: float, out_r: Float, out_i: Float) -> None:
    """a(theta) of one angle, real and imaginary parts (N,), element by element from `positions` (N, 3)."""
    cosine, sine = math.cos(theta), math.sin(theta)
    for n in range(positions.shape[0]):
        phase = -2.0 * math.pi * (positions[n, 0] * cosine + positions[n, 1] * sine)
        out_r[n] = math.cos(phase)
        out_i[n] = math.sin(phase)


@jit_exact
def steering_table(positions: Float, theta: Float, out_r: Float, out_i: Float) -> None:
    """Any planar array: real and imaginary parts of a(theta_i), shape (n, N), from `positions` (N, 3)."""
    for i in range(theta.shape[0]):
        _any_response(positions, theta[i], out_r[i], out_i[i])


@jit_exact
def powers(turn_r: float, turn_i: float, out_r: Float, out_i: Float) -> None:
    """turn^k for k = 0 .. K - 1 into real and imaginary parts (K,), a complex `turn` of modulus one.

    By doubling, turn^(2^m + k) = turn^(2^m) turn^k, which fills vector registers; term k's error is about k times 1e-16.
    """
    count = out_r.shape[0]
    out_r[0], out_i[0] = 1.0, 0.0
    done = 1
    while done < count:
        for k in range(min(done, count - done)):
            real, imag = out_r[k], out_i[k]
            out_r[done + k] = real * turn_r - imag * turn_i
            out_i[done + k] = real * turn_i + imag * turn_r
        turn_r, turn_i = turn_r * turn_r - turn_i * turn_i, 2.0 * turn_r * turn_i
        done *= 2


@jit_exact
def phasor_table(step: Float, out_r: Float, out_i: Float) -> None:
    """Powers exp(j k step_i) for k = 0, 1, ..., shape (n, K): a uniform array over its elements, b(tau) over subcarriers."""
    for i in range(step.shape[0]):
        powers(math.cos(step[i]), math.sin(step[i]), out_r[i], out_i[i])


@jit_exact
def array_response(positions: Float, pitch: float, theta: float, out_r: Float, out_i: Float) -> None:
    """a(theta) of one angle for any array, real and imaginary parts (N,): powers where `pitch` > 0 says uniform linear."""
    if pitch > 0.0:
        step = -2.0 * math.pi * pitch * math.sin(theta)
        powers(math.cos(step), math.sin(step), out_r, out_i)
    else:
        _any_response(positions, theta, out_r, out_i)


@jit_exact
def array_table(positions: Float, pitch: float, theta: Float, out_r: Float, out_i: Float) -> None:
    """a(theta_i) for any array, real and imaginary parts (n, N)."""
    for i in range(theta.shape[0]):
        array_response(positions, pitch, theta[i], out_r[i], out_i[i])


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
