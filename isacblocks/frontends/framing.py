"""Frames that come finished from outside, N antennas x S subcarriers behind a receiver's DFT, as the record "frame".

Where the samples are raw, a receiver has to come first. What a frame does not tell itself is told once: the symbols, where
they do not come with every frame; the sector and the delay window in which a target may be; the noise power.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.compressed_frames import compressed_fields
from isacblocks.blocks.records import CHANGE, COMPRESSED, FRAME, SECTOR, radar_sizes
from isacblocks.frontends.changes import Watch, nothing_told
from isacblocks.frontends.samples import RESTART
from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.delay_basis import DelayBasis, delay_basis
from isacblocks.kernels.warmup import load
from isacblocks.radar import OfdmRadar, Scene
from isacblocks.stream import Block, Field, In, Out, Reading, Record, State, WiringError
from isacblocks.stream.spec import Items

_GIVEN = Record(
    "samples",
    (
        Field("value", "complex64", ("R", "S")),
        Field("start", "uint64"),
        Field("gap", "uint8"),
        Field("changed", "uint8"),
        Field("seconds", "int64", unit="s"),
        Field("fraction", "float64", unit="s"),
        Field("frequency", "float64", unit="Hz"),
    ),  # and gain, of as many channels as the sender tells
)


class Framing(Block):
    """From a front end's items to frames.

    Items are complex64 (R, S): N rows of samples, a row of the symbols x that were sent unless they are always the same, and
    with `sectors` a row that begins with theta_min + j theta_max.
    radar: its parameters; x: the symbols of every frame, complex (S,), None where they come with the frames; scene: its
    delay window is that of every frame; sector: (theta_min, theta_max) of every frame in radians, where none comes with it;
    sectors: they come; noise_power: N0 of the samples, which are scaled to N0 = 1.
    A frame whose samples are of two settings of the receiver is marked invalid, as is one whose symbols have no energy or
    whose sector is none. Time is the front end's where it is told, else frames follow each other without a pause. Sectors
    narrower than the array's view are what shows the boresight: without them kappa is known up to a linear phase.
    Raises ValueError for arguments that cannot be.
    ``compressed`` has the frames as a DelayCompressor with this scene makes them of ``frame``, without writing them down
    first: connect it to the map's of the same scene, and leave ``frame``, where nobody needs the samples themselves.
    ``changes`` says with each frame whether the receiver was retuned, set to other gains or started since the frame before;
    it goes to the calibrator's. Gains are told of one channel, which stands for all, of the antennas, or of all rows.
    """

    samples = In(_GIVEN)
    frame = Out(FRAME)
    compressed = Out(COMPRESSED)
    changes = Out(CHANGE)
    told = State(dict)  # of changes
    began = State("float64", initial=math.nan)  # s, when the first frame was taken
    muted = State("uint64")  # antennas left out of compressed frames
    invalid = Reading("frames", "samples of two settings, no symbols, no sector")
    refused_antennas = Reading("antennas", "left out of compressed frames so far, summed over the frames")

    def __init__(
        self,
        radar: OfdmRadar,
        x: NDArray[Any] | None = None,
        scene: Scene | None = None,
        sector: tuple[float, float] = (-math.pi / 3, math.pi / 3),
        sectors: bool = False,
        noise_power: float = 1.0,
    ) -> None:
        self.radar = radar
        self.window = (scene or Scene()).delay_window(radar)
        self.sector = sector
        self.sectors = sectors
        if not -math.pi / 2 <= sector[0] < sector[1] <= math.pi / 2:
            raise ValueError(f"sector: expected -pi/2 <= low < high <= pi/2 radians, got {sector}")
        if not (math.isfinite(noise_power) and noise_power > 0):
            raise ValueError(f"noise_power: expected a positive number, got {noise_power!r}")
        self.scale = np.float32(1 / math.sqrt(noise_power))
        self.x = None if x is None else np.asarray(x, np.complex64)
        if self.x is not None and (self.x.shape != (radar.subcarriers,) or not np.isfinite(self.x).all()):
            raise ValueError(f"x: expected {radar.subcarriers} finite symbols, got shape {self.x.shape}")

    @cached_property
    def basis(self) -> DelayBasis:
        """The delay basis of ``compressed``."""
        return delay_basis(self.radar, *self.window)

    def dimensions(self) -> Mapping[str, int]:
        """N, S, D, and R rows of an item."""
        rows = self.radar.antennas + (self.x is None) + self.sectors
        return radar_sizes(self.radar) | {"D": self.basis.rank, "R": rows}

    @classmethod
    def prepare(cls) -> None:
        """Load the compiled kernels."""
        load("compression")
        load("soundness")

    def start(self) -> None:
        """No frame yet. Raises WiringError where gains are told of a number of channels that says nothing."""
        super().start()
        self.invalid = 0.0
        self.told = nothing_told(self.radar.antennas)
        gain = self.samples.layout.by_name.get("gain")
        allowed = sorted({1, self.radar.antennas, self.dimensions()["R"]})
        if gain is not None and gain.shape not in [(n,) for n in allowed]:
            raise WiringError(
                f"{self.label}.samples: gains of {gain.shape} channels, expected of {', '.join(map(str, allowed))}; say so "
                f"at the front end: channels={self.radar.antennas}"
            )

    def process(self, samples: Items) -> tuple[Items, ...]:
        """One frame per item, and what was changed before it."""
        x = self._symbols(samples)
        with np.errstate(over="ignore", invalid="ignore"):
            energy = np.square(np.abs(x)).sum(axis=1)
        low, high, pointed = self._point(samples)
        valid = (samples.changed == 0) & np.isfinite(energy) & (energy > 0) & pointed
        self.invalid += float(np.count_nonzero(~valid))
        limits = low, high, *self._window(len(samples))
        sector = dict(zip(SECTOR, (*limits, self._times(samples), valid.view(np.uint8)), strict=True))
        made = []
        if self.frame.connected:
            made.append(self._frames(samples, x, sector))
        if self.compressed.connected:
            made.append(self._compressed(samples, x, sector))
        if self.changes.connected:
            made.append(self._changes(samples))
        return tuple(made)

    def _symbols(self, samples: Items) -> Complex:
        """x of every frame, (F, S)."""
        if self.x is None:
            return np.array(samples.value[:, self.radar.antennas])
        return np.tile(self.x, (len(samples), 1))

    def _window(self, count: int) -> Float:
        """The limits of the delay, of every frame."""
        return np.tile(np.array(self.window)[:, None], (1, count))

    def _frames(self, samples: Items, x: Complex, sector: dict[str, NDArray[Any]]) -> Items:
        fields = self.frame.allocate(len(samples))
        self._scale(samples.value[:, : self.radar.antennas], fields["y"])
        return self.frame.items(**fields | sector | {"x": x})

    def _compressed(self, samples: Items, x: Complex, sector: dict[str, NDArray[Any]]) -> Items:
        """From where the samples are: only other units than those of the noise are a reason to write them down again."""
        y = samples.value
        if self.scale != 1.0:
            y = np.empty((len(samples), self.radar.antennas, self.radar.subcarriers), np.complex64)
            self._scale(samples.value[:, : self.radar.antennas], y)
        fields, refused = compressed_fields(y, x, sector, self.basis, self.compressed.allocate(len(samples))["g"])
        self.muted += refused
        self.refused_antennas = float(self.muted)
        return self.compressed.items(**fields)

    def _scale(self, given: NDArray[Any], y: NDArray[Any]) -> None:
        """To N0 = 1: the samples as they are, or their parts as real numbers, which takes a third of a complex product."""
        if self.scale == 1.0:
            np.copyto(y, given)
        else:
            np.multiply(given.view(np.float32), self.scale, out=y.view(np.float32))

    def _changes(self, samples: Items) -> Items:
        """What was changed before each frame; most often nothing was, which is seen for all frames at once."""
        antennas, told = self.radar.antennas, self.told
        gains = np.full((len(samples), antennas), np.nan)
        if "gain" in samples.fields:
            gains[:] = (
                samples.fields["gain"] if samples.fields["gain"].shape[1] == 1 else samples.fields["gain"][:, :antennas]
            )
        codes, steps = np.zeros((len(samples), antennas), np.uint8), np.zeros((len(samples), antennas), np.float32)
        same = np.isnan(samples.frequency) | (samples.frequency == told["frequency"])
        start = samples.start.astype(np.int64)
        before = np.concatenate([[told["next"]], start[:-1] + 1])
        again = (samples.gap == RESTART) | ((samples.gap != 0) & (start < before))
        if len(samples) and not again.any() and same.all() and (np.isnan(gains) | (gains == told["gain"])).all():
            told["next"] = int(start[-1]) + 1
            return self.changes.items(changed=codes, gain=steps)
        watch = Watch(told)
        for k in range(len(samples)):
            watch.see(int(start[k]), 1, int(samples.gap[k]), float(samples.frequency[k]), gains[k])
            codes[k], steps[k] = watch.take(int(start[k]) + 1)
        return self.changes.items(changed=codes, gain=steps)

    def _point(self, samples: Items) -> tuple[Float, Float, NDArray[np.bool_]]:
        """The sectors' limits, and which of those that came are such."""
        low, high = (np.full(len(samples), limit) for limit in self.sector)
        if not self.sectors:
            return low, high, np.ones(len(samples), bool)
        told = samples.value[:, -1, 0].astype(np.complex128)
        good = (told.real >= -math.pi / 2) & (told.real < told.imag) & (told.imag <= math.pi / 2)
        low[good], high[good] = told.real[good], told.imag[good]
        return low, high, np.asarray(good)

    def _times(self, samples: Items) -> NDArray[np.float64]:
        """Seconds since the first frame."""
        counted = (samples.first + np.arange(len(samples))) * self.radar.frame_duration
        told = samples.seconds + samples.fraction
        known = np.isfinite(told)
        if math.isnan(self.began) and known.any():
            self.began = (told - counted)[known][0]
        return np.where(known, told - self.began, counted)
