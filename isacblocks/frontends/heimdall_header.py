"""The header of HeIMDALL's IQ frames: a C structure of 1024 bytes on natural alignment, little-endian.

Source of the layout: iq_header.h of heimdall_daq_fw, header versions 7 and 8, whose last fields lie in what was reserved.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

HEADER = struct.Struct("<II16sIII4xQQQI4xQIIQIII32I4I192II")
SYNC_WORD = 0x2BF7B95A
SYNC = struct.pack("<I", SYNC_WORD)
VERSIONS = (7, 8)
DATA = 0  # the frame type of samples; others are dummies, ramps, calibration with the noise source
MOST_CHANNELS = 32
_MILLISECONDS = 10**11  # a time stamp above is no number of seconds since 1970
assert HEADER.size == 1024


class HeimdallError(ValueError):
    """A header that is none; ``reason`` is one word, for the counters."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True)
class Header:
    """What of a header is used. gains in dB; time in ms since 1970; coherent: delays and phases are aligned."""

    kind: int
    channels: int
    frequency: int
    rate: int
    length: int
    time: int
    index: int
    gains: tuple[float, ...]
    overdriven: int
    coherent: bool
    noise_source: bool

    @property
    def size(self) -> int:
        """Bytes of samples that follow; frames without data have none."""
        return 8 * self.channels * self.length

    def unusable(self, incoherent: bool) -> str:
        """Why the samples are not those of the antennas, aligned (or, incoherent, not aligned either); "" where they are."""
        if self.kind != DATA:
            return "without samples"
        if self.noise_source:
            return "with the noise source on"
        return "" if self.coherent or incoherent else "not aligned by the firmware yet (incoherent=True takes them)"


def read_header(data: bytes | bytearray, largest: int) -> Header:
    """The header. Raises HeimdallError, also where more than `largest` bytes would follow."""
    word, kind, _, _, channels, _, frequency, _, rate, length, stamp, _, index, *rest = HEADER.unpack(data)
    _, form, depth, overdriven = rest[:4]
    gains, (delays, phases, _, noise), version = rest[4:36], rest[36:40], rest[-1]
    if word != SYNC_WORD:
        raise HeimdallError("sync", f"begins with {word:#010x}, expected {SYNC_WORD:#010x}: is a HeIMDALL IQ server there?")
    if version not in VERSIONS:
        raise HeimdallError("version", f"a header of version {version}, expected one of {VERSIONS}")
    if not 1 <= channels <= MOST_CHANNELS or 8 * channels * length > largest:
        raise HeimdallError("size", f"{channels} channels of {length} samples, at most {MOST_CHANNELS} and {largest} bytes")
    if kind == DATA and (depth != 32 or not length or not rate):
        raise HeimdallError("form", f"{length} samples of {depth} bits at {rate} Hz (type {form}), expected 32-bit floats")
    time_ms = stamp if stamp > _MILLISECONDS else 1000 * stamp
    told = tuple(gain / 10 for gain in gains[:channels])
    coherent = bool(delays and phases)
    return Header(kind, channels, frequency, rate, length, time_ms, index, told, overdriven, coherent, bool(noise))
