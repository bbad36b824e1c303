"""Gaussian noise by counter: known answers, the same bits everywhere, and whether it is normal, white and independent.

Statistics are of fixed seeds, so they pass or fail once and for all; their bounds are those of the law that is tested,
about five standard deviations, or what a maximum over so many of them may be.
"""

from __future__ import annotations

import hashlib
import math
import platform
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numpy.typing import NDArray
from programs import python

from isacblocks.kernels import normals as module
from isacblocks.kernels.normals import BLOCK, fill_normals, load_lanes, normals, radius, seed_lanes, xoshiro
from isacblocks.kernels.random import philox
from isacblocks.kernels.simd import LANES, WIDE, pointer, store
from isacblocks.kernels.simd_words import load_words, store_words, word_pointer

PLACES = 256  # in a row, of eight blocks
LARGEST = math.sqrt(2 * math.log(2**33))


def draw(count: int, *, seed: int = 1, stream: int = 3, item: int = 0, deviation: float = 1.0) -> NDArray[np.float32]:
    out = np.empty(count, np.float32)
    normals(np.uint64(seed), stream, np.uint64(item), deviation, out)
    return out


# What it is made of


def generated(state: NDArray[np.uint32], steps: int) -> NDArray[np.uint32]:
    """The next words (steps, LANES) of lanes in the given states (4 LANES,)."""

    @numba.njit  # type: ignore[untyped-decorator]
    def run(lanes: Any, out: Any) -> None:
        s0, s1, s2, s3 = load_lanes(lanes)
        for k in range(steps):
            word, s0, s1, s2, s3 = xoshiro(s0, s1, s2, s3)
            store_words(word_pointer(out), LANES * k, word)

    words = np.empty(steps * LANES, np.uint32)
    run(state, words)
    return words.reshape(steps, LANES)


def test_the_generator_gives_the_known_answers() -> None:
    """xoshiro128plusplus.c of its authors, from the state 1, 2, 3, 4: in one lane, and the others not disturbed by it."""
    known = (641, 1573767, 3222811527, 3517856514, 836907274, 4247214768, 3867114732, 1355841295, 495546011, 621204420)
    for lane in (0, 7, LANES - 1):
        state = np.zeros((4, LANES), np.uint32)
        state[:, lane] = 1, 2, 3, 4
        words = generated(state.ravel(), len(known))
        assert tuple(words[:, lane].tolist()) == known
        assert not np.delete(words, lane, axis=1).any()


def literal(count: int, seed: int, stream: int, item: int) -> NDArray[np.float64]:
    """Philox's words as states, xoshiro128++ in 64-bit integers, Box and Muller with numpy's functions in double."""
    words = np.empty((4, LANES), np.uint32)
    philox(np.uint64(seed), stream, np.uint64(item), 0, words)
    s0, s1, s2, s3 = words.astype(np.uint64)
    low = np.uint64(0xFFFFFFFF)

    def rotated(x: Any, k: int) -> Any:
        return ((x << np.uint64(k)) | (x >> np.uint64(32 - k))) & low

    out: list[NDArray[np.float64]] = []
    while len(out) * LANES < count:
        pair = []
        for _ in range(2):
            pair.append(((rotated((s0 + s3) & low, 7) + s0) & low).astype(np.float64))
            t = (s1 << np.uint64(9)) & low
            s2, s3 = s2 ^ s0, s3 ^ s1
            s1, s0 = s1 ^ s2, s0 ^ s3
            s2, s3 = s2 ^ t, rotated(s3, 11)
        radius = np.sqrt(-2 * np.log((pair[0] + 0.5) / 2**32))
        left, rest = pair[1] >= 2**31, pair[1] % 2**31  # the last bit says which half plane, the others where in it
        angle = np.pi / 2 * np.where(rest >= 2**30, rest - 2**31, rest) / 2**30
        radius = np.where(left, -radius, radius)
        out += [radius * np.cos(angle), radius * np.sin(angle)]
    return np.concatenate(out)[:count]


@pytest.mark.parametrize(("seed", "stream", "item"), [(1, 3, 0), (2**64 - 1, 7, 2**40 + 5), (0, 1, 1)])
def test_known_lanes_and_transform_against_double_precision(seed: int, stream: int, item: int) -> None:
    """Single precision's rounding, and 2^-25 / r where u near one keeps 24 bits, r the length of the pair."""
    made = draw(1357, seed=seed, stream=stream, item=item)
    exact = literal(1376, seed, stream, item)
    pairs = exact.reshape(-1, 2, LANES)
    length = np.broadcast_to(np.hypot(pairs[:, :1], pairs[:, 1:]), pairs.shape).ravel()
    assert (np.abs(made - exact[: made.size]) < (1e-6 + 2.0**-25 / length)[: made.size]).all()


