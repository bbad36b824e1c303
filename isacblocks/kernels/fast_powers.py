"""The last step of a map, eq. (11): from the rows r_i of the angles to the powers |s_ij|^2 at the delays of a grid.

    s_ij = sum_d r_id e_d(tau_j)

in tiles of one angle and as many delays as keep a core's units busy; see fast_map.py, which makes the rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from isacblocks.kernels.jit import jit, jit_apart
from isacblocks.kernels.simd import (
    LANES,
    WIDE,
    Pointer,
    add,
    backwards,
    fused,
    largest,
    load,
    multiply,
    repeat,
    spread,
    store,
    subtract,
)


@jit
def _power_pair(
    re_e: Any, im_e: Any, im_o: Any, re_o: Any, mirrored: bool, power: Pointer, at: int, across: int, top: Any
) -> Any:
    """|s|^2 of 16 delays to `at`, of their mirror images to at + across; returns the larger of `top` and these."""
    real, imag = subtract(re_e, im_o), add(im_e, re_o)
    here = fused(real, real, multiply(imag, imag))
    store(power, at, here)
    top = largest(here, top)
    if mirrored:
        real, imag = add(re_e, im_o), subtract(im_e, re_o)
        there = fused(real, real, multiply(imag, imag))
        store(power, at + across, there)
        top = largest(there, top)
    return top


@jit
def _powers_64(
    beams: Pointer,
    b: int,
    tables: Pointer,
    t: int,
    terms: tuple[int, int, int],
    mirrored: bool,
    power: Pointer,
    at: int,
    top: Any,
) -> Any:
    """:func:`_powers_16` for 64 delays: sixteen sums in registers, all of them going on at the same time."""
    evens, odds, across = terms
    u = t + evens * across
    p0 = p1 = p2 = p3 = q0 = q1 = q2 = q3 = spread(np.float32(0.0))
    r0 = r1 = r2 = r3 = s0 = s1 = s2 = s3 = spread(np.float32(0.0))
    for k in range(odds):
        re, im = repeat(beams, b + 4 * k), repeat(beams, b + 4 * k + 1)
        e0, e1 = load(tables, t + k * across), load(tables, t + k * across + LANES)
        e2, e3 = load(tables, t + k * across + 2 * LANES), load(tables, t + k * across + 3 * LANES)
        p0, p1, p2, p3 = fused(re, e0, p0), fused(re, e1, p1), fused(re, e2, p2), fused(re, e3, p3)
        q0, q1, q2, q3 = fused(im, e0, q0), fused(im, e1, q1), fused(im, e2, q2), fused(im, e3, q3)
        re, im = repeat(beams, b + 4 * k + 2), repeat(beams, b + 4 * k + 3)
        e0, e1 = load(tables, u + k * across), load(tables, u + k * across + LANES)
        e2, e3 = load(tables, u + k * across + 2 * LANES), load(tables, u + k * across + 3 * LANES)
        r0, r1, r2, r3 = fused(im, e0, r0), fused(im, e1, r1), fused(im, e2, r2), fused(im, e3, r3)
        s0, s1, s2, s3 = fused(re, e0, s0), fused(re, e1, s1), fused(re, e2, s2), fused(re, e3, s3)
    for k in range(odds, evens):  # the last even d, where the odd ones are one fewer
        re, im = repeat(beams, b + 4 * k), repeat(beams, b + 4 * k + 1)
        e0, e1 = load(tables, t + k * across), load(tables, t + k * across + LANES)
        e2, e3 = load(tables, t + k * across + 2 * LANES), load(tables, t + k * across + 3 * LANES)
        p0, p1, p2, p3 = fused(re, e0, p0), fused(re, e1, p1), fused(re, e2, p2), fused(re, e3, p3)
        q0, q1, q2, q3 = fused(im, e0, q0), fused(im, e1, q1), fused(im, e2, q2), fused(im, e3, q3)
    top = _power_pair(p0, q0, r0, s0, mirrored, power, at, across, top)
    top = _power_pair(p1, q1, r1, s1, mirrored, power, at + LANES, across, top)
    top = _power_pair(p2, q2, r2, s2, mirrored, power, at + 2 * LANES, across, top)
    return _power_pair(p3, q3, r3, s3, mirrored, power, at + 3 * LANES, across, top)


@jit
def _powers_32(
    beams: Pointer,
    b: int,
    tables: Pointer,
    t: int,
    terms: tuple[int, int, int],
    mirrored: bool,
    power: Pointer,
    at: int,
    top: Any,
) -> Any:
    """:func:`_powers_16` for 32 delays: eight sums, as many as two units with a latency of four keep going.

    Where registers are few, even and odd d take turns in them."""
    evens, odds, across = terms
    p0 = p1 = q0 = q1 = r0 = r1 = s0 = s1 = spread(np.float32(0.0))
    for k in range(evens):
        re, im = repeat(beams, b + 4 * k), repeat(beams, b + 4 * k + 1)
        e0, e1 = load(tables, t + k * across), load(tables, t + k * across + LANES)
        p0, p1, q0, q1 = fused(re, e0, p0), fused(re, e1, p1), fused(im, e0, q0), fused(im, e1, q1)
    t += evens * across
    for k in range(odds):
        re, im = repeat(beams, b + 4 * k + 2), repeat(beams, b + 4 * k + 3)
        e0, e1 = load(tables, t + k * across), load(tables, t + k * across + LANES)
        r0, r1, s0, s1 = fused(im, e0, r0), fused(im, e1, r1), fused(re, e0, s0), fused(re, e1, s1)
    top = _power_pair(p0, q0, r0, s0, mirrored, power, at, across, top)
    return _power_pair(p1, q1, r1, s1, mirrored, power, at + LANES, across, top)


@jit
def _powers_16(
    beams: Pointer,
    b: int,
    tables: Pointer,
    t: int,
    terms: tuple[int, int, int],
    mirrored: bool,
    power: Pointer,
    at: int,
    top: Any,
) -> Any:
    """|s|^2 of one angle, r at `b`, and 16 delays, tables from `t` on, to `at`; see :func:`_power_pair`."""
    evens, odds, across = terms
    re_e = im_e = re_o = im_o = spread(np.float32(0.0))
    for k in range(evens):
        e = load(tables, t + k * across)
        re_e, im_e = fused(repeat(beams, b + 4 * k), e, re_e), fused(repeat(beams, b + 4 * k + 1), e, im_e)
    t += evens * across
    for k in range(odds):
        e = load(tables, t + k * across)
        re_o, im_o = fused(repeat(beams, b + 4 * k + 2), e, re_o), fused(repeat(beams, b + 4 * k + 3), e, im_o)
    return _power_pair(re_e, im_e, im_o, re_o, mirrored, power, at, across, top)


@jit
def _unfolded(row: Pointer, across: int, mirrored: bool, delays: int, out: Pointer, at: int) -> None:
    """A row of powers in the order of the grid, to `at`."""
    here = (delays + 1) // 2 if mirrored else delays
    there = delays - here
    for j in range(0, here // LANES * LANES, LANES):
        store(out, at + j, load(row, j))
    for j in range(here // LANES * LANES, here):
        out[at + j] = row[j]
    at += delays
    for j in range(0, there // LANES * LANES, LANES):
        store(out, at - LANES - j, backwards(load(row, across + j)))
    for j in range(there // LANES * LANES, there):
        out[at - 1 - j] = row[across + j]


@jit_apart
def powers(
    first: int,
    last: int,
    step: int,
    beams: Pointer,
    columns: int,
    tables: Pointer,
    terms: tuple[int, int, int],
    mirrored: bool,
    row: Pointer,
    best: Pointer,
    delays: int,
    out: Pointer,
    start: int,
) -> None:
    """|s_ij|^2 of every `step`-th angle from `first` to before `last`, to a map (n_theta, n_tau) at `start` if that is >= 0.

    tables: of a DelayGrid, flat; terms: even d, odd d, delays; row: scratch, at the end the last angle's powers: the first
    half of the delays, padded, then the second half backwards where `mirrored`; best: the largest of every angle in 16
    lanes. The columns of beams are Re r_0, Im r_0, Re r_1, ...
    """
    across = terms[2]
    for i in range(first, last, step):
        top = spread(np.float32(0.0))
        c = 0
        while WIDE and across - c >= 4 * LANES:
            top = _powers_64(beams, i * columns, tables, c, terms, mirrored, row, c, top)
            c += 4 * LANES
        while across - c >= 2 * LANES:
            top = _powers_32(beams, i * columns, tables, c, terms, mirrored, row, c, top)
            c += 2 * LANES
        while c < across:
            top = _powers_16(beams, i * columns, tables, c, terms, mirrored, row, c, top)
            c += LANES
        store(best, i * LANES, top)
        if start >= 0:
            _unfolded(row, across, mirrored, delays, out, start + i * delays)
