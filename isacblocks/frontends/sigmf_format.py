"""SigMF recordings of several channels, read: interleaved in one file, or a Collection with one file per channel.

What is read is checked first: the metadata by the library's schemas, the lengths against the files, the checksums against
the bytes, the channels against each other. Samples stay in the files and are read when they are asked for: a recording may
be larger than memory. The names of the extension ``isacblocks:`` are explained in docs/formats.md.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# by datatype without byte order: components' dtype, and what they are divided by
_COMPONENTS = {
    "cf32": ("f4", 1.0),
    "cf64": ("f8", 1.0),
    "ci32": ("i4", 2.0**31),
    "ci16": ("i2", 2.0**15),
    "ci8": ("i1", 128.0),
}
_COMPONENTS["cu8"] = ("u1", 127.5)
_LARGEST_META = 64 << 20
SUFFIXES = (".sigmf-meta", ".sigmf-data", ".sigmf-collection", ".sigmf")


class SigmfError(ValueError):
    """A recording that is damaged, not what its metadata says, or of a kind that is not read; the message says which."""


def library() -> Any:
    """The library `sigmf`. Raises SigmfError where it is not installed."""
    try:
        import sigmf
    except ImportError as error:
        raise SigmfError("SigMF needs the library sigmf: pip install 'isacblocks[sigmf]'") from error
    return sigmf


@dataclass
class _Part:
    """One data file."""

    path: Path
    meta: dict[str, Any]
    channels: int
    samples: int
    dtype: np.dtype[Any]  # of the components
    unit: float

    def read(self, start: int, count: int) -> NDArray[Any]:
        """Components of samples start .. start + count - 1, (count, channels, 2). SigmfError where there are fewer."""
        each = 2 * self.channels
        found = np.fromfile(self.path, self.dtype, count * each, offset=start * each * self.dtype.itemsize)
        if found.size != count * each:
            missing = f"ends before sample {start + count} of {self.samples}"
            raise SigmfError(f"{self.path}: {missing}; it was cut off while it was being read")
        return found.reshape(count, self.channels, 2)


@dataclass
class SigmfRecording:
    """A checked recording. ``length`` samples of ``channels`` channels; rate in hertz, nan where it is not told.

    meta: the first file's; collection: the collection's, where there is one.
    """

    path: Path
    parts: list[_Part]
    collection: dict[str, Any] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """Of all files together."""
        return sum(part.channels for part in self.parts)

    @property
    def length(self) -> int:
        """Samples of a channel."""
        return self.parts[0].samples

    @property
    def meta(self) -> dict[str, Any]:
        """``global`` of the first file."""
        return dict(self.parts[0].meta["global"])

    @property
    def captures(self) -> list[dict[str, Any]]:
        """Of the first file, in the order of their samples; core:sample_start counts from the file's first."""
        first = int(self.meta.get("core:offset", 0))
        told = [{**one, "core:sample_start": one["core:sample_start"] - first} for one in self.parts[0].meta["captures"]]
        return sorted(told, key=lambda one: one["core:sample_start"])

    @property
    def rate(self) -> float:
        """Sampling rate, Hz."""
        return float(self.meta.get("core:sample_rate", math.nan))

    def read(self, start: int, count: int) -> NDArray[np.complex64]:
        """Samples start .. start + count - 1 of all channels, (channels, count). Raises SigmfError, OSError."""
        out = np.empty((self.channels, count), np.complex64)
        first = 0
        for part in self.parts:
            raw = part.read(start, count)
            if raw.dtype != np.float32:  # components beside each other, before channels are taken apart: that is quicker
                raw = ((raw - 127.5 if raw.dtype.kind == "u" else raw) / part.unit).astype(np.float32)
            np.copyto(out[first : first + part.channels], raw.view(np.complex64)[..., 0].T)
            first += part.channels
        return out

    def phase_offsets(self) -> NDArray[np.float64] | None:
        """Of every channel in radians, from the first capture; None where nothing is said."""
        told = [_offsets(part) for part in self.parts]
        if all(one is None for one in told):
            return None
        each = (np.zeros(part.channels) if one is None else one for one, part in zip(told, self.parts, strict=True))
        return np.asarray(np.radians(np.concatenate(list(each))))

    def geometry(self) -> NDArray[np.float64] | None:
        """Positions of the elements in metres, (channels, 3), x along the boresight; None where one is not known."""
        points: Any = self.collection.get("spatial:element_geometry")
        if points is None:
            points = [p for part in self.parts for p in _first_capture(part).get("spatial:element_geometry", [])]
        found = [one.get("point") for one in points if isinstance(one, dict)]
        if len(found) != self.channels or any(not isinstance(p, list) or len(p) != 3 for p in found):
            return None
        return np.array(found, np.float64)


def _first_capture(part: _Part) -> dict[str, Any]:
    captures = part.meta.get("captures", [])
    return dict(captures[0]) if captures else {}


def _offsets(part: _Part) -> NDArray[np.float64] | None:
    """Degrees."""
    capture = _first_capture(part)
    told = capture.get("isacblocks:phase_offsets", capture.get("spatial:phase_offset"))
    if told is None:
        return None
    values = np.atleast_1d(np.asarray(told, np.float64))
    if values.size not in (1, part.channels) or not np.isfinite(values).all():
        raise SigmfError(f"{part.path}: {values.size} phase offsets for {part.channels} channels")
    return np.full(part.channels, values)