def test_a_million_numbers_against_double_precision() -> None:
    made, exact = draw(2**20, item=5), literal(2**20, 1, 3, 5)
    pairs = exact.reshape(-1, 2, LANES)
    length = np.broadcast_to(np.hypot(pairs[:, :1], pairs[:, 1:]), pairs.shape).ravel()
    error = np.abs(made - exact)
    assert (error < 1e-6 + 2.0**-25 / length).all()
    assert error.mean() < 1e-7


def test_the_polynomials_are_as_good_as_is_said() -> None:
    """Their coefficients as rounded, evaluated in double."""

    def polynomial(letter: str, x: NDArray[np.float64]) -> Any:
        return sum(float(getattr(module, f"_{letter}{k}")) * x**k for k in range(8 if letter == "L" else 5))

    z, t = np.linspace(math.sqrt(0.5) - 1, math.sqrt(2) - 1, 100_001), np.linspace(-1, 1, 100_001)
    assert np.abs(z * polynomial("L", z) + 2 * np.log1p(z)).max() < 8e-8
    assert np.abs(t * polynomial("S", t * t) - np.sin(np.pi / 2 * t)).max() < 5e-8
    assert np.abs(polynomial("C", t * t) - np.cos(np.pi / 2 * t)).max() < 9e-8


