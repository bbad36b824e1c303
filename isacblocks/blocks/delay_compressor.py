"""Frames in the delay basis of their search window: ten times smaller, and all that the window can show is kept."""

from __future__ import annotations

from collections.abc import Mapping

from isacblocks.blocks.compressed_frames import compressed_fields
from isacblocks.blocks.records import COMPRESSED, FRAME, SECTOR, radar_sizes
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
        sector = {name: frame.fields[name] for name in SECTOR}
        g = self.compressed.allocate(len(frame))["g"]
        fields, refused = compressed_fields(frame.y, frame.x, sector, self.basis, g)
        self.muted += refused
        self.refused_antennas = float(self.muted)
        return self.compressed.items(**fields)
