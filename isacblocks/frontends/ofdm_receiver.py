"""From raw samples of a receiver with several channels to frames: timing, carrier, prefix, DFT, subcarriers, static clutter.

With the symbols x that were sent, an echo of delay tau within the prefix, and the start of the symbol known, the DFT of what
follows the prefix is eq. (5); where the carrier is off by e cycles per sample the samples are first turned by
exp(-j 2 pi e l), l counted on through the stream, so that frames keep a common phase but for what the estimate of e is
wrong by. That phase goes into gamma, which is drawn anew for every frame, and harms nothing.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.records import CHANGE, FRAME, radar_sizes
from isacblocks.frontends.changes import Watch, nothing_told
from isacblocks.frontends.ofdm_average import Average, Made, no_average
from isacblocks.frontends.ofdm_clutter import Clutter, no_static
from isacblocks.frontends.ofdm_decisions import DataSymbols, Decisions, no_channel
from isacblocks.frontends.ofdm_sync import carrier_offset, find_preamble, find_prefix, prefix_correlation, waveform
from isacblocks.frontends.samples import IQ
from isacblocks.radar import OfdmRadar, Scene
from isacblocks.stream import Block, In, Out, Reading, State
from isacblocks.stream.spec import Items

TIMINGS = ("preamble", "prefix")
RATE_ERROR = 1e-3  # relative: a radio rounds what it is asked for
_SYMBOLS = 16  # in which a start is looked for by their prefixes
_CARRIER_MEMORY = 64.0  # frames
_PATIENCE = 4  # searches in vain: one may be, where the transmitter has not begun
_MIXED = -1  # the setting of samples that are of two


def _numbers(y: NDArray[Any]) -> NDArray[Any]:
    """y, with zeros for what is not finite."""
    finite = np.isfinite(y)
    return y if finite.all() else np.where(finite, y, np.complex64(0))


class OfdmReceiver(Block):
    """Items of IQ (N channels, `length` samples each) to one frame for every symbol.

    radar: its parameters; symbols: what is sent, (P, S), over and over; data: symbols behind them, every time, that
    are not known and are decided, see :mod:`~isacblocks.frontends.ofdm_decisions`; length: samples in an item; size: of the
    DFT, at least S; bins: those of the S subcarriers, 0 ... S - 1 by default; prefix: samples, by default the radar's.
    timing: "preamble": the first of the symbols is looked for in the samples, then the prefixes give the carrier offset;
    "prefix": by the repetition, where all symbols are the same; or the number of the sample that is the first of symbol 0,
    where transmitter and receiver share a trigger. reference_delay: of the path that timing finds, s: the strongest.
    clutter: frames over which the static part is averaged that is subtracted, 0 for none; scene, sector: the delay window
    and angles of every frame; noise_power: N0 of the samples, which are scaled to N0 = 1.
    average: symbols that make one frame, sum_k Y_k conj(x_k) / X with X^2 = sum_k |x_k|^2 on every subcarrier, and X for its
    symbols: an echo that stands still is average times as strong, and N0 is 1 still.

    Missing samples and a new frequency start the search for symbols anew. A symbol whose samples are of two settings, gains
    among them, is marked invalid, as are those before the static part is known and those whose decisions cannot be trusted.
    Items whose sampling rate is told and is not `rate` within 0.1 % are left out, counted and said.
    A channel with samples that are not numbers has none in the frame; the others' are as if it were silent.
    ``changes`` says with each frame whether the receiver was changed since the frame before; it goes to the calibrator's.
    Raises ValueError for arguments that cannot be.
    """

    iq = In(IQ)
    frame = Out(FRAME, aligned=False)
    changes = Out(CHANGE, aligned=False)
    held = State(dict)
    told = State(dict)  # of changes
    decided = State(dict)  # the channel by which symbols are decided, and how many were
    sent = State("uint64")
    wrong = State("uint64")  # items of another sampling rate
    offset_hz = Reading("Hz", "of the carrier, relative to the sampling rate's clock")
    searching = Reading("1", "1 while the symbols' start is not known")
    decisions = Reading("1", "on all subcarriers of all symbols that were not known")
    doubtful = Reading("1", "of these, not to be trusted")
    wrong_rate = Reading("items", "left out: their sampling rate is not that of the symbols")
    refused = Reading("symbols", "marked invalid: too many doubtful decisions, or no channel known")

    def __init__(
        self,
        radar: OfdmRadar,
        symbols: NDArray[Any],
        length: int,
        size: int | None = None,
        bins: NDArray[Any] | None = None,
        prefix: int | None = None,
        timing: str | int = "preamble",
        reference_delay: float = 0.0,
        clutter: float = 0.0,
        scene: Scene | None = None,
        sector: tuple[float, float] = (-math.pi / 3, math.pi / 3),
        noise_power: float = 1.0,
        average: int = 1,
        data: DataSymbols | None = None,
    ) -> None:
        self.radar, self.length, self.timing, self.clutter = radar, length, timing, clutter
        self.size = radar.subcarriers if size is None else size
        self.bins = np.arange(radar.subcarriers) if bins is None else np.asarray(bins, np.int64) % self.size
        self.prefix = round(radar.cyclic_prefix * self.size) if prefix is None else prefix
        self.symbols = np.asarray(symbols, np.complex64)
        if self.symbols.ndim != 2 or self.symbols.shape[1] != radar.subcarriers or not np.isfinite(self.symbols).all():
            raise ValueError(f"symbols: expected finite numbers, shape (P, {radar.subcarriers}), got {self.symbols.shape}")
        if self.bins.shape != (radar.subcarriers,) or np.unique(self.bins).size != radar.subcarriers:
            raise ValueError(f"bins: expected {radar.subcarriers} different ones of a DFT of {self.size}, got {bins!r}")
        if not 0 < self.prefix < self.size:
            raise ValueError(f"prefix: expected 1 to {self.size - 1} samples, got {self.prefix}")
        if not (isinstance(timing, int) or timing in TIMINGS):
            raise ValueError(f"timing: expected a sample's number or one of {', '.join(TIMINGS)}, got {timing!r}")
        self.data = data or DataSymbols(0)
        self.cycle = len(self.symbols) + self.data.count
        if not len(self.symbols):
            raise ValueError("symbols: expected at least one that is known; the channel is learned from it")
        if timing == "prefix" and self.cycle > 1:
            raise ValueError("timing: prefixes do not tell symbols apart; send one symbol over and over, or use a preamble")
        if not (math.isfinite(noise_power) and noise_power > 0):
            raise ValueError(f"noise_power: expected a positive number, got {noise_power!r}")
        if isinstance(average, bool) or not isinstance(average, int) or average < 1:
            raise ValueError(f"average: expected a number of symbols of at least 1, got {average!r}")
        self.average = average
        self.scale = 1 / math.sqrt(noise_power)
        self.window, self.sector = (scene or Scene()).delay_window(radar), sector
        self.preamble = waveform(self.symbols[0], self.bins, self.size, self.prefix)
        places = np.arange(radar.subcarriers) * radar.subcarrier_spacing
        self.delayed = np.exp(-2j * np.pi * places * reference_delay).astype(np.complex64)

    @property
    def period(self) -> int:
        """Samples from symbol to symbol."""
        return self.prefix + self.size

    @property
    def rate(self) -> float:
        """Samples per second that the symbols have."""
        return self.size * self.radar.subcarrier_spacing

    def dimensions(self) -> Mapping[str, int]:
        """C, T, N, S."""
        return radar_sizes(self.radar) | {"C": self.radar.antennas, "T": self.length}

    def start(self) -> None:
        """Nothing has come."""
        super().start()
        self._in_vain = 0  # searches since the last symbol
        self.held = self._nothing() | {"setting": 0, "frequency": math.nan, "gain": np.full(self.radar.antennas, math.nan)}
        self.decisions = self.doubtful = self.refused = self.wrong_rate = 0.0
        self.told = nothing_told(self.radar.antennas)
        self.told |= no_average(self.radar.antennas, self.radar.subcarriers)
        self.decided = no_channel(self.radar.antennas, self.radar.subcarriers)

    def _nothing(self) -> dict[str, Any]:
        """No samples, no timing, no carrier, no static part."""
        return {
            "y": np.empty((self.radar.antennas, 0), np.complex64),
            "settings": np.empty(0, np.int64),
            "at": 0,  # the number of the first sample in y
            "epoch": -1 if isinstance(self.timing, str) else self.timing,  # of the first sample of symbol 0
            "correlation": 0j,
            "phase": 0.0,  # turns
            "of": -1,  # the setting of the symbols that the static part and the channel were learned from
        } | no_static(self.radar.antennas, self.radar.subcarriers)

    def process(self, iq: Items) -> tuple[Items, ...] | None:
        """The frames whose last sample is among these."""
        made: list[Made] = []
        for k in range(len(iq)):
            if not self._fits(float(iq.rate[k])):
                continue
            self._take(iq, k)
            Watch(self.told).see(
                int(iq.start[k]), self.length, int(iq.gap[k]), float(iq.frequency[k]), iq.gain[k].astype(float)
            )
            if self.held["epoch"] < 0:
                self._search()
            if self.held["epoch"] >= 0:
                made += self._cut()
        self.searching = float(self.held["epoch"] < 0)
        self.decisions, self.doubtful = float(self.decided["decisions"]), float(self.decided["doubtful"])
        self.refused = float(self.decided["refused"])
        if not made:
            return None
        count, window = len(made), (*self.sector, *self.window)
        limits = {
            name: np.full(count, v) for name, v in zip(("theta_min", "theta_max", "tau_min", "tau_max"), window, strict=True)
        }
        frames = self.frame.items(
            y=np.stack([one.y for one in made]),
            x=np.stack([one.x for one in made]),
            **limits,
            time=np.array([one.time for one in made]),
            valid=np.array([one.valid for one in made], np.uint8),
        )
        changes = [one.change for one in made]
        told = self.changes.items(
            changed=np.stack([one.codes for one in changes]), gain=np.stack([one.gain for one in changes])
        )
        return frames, told

    def _fits(self, rate: float) -> bool:
        """Whether samples at this rate, nan where nobody says, can be symbols; nothing goes on over those that cannot."""
        if math.isnan(rate) or abs(rate - self.rate) <= RATE_ERROR * self.rate:
            return True
        self.held |= self._nothing()
        Average(self.told, self.average).forget()
        self.wrong += np.uint64(1)
        self.wrong_rate = float(self.wrong)
        count = int(self.wrong)
        if count & (count - 1) == 0:
            logging.getLogger(f"isacblocks.{self.label}").warning(
                "samples come at %.9g Hz, the symbols have %.9g (a DFT of %d x %.9g Hz): left out (%d items so far), and "
                "nothing is sensed meanwhile; set the radio's rate, or say in the waveform what is sent",
                rate,
                self.rate,
                self.size,
                self.radar.subcarrier_spacing,
                count,
            )
        return False

    def _take(self, iq: Items, k: int) -> None:
        """Add item k to what is held; a setting has a number, by which symbols are known that are of two."""
        held = self.held
        frequency, gain = float(iq.frequency[k]), iq.gain[k].astype(float)
        retuned = frequency != held["frequency"] and not math.isnan(held["frequency"])
        if iq.gap[k] or retuned:
            held |= self._nothing()
            Average(self.told, self.average).forget()
        if iq.changed[k] or retuned or not np.array_equal(gain, held["gain"], equal_nan=True):
            held["setting"] += 1
        held["frequency"], held["gain"] = frequency, gain
        if not held["y"].shape[1]:
            held["at"] = int(iq.start[k])
        held["y"] = np.concatenate([held["y"], iq.iq[k]], axis=1)
        now = _MIXED if iq.changed[k] else held["setting"]
        held["settings"] = np.concatenate([held["settings"], np.full(iq.iq.shape[2], now)])

    def _search(self) -> None:
        """Look for the start of a symbol; what is too old to be needed is let go."""
        held, needed = self.held, (self.cycle + 1 if self.timing == "preamble" else _SYMBOLS) * self.period
        if held["y"].shape[1] < needed:
            return
        y = _numbers(held["y"])
        place = find_preamble(y, self.preamble) if self.timing == "preamble" else find_prefix(y, self.size, self.prefix)
        if place is None:
            self._let_go(held["y"].shape[1] - needed + self.period)
            self._complain(held["at"])
            return
        self._in_vain = 0
        held["epoch"] = held["at"] + place
        each = prefix_correlation(y, self.size)[place % self.period :]
        whole = each[: each.size // self.period * self.period].reshape(-1, self.period)
        held["correlation"] = complex(whole[:, : self.prefix].sum())

    def _complain(self, sample: int) -> None:
        """No symbol begins in what has come: say so once in a while."""
        self._in_vain += 1
        if self._in_vain >= _PATIENCE and self._in_vain & (self._in_vain - 1) == 0:
            logging.getLogger(f"isacblocks.{self.label}").warning(
                "no symbol begins in the samples up to number %d (%d searches), and nothing is sensed: is this what "
                "is sent (%d symbols, a DFT of %d, a prefix of %d samples), at %.9g Hz, and its strongest path above the "
                "noise of single samples? With a trigger that both share, timing = NUMBER",
                sample,
                self._in_vain,
                len(self.symbols),
                self.size,
                self.prefix,
                self.rate,
            )

    def _let_go(self, count: int) -> None:
        held = self.held
        held["y"], held["settings"], held["at"] = held["y"][:, count:], held["settings"][count:], held["at"] + count

    def _cut(self) -> list[Made]:
        """The frames of all whole symbols that are held."""
        held, made, average = self.held, [], Average(self.told, self.average)
        self._let_go(min(-(held["at"] - held["epoch"]) % self.period, held["y"].shape[1]))
        while (held["at"] - held["epoch"]) % self.period == 0 and held["y"].shape[1] >= self.period:
            number = (held["at"] - held["epoch"]) // self.period % self.cycle
            settings = held["settings"][self.prefix : self.period]
            change = Watch(self.told).take(held["at"] + self.period)
            time = held["at"] * (self.radar.frame_duration / self.period)
            if settings[0] != _MIXED and (settings == settings[0]).all():
                self._set(int(settings[0]))
                made += average.add(Made(*self._frame(held["y"][:, : self.period], number), time, change))
            else:
                nothing = np.zeros((self.radar.antennas, self.radar.subcarriers), np.complex64)
                x = self.symbols[number] if number < len(self.symbols) else nothing[0]
                made += average.add(Made(nothing, x, False, time, change))
            self._let_go(self.period)
        return made

    def _set(self, setting: int) -> None:
        """What follows was received with this setting: nothing that was learned with another one holds."""
        held = self.held
        if held["of"] != setting:
            held["of"] = setting
            Clutter(held, self.clutter).forget()
            Decisions(self.data, self.decided).forget()

    def _frame(self, samples: NDArray[Any], number: int) -> tuple[NDArray[Any], NDArray[Any], bool]:
        """Y, x and whether they can be used, of a symbol by its number in the cycle."""
        broken = ~np.isfinite(samples).all(axis=1)
        y, trusted = self._transform(_numbers(samples)), True
        if number >= len(self.symbols):
            x, trusted = Decisions(self.data, self.decided).decide(y)
        else:
            x = self.symbols[number]
            if self.data.count:
                Decisions(self.data, self.decided).known(y, x)
        left, ready = Clutter(self.held, self.clutter).without(y, x, broken) if trusted else (y.astype(np.complex64), False)
        left[broken] = np.nan  # the map leaves these antennas out
        return left, x, ready

    def _transform(self, y: NDArray[Any]) -> NDArray[Any]:
        """The carrier's offset undone, the prefix cut off, the unitary DFT, the subcarriers: (N, S)."""
        held = self.held
        each = complex(prefix_correlation(y, self.size).sum())
        held["correlation"] = (1 - 1 / _CARRIER_MEMORY) * held["correlation"] + each
        cycles = carrier_offset(held["correlation"], self.size) if isinstance(self.timing, str) else 0.0
        self.offset_hz = cycles * self.size * self.radar.subcarrier_spacing
        turns = held["phase"] + cycles * np.arange(self.prefix, self.period)
        held["phase"] = (held["phase"] + cycles * self.period) % 1.0
        level = y[:, self.prefix :] * np.exp(-2j * np.pi * turns).astype(np.complex64)
        return np.asarray(np.fft.fft(level, axis=1, norm="ortho")[:, self.bins] * (self.delayed * self.scale))
