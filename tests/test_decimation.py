"""Delay bases that are reached by a decimation filter: what they hold, how they are reached, and what frames make of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from isacblocks import OfdmRadar
from isacblocks.kernels.compression import compressed, compressed_literally
from isacblocks.kernels.decimation import BLOCK, decimated, left_over
from isacblocks.kernels.delay_basis import DelayBasis, delay_basis
from isacblocks.kernels.prolate import prolate_sequences

SPACING = 240e3


def basis_of(antennas: int, carriers: int, cells: float, error: float = 1e-6) -> DelayBasis:
    """Of a window that many resolution cells, 1 / (S Delta_f), wide."""
    radar = OfdmRadar(antennas, carriers, subcarrier_spacing=SPACING)
    return delay_basis(radar, 0.05 / SPACING, 0.05 / SPACING + cells / (carriers * SPACING), error)


CASES = [(256, 13.8), (250, 13.8), (254, 9.0), (512, 27.0), (1022, 50.0), (256, 1.0), (300, 3.3)]


@pytest.mark.parametrize(("carriers", "cells"), CASES)
@pytest.mark.parametrize("error", [1e-6, 5e-7, 1e-4])
def test_the_vectors_are_sums_of_shifted_filters(carriers: int, cells: float, error: float) -> None:
    """v_sd = sum_m A_md h(s - 8 m), written out; orthonormal, even and odd in turn."""
    basis = basis_of(2, carriers, cells, error)
    kept = basis.decimation
    assert kept is not None
    width, rank = kept.taps.shape[0], basis.rank
    assert kept.matrix.shape == (-(-carriers // BLOCK) + width - 1, rank)
    rebuilt = np.zeros((carriers, rank))
    for m in range(kept.matrix.shape[0]):
        for b in range(width):
            for t in range(BLOCK):
                s = BLOCK * (m + b - width + 1) + t - kept.before
                if 0 <= s < carriers:
                    rebuilt[s] += kept.taps[b, t] * kept.matrix[m]
    np.testing.assert_allclose(rebuilt, basis.vectors, atol=1e-12)
    np.testing.assert_allclose(basis.vectors.T @ basis.vectors, np.eye(rank), atol=1e-13)
    sign = np.where(np.arange(rank) % 2, -1.0, 1.0)
    np.testing.assert_array_equal(basis.vectors[::-1], sign * basis.vectors)
    np.testing.assert_array_equal(kept.matrix[::-1], sign * kept.matrix)
    assert basis.error <= error


@pytest.mark.parametrize(("carriers", "cells"), CASES)
def test_hardly_more_vectors_than_the_prolate_ones(carriers: int, cells: float) -> None:
    half_width = 0.5 * cells / carriers
    prolate = prolate_sequences(carriers, half_width)
    needed = next(d for d in range(1, carriers) if left_over(prolate[:, :d], half_width) <= 1e-6)
    assert basis_of(2, carriers, cells).rank <= needed + 1


@pytest.mark.parametrize("antennas", [1, 2, 7, 8, 9, 64])
@pytest.mark.parametrize(("carriers", "cells"), CASES)
def test_frames_are_compressed_as_by_the_sums_in_double_precision(antennas: int, carriers: int, cells: float) -> None:
    """Noise, echoes from outside the window and a constellation with amplitudes; the rows beyond are not looked at."""
    if antennas == 1:
        antennas, rows = 2, 5
    else:
        rows = antennas
    basis, rng = basis_of(antennas, carriers, cells), np.random.default_rng(antennas)
    assert basis.decimation is not None
    y = rng.standard_normal((3, rows, carriers, 2)) @ np.array([1, 1j])
    y += 20 * np.exp(2j * np.pi * rng.random() * np.arange(carriers))
    x = rng.choice([0.5, 1.0, 1.5], (3, carriers)) * np.exp(2j * np.pi * rng.random((3, carriers)))
    y[:, antennas:] = np.nan
    y, x = y.astype(np.complex64), x.astype(np.complex64)
    found = compressed(y, x, basis)
    exact = compressed_literally(y.astype(complex), x.astype(complex), basis)
    length = np.sqrt(exact.energy * np.sum(np.abs(x) ** 2, axis=1) / (antennas * carriers))  # of a row of z
    assert (np.abs(found.g - exact.g).max(axis=(1, 2)) <= 3e-7 * length).all()
    np.testing.assert_allclose(found.energy, exact.energy, rtol=1e-6)
    np.testing.assert_allclose(found.symbol_energy, exact.symbol_energy, rtol=1e-6)


def test_a_broken_antenna_spoils_no_other() -> None:
    basis, rng = basis_of(9, 256, 13.8), np.random.default_rng(2)
    y = (rng.standard_normal((2, 9, 256, 2)) @ np.array([1, 1j])).astype(np.complex64)
    x = np.ones((2, 256), np.complex64)
    clean = compressed(y, x, basis).g
    y[0, 3, 100], y[1, 8, 0] = np.nan, np.inf
    broken = compressed(y, x, basis).g
    for frame, antenna in ((0, 3), (1, 8)):
        assert not np.isfinite(broken[frame, antenna]).any()
        others = np.arange(9) != antenna
        np.testing.assert_array_equal(broken[frame, others], clean[frame, others])


@pytest.mark.parametrize(
    ("carriers", "cells", "error", "why"),
    [
        (255, 13.8, 1e-6, "odd: the shifted filters do not lie evenly about the middle"),
        (256, 40.0, 1e-6, "wide: no filter of eight keeps it"),
        (32, 1.73, 1e-6, "few subcarriers: the last vectors are small differences"),
        (256, 13.8, 1e-10, "so long a filter that nothing is saved"),
    ],
)
def test_windows_that_keep_the_prolate_sequences(carriers: int, cells: float, error: float, why: str) -> None:
    basis = basis_of(2, carriers, cells, error)
    assert basis.decimation is None, why
    prolate = prolate_sequences(carriers, 0.5 * SPACING * (basis.window[1] - basis.window[0]))
    np.testing.assert_array_equal(basis.vectors, prolate[:, : basis.rank])


def test_the_error_asked_for_is_the_filter_s() -> None:
    """Whatever the number of blocks, from the sequences of the band by brute force; one block less would not do."""
    half_width, carriers = 0.5 * 13.8 / 256, 256
    vectors: Any = prolate_sequences(carriers, half_width)[:, :30]
    lengths = []
    for error in (1e-2, 1e-3, 1e-4, 1e-5):
        made = decimated(vectors, half_width, error)
        assert made is not None
        phase = 2 * math.pi * np.outer(np.arange(carriers), np.linspace(-half_width, half_width, 300))
        sequences = np.exp(1j * phase)
        rest = sequences - made[0] @ (made[0].T @ sequences)
        assert np.linalg.norm(rest, axis=0).max() <= 1.02 * error * math.sqrt(carriers)
        lengths.append(made[1].taps.shape[0])
    assert lengths == sorted(set(lengths))