def test_the_transform_is_right_at_every_size() -> None:
    """The whole range of the radius by driving it with chosen words, and the angles at the ends of their quadrants."""
    rng = np.random.default_rng(1)
    ends = [2**k + d for k in range(33) for d in (-2, -1, 0, 1, 2)]
    first = np.array([w for w in ends if 0 <= w < 2**32] + rng.integers(0, 2**32, 50_000).tolist(), np.uint32)
    first = first[: first.size // LANES * LANES]
    single = np.empty(first.size, np.float32)

    @numba.njit  # type: ignore[untyped-decorator]
    def run(words: Any, out: Any) -> None:
        for k in range(0, out.shape[0], LANES):
            store(pointer(out), k, radius(load_words(word_pointer(words), k)))

    run(first, single)
    made = single.astype(np.float64)
    np.testing.assert_allclose(made, np.sqrt(-2 * np.log((first + 0.5) / 2**32)), rtol=2e-6, atol=4e-4)  # u near 1: 2^-24
    away = first < 2**31
    np.testing.assert_allclose(made[away], np.sqrt(-2 * np.log((first[away] + 0.5) / 2**32)), rtol=3e-7)
    assert made.max() == pytest.approx(LARGEST, rel=1e-7)
    assert made.min() >= 0
    assert not np.isnan(made).any()


def test_a_state_of_zeros_is_left() -> None:
    """The one state xoshiro never leaves, if Philox ever gave it: the lanes still move."""
    lanes = np.zeros(4 * LANES, np.uint32)
    out, rest = np.empty((2, BLOCK), np.float32)
    fill_normals(lanes, np.float32(1), 0, BLOCK, out, rest)
    assert not lanes.any()  # why seed_lanes looks for it
    seed_lanes(np.uint64(1), 3, np.uint64(0), lanes)
    assert (lanes.reshape(4, LANES).max(axis=0) > 0).all()


# One item, whatever is asked for


def test_normals_scale_and_do_not_depend_on_how_many_are_asked_for() -> None:
    long = draw(1100)
    for count in (1, 2, 3, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK):
        np.testing.assert_array_equal(draw(count), long[:count])
    np.testing.assert_allclose(draw(1000, deviation=2.5), 2.5 * long[:1000], rtol=3e-7)


@pytest.mark.parametrize("rows", [(7, 100), (3, 256), (5, 1000), (1, 1)])
def test_rows_are_filled_as_the_whole_is(rows: tuple[int, int]) -> None:
    out, lanes, rest = np.empty(rows, np.float32), np.empty(4 * LANES, np.uint32), np.empty(BLOCK, np.float32)
    seed_lanes(np.uint64(1), 3, np.uint64(0), lanes)
    done, flat, long = 0, out.reshape(-1), draw(out.size)
    for n in range(rows[0]):
        done = fill_normals(lanes, np.float32(1), done, (n + 1) * rows[1], flat, rest)
        assert (n + 1) * rows[1] <= done <= out.size
        np.testing.assert_array_equal(flat[:done], long[:done])


BITS = """
import hashlib, numpy as np
from isacblocks import OfdmRadar, Scene
from isacblocks.kernels.compressed_simulation import simulate_compressed
from isacblocks.kernels.delay_basis import delay_basis
from isacblocks.kernels.normals import normals
from isacblocks.kernels.simulation import draw_scene, draw_symbols, simulate_frames

def digest(*arrays):
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()

radar, scene, kappa = OfdmRadar(antennas=9, subcarriers=50), Scene(), np.exp(1j * np.arange(9))
noise = np.empty(3001, np.float32)
normals(np.uint64(5), 3, np.uint64(9), 1.5, noise)
truth, x = draw_scene(3, 0, 12, radar, scene), draw_symbols(3, 0, 12, radar)
place = truth.gamma, kappa, truth.theta, truth.tau, radar
drawn = simulate_compressed(truth, kappa, delay_basis(radar, *scene.delay_window(radar)), seed=3)
print(digest(noise), digest(truth.gamma, truth.theta), digest(x))
print(digest(simulate_frames(x, *place, seed=3)), digest(simulate_frames(x.astype(complex), *place, seed=3)))
print(digest(drawn.g), digest(drawn.energy))
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names processors of that kind")
def test_processors_with_narrower_registers_make_the_same_bits(tmp_path: Path) -> None:
    """As it is compiled for this machine, for one with AVX2, and for one that cannot even fuse a product with a sum.

    For the noise this holds on every machine, by what its operations are. For scenes, steering vectors and frames it takes
    the same sine, cosine and logarithm as well: the C library's, the same here in all three, not promised elsewhere.
    """
    found = set()
    for processor in ("", *(["haswell"] if WIDE else []), "x86-64"):  # without the first where this one is such
        cache = str(tmp_path / processor)
        chosen = {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": "", "ISACBLOCKS_CACHE": cache} if processor else {}
        found.add(python("-c", BITS, env=chosen).stdout)
    assert len(found) == 1, found


def test_the_bits_are_those_of_this_version() -> None:
    """A stored stream of seeds means the same frames tomorrow: a change of the noise must be meant."""
    digest = hashlib.sha256(draw(3001, seed=5, item=9, deviation=1.5).tobytes()).hexdigest()
    assert digest == "688464b624b6875110a0d95c777b3ba7faa345d210ec95831bbc8804235d9259"


# The law


@pytest.fixture(scope="module")
def sample() -> dict[str, Any]:
    """Of 2^27 numbers the counts beyond 1 to 5 deviations on either side; of an eighth of them power sums, a histogram."""
    from scipy import stats

    edges = stats.norm.ppf(np.arange(1, 256) / 256).astype(np.float32)
    total: dict[str, Any] = {"count": 0, "powers": np.zeros(8), "cells": np.zeros(256, int), "beyond": np.zeros((2, 5), int)}
    for item in range(128):
        values = draw(2**20, seed=7, item=item)
        total["count"] += values.size
        cell = np.searchsorted(edges, values[: 2**17])
        total["cells"] += np.bincount(cell, minlength=256)
        for k in range(1, 6):
            total["beyond"][0, k - 1] += np.count_nonzero(values > k)
            total["beyond"][1, k - 1] += np.count_nonzero(values < -k)
        power = np.ones(2**17)
        for k in range(8):
            power *= values[: 2**17]
            total["powers"][k] += power.sum()
    return total


def test_moments_are_those_of_the_normal_law(sample: dict[str, Any]) -> None:
    """E x^k up to the eighth within five of their own standard deviations: Var x^k = E x^2k - (E x^k)^2."""
    count = sample["count"] // 8
    expected = [math.prod(range(1, k, 2)) if k % 2 == 0 else 0 for k in range(17)]  # (k - 1)!!
    for k in range(1, 9):
        deviation = math.sqrt((expected[2 * k] - expected[k] ** 2) / count)
        assert abs(sample["powers"][k - 1] / count - expected[k]) < 5 * deviation, k


def test_the_tails_are_those_of_the_normal_law(sample: dict[str, Any]) -> None:
    """Counts beyond 1 ... 5 standard deviations, each side by itself, between the quantiles 1e-5 of the binomial law."""
    from scipy import stats

    for k in range(1, 6):
        share = stats.norm.sf(k)
        low, high = stats.binom.ppf([1e-5, 1 - 1e-5], sample["count"], share)
        assert low > 0
        for side in range(2):
            assert low <= sample["beyond"][side, k - 1] <= high, (k, side)


def test_equally_likely_cells_are_equally_full(sample: dict[str, Any]) -> None:
    cells = sample["cells"]
    expected = cells.sum() / 256
    chi_square = float(((cells - expected) ** 2 / expected).sum())
    assert abs(chi_square - 255) < 5 * math.sqrt(2 * 255)


def test_pairs_have_a_uniform_direction_whatever_their_length() -> None:
    from scipy import stats

    values = draw(2**21, seed=11).astype(np.float64).reshape(-1, 2, LANES)
    angle = np.arctan2(values[:, 1], values[:, 0]).ravel()
    square = (values**2).sum(axis=1).ravel()
    row = np.minimum((np.exp(-square / 2) * 16).astype(int), 15)
    column = np.minimum(((angle + np.pi) / (2 * np.pi) * 64).astype(int), 63)
    cells = np.bincount(row * 64 + column, minlength=1024)
    expected = cells.sum() / 1024
    assert abs(float(((cells - expected) ** 2 / expected).sum()) - 1023) < 5 * math.sqrt(2 * 1023)
    assert stats.kstest(square[:200_000], "expon", args=(0, 2)).pvalue > 1e-4


# Independence


def largest_correlation(columns: NDArray[Any]) -> float:
    """The largest |r| sqrt(n) over all pairs of columns (n, m)."""
    centred = columns - columns.mean(axis=0)
    centred /= np.sqrt((centred**2).mean(axis=0))
    r = centred.T @ centred / len(centred)
    np.fill_diagonal(r, 0)
    return float(np.abs(r).max() * math.sqrt(len(centred)))


@pytest.mark.parametrize("power", [1, 2])
def test_places_in_a_row_are_uncorrelated(power: int) -> None:
    """32 640 pairs of 256 places, each lane 16 times, over 16 384 rows: beyond 5.5 deviations one pair in 800 such tests."""
    blocks = draw(2**14 * PLACES, seed=3, item=5).reshape(-1, PLACES).astype(np.float64)
    assert largest_correlation(blocks**power) < 5.5


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("what", ["item", "stream", "seed"])
def test_what_neighbours_in_the_counter_begin_with_is_uncorrelated(what: str, power: int) -> None:
    """The first 256 numbers of 8192 items, streams and seeds in a row: place by place, and each with the next one's."""
    first = np.stack([draw(PLACES, **{what: 1000 + k}) for k in range(8192)]).astype(np.float64) ** power
    assert largest_correlation(first) < 5.5
    beside = np.concatenate([first[:-1], first[1:]], axis=1)
    assert largest_correlation(beside) < 5.8  # 130 816 pairs


@pytest.mark.parametrize("lag", [1, 2, LANES, BLOCK, BLOCK + 1, 2 * BLOCK, 128, 256, 512, 4096])
def test_neighbours_are_uncorrelated_and_so_are_their_squares(lag: int) -> None:
    values = draw(2**22, seed=9, item=2).astype(np.float64)
    for series in (values, values**2 - 1, np.sign(values) * (values**2)):
        r = float(np.mean(series[lag:] * series[:-lag]) / np.mean(series**2))
        assert abs(r) * math.sqrt(series.size - lag) < 4.5


def test_the_spectrum_is_flat_and_has_no_lines() -> None:
    """The periodogram of 2^20 complex numbers: exponential lines, no band of 1/256 above or below the others, along a frame
    and across its antennas."""
    noise = draw(2**21, seed=13, item=4).astype(np.float64).view(np.complex128)
    count = noise.size
    for power in (
        np.abs(np.fft.fft(noise)) ** 2 / (2 * count),
        np.abs(np.fft.fft2(noise.reshape(-1, 64, 256)).ravel()) ** 2 / (2 * 64 * 256),
    ):
        assert power.max() < math.log(count) + 7  # exceeded once in 1100 times
        bands = power.reshape(256, -1).mean(axis=1)
        assert np.abs(bands - 1).max() * math.sqrt(count / 256) < 5
        assert np.mean(power**2) == pytest.approx(2, abs=5 * math.sqrt(20 / count))  # E p^2 = 2, Var p^2 = 20


def test_single_bits_of_the_words_are_fair() -> None:
    """Each of the 32 bits of 2^20 words, and whether it agrees with the same bit of the lane's next word."""
    lanes = np.empty(4 * LANES, np.uint32)
    seed_lanes(np.uint64(21), 3, np.uint64(0), lanes)
    words = generated(lanes, 2**20 // LANES)
    for bit in range(32):
        ones = (words >> np.uint32(bit)) & np.uint32(1)
        assert abs(ones.mean() - 0.5) * 2 * math.sqrt(ones.size) < 4.5
        assert abs((ones[1:] == ones[:-1]).mean() - 0.5) * 2 * math.sqrt(ones.size) < 4.5
