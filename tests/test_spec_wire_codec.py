"""Layouts, the bytes of a message, the bytes of a value: round trips, and no surprise from anything else."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isacblocks import OfdmRadar
from isacblocks.stream import Field, Items, Layout, Record, StreamError, WireError, WiringError, codec, wire
from isacblocks.stream.offer import mismatch
from isacblocks.stream.spec import resolve

RECORD = Record(
    "thing",
    (
        Field("a", "complex64", ("N",), "V"),
        Field("d", "complex64", ("L",)),  # a buffer of its own from two items on
        Field("b", "uint8"),
        Field("c", "float64", ("N", "M")),
    ),
)
SIZES = {"N": 3, "M": 2, "L": 2100}
LAYOUT = resolve(RECORD, SIZES, "test")


def thing(count: int, seed: int = 0) -> Items:
    rng = np.random.default_rng(seed)
    fields: dict[str, Any] = {
        "a": (rng.standard_normal((count, 3)) + 1j).astype(np.complex64),
        "d": rng.standard_normal((count, 2100)).astype(np.complex64),
        "b": rng.integers(0, 255, count).astype(np.uint8),
        "c": rng.standard_normal((count, 3, 2)),
    }
    return Items(LAYOUT, fields, count, first=10, message=4, sent=1.5)


def parts_of(items: Items) -> list[bytes]:
    return [bytes(part) for part in wire.encode(items, epoch=7, serial=3)]


def read(parts: list[bytes]) -> Items:
    return wire.decode(wire.unpack(parts[0]), parts, LAYOUT)


def test_a_layout_is_its_descriptor() -> None:
    again = msgspec.json.decode(LAYOUT.descriptor, type=Layout)
    assert again == LAYOUT
    assert again.stream_id == LAYOUT.stream_id
    assert LAYOUT.item_bytes == 3 * 8 + 2100 * 8 + 1 + 6 * 8
    other = resolve(RECORD, SIZES | {"N": 4}, "test")
    assert other.stream_id != LAYOUT.stream_id
    assert LAYOUT.by_name["a"].describe() == "complex64 (N=3) [V]"


def test_what_does_not_fit_is_named() -> None:
    smaller = resolve(Record("part", RECORD.fields[:3]), SIZES, "test")
    assert mismatch(LAYOUT, smaller) is None
    assert "field c: expected float64 (N=3, M=2), got no such field" in str(mismatch(smaller, LAYOUT))
    other = resolve(RECORD, SIZES | {"N": 4}, "test")
    assert mismatch(LAYOUT, other) == "field a: expected complex64 (N=4) [V], got complex64 (N=3) [V]"
    in_metres = resolve(Record("thing", (Field("b", "uint8", unit="m"),)), {}, "test")
    assert "[m]" in str(mismatch(LAYOUT, in_metres))


@pytest.mark.parametrize(
    ("field", "word"),
    [
        (Field("a", "object"), "dtype"),
        (Field("a", "float64", ("K",)), "dimension K"),
        (Field("first", "uint8"), "named 'first'"),
    ],
)
def test_records_that_cannot_be(field: Field, word: str) -> None:
    with pytest.raises(WiringError, match=word):
        resolve(Record("bad", (field,)), {"N": 1}, "some.port")


@given(count=st.integers(0, 9), seed=st.integers(0, 99))
def test_items_survive_the_wire(count: int, seed: int) -> None:
    sent = thing(count, seed)
    parts = parts_of(sent)
    small = count * (3 * 8 + 6 * 8) + -(-count // 8) * 8 + (2100 * 8 if count == 1 else 0)
    assert [len(part) for part in parts] == [wire.HEADER_BYTES + small] + ([count * 2100 * 8] if count > 1 else [])
    assert wire.HEADER_BYTES == 72
    got = read(parts)
    assert (got.count, got.first, got.message, got.sent, got.final) == (count, 10, 4, 1.5, False)
    for name, array in sent.fields.items():
        np.testing.assert_array_equal(getattr(got, name), array)
        assert count == 0 or not getattr(got, name).flags.writeable
    with pytest.raises(AttributeError, match="no field nothing"):
        _ = got.nothing


def test_unaligned_buffers_are_read_correctly() -> None:
    parts: list[Any] = parts_of(thing(5))
    raw = bytearray(b"x" + parts[1])
    parts[1] = memoryview(raw)[1:]
    assert read(parts).d.flags.aligned
    np.testing.assert_array_equal(read(parts).d, thing(5).d)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda p: [p[0][:71], *p[1:]], "length"),
        (lambda p: [b"GNUR" + p[0][4:], *p[1:]], "magic"),
        (lambda p: [p[0][:4] + b"\x09" + p[0][5:], *p[1:]], "version"),
        (lambda p: [p[0][:4] + b"\x01" + p[0][5:], *p[1:]], "version"),
        (lambda p: [p[0][:40] + b"\xff" + p[0][41:], *p[1:]], "checksum"),
        (lambda p: p[:1], "parts"),
        (lambda p: [*p, b"more"], "parts"),
        (lambda p: [p[0] + b"x", p[1]], "size"),
        (lambda p: [p[0][:-8], p[1]], "size"),
        (lambda p: [p[0], p[1] + b"x"], "size"),
        (lambda p: [p[0], p[1][:-8]], "size"),
    ],
)
def test_broken_messages_are_refused_with_their_reason(change: Any, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        read(change(parts_of(thing(2))))
    assert caught.value.reason == reason


def header(**values: Any) -> bytes:
    base = {"kind": wire.DATA, "flags": 0, "stream": LAYOUT.stream_id, "epoch": 0, "serial": 0, "message": 0, "first": 0}
    return wire.pack(wire.Header(**{**base, "count": 0, "fields": 0, "time": 0.0, **values}))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"stream": 1}, "stream"),
        ({"count": 1 << 31, "fields": 1}, "count"),
        ({"count": 2, "fields": 99}, "parts"),
        ({"count": 0, "fields": 1}, "parts"),
        ({"count": 1000, "fields": 2}, "size"),
        ({"count": 0, "fields": 0, "body": 8}, "size"),
    ],
)
def test_false_claims_are_refused_before_anything_is_allocated(values: dict[str, int], reason: str) -> None:
    head = header(**values)
    with pytest.raises(WireError) as caught:
        wire.decode(wire.unpack(head), [head, b"", b"", b""][: 1 + values.get("fields", 0)], LAYOUT)
    assert caught.value.reason == reason
    with pytest.raises(WireError, match="kind"):
        wire.unpack(header(kind=77))


@settings(max_examples=300)
@given(data=st.data())
def test_nothing_but_a_wire_error_comes_from_bytes_that_were_changed(data: st.DataObject) -> None:
    parts = parts_of(thing(3))
    for _ in range(data.draw(st.integers(1, 4))):
        k = data.draw(st.integers(0, len(parts) - 1))
        part = bytearray(parts[k])
        what = data.draw(st.sampled_from(["flip", "cut", "grow", "noise"]))
        if what == "flip" and part:
            part[data.draw(st.integers(0, len(part) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        elif what == "cut":
            part = part[: data.draw(st.integers(0, len(part)))]
        elif what == "grow":
            part += data.draw(st.binary(max_size=20))
        else:
            part = bytearray(data.draw(st.binary(max_size=80)))
        parts[k] = bytes(part)
    try:
        got = read(parts)
    except WireError:
        return
    assert got.count == 3  # only values within the buffers can have changed


@settings(max_examples=300)
@given(parts=st.lists(st.binary(max_size=100), min_size=1, max_size=6))
def test_nothing_but_a_wire_error_comes_from_noise(parts: list[bytes]) -> None:
    with pytest.raises(WireError):
        read(parts)


# Values

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(value=values)
def test_plain_values_survive(value: Any) -> None:
    assert codec.decode(codec.encode(value)) == value


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64", "complex64", "complex128"])
def test_arrays_survive(dtype: str) -> None:
    array = np.arange(12).reshape(3, 4).astype(dtype)
    back = codec.decode(codec.encode({"x": [array, array[:0], np.float64(2.5), 1 - 2j, math.inf]}))["x"]
    assert back[0].dtype == dtype
    np.testing.assert_array_equal(back[0], array)
    assert back[0].flags.writeable
    assert back[1].shape == (0, 4)
    assert back[2:] == [2.5, 1 - 2j, math.inf]


@dataclass(frozen=True)
class Nested:
    radar: OfdmRadar
    pair: tuple[int, int]


def test_dataclasses_survive_only_where_they_are_trusted() -> None:
    value = [Nested(OfdmRadar(antennas=8), (1, 2)), {"radar": OfdmRadar(element_positions=None)}]
    data = codec.encode(value)
    assert codec.decode(data, trusted=True) == value
    with pytest.raises(StreamError, match="extension"):
        codec.decode(data)


def test_what_cannot_be_encoded_is_named() -> None:
    for value in (object(), lambda: 1, {"x": {1, 2}}, np.array(["a"]), np.array([object()])):
        with pytest.raises(StreamError):
            codec.encode(value)


@settings(max_examples=300)
@given(data=st.binary(max_size=200))
def test_nothing_but_a_stream_error_comes_from_noise(data: bytes) -> None:
    with contextlib.suppress(StreamError):
        codec.decode(data)


@settings(max_examples=200)
@given(where=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_nothing_but_a_stream_error_comes_from_a_flipped_bit(where: int, bit: int) -> None:
    data = bytearray(codec.encode({"a": np.arange(6.0), "b": [1, 2j, "x"]}))
    data[where % len(data)] ^= 1 << bit
    with contextlib.suppress(StreamError):
        codec.decode(bytes(data))
