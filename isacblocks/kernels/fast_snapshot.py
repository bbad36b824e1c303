"""Snapshots u_n = conj(a_n(theta)) sum_d g_nd c_d(tau) of a uniform linear array, from g as the fast search holds it.

g is real pairs in rows padded with zeros to whole vectors, (N, columns). The delay comes as what a row must be multiplied
with for Re and for Im of sum_d g_nd e_d, two rows like those of g, and as the phase with which c_d = phase e_d.
"""

from __future__ import annotations

import math

import numpy as np

from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.jit import jit
from isacblocks.kernels.simd import LANES, Floats, Pointer, fused, load, spread, total


@jit
def exact_snapshot(g: Floats, columns: int, exact: Float, phase: complex, pitch: float, theta: float, out: Complex) -> None:
    """u with sums in double precision; g flat, exact (2, columns)."""
    step = 2.0 * math.pi * pitch * math.sin(theta)
    turn = complex(math.cos(step), math.sin(step))
    steer = phase
    for n in range(out.shape[0]):
        real, imag = 0.0, 0.0
        for c in range(exact.shape[1]):
            value = np.float64(g[n * columns + c])
            real += value * exact[0, c]
            imag += value * exact[1, c]
        out[n] = complex(steer.real * real - steer.imag * imag, steer.real * imag + steer.imag * real)
        steer = complex(steer.real * turn.real - steer.imag * turn.imag, steer.real * turn.imag + steer.imag * turn.real)


@jit
def single_snapshot(
    g: Pointer, columns: int, table: Pointer, at: int, phase: complex, pitch: float, theta: float, out: Complex
) -> None:
    """u with sums in single precision; table: the two rows, from `at` on."""
    step = 2.0 * math.pi * pitch * math.sin(theta)
    turn = complex(math.cos(step), math.sin(step))
    steer = phase
    for n in range(out.shape[0]):
        real = imag = spread(np.float32(0.0))
        for c in range(0, columns, LANES):
            value = load(g, n * columns + c)
            real = fused(value, load(table, at + c), real)
            imag = fused(value, load(table, at + columns + c), imag)
        r, i = np.float64(total(real)), np.float64(total(imag))
        out[n] = complex(steer.real * r - steer.imag * i, steer.real * i + steer.imag * r)
        steer = complex(steer.real * turn.real - steer.imag * turn.imag, steer.real * turn.imag + steer.imag * turn.real)
