"""PMTs and tag headers: what GNU Radio wrote is read and written again bit for bit; nothing else gets through."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from isacblocks.frontends.gnuradio import pmt, wire
from isacblocks.frontends.gnuradio.pdu import make_pdus
from isacblocks.frontends.gnuradio.pmt import Pair, PmtError, UInt64, Vector
from isacblocks.frontends.gnuradio.wire import MessageError, Tag

CAPTURES = ROOT.parent / "shared" / "gnuradio"
VALUES = np.array([1 + 2j, 3 + 4j, 5 + 6j, 7 + 8j], np.complex64)
TWO_TAGS = [Tag(1, "freq", 2.4e9, "src"), Tag(3, "n", 7, "src")]


def captured(name: str) -> bytes:
    path = CAPTURES / f"{name}.bin"
    if not path.exists():
        pytest.skip(
            "the messages captured from GNU Radio (../shared/gnuradio) are not here; they are not part of the project"
        )
    return path.read_bytes()


EXPECTED: dict[str, Any] = {
    "bool_t": True,
    "bool_f": False,
    "nil": None,
    "sym": "héllo",
    "long_small": -2,
    "long_big": 1 << 40,
    "u64": 9223372036854775809,
    "dbl": 1.5,
    "cplx": 1.5 - 2.5j,
    "pair": Pair("a", 1),
    "dict": {"k": 1},
    "emptydict": None,
    "tuple": (UInt64(1700000000), 0.25),
    "list": [1, 2],
    "vec": Vector([5, 5]),
    "u8v": np.array([1, 2, 3], np.uint8),
    "s16v": np.array([1, -1], np.int16),
    "f32v": np.array([1, 2], np.float32),
    "f64v": np.array([1.0]),
    "c32v": np.array([1 + 2j, 3 + 4j], np.complex64),
    "c64v": np.array([1 + 2j]),
    "u64v": np.array([5], np.uint64),
    "s32v": np.array([-3], np.int32),
}


def same(left: Any, right: Any) -> bool:
    if isinstance(left, np.ndarray):
        return type(right) is np.ndarray and left.dtype == right.dtype and left.tobytes() == right.tobytes()
    if isinstance(left, float) and math.isnan(left):
        return isinstance(right, float) and math.isnan(right)
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def test_every_pmt_that_gnu_radio_wrote() -> None:
    path = CAPTURES / "pmt_serialized.json"
    if not path.exists():
        pytest.skip("the values captured from GNU Radio (../shared/gnuradio) are not here; they are not part of the project")
    written = {name: bytes.fromhex(one["hex"]) for name, one in json.loads(path.read_text()).items()}
    assert written.keys() == EXPECTED.keys()
    for name, data in written.items():
        value = pmt.decode(data)
        assert pmt.encode(value) == data, name
        expected = UInt64(EXPECTED[name]) if name == "u64" else EXPECTED[name]
        assert same(expected, value), name


_plain = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.complex_numbers(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=20)
    | st.integers(0, 2**64 - 1).map(UInt64)
)
_arrays = st.sampled_from(pmt._UNIFORM).flatmap(
    lambda name: st.binary(max_size=5).map(lambda b: np.frombuffer(b * np.dtype(name).itemsize, np.dtype(name)))
)
_anything = st.recursive(
    _plain | _arrays,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=4)
        | st.lists(inner, max_size=4).map(Vector)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text("abc", max_size=4), inner, min_size=1, max_size=4)
        | st.tuples(inner, _arrays).map(lambda pair: Pair(*pair))
    ),
    max_leaves=12,
)


@given(_anything)
def test_what_is_written_is_read(value: Any) -> None:
    data = pmt.encode(value)
    again = pmt.decode(data)
    assert same(value, again)
    assert pmt.encode(again) == data


@given(_anything, st.data())
def test_a_value_that_ends_early_or_goes_on_is_refused(value: Any, data: st.DataObject) -> None:
    written = pmt.encode(value)
    with pytest.raises(PmtError):
        pmt.decode(written[: data.draw(st.integers(0, len(written) - 1))])
    with pytest.raises(PmtError, match="behind the end"):
        pmt.decode(written + b"\x06")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_an_error_that_has_a_name(data: bytes) -> None:
    try:
        value = pmt.decode(data)
    except PmtError:
        return
    assert same(value, pmt.decode(pmt.encode(value))) or value == {}


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a\x0b\xff\xff\xff\xff\x01\0",  # 64 GiB of numbers
        b"\x08\xff\xff\xff\xff",  # four thousand million values
        b"\x0c\x00\x10\x00\x00" + b"\x06" * 100,
        b"\x08\0\0\0\1" * 100 + b"\x06",  # a hundred levels
        b"\x07\x06" * 100 + b"\x03\0\0\0\1",  # a chain that is no list
        b"\x09\x07\x0a\0\0\0\0\0\1\0\x06\x06",  # an array as key
        b"\x02\0\1\xff",
        b"\x0f",
    ],
)
def test_hostile_values_cost_nothing(data: bytes) -> None:
    import tracemalloc

    tracemalloc.start()
    with pytest.raises(PmtError):
        pmt.decode(data)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_long_list_does_not_nest() -> None:
    numbers = list(range(10_000))
    assert pmt.decode(pmt.encode(numbers)) == numbers


@pytest.mark.parametrize("value", [object(), 2**64, "x" * 70000, np.zeros((2, 2)), np.array(["a"])])
def test_what_has_no_pmt_is_refused(value: Any) -> None:
    with pytest.raises(PmtError):
        pmt.encode(value)


def test_a_list_within_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(PmtError, match="part of itself"):
        pmt.encode(endless)


# Tag headers


@pytest.mark.parametrize(
    ("name", "offset", "tags", "items"),
    [
        ("push_tags_none.part0", 0, [], VALUES),
        ("push_tags_two.part0", 0, TWO_TAGS, VALUES),
        ("pub_key_tags.part1", 0, TWO_TAGS, VALUES),
        ("push_vlen2_tags.part0", 0, [Tag(1, "frame", UInt64(41), "src")], VALUES),
        ("rep_req2.part0", 0, [Tag(1, "freq", 2.4e9, "src")], VALUES[:2]),
        ("rep_req2.next0.part0", 2, [Tag(3, "n", 7, "src")], VALUES[2:]),
    ],
)
def test_headers_that_gnu_radio_wrote(name: str, offset: int, tags: list[Tag], items: np.ndarray[Any, Any]) -> None:
    data = captured(name)
    first, found, position = wire.unpack(data)
    assert (first, found) == (offset, tags)
    assert data[position:] == items.tobytes()
    assert wire.pack(first, found) + items.tobytes() == data


@pytest.mark.parametrize("name", ["push_notags.part0", "pub_notags.part0", "pub_key.part1", "rep_notags_req2.part0"])
def test_messages_without_a_header_are_seen_to_have_none(name: str) -> None:
    data = captured(name)
    assert not wire.has_header(data)
    with pytest.raises(MessageError, match="pass_tags" if len(data) > 18 else "expected a tag header"):
        wire.unpack(data)


def test_messages_and_requests_that_gnu_radio_wrote() -> None:
    pdu = pmt.decode(captured("msg_push_pdu.part0"))
    assert pdu.car == {"seq": 1}
    np.testing.assert_array_equal(pdu.cdr, VALUES[:2])
    assert pmt.encode(pdu) == captured("msg_push_pdu.part0")
    assert pmt.decode(captured("msg_pub_sym.part0")) == pmt.decode(captured("msg_rep_sym.part0")) == "hello"
    assert struct.unpack("<I", captured("req_request.part0")) == (4096,)
    assert captured("rep_notags_req2.next0.part0") == VALUES[2:].tobytes()
    assert captured("rep_notags_req2.next1.part0") == b""  # there was nothing left


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "short"),
        (wire.pack(0)[:18], "short"),
        (b"\0" * 40, "magic"),
        (struct.pack("<HBQQ", 0x5FF0, 2, 0, 0), "version"),
        (struct.pack("<HBQQ", 0x5FF0, 1, 1 << 62, 0), "offset"),
        (struct.pack("<HBQQ", 0x5FF0, 1, 0, 1 << 40) + b"\x06" * 99, "tags"),
        (struct.pack("<HBQQ", 0x5FF0, 1, 0, 9) + b"\x06" * 88, "tags"),
        (wire.pack(0, TWO_TAGS)[:-1], "tags"),
    ],
)
def test_broken_headers_are_named(data: bytes, reason: str) -> None:
    with pytest.raises(MessageError) as caught:
        wire.unpack(data)
    assert caught.value.reason == reason


@given(st.binary(max_size=100))
def test_any_bytes_behind_a_header_are_tags_or_an_error(data: bytes) -> None:
    try:
        _, tags, position = wire.unpack(struct.pack("<HBQQ", 0x5FF0, 1, 5, 1) + data)
    except MessageError:
        return
    assert len(tags) == 1
    assert position <= 19 + len(data)


def test_captures_are_all_accounted_for() -> None:
    if not CAPTURES.exists():
        pytest.skip(
            "the messages captured from GNU Radio (../shared/gnuradio) are not here; they are not part of the project"
        )
    known = Path(__file__).read_text()
    for path in CAPTURES.glob("*.part0.bin"):
        name = path.name.removesuffix(".bin")
        assert name.removesuffix(".part0") in known, name


_DTYPES = sorted({np.dtype(name) for name in "?bBhHiIqQfdFD"}, key=str)


@pytest.mark.parametrize("vector", [False, True])
@pytest.mark.parametrize("count", [0, 1, 7])
@pytest.mark.parametrize("large", [0, 1, 7])
def test_messages_that_are_written_together_are_what_each_of_them_is(count: int, large: int, vector: bool) -> None:
    """Fields of every dtype, as numbers and arrays, of which the first `large` integers of 64 bits need more than 32."""
    rng = np.random.default_rng(3)
    told = {"none": np.zeros((count, 0), np.float32)}
    for dtype in _DTYPES:
        told[f"n{dtype}"] = (100 * rng.random(count)).astype(dtype)
        if dtype != np.bool_:
            told[f"a{dtype}"] = (100 * rng.random((count, 2, 3))).astype(dtype)
    for name, most in (("nuint32", 2**32 - 1), ("nint64", -(2**63)), ("nuint64", 2**64 - 1)):
        told[name][:large] = most
    told["nfloat64"][:1] = np.nan
    samples = rng.random((count, 2, 4)).astype(np.float32) if vector else None
    messages = make_pdus(2**40, count, told, samples)
    assert len(messages) == count
    for k, message in enumerate(messages):
        entries: dict[str, Any] = {"sequence": UInt64(2**40 + k)}
        for name, values in told.items():
            entries[name] = values[k].reshape(-1) if values.ndim > 1 else values[k].item()
        assert message == pmt.encode(entries if samples is None else Pair(entries, samples[k].reshape(-1)))


def test_a_message_of_no_fields_tells_its_number() -> None:
    assert [pmt.decode(one) for one in make_pdus(5, 2, {})] == [{"sequence": 5}, {"sequence": 6}]
