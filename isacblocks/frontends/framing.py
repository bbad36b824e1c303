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

from isacblocks.blocks.records import FRAME, radar_sizes
from isacblocks.radar import OfdmRadar, Scene
from isacblocks.stream import Block, Field, In, Out, Reading, Record, State
from isacblocks.stream.spec import Items

_GIVEN = Record(
    "samples",
    (
        Field("value", "complex64", ("R", "S")),
        Field("gap", "uint8"),
        Field("changed", "uint8"),
        Field("seconds", "int64", unit="s"),
        Field("fraction", "float64", unit="s"),
    ),
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
    """

    samples = In(_GIVEN)
    frame = Out(FRAME)
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
        """No frame yet."""
        super().start()
        self.invalid = 0.0

    def process(self, samples: Items) -> Items:
        """One frame per item."""
        antennas = self.radar.antennas
        fields = self.frame.allocate(len(samples))
        np.multiply(samples.value[:, :antennas], self.scale, out=fields["y"])
        fields["x"][:] = samples.value[:, antennas] if self.x is None else self.x
        with np.errstate(over="ignore", invalid="ignore"):
            energy = np.square(np.abs(fields["x"])).sum(axis=1)
        valid = (samples.changed == 0) & np.isfinite(energy) & (energy > 0) & self._point(fields, samples)
        self.invalid += float(np.count_nonzero(~valid))
        fields["tau_min"][:], fields["tau_max"][:] = self.window
        fields["time"][:] = self._times(samples)
        fields["valid"][:] = valid
        return self.frame.items(**fields)

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
