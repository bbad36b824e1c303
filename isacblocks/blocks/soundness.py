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
from isacblocks.stream.spec import Items


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


OFF = 10.0  # by which factor a noise that is told may be off
RUN = 32  # frames more that say so than frames that do not
_LEFT = 0.2  # of a peak's energy: twice what a peak between two delays of the grid may leave


def noise_doubts(doubt: int, told: float, peak: Items, samples: int) -> tuple[int, int]:
    """(doubt, flagged): whether the frames of `peak` bear out that N0 is `told`; doubt: what the frames before left of it.

    A frame whose own N0, from `samples` samples, is not within a factor `OFF` raises the doubt by one, any other takes one
    off, down to zero; flagged: frames that raise it to `RUN` or more. Where what is left of a frame may be its echo's,
    between two delays of the grid, it says nothing. Where the noise is as it is told, a frame of 32 samples or more raises
    the doubt with probability below 3e-20 (Chernoff), at Table I's 16 383 never.
    """
    ratio = peak.noise_power / told
    heard = (peak.peaks > 0) & (peak.noise_power > 0.0)
    high = heard & (ratio > OFF)
    off = high | (heard & (ratio < 1.0 / OFF))
    if not doubt and not off.any():
        return 0, 0
    if high.any():
        snapshot = peak.snapshot[:, 0].astype(np.complex128)
        echo = np.square(np.abs(snapshot)).sum(axis=1) / np.where(heard, peak.symbol_energy, 1.0)
        heard = heard & ~(high & (samples * peak.noise_power <= _LEFT * echo))
    steps = np.where(heard, np.where(off, 1, -1), 0)
    walk = doubt + np.cumsum(steps)
    walk -= np.minimum(np.minimum.accumulate(walk), 0)  # never below zero
    return int(walk[-1]), int(np.count_nonzero((walk >= RUN) & (steps > 0)))
