"""What the search for the peak adds to each antenna's part of it, and a calibration takes for gain if it is not told.

The peak is where |s|^2, s = kappa^H u, is largest over the angle, and there the noise helps: |s|^2 is larger than at the
target's own place by half of N N0 ||x||^2 in the mean. An element far from the array's middle turns most with the angle, so
that most of this comes through it. With d_n the derivative of element n's phase by the angle, less the mean over the array
(weighted with |kappa_n|^2, as all means here), the share

    h_n = d_n^2 / mean d^2 - 1

says how. In the mean, at the right kappa,

    E[u_n conj(s)] - kappa_n E|s|^2 / N = kappa_n N0 ||x||^2 h_n / 4     at a target's peak,
                                          kappa_n N0 ||x||^2 h_n / 2     where the peak is the noise's own,

and a gain learned from such snapshots would be too large by h_n / (4 SNR). In a window narrower than the lobe the search
climbs in proportion. The search over the delay adds to all elements alike. Derived in docs/maths.md, section 7b.
"""

from __future__ import annotations

import math

from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.jit import jit_exact

_TARGET, _NOISE = 0.25, 0.5


@jit_exact
def search_shares(positions: Float, theta: float, kappa: Complex, out: Float) -> None:
    """h_n of an array at `positions` (N, 3), in wavelengths, for a peak at `theta`, rad, to `out` (N,)."""
    cosine, sine = math.cos(theta), math.sin(theta)
    weight = middle = spread = 0.0
    for n in range(kappa.shape[0]):
        out[n] = positions[n, 1] * cosine - positions[n, 0] * sine
        power = kappa[n].real * kappa[n].real + kappa[n].imag * kappa[n].imag
        weight += power
        middle += power * out[n]
    middle = middle / weight if weight > 0.0 else 0.0
    for n in range(kappa.shape[0]):
        out[n] = (out[n] - middle) ** 2
        power = kappa[n].real * kappa[n].real + kappa[n].imag * kappa[n].imag
        spread += power * out[n]
    for n in range(kappa.shape[0]):
        out[n] = out[n] * weight / spread - 1.0 if spread > 0.0 else 0.0


@jit_exact
def search_gain(probability: float, extent_1: float) -> float:
    """The factor of N0 ||x||^2 kappa_n h_n for a peak that is a target's with this probability; extent_1: of the window."""
    return (_NOISE + probability * (_TARGET - _NOISE)) * min(1.0, extent_1)
