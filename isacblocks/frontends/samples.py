"""What front ends tell beside the samples themselves: where they come from, when they were taken, how the receiver was set.

Every item has a value, a front end's own field, and these; what is not known is 0, or nan where 0 could be true.
Dimensions: C channels, T samples of each.
"""

from __future__ import annotations

from isacblocks.stream.spec import Field, Record

GAP, RESTART = 1, 2  # codes of "gap"

_META = (
    Field("start", "uint64", doc="number of the item's first sample since its sender's start"),
    Field("gap", "uint8", doc="1 where samples are missing before this item, 2 where its sender has started again"),
    Field("lost", "uint64", doc="samples that are known to be missing just before this item"),
    Field("changed", "uint8", doc="1 where the receiver was set anew inside this item: its samples are of two settings"),
    Field("seconds", "int64", unit="s", doc="time of the first sample, whole seconds since 1970"),
    Field("fraction", "float64", unit="s", doc="and the rest, 0 to 1; nan where the time is not known"),
    Field("rate", "float64", unit="Hz", doc="sampling rate"),
    Field("frequency", "float64", unit="Hz", doc="of the carrier"),
    Field("gain", "float32", ("C",), unit="dB", doc="of every channel"),
)
META = tuple(field.name for field in _META)

IQ = Record(
    "iq",
    (Field("iq", "complex64", ("C", "T"), doc="T samples of C channels that were taken at the same times"), *_META),
    doc="raw samples of a receiver with several channels",
)


def samples_record(field: str, dtype: str, dims: tuple[str, ...]) -> Record:
    """A record of values of any kind with what front ends tell of them; the record "iq" where it is that."""
    if (field, dtype, dims) == ("iq", "complex64", ("C", "T")):
        return IQ
    return Record("samples", (Field(field, dtype, dims), *_META))
