"""The counter-based generator: known answers, independence of portions, moments. Gaussian numbers: test_normals.py."""

from __future__ import annotations

import numpy as np
import pytest

from isacblocks.kernels.random import STREAM_SCENE, check_seed, item_uniforms, philox, uniforms

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


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, True, "1", None])
def test_seeds_are_checked(seed: object) -> None:
    with pytest.raises(ValueError, match="seed"):
        check_seed(seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 63, 64, 65, 200])
@pytest.mark.parametrize("numbers", [1, 2, 3, 7])
def test_items_side_by_side_have_the_numbers_of_each(count: int, numbers: int) -> None:
    """Also where the item's low word overflows."""
    first = 2**32 - 60
    together, alone = np.empty((numbers, count)), np.empty(numbers)
    item_uniforms(np.uint64(9), STREAM_SCENE, np.uint64(first), together)
    for f in range(count):
        uniforms(np.uint64(9), STREAM_SCENE, np.uint64(first + f), alone)
        np.testing.assert_array_equal(together[:, f], alone)
