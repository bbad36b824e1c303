"""Where OFDM symbols begin in raw samples of several channels, and by how much the carrier is off: sums over all channels.

All channels share one clock and one carrier, so that both are the same for all, and correlations are added up over them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

CLEAR = 20.0  # times the mean of noise: an exponential is there once in 5e8 times
Samples = NDArray[np.complex64]


def waveform(x: NDArray[Any], bins: NDArray[np.int64], size: int, prefix: int) -> NDArray[np.complex128]:
    """One symbol as it is sent, (prefix + size,): x (S,) on the DFT's `bins` (S,), unitary, its end repeated before it."""
    spectrum = np.zeros(size, np.complex128)
    spectrum[bins] = x
    useful = np.fft.ifft(spectrum, norm="ortho")
    return np.asarray(np.concatenate([useful[size - prefix :], useful]))


def find_preamble(y: Samples, preamble: NDArray[Any]) -> int | None:
    """The place in y (C, L) where the preamble (P,) begins, None where no place stands out: non-coherent over channels.

    sum_c |sum_l y_c[d + l] conj(p[l])|^2 against its mean. An offset of half a subcarrier costs 4 dB of the peak.
    """
    length = y.shape[1] - preamble.size + 1
    if length < 2:
        return None
    size = 1 << (y.shape[1] - 1).bit_length()
    against = np.fft.fft(preamble, size).conj()
    power = np.square(np.abs(np.fft.ifft(np.fft.fft(y, size, axis=1) * against, axis=1)[:, :length])).sum(axis=0)
    place = int(power.argmax())
    return place if power[place] > CLEAR * np.median(power) / math.log(2) else None


def prefix_correlation(y: Samples, size: int) -> NDArray[np.complex128]:
    """sum_c conj(y_c[l]) y_c[l + size] for every l, (L - size,): coherent in a prefix, with the carrier's phase."""
    return np.asarray(np.einsum("cl,cl->l", y[:, :-size].conj(), y[:, size:]).astype(np.complex128))


def find_prefix(y: Samples, size: int, prefix: int) -> int | None:
    """The place, below size + prefix, where symbols begin in y (C, L), by the repetition of their ends; or None.

    The correlation is summed over a prefix and over all symbols in y; it must stand out of what noise alone gives.
    """
    period = size + prefix
    each = prefix_correlation(y, size)
    count = each.size // period
    if count < 2:
        return None
    power = np.square(np.abs(y)).sum(axis=0)
    both = 0.5 * (power[:-size] + power[size:])
    rows = np.stack([each, both.astype(np.complex128)])[:, : count * period].reshape(2, count, period).sum(axis=1)
    sums = np.cumsum(np.concatenate([np.zeros((2, 1)), rows, rows[:, : prefix - 1]], axis=1), axis=1)
    found, energy = sums[:, prefix:] - sums[:, :-prefix]
    place = int(np.abs(found).argmax())
    # Of noise |correlation|^2 / energy^2 is exponential with the mean 1 / (number of terms)
    terms = prefix * count * y.shape[0]
    return place if np.abs(found[place]) ** 2 * terms > CLEAR * energy[place].real ** 2 else None


def carrier_offset(correlation: complex, size: int) -> float:
    """Cycles per sample from the sum of :func:`prefix_correlation` over prefixes: up to half a subcarrier, 1 / (2 size)."""
    return float(np.angle(correlation)) / (2 * math.pi * size)
