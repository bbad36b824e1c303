"""What the radar sends and receives: symbols, the laws of Table I, frames by eq. (8), and the long way by eqs. (1)-(5).

Every draw is a function of (seed, item number), see random.py, so frames may be made in any order and portion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isacblocks.kernels.arrays import Complex, Float, complex_array, frozen, real_array
from isacblocks.kernels.jit import jit, jit_exact
from isacblocks.kernels.random import (
    STREAM_NOISE,
    STREAM_SCENE,
    STREAM_SYMBOLS,
    check_seed,
    normals,
    philox,
    uniforms,
)
from isacblocks.kernels.steering import array_table, phasor_table, pitch_of
from isacblocks.radar import OfdmRadar, Scene

QAM_ORDERS = (4, 16, 64, 256)


def qam_constellation(order: int) -> Complex:
    """The square QAM constellation of `order` points with mean energy one; order 4 is QPSK. Complex128 (order,)."""
    if order not in QAM_ORDERS:
        raise ValueError(f"order: expected one of {QAM_ORDERS}, got {order!r}")
    side = math.isqrt(order)
    levels = (2.0 * np.arange(side) - (side - 1)) * math.sqrt(3 / (2 * (order - 1)))
    return np.asarray((levels[:, None] + 1j * levels[None, :]).ravel())


@jit
def _symbols(seed: int, first: int, constellation: Complex, bits: int, out: Complex) -> None:
    words = np.empty((4, (out.shape[1] + 3) // 4), np.uint32)
    shift = np.uint32(32 - bits)
    for f in range(out.shape[0]):
        philox(seed, STREAM_SYMBOLS, np.uint64(first) + np.uint64(f), 0, words)
        for s in range(out.shape[1]):
            out[f, s] = constellation[words[s % 4, s // 4] >> shift]


def draw_symbols(seed: int, first: int, count: int, radar: OfdmRadar, order: int = 4) -> Complex:
    """Transmit symbols x of items first .. first + count - 1, uniform over square QAM: complex64 (count, S)."""
    points = qam_constellation(order).astype(np.complex64)
    out = np.empty((count, radar.subcarriers), np.complex64)
    _symbols(np.uint64(check_seed(seed)), np.uint64(first), frozen(points), int(math.log2(order)), out)
    return out


@dataclass(frozen=True)
class Truth:
    """One draw of Table I per frame; all arrays have shape (F,).

    The prior sector (theta_min, theta_max) is known to the receiver, the rest is not. gamma is 0 where no target is
    present (t = 0).
    """

    present: NDArray[np.uint8]
    gamma: NDArray[np.complex128]
    theta: Float  # rad
    tau: Float  # s
    theta_min: Float
    theta_max: Float


@jit_exact
def _scene(seed: int, first: int, law: Float, out: Float) -> None:
    """`law` = (P(t=1), centre_max, width_min, width_max, tau_min, tau_max, sigma_gamma^2); `out` (F, 7)."""
    u = np.empty(7)
    for f in range(out.shape[0]):
        uniforms(seed, STREAM_SCENE, np.uint64(first) + np.uint64(f), u)
        centre = (2.0 * u[0] - 1.0) * law[1]
        width = law[2] + (law[3] - law[2]) * u[1]
        # gamma ~ CN(0, sigma^2): |gamma|^2 is exponential, the phase uniform
        radius = math.sqrt(-law[6] * math.log(1.0 - u[4]))
        out[f, 0] = 1.0 if u[6] < law[0] else 0.0
        out[f, 1] = radius * math.cos(2.0 * math.pi * u[5]) * out[f, 0]
        out[f, 2] = radius * math.sin(2.0 * math.pi * u[5]) * out[f, 0]
        out[f, 3] = centre + width * (u[2] - 0.5)
        out[f, 4] = law[4] + (law[5] - law[4]) * u[3]
        out[f, 5] = centre - width / 2.0
        out[f, 6] = centre + width / 2.0


def draw_scene(seed: int, first: int, count: int, radar: OfdmRadar, scene: Scene) -> Truth:
    """The targets and sectors of items first .. first + count - 1 by the laws of Table I."""
    low, high = scene.delay_window(radar)
    law = np.array(
        [
            scene.target_probability,
            scene.sector_centre_max,
            scene.sector_width_min,
            scene.sector_width_max,
            low,
            high,
            scene.gain_variance(radar),
        ]
    )
    out = np.empty((count, 7))
    _scene(np.uint64(check_seed(seed)), np.uint64(first), frozen(law), out)
    return Truth(
        present=out[:, 0].astype(np.uint8),
        gamma=out[:, 1] + 1j * out[:, 2],
        theta=out[:, 3].copy(),
        tau=out[:, 4].copy(),
        theta_min=out[:, 5].copy(),
        theta_max=out[:, 6].copy(),
    )


@jit
def _frames(
    x: Complex,
    gamma: Complex,
    kappa: Complex,
    array_r: Float,
    array_i: Float,
    delay_r: Float,
    delay_i: Float,
    noise_power: float,
    seed: int,
    first: int,
    out: NDArray[Any],
) -> None:
    """Eq. (8) into `out`, real pairs (F, N, 2 S); kappa (F or 1, N)."""
    elements = out.shape[1]
    carriers = x.shape[1]
    noise = np.zeros((elements, 2 * carriers), np.float32)
    echo_r = np.empty(carriers, out.dtype)
    echo_i = np.empty(carriers, out.dtype)
    deviation = math.sqrt(noise_power / 2.0)
    for f in range(out.shape[0]):
        if noise_power > 0.0:
            normals(seed, STREAM_NOISE, np.uint64(first) + np.uint64(f), deviation, noise.reshape(-1))
        for s in range(carriers):
            value = (delay_r[f, s] + 1j * delay_i[f, s]) * x[f, s]
            echo_r[s] = value.real
            echo_i[s] = value.imag
        k = f if kappa.shape[0] > 1 else 0
        for n in range(elements):
            factor = gamma[f] * kappa[k, n] * (array_r[f, n] + 1j * array_i[f, n])
            a = out.dtype.type(factor.real)
            b = out.dtype.type(factor.imag)
            for s in range(carriers):
                out[f, n, 2 * s] = noise[n, 2 * s] + (a * echo_r[s] - b * echo_i[s])
                out[f, n, 2 * s + 1] = noise[n, 2 * s + 1] + (a * echo_i[s] + b * echo_r[s])


def simulate_frames(
    x: ArrayLike,
    gamma: ArrayLike,
    kappa: ArrayLike,
    theta: ArrayLike,
    tau: ArrayLike,
    radar: OfdmRadar,
    *,
    noise_power: float = 1.0,
    seed: int = 0,
    first: int = 0,
) -> Complex:
    """Received frames by eq. (8): Y = gamma (kappa . a(theta)) (b(tau) . x)^T + W, vec(W) ~ CN(0, N0 I).

    x: symbols (F, S); gamma: gains (F,), 0 where there is no target; kappa: (N,) or (F, N); theta: rad (F,); tau: s (F,);
    noise_power: N0, 0 for none; seed and first: the noise of frame f is that of item first + f. Returns (F, N, S), complex64
    for complex64 symbols and complex128 otherwise (the noise has single precision in both).
    Raises ValueError for wrong shapes, NaN or empty input, naming the argument.
    """
    symbols = complex_array("x", x, ("F", radar.subcarriers))
    frames = symbols.shape[0]
    gains = complex_array("gamma", np.asarray(gamma) + 0j, (frames,))
    response = np.atleast_2d(np.asarray(kappa))
    response = complex_array("kappa", response + 0j, (response.shape[0], radar.antennas))
    if response.shape[0] not in (1, frames):
        raise ValueError(f"kappa: expected shape ({radar.antennas},) or ({frames}, {radar.antennas}), got {response.shape}")
    angles = real_array("theta", theta, (frames,))
    delays = real_array("tau", tau, (frames,))
    if not (math.isfinite(noise_power) and noise_power >= 0):
        raise ValueError(f"noise_power: expected a number of at least 0, got {noise_power!r}")
    array = np.empty((2, frames, radar.antennas))
    array_table(frozen(radar.positions), pitch_of(radar), frozen(angles), array[0], array[1])
    delay = np.empty((2, frames, radar.subcarriers))
    phasor_table(frozen(-2 * np.pi * radar.subcarrier_spacing * delays), delay[0], delay[1])
    out = np.empty((frames, radar.antennas, radar.subcarriers), symbols.dtype)
    _frames(
        frozen(symbols),
        frozen(gains.astype(np.complex128)),
        frozen(response.astype(np.complex128)),
        frozen(array[0]),
        frozen(array[1]),
        frozen(delay[0]),
        frozen(delay[1]),
        float(noise_power),
        np.uint64(check_seed(seed)),
        np.uint64(first),
        out.view(np.float32 if out.dtype == np.complex64 else np.float64),
    )
    return out


@jit
def _transmitted(x: Complex, spacing: float, duration: float, time: Float, out: Complex) -> None:
    """Eq. (1): s(t) = S^(-1/2) sum_s x_s exp(j 2 pi s Delta_f t) rect(t / T_sym), at the given times."""
    carriers = x.shape[0]
    for k in range(time.shape[0]):
        total = 0.0 + 0.0j
        if 0.0 <= time[k] < duration:
            for s in range(carriers):
                phase = 2.0 * math.pi * spacing * s * time[k]
                total += x[s] * complex(math.cos(phase), math.sin(phase))
        out[k] = total / math.sqrt(carriers)


def time_domain_frame(x: ArrayLike, gamma: complex, kappa: ArrayLike, theta: float, tau: float, radar: OfdmRadar) -> Complex:
    """One noise-free frame the long way: the wave of eq. (1), its echo (2), sampling after the prefix (4), the DFT (5).

    x: symbols (S,) after the known prefix phase has been absorbed, as eq. (4) says; kappa (N,); theta rad; tau s.
    Returns complex128 (N, S), equal to the noise-free part of eq. (8). Raises ValueError where tau is negative or later than
    the cyclic prefix: then eq. (4) does not hold.
    """
    symbols = complex_array("x", x, (radar.subcarriers,)).astype(np.complex128)
    response = complex_array("kappa", kappa, (radar.antennas,)).astype(np.complex128)
    if not 0 <= tau <= radar.prefix_duration:
        raise ValueError(
            f"tau: an echo of {tau:.6g} s does not fall inside the cyclic prefix of {radar.prefix_duration:.6g} s; "
            "take a shorter delay or a longer prefix"
        )
    carriers = radar.subcarriers
    # What is sent: absorbing exp(j 2 pi s Delta_f T_cp) into x afterwards means sending its inverse now.
    prefix_phase = np.exp(-2j * np.pi * np.arange(carriers) * radar.subcarrier_spacing * radar.prefix_duration)
    sent = symbols * prefix_phase
    time = radar.prefix_duration + np.arange(carriers) * radar.symbol_duration / carriers
    wave = np.empty(carriers, np.complex128)
    _transmitted(frozen(sent), radar.subcarrier_spacing, radar.frame_duration, frozen(time - tau), wave)
    array = np.empty((2, 1, radar.antennas))
    array_table(frozen(radar.positions), pitch_of(radar), frozen(np.array([theta])), array[0], array[1])
    received = gamma * (response * (array[0, 0] + 1j * array[1, 0]))[:, None] * wave[None, :]
    return np.asarray(np.fft.fft(received, axis=1) / math.sqrt(carriers))
