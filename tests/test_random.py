"""The counter-based generator: known answers, independence of portions, moments."""

from __future__ import annotations

import numpy as np
import pytest

from isacblocks.kernels.normals import LANES, normals
from isacblocks.kernels.random import check_seed, philox, uniforms

# Counter and key, then the output: the vectors published with the generator (Random123, kat_vectors, philox4x32 10 rounds)
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def draw(count: int, *, seed: int = 1, stream: int = 3, item: int = 0, deviation: float = 1.0) -> np.ndarray:
    out = np.empty(count, np.float32)
    normals(np.uint64(seed), stream, np.uint64(item), deviation, out)
    return out


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(counter: tuple[int, ...], key: tuple[int, int], expected: tuple[int, ...]) -> None:
    words = np.empty((4, 1), np.uint32)
    philox(np.uint64(key[0] | key[1] << 32), counter[1], np.uint64(counter[2] | counter[3] << 32), counter[0], words)
    assert tuple(int(w) for w in words[:, 0]) == expected


def test_lanes_count_on_from_the_block() -> None:
    many = np.empty((4, 5), np.uint32)
    philox(np.uint64(9), 1, np.uint64(2), 10, many)
    for lane in range(5):
        one = np.empty((4, 1), np.uint32)
        philox(np.uint64(9), 1, np.uint64(2), 10 + lane, one)
        np.testing.assert_array_equal(many[:, lane], one[:, 0])


def test_uniforms_are_on_the_unit_interval_with_the_right_moments() -> None:
    values = np.empty(200_000)
    uniforms(np.uint64(4), 1, np.uint64(0), values)
    assert values.min() >= 0
    assert values.max() < 1
    assert values.mean() == pytest.approx(0.5, abs=4 * np.sqrt(1 / 12 / values.size))
    assert values.var() == pytest.approx(1 / 12, rel=0.01)
    short = np.empty(7)
    uniforms(np.uint64(4), 1, np.uint64(0), short)
    np.testing.assert_array_equal(short, values[:7])


def test_normals_have_the_moments_and_the_law_of_normals() -> None:
    from scipy import stats

    values = np.concatenate([draw(2**18, item=k) for k in range(16)]).astype(float)
    count = values.size
    assert abs(values.mean()) < 4 / np.sqrt(count)
    assert abs(values.var() - 1) < 4 * np.sqrt(2 / count)
    assert abs(stats.skew(values)) < 4 * np.sqrt(6 / count)
    assert abs(stats.kurtosis(values)) < 4 * np.sqrt(24 / count)
    assert stats.kstest(values[:200_000], "norm").pvalue > 1e-4
    assert 4.8 < np.abs(values).max() < 6.8
    # neighbours, which are the cosine and the sine of one angle, are uncorrelated, and so are their squares
    pairs = values.reshape(-1, 2)
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 4 / np.sqrt(len(pairs))
    assert abs(np.corrcoef((pairs**2).T)[0, 1]) < 4 / np.sqrt(len(pairs))


def test_normals_scale_and_do_not_depend_on_how_many_are_asked_for() -> None:
    long = draw(10 * LANES)
    for count in (1, 2, 3, 2 * LANES, 2 * LANES + 1, 5 * LANES):
        np.testing.assert_array_equal(draw(count), long[:count])
    np.testing.assert_allclose(draw(1000, deviation=2.5), 2.5 * long[:1000], rtol=1e-6)


def test_streams_seeds_and_items_differ() -> None:
    base = draw(1000)
    for other in (
        draw(1000, seed=2),
        draw(1000, stream=4),
        draw(1000, item=1),
        draw(1000, seed=2**63),
        draw(1000, item=2**40),
    ):
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.15


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, True, "1", None])
def test_seeds_are_checked(seed: object) -> None:
    with pytest.raises(ValueError, match="seed"):
        check_seed(seed)  # type: ignore[arg-type]
