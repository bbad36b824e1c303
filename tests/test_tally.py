"""The judge's counts and position errors against plain numpy, and the median against numpy's."""

from __future__ import annotations

import numpy as np
import pytest

from isacblocks.kernels.arrays import frozen
from isacblocks.kernels.median import median
from isacblocks.kernels.tally import tally
from isacblocks.radar import OfdmRadar
from isacblocks.study.positions import first_nulls, outside_main_lobe, position


def test_the_tally_is_that_of_masks() -> None:
    rng, radar, frames, early, room = np.random.default_rng(1), OfdmRadar(), 60, 25, 16
    valid, there, said = (rng.random((3, frames)) < np.array([[0.9], [0.5], [0.6]])).astype(np.uint8)
    theta, tau = rng.uniform(-1, 1, frames), rng.uniform(1e-7, 1e-6, frames)
    theta_hat, tau_hat = theta + rng.normal(0, 0.02, frames), tau + rng.normal(0, 5e-9, frames)
    counts, squares, stored, errors = np.zeros((2, 4), np.int64), np.zeros(2), np.zeros(2, np.int64), np.zeros((room, 2))
    places = frozen(position(theta_hat, tau_hat)), frozen(theta_hat), frozen(tau_hat), frozen(theta), frozen(tau)
    nulls = first_nulls(radar)
    tally(frozen(valid), frozen(there), frozen(said), *places, *nulls, early, counts, squares, stored, errors)

    distance = np.linalg.norm(position(theta_hat, tau_hat) - position(theta, tau), axis=-1)
    outside = outside_main_lobe(theta_hat, tau_hat, theta, tau, radar)
    assert outside.any()
    v, t, s = valid != 0, there != 0, said != 0
    for row, part in ((0, np.ones(frames, bool)), (1, np.arange(frames) >= early)):
        masks = (v & t, v & t & s, v & ~t, v & ~t & s)
        np.testing.assert_array_equal(counts[row], [(mask & part).sum() for mask in masks])
        hit = v & t & s & part
        assert stored[row] == hit.sum()
        assert squares[row] == pytest.approx(np.square(distance[hit]).sum(), rel=1e-12)
    hits = np.flatnonzero(v & t & s)
    assert hits.size > room
    for number, f in enumerate(hits[-room:], start=hits.size - room):  # the latest, in a ring
        np.testing.assert_allclose(errors[number % room], [distance[f], outside[f]], rtol=1e-9)


@pytest.mark.parametrize("count", [1, 2, 3, 64, 255, 256, 257, 400])
def test_the_median_is_numpy_s(count: int) -> None:
    rng = np.random.default_rng(count)
    for values in (rng.standard_normal(count), np.round(rng.standard_normal(count)), np.full(count, 0.5)):
        assert median(values) == np.median(values)
    values[count // 2] = np.nan
    assert np.isnan(median(values))
