"""Jumps of single antennas: fast sums of what the filters did not expect, and the restart of the antenna that jumped.

The scores e_n are what the estimate did not expect; while it is right they are white, with variance j + j^2 P. Sums F_n that
forget after an information J_f are compared with their standard deviation, gain and phase together:

    F <- lambda F + e,  V <- lambda^2 V + j + j^2 P,  lambda = exp(-j / J_f),  chi_n^2 = sum over gain, phase of F_n^2 / V_n

chi^2 is exponential with mean 2 while nothing jumps, and a jump by z moves F_n by j z per update. Large jumps are found
soonest by short memories, small ones only by long ones: there are three. Memories are measured in information because that
is what finding a jump takes, however many frames bring it (at Table I and 15 dB about 0.48 rad^-2 per frame).

Derived in docs/maths.md, section 7c.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.jit import jit
from isacblocks.kernels.scores import direction

Flags = NDArray[np.uint8]

FAST_MEMORIES = np.array([20.0, 60.0, 180.0])  # J_f, rad^-2


@jit
def fast_sums(
    innovation: Float, information: float, spread: Float, memories: Float, fast: Float, fast_variance: Float, gathered: Float
) -> None:
    """One update of F, V (W, 2, N) and of the information G in F (W, N), in place, for the memories J_f (W,).

    innovation (2, N) and spread P (2, N) as `track` left them.
    """
    for w in range(memories.shape[0]):
        keep = math.exp(-information / memories[w])
        for n in range(gathered.shape[1]):
            gathered[w, n] = keep * gathered[w, n] + information
            for c in range(fast.shape[1]):
                fast[w, c, n] = keep * fast[w, c, n] + innovation[c, n]
                grown = information * (1.0 + information * spread[c, n])
                fast_variance[w, c, n] = keep * keep * fast_variance[w, c, n] + grown


@jit
def jump_statistic(fast: Float, fast_variance: Float, leverage: Float, out: Float) -> None:
    """chi_n^2 into `out` (W, N); leverage h (2, N): only 1 - h of a score can be seen in the gauge."""
    for w in range(out.shape[0]):
        for n in range(out.shape[1]):
            total = 0.0
            for c in range(2):
                seen = fast_variance[w, c, n] * (1.0 - leverage[c, n])
                total += fast[w, c, n] ** 2 / seen if seen > 0.0 else 0.0
            out[w, n] = total


@jit
def restart_jumped(
    statistic: Float,
    threshold: float,
    restart_variance: float,
    kappa: Complex,
    offset: Float,
    variance: Float,
    held: Float,
    fast: Float,
    fast_variance: Float,
    gathered: Float,
    flags: Flags,
) -> None:
    """Antennas with chi^2 above `threshold` go where their fast sums say and start anew from there; `flags` (N,) says which.

    What they last had to say about the drift, `held` (2, 2, K, N), is dropped too: a jump is not drift. kappa (N,) is
    retracted where any has moved.
    """
    norm, moved = 0.0, False
    for n in range(flags.shape[0]):
        w = 0
        for v in range(1, statistic.shape[0]):
            w = v if statistic[v, n] > statistic[w, n] else w
        flags[n] = 1 if statistic[w, n] > threshold else 0
        if flags[n]:
            moved = True
            kappa[n] += direction(kappa[n]) * complex(fast[w, 0, n], fast[w, 1, n]) / gathered[w, n]
            gathered[:, n] = 0.0
            fast[:, :, n] = 0.0
            fast_variance[:, :, n] = 0.0
            offset[:, :, n] = 0.0
            variance[:, :, n] = restart_variance
            held[:, :, :, n] = 0.0
        norm += kappa[n].real ** 2 + kappa[n].imag ** 2
    if moved:
        scale = math.sqrt(kappa.shape[0] / norm)
        for n in range(kappa.shape[0]):
            kappa[n] *= scale


def jump_threshold(false_flags: float, antennas: int) -> float:
    """The threshold b^2 on chi^2 for an expected number of false flags per fast memory, all antennas together.

    A sum that forgets after M frames crosses b outward about (b^2 / M) exp(-b^2 / 2) times per frame (Rice, two components);
    seen only once per update it is seen a little less often.
    """
    if not 0 < false_flags < 1:
        raise ValueError(f"false_flags: expected a number between 0 and 1, got {false_flags!r}")
    square = 40.0
    for _ in range(60):  # square = 2 log(N square / false_flags) contracts where square > 2
        square = 2 * math.log(antennas * square / false_flags)
    return square
