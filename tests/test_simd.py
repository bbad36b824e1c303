"""Vectors of 16 floats and their tiles against numpy: compiled, in plain Python, for other registers.

Numbers are small integers where the order of a sum must not matter, so that results are exact and compared as such.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
import pytest
from numba import config
from numpy.typing import NDArray
from programs import python

from isacblocks.kernels import simd
from isacblocks.kernels.products import aligned, aligned_copy, product
from isacblocks.kernels.simd import LANES, load, pointer, store, tile

Floats = NDArray[np.float32]
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, 3e38, -3e38], np.float32)


F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    return cast(F, numba.njit(function))


def numbers(seed: int, count: int = LANES) -> Floats:
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32)


def integers(seed: int, count: int) -> Floats:
    return np.random.default_rng(seed).integers(-9, 10, count).astype(np.float32)


def called(operation: Any, *vectors: Floats) -> Floats:
    """A vector operation on arrays of 16."""
    if len(vectors) == 1:

        @compiled
        def run(a: Any, b: Any, c: Any, out: Any) -> None:
            store(pointer(out), 0, operation(load(pointer(a), 0)))

    elif len(vectors) == 2:

        @compiled
        def run(a: Any, b: Any, c: Any, out: Any) -> None:
            store(pointer(out), 0, operation(load(pointer(a), 0), load(pointer(b), 0)))

    else:

        @compiled
        def run(a: Any, b: Any, c: Any, out: Any) -> None:
            store(pointer(out), 0, operation(load(pointer(a), 0), load(pointer(b), 0), load(pointer(c), 0)))

    out = np.zeros(LANES, np.float32)
    x, y, z = (*vectors, *vectors[:1] * 2)[:3]
    run(x, y, z, out)
    return out


PAIRS: dict[str, Callable[[Floats, Floats], Any]] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "largest": lambda x, y: np.where(x > y, x, y),
    "reals": lambda x, y: np.concatenate([x, y])[0::2],
    "imaginaries": lambda x, y: np.concatenate([x, y])[1::2],
    "pairs_low": lambda x, y: np.stack([x, y], axis=1).ravel()[:LANES],
    "pairs_high": lambda x, y: np.stack([x, y], axis=1).ravel()[LANES:],
    "turns_low": lambda x, y: np.stack([x.reshape(-1, 2), y.reshape(-1, 2)], axis=1).ravel()[:LANES],
    "turns_high": lambda x, y: np.stack([x.reshape(-1, 2), y.reshape(-1, 2)], axis=1).ravel()[LANES:],
}


@pytest.mark.parametrize("name", PAIRS)
def test_operations_on_two_vectors(name: str) -> None:
    for x, y in ((numbers(1), numbers(2)), (np.tile(SPECIAL, 2), np.repeat(SPECIAL, 2))):
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(called(getattr(simd, name), x, y), PAIRS[name](x, y))


def test_operations_on_one_vector() -> None:
    x = np.concatenate([numbers(3, 8), SPECIAL])
    for name, expected in (
        ("negative", -x),
        ("backwards", x[::-1]),
        ("swapped", x.reshape(-1, 2)[:, ::-1].ravel()),
    ):
        found = called(getattr(simd, name), x)
        np.testing.assert_array_equal(found, expected)
        kept = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(found[kept]), np.signbit(expected[kept]))


def test_complex_orders_are_there_and_back() -> None:
    u, v = numbers(4), numbers(5)
    r, i = called(simd.reals, u, v), called(simd.imaginaries, u, v)
    np.testing.assert_array_equal(called(simd.pairs_low, r, i), u)
    np.testing.assert_array_equal(called(simd.pairs_high, r, i), v)


def test_the_fused_product_is_rounded_once() -> None:
    """Half a unit in the last place from the exact value, with terms that cancel; plain Python rounds twice."""
    for seed in range(10):
        x, y = numbers(3 * seed), numbers(3 * seed + 1)
        z = (-x * y * (1 + 1e-3 * numbers(3 * seed + 2))).astype(np.float32)
        found = called(simd.fused, x, y, z)
        for k in range(LANES):
            exact = Fraction(float(x[k])) * Fraction(float(y[k])) + Fraction(float(z[k]))
            unit = float(np.spacing(abs(x[k] * y[k])) if config.DISABLE_JIT else 0.5 * np.spacing(abs(found[k])))
            assert abs(Fraction(float(found[k])) - exact) <= Fraction(unit)


def test_totals_add_halves() -> None:
    @compiled
    def run(a: Any) -> Any:
        return simd.total(load(pointer(a), 0))

    for x in (numbers(6), integers(7, LANES)):
        expected = x
        while expected.size > 1:
            expected = expected[: expected.size // 2] + expected[expected.size // 2 :]
        assert run(x) == expected[0]


def test_any_lane_above() -> None:
    @compiled
    def run(a: Any, b: Any) -> Any:
        return simd.any_above(load(pointer(a), 0), load(pointer(b), 0))

    x = numbers(8)
    assert not run(x, x)
    for lane in range(LANES):
        y = x.copy()
        y[lane] = np.nextafter(x[lane], np.float32(-9.0))
        assert run(x, y)
        y[lane] = np.nan
        assert not run(x, y)


def test_places_in_memory() -> None:
    """Loads and stores at any element, a number in all lanes, and nothing beside a vector touched; lines may be asked for
    anywhere, also beyond the end."""

    @compiled
    def run(a: Any, at: Any, out: Any, to: Any) -> None:
        simd.prefetch(pointer(a), at)
        simd.prefetch(pointer(a), at + 10_000)
        store(pointer(out), to, load(pointer(a), at))
        store(pointer(out), to + LANES, simd.repeat(pointer(a), at))
        store(pointer(out), to + 2 * LANES, simd.spread(np.float32(2.5)))

    a = numbers(9, 64)
    for at in (0, 1, 7, 48):
        for to in (0, 3, 5):
            out = np.full(64, -1.0, np.float32)
            run(a, at, out, to)
            expected = np.full(64, -1.0, np.float32)
            expected[to : to + LANES] = a[at : at + LANES]
            expected[to + LANES : to + 2 * LANES] = a[at]
            expected[to + 2 * LANES : to + 3 * LANES] = 2.5
            np.testing.assert_array_equal(out, expected)


def matrix(flat: Floats, at: int, row: int, step: int, shape: tuple[int, int]) -> Floats:
    """The matrix that lies at `at` with these steps."""
    rows, columns = np.arange(shape[0])[:, None], np.arange(shape[1])
    return np.asarray(flat[at + row * rows + step * columns])


# (start, step from row to row, from k to k) of a; (start, step from k to k) of b; (start, step from row to row) of out
LAYOUTS = [((0, 17, 1), (0, 144), (0, 144)), ((5, 1, 41), (3, 147), (7, 150)), ((2, 37, 2), (16, 160), (1, 145))]


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 1), (6, 1), (16, 1), (1, 4), (2, 4), (6, 4), (5, 2)])
def test_tiles(rows: int, columns: int) -> None:
    one = tile(rows, columns)

    @compiled
    def run(a: Any, a_s: Any, b: Any, b_s: Any, depth: Any, out: Any, out_s: Any) -> None:
        one(pointer(a), a_s[0], a_s[1], a_s[2], pointer(b), b_s[0], b_s[1], depth, pointer(out), out_s[0], out_s[1])

    a, b = integers(10, 2000), integers(11, 4000)
    for a_s, b_s, out_s in LAYOUTS:
        for depth in (0, 1, 2, 17):
            out = np.full(8000, np.nan, np.float32)
            run(a, a_s, b, b_s, depth, out, out_s)
            expected = np.full(8000, np.nan, np.float32)
            sums = matrix(a, *a_s, (rows, depth)) @ matrix(b, *b_s, 1, (depth, LANES * columns))
            for r in range(rows):
                expected[out_s[0] + r * out_s[1] :][: LANES * columns] = sums[r]
            np.testing.assert_array_equal(out, expected)


@compiled
def multiplied(a: Any, a_s: Any, b: Any, b_s: Any, shape: Any, out: Any, out_s: Any) -> None:
    product(pointer(a), a_s[0], a_s[1], a_s[2], pointer(b), b_s[0], b_s[1], shape, pointer(out), out_s[0], out_s[1])


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 5, 6, 7, 9, 16, 19, 35])
@pytest.mark.parametrize("columns", [16, 48, 64, 80, 144])
def test_products_of_all_shapes(rows: int, columns: int) -> None:
    """Every row and column once, whatever tiles cover them, and nothing beside them."""
    a, b = integers(12, 2000), integers(13, 4000)
    for a_s, b_s, out_s in LAYOUTS:
        for depth in (0, 1, 13):
            out = np.full(8000, np.nan, np.float32)
            multiplied(a, a_s, b, b_s, (rows, depth, columns), out, out_s)
            expected = np.full(8000, np.nan, np.float32)
            sums = matrix(a, *a_s, (rows, depth)) @ matrix(b, *b_s, 1, (depth, columns))
            for r in range(rows):
                expected[out_s[0] + r * out_s[1] :][:columns] = sums[r]
            np.testing.assert_array_equal(out, expected)


def test_sums_are_chains_in_the_order_of_k() -> None:
    """One rounding a term, so that the bits do not depend on the shape of the tile: every row alone gives the same."""
    a, b = numbers(14, 19 * 23), numbers(15, 23 * 80)
    whole, alone = np.empty((19, 80), np.float32), np.empty((19, 80), np.float32)
    multiplied(a, (0, 23, 1), b, (0, 80), (19, 23, 80), whole.ravel(), (0, 80))
    for r in range(19):
        for c in range(0, 80, LANES):
            multiplied(a, (23 * r, 23, 1), b, (c, 80), (1, 23, LANES), alone.ravel(), (80 * r + c, 80))
    np.testing.assert_array_equal(whole, alone)
    exact = a.reshape(19, 23).astype(float) @ b.reshape(23, 80).astype(float)
    np.testing.assert_allclose(whole, exact, atol=3e-6)


def test_aligned_room_begins_with_a_cache_line() -> None:
    @compiled
    def place(a: Any) -> Any:
        return a.ctypes.data

    for count in (1, 2, 15, 16, 17, 1000, 4096):
        room = aligned(count)
        assert room.size == count
        assert room.dtype == np.float32
        assert place(room) % 64 == 0
    values = np.arange(30.0).reshape(5, 6)
    copy = aligned_copy(values)
    np.testing.assert_array_equal(copy, values)
    assert copy.ctypes.data % 64 == 0
    assert not copy.flags.writeable


# The same on other machines

HASWELL = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": ""}  # AVX2: eight floats a register, sixteen registers
PLAIN = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": ""}  # four floats a register, no fused product
on_x86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names processors of that kind")


def elsewhere(code: list[str], tmp_path: Path, name: str, **environment: str) -> None:
    python(*code, limit=900, env={**environment, "ISACBLOCKS_CACHE": str(tmp_path / name)})


HERE = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_simd.py", "-k", "not elsewhere"]


def test_elsewhere_plain_python(tmp_path: Path) -> None:
    """All tests above without the compiler."""
    elsewhere(HERE, tmp_path, "python", NUMBA_DISABLE_JIT="1")


@on_x86
@pytest.mark.slow
@pytest.mark.parametrize("machine", [HASWELL, PLAIN], ids=["haswell", "x86-64"])
def test_elsewhere_other_registers(machine: dict[str, str], tmp_path: Path) -> None:
    """All tests above for other registers: other tiles, no fused product."""
    if machine is HASWELL and not simd.WIDE:
        pytest.skip("this machine's registers are of that width: all tests above have run with them")
    elsewhere(HERE, tmp_path, "other", **machine)


SEARCH = """
import sys
import numpy as np
from isacblocks import OfdmRadar, angle_delay_map, find_peak
from isacblocks.kernels import simd
from isacblocks.kernels.compression import compress
from isacblocks.kernels.delay_basis import delay_basis
from isacblocks.kernels.search import search_basis

