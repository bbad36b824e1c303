"""What a sender says that it sends: its descriptor is read, examined, and compared with what a receiver wants."""

from __future__ import annotations

import msgspec

from isacblocks.stream.decoder import Decoder
from isacblocks.stream.errors import WireError
from isacblocks.stream.spec import DTYPES, Items, Layout

_LARGEST_DESCRIPTOR = 1 << 20  # bytes
_MOST_FIELDS, _MOST_DIMS = 1024, 16
_LARGEST_ITEM = 1 << 31  # bytes


def _bad_descriptor(text: str) -> WireError:
    return WireError("descriptor", text)


_layout = Decoder(msgspec.json.Decoder(Layout).decode, "a descriptor", _LARGEST_DESCRIPTOR, _bad_descriptor)


def read_descriptor(data: bytes | memoryview) -> Layout:
    """The layout that a sender's descriptor tells. Raises WireError for anything that no sender of ours would say."""
    layout = _layout(data)
    examine(layout)
    return layout


def examine(layout: Layout) -> None:
    """Raises WireError for a layout from outside that no record of ours can have."""
    if len(layout.fields) > _MOST_FIELDS or len(layout.by_name) != len(layout.fields):
        raise _bad_descriptor(f"expected at most {_MOST_FIELDS} fields, every name once")
    for field in layout.fields:
        if not field.name.isidentifier() or field.name in Items.__slots__:
            raise _bad_descriptor(f"a field cannot be named {field.name!r}")
        if field.dtype not in DTYPES:
            raise _bad_descriptor(f"field {field.name!r}: {field.dtype!r} is none of {sorted(DTYPES)}")
        if (
            len(field.shape) != len(field.dims)
            or len(field.shape) > _MOST_DIMS
            or any(not 0 <= n <= _LARGEST_ITEM for n in field.shape)
        ):
            raise _bad_descriptor(f"field {field.name!r}: {field.shape} cannot be the sizes of {field.dims}")
    if layout.item_bytes > _LARGEST_ITEM:
        raise _bad_descriptor(f"an item has at most {_LARGEST_ITEM} bytes, got {layout.item_bytes}")


def mismatch(sent: Layout, wanted: Layout) -> str | None:
    """Why a port that wants `wanted` cannot take `sent`, or None where it can.

    The receiver's fields must all be there with the same dtype, shape and unit; further fields of the sender do not hurt.
    """
    for field in wanted.fields:
        have = sent.by_name.get(field.name)
        if have is None:
            return (
                f"field {field.name}: expected {field.describe()}, got no such field "
                f"(record {sent.record} has {', '.join(sent.by_name)})"
            )
        if (have.dtype, have.shape, have.unit) != (field.dtype, field.shape, field.unit):
            return f"field {field.name}: expected {field.describe()}, got {have.describe()}"
    return None
