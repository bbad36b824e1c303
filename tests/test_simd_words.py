"""Vectors of 16 words against numpy: compiled, in plain Python, for other registers. Floats: tests/test_simd.py."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
import pytest
from numpy.typing import NDArray
from programs import python

from isacblocks.kernels import simd_words as words
from isacblocks.kernels.simd import LANES, load, pointer, store

ENDS = np.array([0, 1, 2, 2**24 + 1, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 1], np.uint32)


F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    return cast(F, numba.njit(function))


def numbers(seed: int) -> NDArray[np.uint32]:
    drawn = np.random.default_rng(seed).integers(0, 2**32, LANES - ENDS.size, np.uint32)
    return np.concatenate([ENDS, drawn]) if seed % 2 else np.concatenate([drawn, ENDS])


def called(operation: Any, x: NDArray[np.uint32], y: NDArray[np.uint32] | None = None) -> NDArray[np.uint32]:
    """An operation of words on arrays of 16."""
    one, two, out = words.word_pointer, x if y is None else y, np.zeros(LANES, np.uint32)
    if y is None:

        @compiled
        def run(a: Any, b: Any, out: Any) -> None:
            words.store_words(one(out), 0, operation(words.load_words(one(a), 0)))

    else:

        @compiled
        def run(a: Any, b: Any, out: Any) -> None:
            words.store_words(one(out), 0, operation(words.load_words(one(a), 0), words.load_words(one(b), 0)))

    run(x, two, out)
    return out


PAIRS: dict[str, Callable[[Any, Any], Any]] = {
    "word_sum": lambda x, y: x + y,
    "word_difference": lambda x, y: x - y,
    "exclusive": lambda x, y: x ^ y,
    "common": lambda x, y: x & y,
}


@pytest.mark.parametrize("name", PAIRS)
def test_operations_on_two_vectors(name: str) -> None:
    """In 64 bits, cut to 32."""
    for seed in range(4):
        x, y = numbers(seed), numbers(seed + 7)
        wide = PAIRS[name](x.astype(np.int64), y.astype(np.int64)) % 2**32
        np.testing.assert_array_equal(called(getattr(words, name), x, y), wide)


@pytest.mark.parametrize("count", [1, 7, 9, 11, 23, 31])
def test_shifts_and_rotations(count: int) -> None:
    for seed in range(2):
        x = numbers(seed)
        wide = x.astype(np.uint64)
        np.testing.assert_array_equal(called(words.left(count), x), (wide << np.uint64(count)) % 2**32)
        turned = (wide << np.uint64(count) | wide >> np.uint64(32 - count)) % 2**32
        np.testing.assert_array_equal(called(words.rotated(count), x), turned)
        signed = x.view(np.int32).astype(np.int64) // 2**count
        np.testing.assert_array_equal(called(words.right_signed(count), x), signed % 2**32)


def test_words_become_floats_and_back() -> None:
    """Rounded once, to the nearest, also those above 2^31; the same bits; the root rounded once."""

    @compiled
    def run(a: Any, out: Any) -> None:
        x, place = words.load_words(words.word_pointer(a), 0), pointer(out)
        store(place, 0, words.rounded(x))
        store(place, LANES, words.rounded_signed(x))
        store(place, 2 * LANES, words.root(words.rounded(x)))
        store(place, 3 * LANES, words.float_of_bits(words.bits_of(words.rounded(x))))

    for seed in range(8):
        x, out = numbers(seed), np.empty((4, LANES), np.float32)
        run(x, out.reshape(-1))
        np.testing.assert_array_equal(out[0], x.astype(np.float64).astype(np.float32))
        np.testing.assert_array_equal(out[1], x.view(np.int32).astype(np.float64).astype(np.float32))
        np.testing.assert_array_equal(out[2], np.sqrt(out[0].astype(np.float64)).astype(np.float32))
        np.testing.assert_array_equal(out[3], out[0])


def test_places_in_memory() -> None:
    """Loads and stores at any word, one number in all lanes, and nothing beside a vector touched."""

    @compiled
    def run(a: Any, at: Any, out: Any, to: Any) -> None:
        words.store_words(words.word_pointer(out), to, words.load_words(words.word_pointer(a), at))
        words.store_words(words.word_pointer(out), to + LANES, words.spread_word(np.uint32(4_000_000_000)))

    a = np.random.default_rng(1).integers(0, 2**32, 64, np.uint32)
    for at, to in ((0, 0), (1, 3), (7, 5), (48, 0)):
        out = np.full(64, 7, np.uint32)
        run(a, at, out, to)
        expected = np.full(64, 7, np.uint32)
        expected[to : to + LANES] = a[at : at + LANES]
        expected[to + LANES : to + 2 * LANES] = 4_000_000_000
        np.testing.assert_array_equal(out, expected)


def test_bits_of_floats() -> None:
    @compiled
    def run(a: Any, out: Any) -> None:
        words.store_words(words.word_pointer(out), 0, words.bits_of(load(pointer(a), 0)))

    a = np.tile(np.array([np.nan, np.inf, -0.0, 1e-45], np.float32), 4)
    out = np.empty(LANES, np.uint32)
    run(a, out)
    np.testing.assert_array_equal(out, a.view(np.uint32))


MACHINES = {"python": {"NUMBA_DISABLE_JIT": "1"}} | {
    name: {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": ""} for name in ("haswell", "x86-64")
}


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names processors of that kind")
@pytest.mark.parametrize("machine", MACHINES)
def test_elsewhere(machine: str, tmp_path: Path) -> None:
    """All tests above without the compiler and for other registers."""
    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_simd_words.py", "-k", "not elsewhere"]
    python(*tests, env={**MACHINES[machine], "ISACBLOCKS_CACHE": str(tmp_path)})