def open_sigmf(path: str | Path, verify: bool = True) -> SigmfRecording:
    """A recording by the name of its metadata, its data or its collection. verify: compare the checksums, which reads all.

    Raises SigmfError saying what does not fit, FileNotFoundError where there is no such file.
    """
    sigmf = library()
    given = Path(path)
    if given.suffix == ".sigmf":
        raise SigmfError(f"{given}: an archive; unpack it first (tar xf)")
    if given.suffix == ".sigmf-collection":
        return _open_collection(sigmf, given, verify)
    part = _open_part(sigmf, given.with_suffix(".sigmf-meta"), verify)
    return SigmfRecording(given, [part])


def _load(path: Path) -> Any:
    if path.stat().st_size > _LARGEST_META:
        raise SigmfError(f"{path}: larger than any metadata ({_LARGEST_META >> 20} MiB)")
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise SigmfError(f"{path}: not JSON: {error}") from error


def _open_collection(sigmf: Any, path: Path, verify: bool) -> SigmfRecording:
    from sigmf import hashing

    meta = _load(path)
    streams = meta.get("collection", {}).get("core:streams") if isinstance(meta, dict) else None
    if not isinstance(streams, list) or not streams:
        raise SigmfError(f"{path}: a collection names its recordings in core:streams, this one has none")
    parts = []
    for stream in streams:
        name = stream.get("name") if isinstance(stream, dict) else None
        if not isinstance(name, str) or Path(name).name != name:
            raise SigmfError(f"{path}: expected the name of a recording beside it, got {name!r}")
        file = path.with_name(name + ".sigmf-meta")
        if not file.is_file():
            raise SigmfError(f"{path}: names the recording {name}, but {file.name} is not there")
        if verify and "hash" in stream and stream["hash"] != hashing.calculate_sha512(filename=file):
            raise SigmfError(f"{file}: is not the file that {path.name} was made with: its checksum differs")
        parts.append(_open_part(sigmf, file, verify))
    first = parts[0]
    for part in parts[1:]:
        for name, ours, theirs in (
            ("samples", part.samples, first.samples),
            ("core:sample_rate", part.meta["global"].get("core:sample_rate"), first.meta["global"].get("core:sample_rate")),
            ("frequency", _first_capture(part).get("core:frequency"), _first_capture(first).get("core:frequency")),
        ):
            if ours != theirs:
                raise SigmfError(
                    f"{part.path}: {name} is {ours}, that of {first.path.name} is {theirs}; channels must agree, as "
                    "those of one receiver do: record them at once, or cut and tell them alike"
                )
    return SigmfRecording(path, parts, dict(meta["collection"]))


def _open_part(sigmf: Any, path: Path, verify: bool) -> _Part:
    from sigmf import hashing

    meta = _load(path)
    try:
        sigmf.validate.validate(meta)
    except Exception as error:  # jsonschema's, of which there are several
        raise SigmfError(f"{path}: not valid SigMF metadata: {str(error).splitlines()[0]}") from error
    told = meta["global"]
    kind, _, order = str(told["core:datatype"]).partition("_")
    if kind not in _COMPONENTS or order == "be":
        raise SigmfError(
            f"{path}: samples of type {told['core:datatype']}; {', '.join(_COMPONENTS)} (little-endian) are read"
        )
    if (
        told.get("core:metadata_only")
        or told.get("core:trailing_bytes")
        or any("core:header_bytes" in c for c in meta["captures"])
    ):
        raise SigmfError(f"{path}: its data file has headers, or is not there; only conforming datasets are read")
    data = path.parent / str(told.get("core:dataset", path.with_suffix(".sigmf-data").name))
    if data.name != told.get("core:dataset", data.name) or not data.is_file():
        raise SigmfError(f"{path}: its data file {told.get('core:dataset', data.name)} is not there, beside it")
    channels = int(told.get("core:num_channels", 1))
    dtype, unit = _COMPONENTS[kind]
    each = 2 * channels * np.dtype(dtype).itemsize
    size = data.stat().st_size
    if size % each or not size:
        raise SigmfError(
            f"{data}: {size} bytes are no whole number of samples of {channels} channels ({each} bytes); is it cut off?"
        )
    samples = size // each
    _check_spans(path, meta, samples)
    if verify and "core:sha512" in told and told["core:sha512"] != hashing.calculate_sha512(filename=data):
        raise SigmfError(f"{data}: its checksum is not the one in {path.name}: the data, or the metadata, was changed")
    return _Part(data, meta, channels, samples, np.dtype("<" + dtype), unit)


def _check_spans(path: Path, meta: dict[str, Any], samples: int) -> None:
    """Captures and annotations must lie inside the data: else it was cut off, or belongs to something else."""
    first = int(meta["global"].get("core:offset", 0))
    for kind in ("captures", "annotations"):
        for one in meta.get(kind, []):
            start = int(one["core:sample_start"]) - first
            end = start + int(one.get("core:sample_count", 0))
            if start < 0 or start > samples or end > samples:
                raise SigmfError(f"{path}: one of its {kind} ends at sample {end}, the data has {samples}; is it cut off?")
