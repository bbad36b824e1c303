"""Frames drawn directly in the delay subspace: exact in law where every symbol has modulus one, and far less work.

With |x_s| = 1 an echo (gamma, theta, tau) of eq. (8) is gamma kappa_n a_n(theta) conj(c_d(tau)) in g, the noise in g is
white CN(0, N0), and the energy of the noise outside the subspace is N0 times a Gamma(N (S - D)) variable, independent of g.
Other constellations colour the noise in g, and are refused.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import Complex, Float, frozen, output_array
from isacblocks.kernels.delay_basis import Compressed, DelayBasis
from isacblocks.kernels.delay_series import chebyshev_series, delay_terms
from isacblocks.kernels.jit import jit, jit_exact
from isacblocks.kernels.normals import BLOCK, LANES, Floats, fill_normals, seed_lanes
from isacblocks.kernels.random import STREAM_NOISE_COMPRESSED, STREAM_NOISE_OUTSIDE, check_seed, uniforms
from isacblocks.kernels.scene import Truth
from isacblocks.kernels.simd import fma
from isacblocks.kernels.steering import array_response, pitch_of

_ATTEMPTS = 32  # of a Gamma variable
_SUMS = 64  # of a frame's energy, side by side


@jit_exact
def _gamma(shape: float, seed: int, item: int, u: Float) -> float:
    """One Gamma(shape) variable, shape >= 1: G. Marsaglia and W. W. Tsang, "A simple method for generating gamma variables",
    ACM Trans. Math. Softw. 26, 2000. Attempt k takes the numbers 3 k to 3 k + 2 of the item; `u` (96,) is scratch.
    """
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    uniforms(seed, STREAM_NOISE_OUTSIDE, item, u[:3])  # the first is taken in more than 95 of 100 cases
    for k in range(0, u.shape[0], 3):
        if k == 3:
            uniforms(seed, STREAM_NOISE_OUTSIDE, item, u)
        x = math.sqrt(-2.0 * math.log(1.0 - u[k])) * math.cos(2.0 * math.pi * u[k + 1])
        v = (1.0 + c * x) ** 3
        if v > 0.0 and math.log(1.0 - u[k + 2]) < 0.5 * x * x + d - d * v + d * math.log(v):
            return d * v
    return shape  # 32 refusals in a row, each of a probability below 0.05: never


@jit_exact
def _echo_terms(terms: Float, along: Floats, across: Floats) -> None:
    """conj(e_d) as pairs (Re, Im) into `along` (2 D,) and j conj(e_d) into `across`, from :func:`delay_terms`."""
    for d in range(along.shape[0] // 2):
        value = np.float32(terms[d % 2, d // 2])
        even, odd = (value, np.float32(0.0)) if d % 2 == 0 else (np.float32(0.0), value)
        along[2 * d], along[2 * d + 1] = even, -odd
        across[2 * d], across[2 * d + 1] = odd, even


@jit_exact
def _energy(samples: Floats, sums: Float) -> Any:
    """sum of squares in double precision, in as many sums as `sums` is long, so that no order depends on the machine."""
    length = sums.shape[0]  # a power of two
    whole = samples.shape[0] // (4 * length) * (4 * length)
    sums[:] = 0.0
    for k in range(0, whole, 4 * length):
        p, q = samples[k : k + length], samples[k + length : k + 2 * length]
        r, s = samples[k + 2 * length : k + 3 * length], samples[k + 3 * length : k + 4 * length]
        for i in range(length):
            a, b, c, d = np.float64(p[i]), np.float64(q[i]), np.float64(r[i]), np.float64(s[i])
            sums[i] = fma(a, a, fma(b, b, fma(c, c, fma(d, d, sums[i]))))
    for k in range(whole, samples.shape[0]):
        sums[k % length] += np.float64(samples[k]) * np.float64(samples[k])
    while length > 1:
        length //= 2
        for i in range(length):
            sums[i] += sums[length + i]
    return sums[0]


@jit_exact
def compressed_frames(
    gamma: Complex,
    kappa: Complex,
    positions: Float,
    pitch: float,
    theta: Float,
    tau: Float,
    series: Float,
    window: tuple[float, float],
    slope: float,
    noise_power: float,
    outside: float,
    seed: int,
    first: int,
    out: Floats,
    energy: Float,
) -> None:
    """g into `out`, pairs (F, N, 2 D), and ||Y||^2 into `energy` (F,).

    kappa (F or 1, N); series: :func:`chebyshev_series` of the basis; window: its (tau_c, h); slope: pi (S - 1) Delta_f;
    outside: N (S - D). The noise of frame f is that of item first + f.
    """
    elements, width = out.shape[1], out.shape[2]
    lanes, rest, u = np.empty(4 * LANES, np.uint32), np.empty(BLOCK, np.float32), np.empty(3 * _ATTEMPTS)
    array, powers_, terms = np.empty((2, elements)), np.empty((2, 2 * series.shape[1])), np.empty((2, series.shape[2]))
    along, across, sums = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(_SUMS)
    deviation = np.float32(math.sqrt(noise_power / 2.0))
    for f in range(out.shape[0]):
        item = np.uint64(first) + np.uint64(f)
        samples = out[f].reshape(-1)
        seed_lanes(seed, STREAM_NOISE_COMPRESSED, item, lanes)
        fill_normals(lanes, deviation, 0, samples.shape[0], samples, rest)
        if gamma[f] != 0.0:
            array_response(positions, pitch, theta[f], array[0], array[1])
            delta = tau[f] - window[0]
            delay_terms(series, delta / window[1], powers_, terms)
            _echo_terms(terms, along, across)
            gain = gamma[f] * complex(math.cos(slope * delta), -math.sin(slope * delta))
            k = f if kappa.shape[0] > 1 else 0
            for n in range(elements):
                factor = gain * kappa[k, n] * complex(array[0, n], array[1, n])
                a, b, row = np.float32(factor.real), np.float32(factor.imag), out[f, n]
                for i in range(width):
                    row[i] = fma(a, along[i], fma(b, across[i], row[i]))
        energy[f] = _energy(samples, sums)
        if outside >= 1.0:
            energy[f] += noise_power * _gamma(outside, seed, item, u)


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
    count, slack = truth.theta.shape[0], 1e-9 * (window[1] - window[0])
    if count and not (window[0] - slack <= truth.tau.min() and truth.tau.max() <= window[1] + slack):
        raise ValueError(
            f"truth: expected delays inside the basis's window {window[0]:.6g} to {window[1]:.6g} s, got "
            f"{truth.tau.min():.6g} to {truth.tau.max():.6g} s; make a basis for the window of their scene"
        )
    g = output_array("out", out, (count, radar.antennas, basis.rank), np.complex64)
    energy = np.empty(count)
    compressed_frames(
        frozen(truth.gamma.astype(np.complex128, copy=False)),
        frozen(np.atleast_2d(kappa).astype(np.complex128, copy=False)),
        frozen(radar.positions),
        pitch_of(radar),
        frozen(truth.theta),
        frozen(truth.tau),
        chebyshev_series(basis),
        (basis.centre, 0.5 * (window[1] - window[0])),
        math.pi * (radar.subcarriers - 1) * radar.subcarrier_spacing,
        float(noise_power),
        float(radar.antennas * (radar.subcarriers - basis.rank)),
        np.uint64(check_seed(seed)),
        np.uint64(first),
        g.view(np.float32),
        energy,
    )
    return Compressed(g, energy, np.full(count, float(radar.subcarriers)))
