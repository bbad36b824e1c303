"""What a transmitter sends and how its echoes are received, in a TOML file: all that raw samples need to become frames."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from isacblocks._toml import nearest, parted, read_toml, shown, value_at
from isacblocks.frontends.ofdm_decisions import DataSymbols
from isacblocks.frontends.ofdm_receiver import RATE_ERROR, OfdmReceiver
from isacblocks.radar import OfdmRadar, Scene
from isacblocks.stream.npy import read_npy

_LARGEST = 1 << 20  # bytes of the file
_EXPECTED = {  # of keys whose values have to be named
    "timing": '"preamble", "prefix", or the number of the first sample of symbol 0',
    "order": "4, 16, 64 or 256",
}

Count = Annotated[int, Meta(ge=1, le=1 << 24)]
Positive = Annotated[float, Meta(gt=0)]
Degrees = Annotated[float, Meta(ge=-90, le=90)]


class WaveformError(ValueError):
    """What the file says is not a waveform; the message names the key, what was expected and what came."""


class Waveform(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An OFDM waveform and its receiver.

    antennas: N; subcarriers: S; subcarrier_spacing, carrier_frequency in hertz; element_spacing in wavelengths, of a
    uniform linear array. symbols: a .npy of complex numbers (P, S), the symbols that are sent over and over, beside the
    TOML file; or qpsk: P symbols of QPSK, drawn by `seed`. size: of the DFT, S by default; first_bin: of the S subcarriers,
    which follow each other; prefix: samples; timing, reference_delay (s), clutter, noise_power, average: OfdmReceiver;
    sector: degrees that are searched; ranges: metres that are searched, up to the prefix's own by default. data: symbols
    behind those, every time, that the receiver does not know and decides; order: points of their square constellation;
    doubtful, channel_memory: :class:`~isacblocks.frontends.ofdm_decisions.DataSymbols`.
    """

    antennas: Count
    subcarriers: Count
    prefix: Count
    subcarrier_spacing: Positive = 240e3
    carrier_frequency: Positive = 60e9
    element_spacing: Positive = 0.5
    symbols: str | None = None
    qpsk: Count | None = None
    seed: Annotated[int, Meta(ge=0)] = 0
    size: Count | None = None
    first_bin: int = 0
    timing: Literal["preamble", "prefix"] | Annotated[int, Meta(ge=0)] = "preamble"
    reference_delay: Annotated[float, Meta(ge=0)] = 0.0
    clutter: Annotated[float, Meta(ge=0)] = 0.0
    noise_power: Positive = 1.0
    average: Count = 1
    data: Annotated[int, Meta(ge=0, le=1 << 24)] = 0
    order: Literal[4, 16, 64, 256] = 4
    doubtful: Annotated[float, Meta(ge=0, le=1)] = 0.25
    channel_memory: Annotated[float, Meta(ge=1)] = 16.0
    sector: tuple[Degrees, Degrees] = (-60.0, 60.0)
    ranges: tuple[Positive, Positive] | None = None

    @property
    def dft(self) -> int:
        """The size of the DFT."""
        return self.subcarriers if self.size is None else self.size

    @property
    def period(self) -> int:
        """Samples from symbol to symbol."""
        return self.dft + self.prefix

    @property
    def rate(self) -> float:
        """Samples per second."""
        return self.dft * self.subcarrier_spacing

    @property
    def bins(self) -> NDArray[np.int64]:
        """Of the DFT, (S,)."""
        return (self.first_bin + np.arange(self.subcarriers)) % self.dft

    def check_channels(self, count: int, where: str) -> None:
        """Raises WaveformError unless there are `count` antennas; where: whose channels these are."""
        if count != self.antennas:
            raise WaveformError(
                f"{where}: expected {self.antennas} channels, as many as the waveform has antennas, got {count}; say so in "
                "the waveform (antennas), or take other channels"
            )

    def check_rate(self, rate: float) -> None:
        """Raises WaveformError where the symbols cannot be found at this sampling rate, Hz."""
        if abs(rate - self.rate) > RATE_ERROR * self.rate:
            raise WaveformError(
                f"rate: expected {self.rate:.9g} Hz within {RATE_ERROR:.1%}, the waveform's {self.dft} x "
                f"{self.subcarrier_spacing:.9g} Hz, got {rate:.9g}; set the radio to it, or say in the waveform what is sent"
            )

    def check_frames(self, count: int, where: str) -> None:
        """Raises WaveformError where `count`, the frames that came of a run, is none; where: of whose samples."""
        if not count:
            raise WaveformError(
                f"{where}: no frame came of its samples, so that nothing is learned: are there more than "
                f"{self.period * ((self.qpsk or 1) + self.data + 1)}, and are they of this waveform, at {self.rate:.9g} Hz?"
            )

    def radar(self) -> OfdmRadar:
        """The array and the subcarriers."""
        return OfdmRadar(
            self.antennas,
            self.subcarriers,
            self.subcarrier_spacing,
            self.carrier_frequency,
            self.element_spacing,
            self.prefix / self.dft,
        )

    def scene(self) -> Scene:
        """The ranges that are searched."""
        nearest, farthest = self.ranges or (1.0, None)
        return Scene(range_min=nearest, range_max=farthest)

    def sent(self, beside: Path) -> NDArray[np.complex64]:
        """The symbols, (P, S). Raises WaveformError. beside: the directory of `symbols`."""
        from isacblocks.kernels.simulation import draw_symbols

        if (self.symbols is None) == (self.qpsk is None):
            raise WaveformError("expected either symbols, the name of a .npy file, or qpsk, a number of symbols")
        if self.qpsk is not None:
            return np.asarray(draw_symbols(self.seed, 0, self.qpsk, self.radar()))
        path = beside / str(self.symbols)
        try:
            symbols = read_npy(path)
        except (ValueError, OSError) as error:
            raise WaveformError(f"symbols: {error}") from error
        if symbols.ndim != 2 or symbols.shape[1] != self.subcarriers or symbols.dtype.kind != "c":
            came = f"{symbols.dtype} {symbols.shape}"
            raise WaveformError(f"symbols: {path}: expected complex numbers (P, {self.subcarriers}), got {came}")
        return np.asarray(symbols, np.complex64)

    def receiver(self, beside: Path, length: int) -> OfdmReceiver:
        """The block that makes frames of items of `length` samples; beside: as for sent(). Raises ValueError."""
        low, high = (math.radians(angle) for angle in self.sector)
        return OfdmReceiver(
            self.radar(),
            self.sent(beside),
            length,
            self.size,
            self.bins,
            self.prefix,
            self.timing,
            self.reference_delay,
            self.clutter,
            self.scene(),
            (low, high),
            self.noise_power,
            self.average,
            DataSymbols(self.data, self.order, self.doubtful, self.channel_memory),
        )


