"""From frames to the record "compressed": for the compressor, and for front ends that compress where the samples lie."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.records import where
from isacblocks.blocks.soundness import sound_samples
from isacblocks.kernels.arrays import Complex
from isacblocks.kernels.compression import compressed
from isacblocks.kernels.delay_basis import DelayBasis


def compressed_fields(
    y: Complex, x: Complex, sector: dict[str, NDArray[Any]], basis: DelayBasis, g: Complex
) -> tuple[dict[str, NDArray[Any]], int]:
    """The record "compressed" of F frames, and how many antennas were left out of them; the law is the compressor's.

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
