"""Values that blocks are made of, as bytes: settings, state, control messages, checkpoints. MessagePack, never pickle.

Beside what MessagePack knows there are numpy arrays, complex numbers and, where the reader trusts the writer because it
is the same program in another process, frozen dataclasses such as OfdmRadar, named by module and class.
"""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

import msgspec
import numpy as np

from isacblocks.stream.decoder import UNREADABLE
from isacblocks.stream.errors import StreamError
from isacblocks.stream.spec import DTYPES

_ARRAY, _COMPLEX, _DATACLASS = 1, 2, 3


class _Array(msgspec.Struct, array_like=True):
    dtype: str
    shape: list[int]
    data: bytes


class _Instance(msgspec.Struct, array_like=True):
    module: str
    name: str
    values: bytes


# Made once, not by several threads at the same time: see spec.py
_array, _instance = msgspec.msgpack.Decoder(_Array).decode, msgspec.msgpack.Decoder(_Instance).decode


def _enc_hook(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.name not in DTYPES:
            raise StreamError(f"an array of {value.dtype} cannot be sent or stored; expected one of {sorted(DTYPES)}")
        array = _Array(value.dtype.name, list(value.shape), value.astype(value.dtype.newbyteorder("<")).tobytes())
        return msgspec.msgpack.Ext(_ARRAY, msgspec.msgpack.encode(array))
    if isinstance(value, complex):
        return msgspec.msgpack.Ext(_COMPLEX, np.array([value], "<c16").tobytes())
    if isinstance(value, np.generic):
        return value.item()
    raise StreamError(
        f"a {type(value).__module__}.{type(value).__qualname__} cannot be sent to another process or stored; "
        "use numbers, strings, lists, dictionaries, numpy arrays and frozen dataclasses"
    )


_PLAIN = frozenset({bool, int, float, str, bytes, type(None)})


def _prepare(value: Any) -> Any:
    """Dataclasses become extensions before msgspec would turn them into plain dictionaries."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: _prepare(getattr(value, f.name)) for f in dataclasses.fields(value)}
        kind = type(value)
        return msgspec.msgpack.Ext(
            _DATACLASS, msgspec.msgpack.encode(_Instance(kind.__module__, kind.__qualname__, encode(fields)))
        )
    if isinstance(value, dict):
        return {key: _prepare(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return _enc_hook(value)  # which refuses it: its order would be lost
    if isinstance(value, list | tuple):
        return [item if type(item) in _PLAIN else _prepare(item) for item in value]  # long ones are of numbers
    return value


def encode(value: Any) -> bytes:
    """The value as bytes. Raises StreamError naming a type that cannot be encoded."""
    return msgspec.msgpack.encode(_prepare(value), enc_hook=_enc_hook)


def _decoder(trusted: bool) -> Any:
    def ext_hook(code: int, data: memoryview) -> Any:
        if code == _ARRAY:
            array = _array(data)
            if array.dtype not in DTYPES or any(n < 0 for n in array.shape):
                raise StreamError(f"not an array of a known type: {array.dtype!r} {array.shape}")
            return (
                np.frombuffer(array.data, np.dtype(array.dtype).newbyteorder("<")).reshape(array.shape).astype(array.dtype)
            )
        if code == _COMPLEX:
            return complex(np.frombuffer(data, "<c16").reshape(1)[0])
        if code == _DATACLASS and trusted:
            return _make(_instance(data))
        raise StreamError(f"unknown extension {code}")

    return ext_hook


def _make(instance: _Instance) -> Any:
    """A dataclass of a process of our own."""
    try:
        kind: Any = importlib.import_module(instance.module)
        for part in instance.name.split("."):
            kind = getattr(kind, part)
    except (ImportError, AttributeError) as error:
        raise StreamError(f"{instance.module}:{instance.name} is not known here: {error}") from error
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise StreamError(f"{instance.module}:{instance.name} is not a dataclass")
    values = decode(instance.values, trusted=True)
    if not isinstance(values, dict):
        raise StreamError(f"{instance.module}:{instance.name}: expected named values, got {type(values).__name__}")
    return kind(**{key: _tuples(value) for key, value in values.items()})


def _tuples(value: Any) -> Any:
    """Frozen dataclasses hold tuples; MessagePack gives lists back."""
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def decode(data: bytes | memoryview, *, trusted: bool = False) -> Any:
    """The value that :func:`encode` made. Raises StreamError for bytes that are something else.

    trusted: allow dataclasses, whose modules are imported; only for bytes from a process of our own.
    """
    try:
        return msgspec.msgpack.decode(data, ext_hook=_decoder(trusted))
    except UNREADABLE as error:
        raise StreamError(f"not a stored value: {error}") from error
