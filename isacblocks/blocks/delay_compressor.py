"""Frames in the delay basis of their search window: ten times smaller, and all that the window can show is kept."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from isacblocks.blocks.records import COMPRESSED, FRAME, SECTOR, radar_sizes, where
from isacblocks.blocks.soundness import sound_samples
from isacblocks.kernels.compression import compressed
from isacblocks.kernels.delay_basis import ERROR, delay_basis
from isacblocks.kernels.warmup import load
from isacblocks.radar import OfdmRadar, Scene
from isacblocks.stream import Block, In, Out, Reading, State
from isacblocks.stream.spec import Items


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
        y, samples, refused = sound_samples(frame.y, frame.valid)
        self.muted += refused
        self.refused_antennas = float(self.muted)
        made = compressed(y, frame.x, self.basis, self.compressed.allocate(len(frame))["g"])
        low, high = self.basis.window
        slack = 1e-9 * (high - low)
        inside = (frame.tau_min >= low - slack) & (frame.tau_max <= high + slack)
        usable = (frame.valid != 0) & inside & (made.energy > 0) & (made.symbol_energy > 0)
        usable &= np.isfinite(made.energy + made.symbol_energy)
        if not usable.all():
            made.g[~usable] = 0.0
        return self.compressed.items(
            g=made.g,
            energy=where(usable, made.energy),
            symbol_energy=where(usable, made.symbol_energy),
            **{name: where(usable, values) for name, values in samples.items()},
            **{name: frame.fields[name] for name in SECTOR if name != "valid"},
            valid=usable.view(np.uint8),
        )
