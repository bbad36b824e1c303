"""Writes raw samples or frames as a SigMF recording."""

from __future__ import annotations

import datetime
import math
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

from isacblocks._version import __version__
from isacblocks.frontends.sigmf_format import SigmfError, library
from isacblocks.radar import SPEED_OF_LIGHT, OfdmRadar
from isacblocks.stream import ANY, Block, In, Reading, State, WiringError
from isacblocks.stream.spec import Items

EXTENSIONS = [
    {"name": "spatial", "version": "1.1.0", "optional": True},
    {"name": "isacblocks", "version": "1.0.0", "optional": True},
]


class SigmfSink(Block):
    """Items of the record "iq", or frames, as SigMF: complex64, all channels in one file or in one each.

    path: of the recording, with or without a suffix; collection: one file per channel and a collection; radar: of frames,
    whose geometry and parameters are kept; replace: an existing recording may be overwritten.
    Of frames, channel N holds the symbols. A change of the frequency, or a gap, begins a new capture; the files are whole,
    with checksums, when the stream ends. Raises SigmfError where something is in the way.
    """

    items = In(ANY)
    count = State("int64")  # samples of a channel
    recorded = Reading("samples")

    def __init__(
        self, path: str | Path, *, collection: bool = False, radar: OfdmRadar | None = None, replace: bool = False
    ) -> None:
        self.arguments = ((str(path),), {"collection": collection, "radar": radar, "replace": replace})
        library()
        name = Path(path).absolute()
        self.base = name.with_suffix("") if name.suffix.startswith(".sigmf") else name
        self.collection, self.radar, self.replace = collection, radar, replace
        self._files: list[IO[bytes]] = []

    def start(self) -> None:
        """See what comes, and that nothing is in the way. Raises WiringError for another record, SigmfError."""
        super().start()
        self._close()
        names = self.items.layout.by_name
        self._frames = {"y", "x", "theta_min", "valid"} <= names.keys()
        if not self._frames and "iq" not in names:
            raise WiringError(f"{self.label}: expected frames or the record iq, got {self.items.layout.record}")
        if self._frames and self.radar is None:
            raise WiringError(f"{self.label}: frames need their radar=")
        shape = names["y" if self._frames else "iq"].shape
        self.channels = shape[0] + self._frames
        self._captures: list[dict[str, Any]] = []
        self._sectors: list[list[float]] = []
        self._invalid: list[int] = []  # numbers of frames
        self._rate = self.radar.bandwidth if self._frames and self.radar is not None else math.nan
        for path in (*self._metas(), *self._datas(), self.base.with_suffix(".sigmf-collection")):
            if path.exists() and path.stat().st_size and not self.replace:  # an empty one is nobody's: a run was ended early
                raise SigmfError(f"{path}: exists; choose another name, or replace=True")
        self._files = [path.open("wb") for path in self._datas()]

    def _named(self, suffix: str) -> list[Path]:
        if not self.collection:
            return [self.base.with_name(self.base.name + suffix)]
        return [self.base.with_name(f"{self.base.name}-{n:03d}{suffix}") for n in range(self.channels)]

    def _metas(self) -> list[Path]:
        return self._named(".sigmf-meta")

    def _datas(self) -> list[Path]:
        return self._named(".sigmf-data")

    def process(self, items: Items) -> None:
        """Append the items."""
        values = np.concatenate([items.y, items.x[:, None]], axis=1) if self._frames else items.iq
        for k in range(len(items)):
            self._tell(items, k)
            self.count += values.shape[2]
        channels = values.transpose(1, 0, 2).reshape(self.channels, -1).astype("<c8", copy=False)
        for file, part in zip(self._files, channels if self.collection else [channels.T], strict=True):
            file.write(np.ascontiguousarray(part).tobytes())
        self.recorded = float(self.count)

    def _tell(self, items: Items, k: int) -> None:
        """The sector of a frame; of raw samples a new capture where they do not go on as before."""
        if self._frames:
            names = ("theta_min", "theta_max", "tau_min", "tau_max")
            if not items.fields["valid"][k]:
                self._invalid.append(len(self._sectors))
            self._sectors.append([float(items.fields[name][k]) for name in names])
            if not self._captures and self.radar is not None:
                self._captures.append({"core:sample_start": 0, "core:frequency": self.radar.carrier_frequency})
            return
        frequency, gains = float(items.frequency[k]), items.gain[k]
        last = self._captures[-1] if self._captures else {}
        settings: dict[str, Any] = {"core:frequency": frequency} if math.isfinite(frequency) else {}
        if np.isfinite(gains).all():
            settings["isacblocks:gains"] = [float(gain) for gain in gains]
        if last and not items.gap[k] and all(last.get(name) == value for name, value in settings.items()):
            return
        capture = {"core:sample_start": self.count, "core:global_index": int(items.start[k])} | settings
        if math.isfinite(items.fraction[k]):
            capture["core:datetime"] = _text(int(items.seconds[k]), float(items.fraction[k]))
        self._captures.append(capture)
        self._rate = float(items.rate[k])

    def finish(self) -> None:
        """Write the metadata; a recording without samples leaves nothing."""
        if not self._files:
            return
        self._close()
        if not self.count:
            for path in self._datas():
                path.unlink(missing_ok=True)
            return
        for number, (meta, data) in enumerate(zip(self._metas(), self._datas(), strict=True)):
            self._write_meta(meta, data, number)
        if self.collection:
            self._write_collection()

    def _close(self) -> None:
        for file in self._files:
            file.close()
        self._files = []

    def _write_meta(self, meta: Path, data: Path, number: int) -> None:
        told: dict[str, Any] = {
            "core:datatype": "cf32_le",
            "core:num_channels": 1 if self.collection else self.channels,
            "core:recorder": f"isacblocks {__version__}",
            "core:extensions": EXTENSIONS,
            "spatial:num_elements": self.channels - self._frames,
            "spatial:channel_index": number,
        }
        if math.isfinite(self._rate):
            told["core:sample_rate"] = self._rate
        if self._frames and self.radar is not None:
            told |= {"isacblocks:radar": asdict(self.radar), "isacblocks:sectors": self._sectors}
            told |= {"isacblocks:invalid": self._invalid} if self._invalid else {}
        captures = [dict(one) for one in self._captures]
        if self.radar is not None and not self.collection and captures:
            captures[0]["spatial:element_geometry"] = self._geometry()
        write_meta(meta, data, {"global": told, "captures": captures, "annotations": []})

    def _geometry(self) -> list[dict[str, Any]]:
        """In metres; what is no antenna has no place."""
        if self.radar is None:
            return [{"unknown": True}] * self.channels
        points = element_points(self.radar)
        return points + [{"unknown": True}] * (self.channels - len(points))

    def _write_collection(self) -> None:
        from sigmf import SigMFCollection

        made = SigMFCollection([path.name for path in self._metas()], base_path=self.base.parent)
        made.set_collection_field("core:extensions", EXTENSIONS)
        made.set_collection_field("spatial:element_geometry", self._geometry())
        made.tofile(str(self.base), overwrite=True)


def element_points(radar: OfdmRadar) -> list[dict[str, Any]]:
    """The array's elements as SigMF has them: metres, x along the boresight, y along the array."""
    wavelength = SPEED_OF_LIGHT / radar.carrier_frequency
    places = radar.element_positions or [(0.0, n * radar.element_spacing, 0.0) for n in range(radar.antennas)]
    return [{"point": [float(p) * wavelength for p in place]} for place in places]


def _text(seconds: int, fraction: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}{f'{fraction:.9f}'[1:] if fraction < 1 - 1e-9 else '.999999999'}Z"


def write_meta(path: Path, data: Path, meta: dict[str, Any]) -> None:
    """Metadata with the data's checksum, validated by the library. Raises SigmfError where that refuses it."""
    sigmf = library()
    made = sigmf.SigMFFile(metadata=meta, data_file=str(data))
    try:
        made.validate()
    except Exception as error:  # jsonschema's, of which there are several
        raise SigmfError(f"{path}: {str(error).splitlines()[0]}") from error
    made.tofile(str(path), overwrite=True)
