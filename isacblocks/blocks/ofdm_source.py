"""Transmit symbols x of an OFDM radar: i.i.d. from a square QAM constellation, QPSK by default (Sec. IV-A)."""

from __future__ import annotations

from collections.abc import Mapping

from isacblocks.blocks.records import SYMBOL, radar_sizes
from isacblocks.kernels.random import check_seed
from isacblocks.kernels.simulation import draw_symbols, qam_constellation
from isacblocks.kernels.warmup import load
from isacblocks.radar import OfdmRadar
from isacblocks.stream import Out, Source
from isacblocks.stream.spec import Items


class OfdmSource(Source):
    """One symbol vector x (S,) per item; item k depends on the seed and k alone.

    radar: its parameters; seed: 0 .. 2^64 - 1; order: of the QAM constellation, 4, 16, 64 or 256.
    """

    symbols = Out(SYMBOL)

    def __init__(self, radar: OfdmRadar, seed: int = 0, order: int = 4) -> None:
        self.radar = radar
        self.seed = check_seed(seed)
        self.order = order
        qam_constellation(order)  # refuses an unknown order here, not in the middle of a run

    def dimensions(self) -> Mapping[str, int]:
        """N, S, K."""
        return radar_sizes(self.radar)

    @classmethod
    def prepare(cls) -> None:
        """Load the compiled kernels."""
        load("simulation")

    def produce(self, first: int, count: int) -> Items:
        """Items first .. first + count - 1."""
        return self.symbols.items(x=draw_symbols(self.seed, first, count, self.radar, self.order))