def frames(radar, count, seed):
    rng = np.random.default_rng(seed)
    shape = count, radar.antennas, radar.subcarriers
    x = np.exp(1j * np.pi / 4 * (2 * rng.integers(0, 4, (count, radar.subcarriers)) + 1)).astype(np.complex64)
    y = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)
    kappa = np.exp(1j * rng.uniform(-1.5, 1.5, radar.antennas))
    theta, tau = np.linspace(-0.1, 0.25, points), np.linspace(0.02, 0.07, points) / radar.subcarrier_spacing
    assert search_basis(radar, y.dtype, tau[None]) is not None
    return y, x, kappa, theta, tau, radar

points, found = int(sys.argv[2]), {"wide": simd.WIDE}
for antennas, subcarriers in ((9, 67), (64, 256))[: int(sys.argv[3])]:
    given = frames(OfdmRadar(antennas, subcarriers), 3, antennas)
    made = compress(given[0], given[1], delay_basis(given[5], given[4][0], given[4][-1]))
    found |= {f"g{antennas}": made.g, f"energy{antennas}": made.energy, f"map{antennas}": angle_delay_map(*given)}
    for refine in (False, True):
        peaks = find_peak(*given, refine=refine)
        kinds = ("index", "theta", "tau", "snapshot", "statistic")
        found |= {f"{kind}{antennas}{refine}": getattr(peaks, kind) for kind in kinds}
