"""Antennas whose samples cannot be used are taken out of a frame before anything is computed from it."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.records import SAMPLES, where
from isacblocks.kernels.arrays import Complex, real_view
from isacblocks.kernels.samples import sample_statistics
from isacblocks.kernels.soundness import MARKED, REASONS, judge_antennas, mute


def sound_samples(y: Complex, valid: NDArray[Any]) -> tuple[Complex, dict[str, NDArray[Any]], int]:
    """(y, SAMPLES, refused): frames y (F, N, S) with zeros for refused antennas, a copy where there are any; see the kernel.

    valid (F,): frames for which it is not 0; of others the samples' fields are zeros. refused: antennas, over valid frames.
    """
    power, largest, shared = np.empty((3, *y.shape[:2]))
    sample_statistics(real_view(y), power, largest, shared)
    sound = np.empty(y.shape[:2], np.uint8)
    refused = judge_antennas(power, sound)
    if refused:
        y = y.copy()
        mute(y, sound)
        shared[sound == 0] = 0.0
        refused = int(np.count_nonzero(np.isinf(power[valid != 0])))
    usable = valid != 0
    made = {name: where(usable, values).astype(np.float32) for name, values in zip(SAMPLES, (power, shared), strict=True)}
    return y, made, refused


class Refusals:
    """Says once in the log what is refused, for a block; counting is the block's."""

    def __init__(self, label: str) -> None:
        self.log = logging.getLogger(f"isacblocks.{label}")
        self.said: set[int] = set()

    def note(self, codes: NDArray[np.uint8], first: int) -> None:
        """codes (F,): what :func:`judge_frames` said of the frames from number `first` on."""
        for code in np.unique(codes[codes > MARKED]).tolist():
            if code not in self.said:
                self.said.add(code)
                frame = first + int(np.flatnonzero(codes == code)[0])
                self.log.warning("frame %d is refused: %s; later ones are counted without a word", frame, REASONS[code])