def _in_words(message: str, values: dict[str, Any]) -> str:
    """What msgspec says of a value, with its key and what came."""
    said, key = parted(message)
    unknown, missing = (re.search(rf"{kind} field (\w+)", said) for kind in ("unknown", "missing required"))
    if unknown is not None:
        return f"{unknown[1]}: unknown key; {nearest(unknown[1], Waveform.__struct_fields__)}"
    if missing is not None:
        needed = ", ".join(field.name for field in msgspec.structs.fields(Waveform) if field.required)
        return f"{missing[1]}: expected this key; a waveform needs {needed}, and either symbols or qpsk"
    expected = f"expected {_EXPECTED[key]}" if key in _EXPECTED else said
    return f"{key}: {expected}, got {shown(value_at(values, key))}"


def read_waveform(path: str | Path) -> Waveform:
    """The waveform in a TOML file. Raises WaveformError for what is not one, OSError where it cannot be read."""
    raw = read_toml(path, WaveformError, _LARGEST)
    try:
        made = msgspec.convert(raw, Waveform, strict=False)
    except msgspec.ValidationError as error:
        raise WaveformError(f"{path}: {_in_words(str(error), raw)}") from None
    for low, high in (made.sector, *(() if made.ranges is None else (made.ranges,))):
        if low >= high:
            raise WaveformError(f"{path}: expected the lower limit first, got {low:g} to {high:g}")
    if made.subcarriers > made.dft or made.prefix >= made.dft:
        raise WaveformError(
            f"{path}: expected a DFT of at least {made.subcarriers} points and of more than the prefix's {made.prefix} "
            f"samples, got {made.dft}"
        )
    return made