np.savez(sys.argv[1], **found)
"""


def searched(tmp_path: Path, name: str, points: int, radars: int, **environment: str) -> dict[str, Any]:
    path = tmp_path / f"{name}.npz"
    code = ["-c", SEARCH, str(path), str(points), str(radars)]
    if environment:
        elsewhere(code, tmp_path, name, **environment)
    else:  # here, where the kernels have been compiled for other tests
        python(*code, limit=900)
    with np.load(path) as file:
        return dict(file)


def assert_alike(found: dict[str, Any], here: dict[str, Any]) -> None:
    """To single precision's rounding: of the largest, grid points exactly, refined places by themselves."""
    for key, value in here.items():
        if key.startswith("index"):
            np.testing.assert_array_equal(found[key], value)
        elif not key.startswith("wide"):
            assert np.abs(found[key] - value).max() <= 1e-6 * np.abs(value).max() * (3 if "True" in key else 1), key


@on_x86
@pytest.mark.slow
def test_elsewhere_the_search(tmp_path: Path) -> None:
    """What is written with vectors is chains of fused products in one order: the same bits with registers of half the width,
    and, where the library computes fused products, without any of the machine's own. The numbers left over beside whole
    vectors and what is in double precision are the compiler's to fuse or not: those only to rounding."""
    here, plain = searched(tmp_path, "here", 40, 2), searched(tmp_path, "plain", 40, 2, **PLAIN)
    same: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [("plain", plain, ("g64", "energy64"))]
    if here["wide"]:  # else this machine is as that one
        same.append(("haswell", searched(tmp_path, "haswell", 40, 2, **HASWELL), ("g64", "energy64", "map64")))
    for name, found, keys in same:
        assert not found["wide"]
        for key in keys:
            np.testing.assert_array_equal(found[key], here[key], err_msg=f"{name}: {key}")
        assert_alike(found, here)


def test_elsewhere_the_search_in_plain_python(tmp_path: Path) -> None:
    here = searched(tmp_path, "here", 8, 1)
    assert_alike(searched(tmp_path, "python", 8, 1, NUMBA_DISABLE_JIT="1"), here)
