"""GNU Radio's polymorphic types (PMT) as bytes: what its tags and messages are made of. Big-endian, one byte of kind first.

    encode({"freq": 2.4e9})    decode(b"\\x02\\x00\\x05hello")

===========================  ===============================================================
Python                       PMT
===========================  ===============================================================
bool, None, str              true or false, nil, symbol (at most 65535 bytes of UTF-8)
int                          int32 where it fits, else int64, else uint64
UInt64                       uint64
float, complex               double, complex
Pair(a, b)                   pair; a list [a, b, ...] is pairs that end with nil
dict                         dictionary; an empty one is nil in PMT and comes back as None
Vector, tuple                vector of any values, tuple
numpy array (n,)             uniform vector of its dtype
===========================  ===============================================================

Nothing is allocated for what a length claims before the bytes are seen to be there; nesting is bounded. Kinds that need code
to be read (blobs of Python, say) do not exist here. Format: gnuradio-runtime/lib/pmt/pmt_serialize.cc of GNU Radio 3.10,
learned from values that it wrote.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

DEEPEST = 32  # levels of nesting; tags and PDUs have three or four
_KINDS: tuple[str, ...] = (
    *("true", "false", "symbol", "int32", "double", "complex", "nil", "pair", "vector", "dict", "uniform", "uint64"),
    *("tuple", "int64"),
)
_CODE = {name: code for code, name in enumerate(_KINDS)}
_UNIFORM = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "c8", "c16")
_SUBTYPE = {np.dtype(name): code for code, name in enumerate(_UNIFORM)}
_NUMBERS = {"int32": ">i", "int64": ">q", "uint64": ">Q", "double": ">d", "complex": ">dd"}
_UNPACK = {_CODE[name]: struct.Struct(form) for name, form in _NUMBERS.items()}
_LENGTH = struct.Struct(">I")
_SYMBOL = struct.Struct(">H")
_NIL = bytes([_CODE["nil"]])


class PmtError(ValueError):
    """Bytes that are not a PMT of this subset, or a value that has none; the message says which and where."""


class Pair(NamedTuple):
    """A pair whose second value is no list: (meta . data) of a PDU."""

    car: Any
    cdr: Any


class Vector(list[Any]):
    """A vector of any values, to tell it from a list."""


class UInt64(int):
    """An integer that is written as uint64 even where it is small."""


def encode(value: Any) -> bytes:
    """The bytes of a value. Raises PmtError where PMT has nothing for it."""
    parts: list[bytes] = []
    _encode(value, parts, 0)
    return b"".join(parts)


def _encode(value: Any, parts: list[bytes], depth: int) -> None:
    if depth > DEEPEST:
        raise PmtError(f"nested deeper than {DEEPEST} levels; is it part of itself?")
    if isinstance(value, dict):
        for key, one in value.items():
            parts.append(bytes([_CODE["dict"], _CODE["pair"]]))
            _encode(key, parts, depth + 1)
            _encode(one, parts, depth + 1)
        parts.append(_NIL)
    elif isinstance(value, Pair):
        parts.append(bytes([_CODE["pair"]]))
        _encode(value.car, parts, depth + 1)
        _encode(value.cdr, parts, depth + 1)
    elif isinstance(value, tuple | Vector):
        parts.append(bytes([_CODE["vector" if isinstance(value, Vector) else "tuple"]]) + _LENGTH.pack(len(value)))
        for one in value:
            _encode(one, parts, depth + 1)
    elif isinstance(value, list):
        for one in value:
            parts.append(bytes([_CODE["pair"]]))
            _encode(one, parts, depth + 1)
        parts.append(_NIL)
    else:
        parts.append(_encode_plain(value))


def _encode_plain(value: Any) -> bytes:
    if value is None or isinstance(value, bool | np.bool_):
        return bytes([_CODE["nil" if value is None else "true" if value else "false"]])
    if isinstance(value, str):
        text = value.encode()
        if len(text) > 0xFFFF:
            raise PmtError(f"a symbol has at most 65535 bytes, got {len(text)}")
        return bytes([_CODE["symbol"]]) + _SYMBOL.pack(len(text)) + text
    if isinstance(value, np.ndarray) and value.ndim:
        return _encode_array(value)
    number = value.item() if isinstance(value, np.ndarray | np.generic) else value
    if isinstance(number, int):
        return _encode_int(number)
    if isinstance(number, float | complex):
        parts = (number,) if isinstance(number, float) else (number.real, number.imag)
        return bytes([_CODE["double" if len(parts) == 1 else "complex"]]) + struct.pack(f">{len(parts)}d", *parts)
    raise PmtError(f"there is no PMT for a {type(value).__name__}; the types that have one are listed in pmt.py")


def _encode_int(value: int) -> bytes:
    if not isinstance(value, UInt64):
        if -(2**31) <= value < 2**31:
            return bytes([_CODE["int32"]]) + struct.pack(">i", value)
        if -(2**63) <= value < 2**63:
            return bytes([_CODE["int64"]]) + struct.pack(">q", value)
    if not 0 <= value < 2**64:
        raise PmtError(f"an integer must fit 64 bits, got {value}")
    return bytes([_CODE["uint64"]]) + struct.pack(">Q", value)


def _encode_array(array: np.ndarray[Any, Any]) -> bytes:
    dtype = array.dtype.newbyteorder("=")
    if dtype not in _SUBTYPE or array.ndim != 1:
        raise PmtError(
            f"a uniform vector has one dimension and a dtype of {', '.join(_UNIFORM)}; got {array.dtype} {array.shape}"
        )
    head = bytes([_CODE["uniform"], _SUBTYPE[dtype]]) + _LENGTH.pack(array.size)
    return head + b"\x01\0" + array.astype(dtype.newbyteorder(">")).tobytes()


def decode(data: bytes | memoryview) -> Any:
    """The one value that `data` is. Raises PmtError for anything else."""
    reader = Reader(data)
    value = reader.value()
    if reader.position != len(reader.data):
        raise PmtError(f"{len(reader.data) - reader.position} bytes behind the end of the value")
    return value


def _as_it_is(number: float) -> float:
    return number


_NUMBER: dict[int, Callable[..., Any]] = {_CODE["complex"]: complex, _CODE["uint64"]: UInt64}
_CONSTANTS = {"true": True, "false": False, "nil": None}


class Reader:
    """Takes values, one after the other, from `data`, beginning at `position`."""

    def __init__(self, data: bytes | memoryview, position: int = 0) -> None:
        self.data = memoryview(data)
        self.position = position

    def value(self, depth: int = 0) -> Any:
        """The next value. Raises PmtError."""
        if depth > DEEPEST:
            raise PmtError(f"nested deeper than {DEEPEST} levels at byte {self.position}")
        code = self.take(1)[0]
        if code in _UNPACK:
            numbers = _UNPACK[code].unpack(self.take(_UNPACK[code].size))
            return _NUMBER.get(code, _as_it_is)(*numbers)
        name = _KINDS[code] if code < len(_KINDS) else ""
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        if name in ("symbol", "uniform"):
            return self._symbol() if name == "symbol" else self._uniform()
        if name in ("pair", "dict"):
            return self._pairs(depth) if name == "pair" else self._dict(depth)
        if name in ("vector", "tuple"):
            return (Vector if name == "vector" else tuple)(self._values(depth))
        raise PmtError(f"unknown kind {code:#04x} at byte {self.position - 1}")

    def take(self, size: int) -> memoryview:
        """The next bytes. Raises PmtError where there are not so many."""
        end = self.position + size
        if end > len(self.data):
            raise PmtError(f"ends at byte {len(self.data)}, inside a value that needs {end}")
        part = self.data[self.position : end]
        self.position = end
        return part

    def _symbol(self) -> str:
        (size,) = _SYMBOL.unpack(self.take(2))
        try:
            return str(self.take(size), "utf-8")
        except UnicodeDecodeError as error:
            raise PmtError(f"a symbol that is not UTF-8 before byte {self.position}: {error.reason}") from error

    def _values(self, depth: int) -> Iterator[Any]:
        (count,) = _LENGTH.unpack(self.take(4))
        if count > len(self.data) - self.position:  # a value has a byte at least
            raise PmtError(f"{count} values claimed in {len(self.data) - self.position} bytes")
        for _ in range(count):
            yield self.value(depth + 1)

    def _pairs(self, depth: int) -> Any:
        """A list, however long, or a pair; pairs that end with something else than nil nest."""
        values = [self.value(depth + 1)]
        while True:
            code = self.data[self.position] if self.position < len(self.data) else -1
            if code == _CODE["pair"]:
                self.position += 1
                values.append(self.value(depth + 1))
                continue
            end = self.value(depth + 1)
            if end is None:
                return values
            if len(values) > DEEPEST:
                raise PmtError(f"a chain of {len(values)} pairs that does not end with nil at byte {self.position}")
            for one in reversed(values):
                end = Pair(one, end)
            return end

    def _dict(self, depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        while True:
            if self.take(1)[0] != _CODE["pair"]:
                raise PmtError(f"a dictionary's entry is a pair, got something else at byte {self.position - 1}")
            key = self.value(depth + 1)
            try:
                found.setdefault(key, None)
            except TypeError:
                raise PmtError(f"a {type(key).__name__} as key of a dictionary before byte {self.position}") from None
            found[key] = self.value(depth + 1)
            code = self.take(1)[0]
            if code == _CODE["nil"]:
                return found
            if code != _CODE["dict"]:
                raise PmtError(f"a dictionary goes on with an entry or nil, got {code:#04x} at byte {self.position - 1}")

    def _uniform(self) -> np.ndarray[Any, Any]:
        subtype, count, padding = self.take(1)[0], *_LENGTH.unpack(self.take(4)), self.take(1)[0]
        if subtype >= len(_UNIFORM):
            raise PmtError(f"unknown kind of uniform vector {subtype:#04x} before byte {self.position}")
        self.take(padding)
        dtype = np.dtype(_UNIFORM[subtype])
        return np.frombuffer(self.take(count * dtype.itemsize), dtype.newbyteorder(">")).astype(dtype)
