"""Frames that come finished from outside, N antennas x S subcarriers behind a receiver's DFT, as the record "frame".

Where the samples are raw, a receiver has to come first. What a frame does not tell itself is told once: the symbols, where
they do not come with every frame; the sector and the delay window in which a target may be; the noise power.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.records import CHANGE, FRAME, radar_sizes
from isacblocks.frontends.changes import Watch, nothing_told
from isacblocks.frontends.samples import RESTART
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
    ``changes`` says with each frame whether the receiver was retuned, set to other gains or started since the frame before;
    it goes to the calibrator's. Gains are told of one channel, which stands for all, of the antennas, or of all rows.
    """

    samples = In(_GIVEN)
    frame = Out(FRAME)
    changes = Out(CHANGE)
    told = State(dict)  # of changes
    began = State("float64", initial=math.nan)  # s, when the first frame was taken
    invalid = Reading("frames", "samples of two settings, no symbols, no sector")

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

    def dimensions(self) -> Mapping[str, int]:
        """N, S, and R rows of an item."""
        return radar_sizes(self.radar) | {"R": self.radar.antennas + (self.x is None) + self.sectors}

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

    def process(self, samples: Items) -> Items | tuple[Items, Items]:
        """One frame per item, and what was changed before it."""
        antennas = self.radar.antennas
        fields = self.frame.allocate(len(samples))
        self._scale(samples.value[:, :antennas], fields["y"])
        fields["x"][:] = samples.value[:, antennas] if self.x is None else self.x
        with np.errstate(over="ignore", invalid="ignore"):
            energy = np.square(np.abs(fields["x"])).sum(axis=1)
        valid = (samples.changed == 0) & np.isfinite(energy) & (energy > 0) & self._point(fields, samples)
        self.invalid += float(np.count_nonzero(~valid))
        fields["tau_min"][:], fields["tau_max"][:] = self.window
        fields["time"][:] = self._times(samples)
        fields["valid"][:] = valid
        frames = self.frame.items(**fields)
        return (frames, self._changes(samples)) if self.changes.connected else frames

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

    def _point(self, fields: dict[str, NDArray[Any]], samples: Items) -> NDArray[np.bool_]:
        """Fill in the sectors; which of them are such."""
        low, high = fields["theta_min"], fields["theta_max"]
        low[:], high[:] = self.sector
        if not self.sectors:
            return np.ones(len(samples), bool)
        told = samples.value[:, -1, 0].astype(np.complex128)
        good = (told.real >= -math.pi / 2) & (told.real < told.imag) & (told.imag <= math.pi / 2)
        low[good], high[good] = told.real[good], told.imag[good]
        return np.asarray(good)

    def _times(self, samples: Items) -> NDArray[np.float64]:
        """Seconds since the first frame."""
        counted = (samples.first + np.arange(len(samples))) * self.radar.frame_duration
        told = samples.seconds + samples.fraction
        known = np.isfinite(told)
        if math.isnan(self.began) and known.any():
            self.began = (told - counted)[known][0]
        return np.where(known, told - self.began, counted)
