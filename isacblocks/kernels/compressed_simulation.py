"""Frames drawn directly in the delay subspace: exact in law where every symbol has modulus one, and far less work.

With |x_s| = 1 an echo (gamma, theta, tau) of eq. (8) is gamma kappa_n a_n(theta) conj(c_d(tau)) in g, the noise in g is
white CN(0, N0), and the energy of the noise outside the subspace is N0 times a Gamma(N (S - D)) variable, independent of g.
Other constellations colour the noise in g, and are refused.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import Complex, Float, frozen, output_array
from isacblocks.kernels.compressed_echo import delay_pairs, echo_factors, echo_rows
from isacblocks.kernels.delay_basis import Compressed, DelayBasis
from isacblocks.kernels.delay_series import single_series
from isacblocks.kernels.jit import jit, jit_exact
from isacblocks.kernels.normals import BLOCK, Floats, Words, load_lanes, next_pairs, seed_lanes
from isacblocks.kernels.products import aligned
from isacblocks.kernels.random import STREAM_NOISE_COMPRESSED, STREAM_NOISE_OUTSIDE, check_seed, item_uniforms, uniforms
from isacblocks.kernels.scene import Truth
from isacblocks.kernels.simd import LANES, Pointer, add, fused, load, multiply, pointer, spread, store, subtract
from isacblocks.kernels.steering import array_response, pitch_of, powers

_ATTEMPTS = 32  # of a Gamma variable


@jit_exact
def _gamma(shape: float, seed: int, item: int, u: Float, more: Float) -> float:
    """One Gamma(shape) variable, shape >= 1: G. Marsaglia and W. W. Tsang, "A simple method for generating gamma variables",
    ACM Trans. Math. Softw. 26, 2000. Attempt k takes the numbers 3 k to 3 k + 2 of the item, of which `u` are the first
    three; `more` (96,) is scratch.
    """
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    for k in range(0, more.shape[0], 3):
        if k == 3:  # in less than 5 of 100 cases
            uniforms(seed, STREAM_NOISE_OUTSIDE, item, more)
        u0, u1, u2 = (u[0], u[1], u[2]) if k == 0 else (more[k], more[k + 1], more[k + 2])
        x = math.sqrt(-2.0 * math.log(1.0 - u0)) * math.cos(2.0 * math.pi * u1)
        v = (1.0 + c * x) ** 3
        # the first condition implies the second one and spares its logarithms in nine of ten cases
        if v > 0.0 and (1.0 - u2 < 1.0 - 0.0331 * x**4 or math.log(1.0 - u2) < 0.5 * x * x + d - d * v + d * math.log(v)):
            return d * v
    return shape  # 32 refusals in a row, each of a probability below 0.05: never


@jit_exact
def _noisy(lanes: Words, deviation: np.float32, mean: Pointer, out: Floats, rest: Floats) -> None:
    """`mean` and noise into `out` (n,). mean has whole blocks, rest (BLOCK,) is scratch."""
    s0, s1, s2, s3 = load_lanes(lanes)
    scale, place, last = spread(deviation), pointer(out), pointer(rest)
    whole = out.shape[0] // BLOCK * BLOCK
    for k in range(0, whole, BLOCK):
        r, cosine, sine, s0, s1, s2, s3 = next_pairs(s0, s1, s2, s3, scale)
        store(place, k, fused(r, cosine, load(mean, k)))
        store(place, k + LANES, fused(r, sine, load(mean, k + LANES)))
    if whole < out.shape[0]:
        r, cosine, sine, s0, s1, s2, s3 = next_pairs(s0, s1, s2, s3, scale)
        store(last, 0, fused(r, cosine, load(mean, whole)))
        store(last, LANES, fused(r, sine, load(mean, whole + LANES)))
        out[whole:] = rest[: out.shape[0] - whole]


@jit_exact
def _four_squares(samples: Pointer, k: int) -> Any:
    """Lane by lane the sum of squares of the four vectors from k on."""
    a, b = load(samples, k), load(samples, k + LANES)
    c, d = load(samples, k + 2 * LANES), load(samples, k + 3 * LANES)
    return fused(d, d, fused(c, c, fused(b, b, multiply(a, a))))


@jit_exact
def _energy(samples: Floats, sums: Floats) -> float:
    """The sum of squares, in an order that does not depend on the machine; sums (2 LANES,) is scratch.

    Eight squares a lane are summed in single precision, with no more error than they have themselves, and those sums by
    compensated summation (W. Kahan, Comm. ACM 8, 1965); the lanes in double precision.
    """
    place, scratch = pointer(samples), pointer(sums)
    total, excess = spread(np.float32(0.0)), spread(np.float32(0.0))
    whole = samples.shape[0] // (8 * LANES) * (8 * LANES)
    for k in range(0, whole, 8 * LANES):
        squares = add(_four_squares(place, k), _four_squares(place, k + 4 * LANES))
        wanted = subtract(squares, excess)
        before, total = total, add(total, wanted)
        excess = subtract(subtract(total, before), wanted)
    store(scratch, 0, total)
    store(scratch, LANES, excess)
    energy = 0.0
    for lane in range(LANES):
        energy += np.float64(sums[lane]) - np.float64(sums[LANES + lane])
    for k in range(whole, samples.shape[0]):
        energy += np.float64(samples[k]) * np.float64(samples[k])
    return energy


@jit_exact
def compressed_frames(
    gamma: Complex,
    kappa: Float,
    positions: Float,
    pitch: float,
    table: Floats,
    window: tuple[float, float],
    slope: float,
    outside: float,
    theta: Float,
    tau: Float,
    noise_power: float,
    seed: int,
    first: int,
    out: Floats,
    energy: Float,
) -> int:
    """g into `out`, pairs (F, N, 2 D), and ||Y||^2 into `energy` (F,); or nothing, where delays are outside the window.

    Returns how many are.

    kappa as pairs (F or 1, 2 N); table: :func:`single_series` of the basis; window: its (tau_c, h); slope: pi (S - 1)
    Delta_f; outside: N (S - D). The noise of frame f is that of item first + f.
    """
    frames, elements, width = out.shape
    beyond = 0
    for f in range(frames):
        beyond += not abs(tau[f] - window[0]) <= (1.0 + 2e-9) * window[1]
    if beyond:
        return beyond
    lanes, rest, more = np.empty(4 * LANES, np.uint32), aligned(BLOCK), np.empty(3 * _ATTEMPTS)
    array, powers_, terms = np.empty((2, elements)), np.empty((2, 2 * table.shape[1])), aligned(2 * table.shape[1])
    along, across, factors = aligned(4 * table.shape[2]), aligned(4 * table.shape[2]), np.empty((2, elements), np.float32)
    mean, silence = aligned(elements * width + BLOCK), aligned(elements * width + BLOCK)
    mean[:], silence[:] = 0.0, 0.0
    deviation = np.float32(math.sqrt(noise_power / 2.0))
    u = np.empty((3, frames))
    if outside >= 1.0:
        item_uniforms(seed, STREAM_NOISE_OUTSIDE, first, u)
    for f in range(frames):
        expected = pointer(silence)
        if gamma[f] != 0.0:
            delta = tau[f] - window[0]
            gain = gamma[f] * complex(math.cos(slope * delta), -math.sin(slope * delta))
            array_response(positions, pitch, theta[f], array[0], array[1])
            echo_factors(gain, kappa[f if kappa.shape[0] > 1 else 0], array, factors)
            x = delta / window[1]
            powers(x, math.sqrt(max(1.0 - x * x, 0.0)), powers_[0], powers_[1])  # their real parts are T_k(x)
            terms[:] = powers_[0]
            delay_pairs(table, terms, along, across)
            echo_rows(factors, along, across, width, mean)
            expected = pointer(mean)
        item = np.uint64(first) + np.uint64(f)
        seed_lanes(seed, STREAM_NOISE_COMPRESSED, item, lanes)
        samples = out[f].reshape(-1)
        _noisy(lanes, deviation, expected, samples, rest)
        energy[f] = _energy(samples, rest)
        if outside >= 1.0:
            energy[f] += noise_power * _gamma(outside, seed, item, u[:, f], more)
    return 0


@jit_exact
def off_circle(x: Floats, tolerance: float) -> int:
    """How many of the symbols, pairs (F, 2 S), do not have |x|^2 within `tolerance` of one; NaN is off."""
    count = 0
    limit = np.float32(tolerance)
    for f in range(x.shape[0]):
        for s in range(x.shape[1] // 2):
            square = x[f, 2 * s] * x[f, 2 * s] + x[f, 2 * s + 1] * x[f, 2 * s + 1]
            count += not abs(square - np.float32(1.0)) <= limit
    return count


@jit
def antenna_powers(g: Floats, out: Floats) -> None:
    """The mean of |g_nd|^2 over d into `out` (F, N), from pairs (F, N, 2 D)."""
    for f in range(g.shape[0]):
        for n in range(g.shape[1]):
            total = 0.0
            for i in range(g.shape[2]):
                total += np.float64(g[f, n, i]) * np.float64(g[f, n, i])
            out[f, n] = 2.0 * total / g.shape[2]


@lru_cache(maxsize=32)
def _constants(basis: DelayBasis) -> tuple[Float, float, Floats, tuple[float, float], float, float]:
    """What :func:`compressed_frames` wants to know of a basis: positions, pitch, table, window, slope, outside."""
    radar = basis.radar
    return (
        frozen(radar.positions),
        pitch_of(radar),
        single_series(basis),
        (basis.centre, 0.5 * (basis.window[1] - basis.window[0])),
        math.pi * (radar.subcarriers - 1) * radar.subcarrier_spacing,
        float(radar.antennas * (radar.subcarriers - basis.rank)),
    )


def simulate_compressed(
    truth: Truth,
    kappa: NDArray[Any],
    basis: DelayBasis,
    *,
    noise_power: float = 1.0,
    seed: int = 0,
    first: int = 0,
    out: Complex | None = None,
) -> Compressed:
    """Compressed frames with unit-modulus symbols by eq. (8), complex64, for the targets of :func:`draw_scene`.

    kappa: (N,) or (F, N); noise_power: N0 > 0; seed and first: the noise of frame f is that of item first + f; out: where g
    is to be left, complex64 (F, N, D), C-contiguous. Symbols do not appear: with known x of modulus one nothing depends on
    them. Raises ValueError for a target outside the basis's window.
    """
    radar, window = basis.radar, basis.window
    count = truth.theta.shape[0]
    g = output_array("out", out, (count, radar.antennas, basis.rank), np.complex64)
    energy, symbol_energy = np.empty(count), np.empty(count)
    symbol_energy.fill(radar.subcarriers)
    outside = compressed_frames(
        frozen(truth.gamma.astype(np.complex128, copy=False)),
        frozen(np.atleast_2d(kappa).astype(np.complex128, copy=False)).view(np.float64),
        *_constants(basis),
        frozen(truth.theta),
        frozen(truth.tau),
        float(noise_power),
        np.uint64(check_seed(seed)),
        np.uint64(first),
        g.view(np.float32),
        energy,
    )
    if outside:
        raise ValueError(
            f"truth: expected delays inside the basis's window {window[0]:.6g} to {window[1]:.6g} s, got "
            f"{truth.tau.min():.6g} to {truth.tau.max():.6g} s; make a basis for the window of their scene"
        )
    return Compressed(g, energy, symbol_energy)
