"""Raw samples of a receiver with several channels, by SoapySDR and whatever driver it has for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from isacblocks.frontends.gnuradio.assembly import Assembly
from isacblocks.frontends.gnuradio.line import Clock
from isacblocks.frontends.gnuradio.pmt import UInt64
from isacblocks.frontends.gnuradio.wire import Tag
from isacblocks.frontends.samples import IQ
from isacblocks.frontends.soapy_binding import SoapyError, binding, open_device
from isacblocks.stream import Out, Reading, Setting, Source, State
from isacblocks.stream.spec import Items

_WAIT = 50_000  # us that readStream may wait
_PATIENCE = 0.1  # s that produce() may take


class SoapySource(Source):
    """Samples of several channels of one device: the record "iq".

    device: SoapySDR's words for it ("driver=lime", "driver=remote,remote=HOST"); channels: which; group: samples per item;
    rate, frequency in hertz, gains in dB, one for each channel, comma-separated, or one for all: settings, that may be
    changed while it runs. What the device made of them is told with the samples. An item in which they changed is marked;
    devices do not say at which sample that was, so the first items behind it may still be of the old ones. What the device
    refuses while it runs is said, and the settings stay as they were. Gains that are given end the device's own control of
    them; where that stays, it is said: it moves the phases of channels, and nobody tells.
    An overflow is a gap: with the device's time stamps its length is known, without them only that it is there.
    Raises ValueError for arguments that cannot be, SoapyError where the device is not there, fails, or refuses a setting at
    the start.
    """

    replayable = False
    samples = Out(IQ)
    rate = Setting(float, initial=1e6, unit="Hz", minimum=1.0)
    frequency = Setting(float, initial=100e6, unit="Hz", minimum=0.0)
    gains = Setting(str, initial="", doc="dB, one for all channels or one each, comma-separated; empty: as it is")
    received = State("int64")  # samples of a channel
    lost = State("int64")
    overflows = State("int64")
    timeouts = State("int64")
    items_lost = Reading("samples")
    overflowed = Reading("times")
    silent = Reading("s", "since the last sample")

    def __init__(
        self,
        device: str,
        channels: tuple[int, ...] = (0,),
        group: int = 1024,
        rate: float = 1e6,
        frequency: float = 100e6,
        gains: str = "",
    ) -> None:
        if not channels or len(set(channels)) != len(channels) or min(channels) < 0:
            raise ValueError(f"channels: expected different numbers from 0, got {channels}")
        if group < 1:
            raise ValueError(f"group: expected at least 1 sample, got {group!r}")
        self.device_words, self.channels, self.group = device, tuple(channels), group
        self.rate, self.frequency, self.gains = rate, frequency, gains
        self._gain_list(gains)
        self._device: Any = None
        self._stream: Any = None

    def dimensions(self) -> Mapping[str, int]:
        """C, T."""
        return {"C": len(self.channels), "T": self.group}

    def _gain_list(self, text: str) -> list[float]:
        try:
            gains = [float(part) for part in text.split(",")] if text.strip() else []
        except ValueError:
            gains = [np.nan]
        if len(gains) not in (0, 1, len(self.channels)) or not np.isfinite(gains).all():
            raise ValueError(f"gains: expected one number, or one for each of {len(self.channels)} channels, got {text!r}")
        return gains * (len(self.channels) if len(gains) == 1 else 1)

    def start(self) -> None:
        """Open the device and let it run."""
        super().start()
        self.finish()
        self._log = logging.getLogger(f"isacblocks.{self.label}")
        self._soapy = binding()
        self._assembly = Assembly(self.group, len(self.channels))
        self._applied: dict[str, Any] = {}
        self._told: dict[str, Any] = {}  # what the device made of settings, until the next samples
        self._clock: tuple[int, int] | None = None  # a sample's number, and its time in ns
        self._heard = Clock()
        soapy = self._soapy
        self._device = open_device(soapy, self.device_words)
        try:
            count = self._device.getNumChannels(soapy.SOAPY_SDR_RX)
            if max(self.channels) >= count:
                raise SoapyError(
                    f"{self.device_words}: expected channels from 0 to {count - 1}, which it has for receiving, got "
                    f"{', '.join(map(str, self.channels))}; ask for at most {count}, or for another device"
                )
            self._apply()
            self._look_at_gains()
            self._stream = self._device.setupStream(soapy.SOAPY_SDR_RX, soapy.SOAPY_SDR_CF32, list(self.channels))
            mtu = min(1 << 18, max(64, self._device.getStreamMTU(self._stream)))
            self._buffers = [np.empty(mtu, np.complex64) for _ in self.channels]
            self._check(self._device.activateStream(self._stream), "activateStream")
        except (SoapyError, RuntimeError, ValueError) as error:
            self.finish()
            raise error if isinstance(error, SoapyError) else SoapyError(f"{self.device_words}: {error}") from error

    def finish(self) -> None:
        """Close the device."""
        if self._stream is not None:
            self._device.deactivateStream(self._stream)
            self._device.closeStream(self._stream)
        if self._device is not None:
            self._device.close()  # and not when the last one forgets it: the next to open it would get it as it is
        self._stream = self._device = None

    def _check(self, code: int, where: str) -> None:
        if code:
            raise SoapyError(f"{self.device_words}: {where} failed: {self._soapy.errToStr(code)}")

    def _apply(self) -> None:
        """Hand changed settings to the device, and note what it made of them."""
        device, way = self._device, self._soapy.SOAPY_SDR_RX
        wanted: dict[str, Any] = {"rate": self.rate, "frequency": self.frequency, "gains": self.gains}
        if wanted == self._applied:
            return
        changed = {name: value for name, value in wanted.items() if self._applied.get(name) != value}
        told: dict[str, Any] = {}
        gains = self._gain_list(self.gains)
        for n, channel in enumerate(self.channels):
            if "rate" in changed:
                device.setSampleRate(way, channel, changed["rate"])
                told["rx_rate"] = float(device.getSampleRate(way, channel))
            if "frequency" in changed:
                device.setFrequency(way, channel, changed["frequency"])
                told["rx_freq"] = float(device.getFrequency(way, channel))
            if "gains" in changed and gains:
                if device.hasGainMode(way, channel):
                    device.setGainMode(way, channel, False)
                device.setGain(way, channel, gains[n])
        if "gains" in changed and gains:
            told["gain"] = np.array([device.getGain(way, channel) for channel in self.channels])
        self._applied = wanted
        self._told |= told
        if "rx_rate" in told:
            self._device_rate, self._clock = told["rx_rate"], None

    def _look_at_gains(self) -> None:
        """Say where the device sets gains by itself."""
        device, way = self._device, self._soapy.SOAPY_SDR_RX
        moving = [one for one in self.channels if device.hasGainMode(way, one) and device.getGainMode(way, one)]
        if moving:
            self._log.warning(
                "%s: the device itself controls the gains of channels %s: their phases move with them, which spoils what is "
                "learned, and nobody tells; give gains",
                self.device_words,
                ", ".join(map(str, moving)),
            )

    def _change(self) -> None:
        """Hand over what was set since, if anything; what is refused is taken back. Raises SoapyError where that fails."""
        before = dict(self._applied)
        try:
            self._apply()
        except (RuntimeError, ValueError) as error:
            asked = {name: getattr(self, name) for name in before if getattr(self, name) != before[name]}
            self._log.warning("%s: refuses %s: %s; it goes on with %s", self.device_words, asked, error, before)
            self.setting_values.update(before)
            self._applied = {name: value for name, value in before.items() if name not in asked}
            try:
                self._apply()  # some channels may have taken it
            except (RuntimeError, ValueError) as again:
                raise SoapyError(f"{self.device_words}: refuses what it had accepted before, too: {again}") from again

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on counting; what came in the meantime is not here, which is a gap in what follows."""
        super().restore(saved)
        self._assembly.succeed(self.received, self.lost)

    def produce(self, first: int, count: int) -> Items | None:
        """What has come, at most `count` items."""
        self._change()
        until = time.monotonic() + _PATIENCE
        while self._assembly.ready() < count and time.monotonic() < until:
            if not self._receive():
                break
        ready = min(self._assembly.ready(), count)
        self.received, self.lost = self._assembly.received, self._assembly.lost
        self.items_lost, self.overflowed = float(self.lost), float(self.overflows)
        self.silent = self._heard.idle
        if not ready:
            return self.samples.items(**self.samples.layout.empty(0))
        fields = self.samples.allocate(ready)
        rows = np.empty((ready, self.group, len(self.channels)), np.complex64)
        told = self._assembly.take(ready, rows.reshape(-1, len(self.channels)))
        np.copyto(fields["iq"], rows.swapaxes(1, 2))
        return self.samples.items(**{**fields, **told})

    def _receive(self) -> bool:
        """Read once; False where nothing came in time."""
        soapy = self._soapy
        result = self._device.readStream(self._stream, self._buffers, len(self._buffers[0]), timeoutUs=_WAIT)
        if result.ret in (soapy.SOAPY_SDR_TIMEOUT, 0):
            self.timeouts += 1
            if self._heard.due():
                self._log.warning(
                    "%s: no samples for %.0f s, and the device is waited for: does it wait for a trigger, or for a clock, "
                    "or is it gone?",
                    self.device_words,
                    self._heard.idle,
                )
            return False
        if result.ret == soapy.SOAPY_SDR_OVERFLOW:
            self.overflows += 1
            self._assembly.interrupt()
            if self.overflows & (self.overflows - 1) == 0:
                self._log.warning(
                    "the device overflowed (%d so far): samples are lost, a gap in what follows; take a lower rate or fewer "
                    "channels, or give this block a process of its own",
                    self.overflows,
                )
            return True
        if result.ret < 0:
            self._check(result.ret, "readStream")
        self._heard.start()
        rows = np.stack([buffer[: result.ret] for buffer in self._buffers], axis=1)
        stamp = result.timeNs if result.flags & soapy.SOAPY_SDR_HAS_TIME else None
        offset = self._number(stamp)
        tags = [Tag(offset, name, value) for name, value in self._told.items()]
        if stamp is not None and (self._told or offset != self._assembly.expected):
            tags.append(Tag(offset, "rx_time", (UInt64(stamp // 10**9), stamp % 10**9 / 1e9)))
        self._told = {}
        self._assembly.feed(rows, offset, tags)
        return True

    def _number(self, stamp: int | None) -> int:
        """Of the first sample of what came, by its time stamp."""
        expected = self._assembly.expected or 0
        if stamp is None:
            return expected
        if self._clock is None:  # the first stamp, at this rate
            self._clock = expected, stamp
            return expected
        number, when = self._clock
        offset = number + round((stamp - when) * 1e-9 * self._device_rate)
        if abs(offset - expected) < max(2.0, 1e-6 * self._device_rate):  # stamps are rounded, and clocks jitter
            offset = expected
        self._clock = max(offset, expected), stamp
        return self._clock[0]
