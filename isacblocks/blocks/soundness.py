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


def sound_samples(
    y: Complex, valid: NDArray[Any], antennas: int | None = None
) -> tuple[Complex, dict[str, NDArray[Any]], int]:
    """(y, SAMPLES, refused): frames y with zeros for refused antennas, a copy where there are any; see the kernel.

    y (F, N or more, S), whose first rows are the antennas'; valid (F,): frames for which it is not 0; of others the samples'
    fields are zeros; antennas: N, by default all rows. refused: antennas, over valid frames.
    """
    shape = len(y), antennas or y.shape[1]
    power, largest, shared = np.empty((3, *shape))
    sample_statistics(real_view(y), power, largest, shared)
    sound = np.empty(shape, np.uint8)
    refused = judge_antennas(power, sound)
    if refused:
        y = y.copy()
        mute(y, sound)
        shared[sound == 0] = 0.0
        refused = int(np.count_nonzero(np.isinf(power[valid != 0])))
    usable = valid != 0
    made = {name: where(usable, values).astype(np.float32) for name, values in zip(SAMPLES, (power, shared), strict=True)}
    return y, made, refused


_LOOK = "look at what the front end sends"
_REMEDIES = {
    "too few antennas": "see which antennas are refused, saturated or silent in the health of the kappa records",
    "interference": "if the noise stays at this level it is believed after 17 frames; else look for who disturbs",
}


class Refusals:
    """Tells the 1st, 2nd, 4th, 8th, ... frame that is refused for a reason, for a block."""

    def __init__(self, label: str) -> None:
        self.log = logging.getLogger(f"isacblocks.{label}")
        self.counts: dict[int, int] = {}  # by code

    def note(self, codes: NDArray[np.uint8], first: int) -> None:
        """codes (F,): what :func:`judge_frames` said of the frames from number `first` on."""
        for code in np.unique(codes[codes > MARKED]).tolist():
            before, found = self.counts.get(code, 0), np.flatnonzero(codes == code)
            after = self.counts[code] = before + found.size
            if after.bit_length() > before.bit_length():
                frame = first + int(found[(1 << after.bit_length() - 1) - before - 1])
                self.log.warning(
                    "frame %d is refused: %s (%d so far for this reason); nothing is detected in it or learned from it; %s",
                    frame,
                    REASONS[code],
                    after,
                    _REMEDIES.get(REASONS[code], _LOOK),
                )
