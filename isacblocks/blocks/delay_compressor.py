"""Frames in the delay basis of their search window: ten times smaller, and all that the window can show is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.records import COMPRESSED, FRAME, SECTOR, radar_sizes, where
from isacblocks.blocks.soundness import sound_samples
from isacblocks.kernels.arrays import Complex
from isacblocks.kernels.compression import compressed
from isacblocks.kernels.delay_basis import ERROR, DelayBasis, delay_basis
from isacblocks.kernels.warmup import load
from isacblocks.radar import OfdmRadar, Scene
from isacblocks.stream import Block, In, Out, Reading, State
from isacblocks.stream.spec import Items


def compressed_fields(
    y: Complex, x: Complex, sector: dict[str, NDArray[Any]], basis: DelayBasis, g: Complex
) -> tuple[dict[str, NDArray[Any]], int]:
    """The record "compressed" of F frames, and how many antennas were left out of them; see :class:`DelayCompressor`.

    y (F, N or more, S), whose first rows are the antennas'; x (F, S); sector: the fields SECTOR; g (F, N, D): is filled.
    """
    y, samples, refused = sound_samples(y, sector["valid"], basis.radar.antennas)
    made = compressed(y, x, basis, g)
    low, high = basis.window
    slack = 1e-9 * (high - low)
    inside = (sector["tau_min"] >= low - slack) & (sector["tau_max"] <= high + slack)
    usable = (sector["valid"] != 0) & inside & (made.energy > 0) & (made.symbol_energy > 0)
    usable &= np.isfinite(made.energy + made.symbol_energy)
    if not usable.all():
        made.g[~usable] = 0.0
    fields = {
        "g": made.g,
        "energy": where(usable, made.energy),
        "symbol_energy": where(usable, made.symbol_energy),
        **{name: where(usable, values) for name, values in samples.items()},
        **sector,
        "valid": usable.view(np.uint8),
    }
    return fields, refused


class DelayCompressor(Block):
    """Compresses each frame into the delay basis of the scene's window, :mod:`isacblocks.kernels.compression`.

    radar, scene: parameters, of which the scene's delay window counts; error: of a delay vector, relative to its length.
    Antennas with samples that cannot be used (:mod:`isacblocks.kernels.soundness`) are left out of their frames. Frames that
    are invalid, have no other antennas, or look for delays outside the window pass with ``valid`` 0.
    """

    frame = In(FRAME)
    compressed = Out(COMPRESSED)
    muted = State("uint64")
    refused_antennas = Reading("antennas", "left out so far, summed over the frames")

    def __init__(self, radar: OfdmRadar, scene: Scene | None = None, error: float = ERROR) -> None:
        self.radar = radar
        self.basis = delay_basis(radar, *(scene or Scene()).delay_window(radar), error)

    def dimensions(self) -> Mapping[str, int]:
        """N, S, D, K."""
        return radar_sizes(self.radar) | {"D": self.basis.rank}

    @classmethod
    def prepare(cls) -> None:
        """Load the compiled kernels."""
        load("compression")
        load("soundness")

    def process(self, frame: Items) -> Items:
        """One compressed frame per frame."""
        sector = {name: frame.fields[name] for name in SECTOR}
        g = self.compressed.allocate(len(frame))["g"]
        fields, refused = compressed_fields(frame.y, frame.x, sector, self.basis, g)
        self.muted += refused
        self.refused_antennas = float(self.muted)
        return self.compressed.items(**fields)
