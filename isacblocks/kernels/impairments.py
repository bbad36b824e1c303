"""Laws of the gain-phase impairments kappa, by name, and how kappa moves in time.

Every law ends with the normalisation ||kappa||^2 = N below eq. (7).

=============  =====================================================================================================
``none``       kappa = 1
``table1``     |kappa_n| ~ U[0.95, 1.05], phase ~ U[-pi/2, pi/2]: Table I
``published``  what the authors' published program draws: the "gain" 0.95 + 0.1 z and the "phase" pi z' - pi/2 with z, z'
               complex, both parts uniform on [0, 1]; the imaginary phase makes |kappa_n| spread over 27 dB
``full-circle``  |kappa_n| as in Table I, phase ~ U[-pi, pi]
=============  =====================================================================================================
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.jit import jit_exact
from isacblocks.kernels.normals import normals
from isacblocks.kernels.random import STREAM_DRIFT, STREAM_IMPAIRMENTS, check_seed, uniforms

LAWS = ("none", "table1", "published", "full-circle")


def retract(kappa: Complex) -> Complex:
    """kappa scaled to ||kappa||^2 = N, the constraint below eq. (7). Raises ValueError for a zero or broken vector."""
    norm = math.sqrt(np.vdot(kappa, kappa).real)
    if not (math.isfinite(norm) and norm > 0):
        raise ValueError(f"kappa: cannot be scaled to ||kappa||^2 = N, its norm is {norm}")
    return np.asarray(kappa * (math.sqrt(kappa.shape[-1]) / norm))


def _uniform(seed: int, item: int, count: int) -> Float:
    out = np.empty(count)
    uniforms(np.uint64(check_seed(seed)), STREAM_IMPAIRMENTS, np.uint64(item), out)
    return out


def draw_impairments(law: str, antennas: int, seed: int) -> Complex:
    """One realisation of kappa by the named law (see the module), complex128 (N,), ||kappa||^2 = N."""
    if law not in LAWS:
        raise ValueError(f"impairments: expected one of {', '.join(LAWS)}, got {law!r}")
    if law == "none":
        return np.ones(antennas, np.complex128)
    first, second = _uniform(seed, 0, antennas), _uniform(seed, 1, antennas)
    if law == "published":
        gain = 0.95 + 0.1 * (first + 1j * _uniform(seed, 2, antennas))
        phase = math.pi * (second + 1j * _uniform(seed, 3, antennas)) - math.pi / 2
        return retract(gain * np.exp(1j * phase))
    widest = math.pi / 2 if law == "table1" else math.pi
    return retract((0.95 + 0.1 * first) * np.exp(1j * widest * (2 * second - 1)))


@jit_exact
def walk_steps(seed: int, first: int, deviation: float, out: NDArray[np.float32]) -> None:
    """Normals of the given deviation into `out` (F, N): row f is that of item first + f."""
    for f in range(out.shape[0]):
        normals(seed, STREAM_DRIFT, np.uint64(first) + np.uint64(f), deviation, out[f])


def drift_phases(seed: int, first: int, count: int, antennas: int, start: Float, deviation: float) -> Float:
    """A random walk of every antenna's phase: radians, shape (count, N), continuing from `start` (N,).

    deviation: standard deviation of one frame's step in radians.
    """
    steps = np.empty((count, antennas), np.float32)
    walk_steps(np.uint64(check_seed(seed)), np.uint64(first), float(deviation), steps)
    # The start is the first term of the running sum: the walk has the same bits in whatever portions it is asked for.
    walk: NDArray[np.float64] = np.cumsum(np.vstack([start[None, :], steps]), axis=0, dtype=np.float64)
    return walk[1:]
