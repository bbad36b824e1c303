"""SigMF recordings as streams: raw samples, or frames where the recording holds frames."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from isacblocks.blocks.records import FRAME, radar_sizes
from isacblocks.frontends.samples import IQ
from isacblocks.frontends.sigmf_format import SigmfError, SigmfRecording, open_sigmf
from isacblocks.radar import OfdmRadar
from isacblocks.stream import Out, Source
from isacblocks.stream.spec import Items


class SigmfSource(Source):
    """Raw samples of a recording of several channels, `group` of them per item: the record "iq".

    path: of the metadata, the data or the collection; group: samples per item; align: whether the channels' phase offsets
    are taken out; verify: compare the checksums first, which reads the whole recording.
    Samples behind the last whole item are left out. A capture that begins is told by its frequency, its time and, where its
    global index jumps, a gap. Raises SigmfError where the recording is not what it says,
    ValueError for a group of no samples.
    """

    samples = Out(IQ)

    def __init__(self, path: str | Path, group: int = 1024, align: bool = False, verify: bool = True) -> None:
        if group < 1:
            raise ValueError(f"group: expected at least 1 sample, got {group!r}")
        self.arguments = ((str(Path(path).absolute()), group, align, False), {})  # verified here, once
        self.recording = open_sigmf(path, verify)
        self.group = group
        self._turn = None
        offsets = self.recording.phase_offsets()
        if align and offsets is not None:
            self._turn = np.exp(-1j * offsets).astype(np.complex64)[:, None]
        self._captures = self.recording.captures
        self._starts = np.array([one["core:sample_start"] for one in self._captures] or [0])

    def dimensions(self) -> Mapping[str, int]:
        """C, T."""
        return {"C": self.recording.channels, "T": self.group}

    def produce(self, first: int, count: int) -> Items | None:
        """The next items; None behind the last whole one."""
        count = min(count, self.recording.length // self.group - first)
        if count <= 0:
            return None
        fields = self.samples.allocate(count)
        values = self.recording.read(first * self.group, count * self.group)
        values = values if self._turn is None else values * self._turn
        np.copyto(fields["iq"], values.reshape(-1, count, self.group).swapaxes(0, 1))
        for k in range(count):
            for name, value in self._told((first + k) * self.group).items():
                fields[name][k] = value
        return self.samples.items(**fields)

    def _told(self, start: int) -> dict[str, Any]:
        """The fields META of the item that begins at sample `start`."""
        number = max(0, int(np.searchsorted(self._starts, start, side="right")) - 1)
        capture = self._captures[number] if self._captures else {}
        inside = bool(np.any((self._starts > start) & (self._starts < start + self.group)))
        seconds, fraction = _time(capture, start, self.recording.rate)
        lost = self._lost(number) if self._starts[number] == start else 0
        gain = capture.get("isacblocks:gains", math.nan)
        return {
            "start": start,
            "gap": lost > 0,
            "lost": lost,
            "changed": inside,
            "seconds": seconds,
            "fraction": fraction,
            "rate": self.recording.rate,
            "frequency": capture.get("core:frequency", math.nan),
            "gain": gain,
        }

    def _lost(self, number: int) -> int:
        """Samples between a capture and the one before, by their global indices."""
        if number < 1:
            return 0
        before, this = self._captures[number - 1], self._captures[number]
        if "core:global_index" not in before or "core:global_index" not in this:
            return 0
        passed = int(this["core:global_index"]) - int(before["core:global_index"])
        return max(0, passed - (int(this["core:sample_start"]) - int(before["core:sample_start"])))


def _time(capture: dict[str, Any], start: int, rate: float) -> tuple[int, float]:
    """When sample `start` was taken: whole seconds since 1970 and the rest, nan where it is not told."""
    text = capture.get("core:datetime")
    since = (start - capture.get("core:sample_start", 0)) / rate if rate else math.nan
    if text is None or not math.isfinite(since):
        return 0, math.nan
    whole, _, rest = str(text).rstrip("Z").partition(".")
    began = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc).timestamp()
    exact = float(f"0.{rest or 0}") + since
    return int(began) + math.floor(exact), exact - math.floor(exact)


class SigmfFrames(Source):
    """Frames of a recording that SigmfSink made of frames: N channels, one more with the symbols, S samples per frame.

    path, verify: as for SigmfSource; start, stop, step: which frames. ``radar`` is the one that the recording names.
    """

    frame = Out(FRAME)

    def __init__(
        self, path: str | Path, start: int = 0, stop: int | None = None, step: int = 1, verify: bool = True
    ) -> None:
        self.arguments = ((str(Path(path).absolute()), start, stop, step, False), {})
        self.recording = open_sigmf(path, verify)
        self.radar, self._sectors, self._invalid = frames_of(self.recording)
        self.numbers = range(self.recording.length // self.radar.subcarriers)[start:stop:step]

    def dimensions(self) -> Mapping[str, int]:
        """N, S, K."""
        return radar_sizes(self.radar)

    def produce(self, first: int, count: int) -> Items | None:
        """The next frames; None behind the last one."""
        numbers = self.numbers[first : first + count]
        if not numbers:
            return None
        fields = self.frame.allocate(len(numbers))
        size = self.radar.subcarriers
        whole = numbers.step == 1
        if whole:
            values = self.recording.read(numbers[0] * size, len(numbers) * size).reshape(-1, len(numbers), size)
            np.copyto(fields["y"], values[:-1].swapaxes(0, 1))
            fields["x"][:] = values[-1]
        for k, number in enumerate(numbers):
            if not whole:
                values = self.recording.read(number * size, size)
                fields["y"][k], fields["x"][k] = values[:-1], values[-1]
            sector = self._sectors[min(number, len(self._sectors) - 1)]
            for name, value in zip(("theta_min", "theta_max", "tau_min", "tau_max"), sector, strict=True):
                fields[name][k] = value
            fields["time"][k] = number * self.radar.frame_duration
        heard = np.isfinite(fields["y"]).all(axis=2).any(axis=1)  # an antenna without numbers is left out by the map
        finite = heard & np.isfinite(fields["x"]).all(axis=1)
        fields["valid"][:] = finite & np.array([number not in self._invalid for number in numbers])
        return self.frame.items(**fields)


def frames_of(recording: SigmfRecording) -> tuple[OfdmRadar, list[list[float]], frozenset[int]]:
    """The radar of a recording of frames, every frame's sector, and the numbers of the frames that cannot be used.

    Raises SigmfError where it holds something else.
    """
    told = recording.meta
    if "isacblocks:radar" not in told or "isacblocks:sectors" not in told:
        raise SigmfError(
            f"{recording.path}: holds no frames (no isacblocks:radar); raw samples need a waveform: isacblocks calibrate "
            "RECORDING --waveform FILE.toml"
        )
    try:
        radar = msgspec.convert(told["isacblocks:radar"], OfdmRadar)
        sectors = msgspec.convert(told["isacblocks:sectors"], list[list[float]])
        invalid = msgspec.convert(told.get("isacblocks:invalid", []), frozenset[int])
    except ValueError as error:
        what = "isacblocks:radar, isacblocks:sectors or isacblocks:invalid"
        raise SigmfError(f"{recording.path}: {what} is damaged: {error}") from error
    if recording.channels != radar.antennas + 1 or any(len(one) != 4 for one in sectors) or not sectors:
        raise SigmfError(
            f"{recording.path}: expected {radar.antennas + 1} channels (antennas, symbols), got {recording.channels}"
        )
    return radar, sectors, invalid
