"""What the radar sends and receives: symbols, the laws of Table I, frames by eq. (8), and the long way by eqs. (1)-(5).

Every draw is a function of (seed, item number), see random.py, so frames may be made in any order and portion.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from isacblocks.kernels.arrays import Complex, Float, complex_array, frozen, output_array, real_array, real_view
from isacblocks.kernels.frames import add_echoes, received_frames
from isacblocks.kernels.jit import jit
from isacblocks.kernels.random import STREAM_SYMBOLS, check_seed, philox
from isacblocks.kernels.scene import Truth, draw_scene
from isacblocks.kernels.steering import array_table, pitch_of
from isacblocks.radar import OfdmRadar

__all__ = [
    "QAM_ORDERS",
    "Truth",
    "draw_scene",
    "draw_symbols",
    "qam_constellation",
    "simulate_frames",
    "time_domain_frame",
]

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


@lru_cache(maxsize=len(QAM_ORDERS))
def _points(order: int) -> Complex:
    return frozen(qam_constellation(order).astype(np.complex64))


def draw_symbols(seed: int, first: int, count: int, radar: OfdmRadar, order: int = 4) -> Complex:
    """Transmit symbols x of items first .. first + count - 1, uniform over square QAM: complex64 (count, S)."""
    out = np.empty((count, radar.subcarriers), np.complex64)
    _symbols(np.uint64(check_seed(seed)), np.uint64(first), _points(order), int(math.log2(order)), out)
    return out


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
    out: Complex | None = None,
) -> Complex:
    """Received frames by eq. (8): Y = gamma (kappa . a(theta)) (b(tau) . x)^T + W, vec(W) ~ CN(0, N0 I).

    x: symbols (F, S); gamma: gains (F,), 0 where there is no target; kappa: (N,) or (F, N); theta: rad (F,); tau: s (F,);
    noise_power: N0, 0 for none; seed and first: the noise of frame f is that of item first + f. Returns (F, N, S), complex64
    for complex64 symbols and complex128 otherwise (the noise has single precision in both); out: an array of that shape and
    type, C-contiguous, to be filled and returned.
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
    out = output_array("out", out, (frames, radar.antennas, radar.subcarriers), symbols.dtype)
    array = frozen(radar.positions), pitch_of(radar), radar.subcarrier_spacing
    echo = (
        frozen(gains.astype(np.complex128)),
        frozen(response.astype(np.complex128)),
        *array,
        frozen(angles),
        frozen(delays),
    )
    noise = float(noise_power), np.uint64(check_seed(seed)), np.uint64(first)
    if out.dtype == np.complex64:
        received_frames(real_view(symbols), *echo, *noise, out.view(np.float32))
    else:  # the noise as in single precision, the echoes added in double
        single = simulate_frames(
            symbols.astype(np.complex64), np.zeros(frames), response, angles, delays, radar,
            noise_power=noise_power, seed=seed, first=first,
        )  # fmt: skip
        out[...] = single
        add_echoes(real_view(symbols), *echo, out.view(np.float64))
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
