"""What the calibrator does where it is told that the receiver was changed: which frames are before, and what is forgotten.

The message's frames are learned up to the change, the update that is being filled is closed with what it has, then

    one antenna's gain, by g dB:       kappa_n <- 10^(g / 20) kappa_n as a guess, true to about 1 dB and some tens of degrees
    one antenna's phase, unknown:      kappa_n as a guess that is worth no more than the prior
    every antenna's phase, unknown:    all begins anew with kappa^(0), or from nothing; SNR, P(t = 1) and N0 are kept

so that it does not depend on how the frames are divided into messages.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.methods.base import Frames, Memory, Method
from isacblocks.blocks.records import AS_BEFORE, GAIN_CHANGED, PHASE_UNKNOWN
from isacblocks.kernels.arrays import Complex
from isacblocks.stream.spec import Items

_GAIN_STEP = 0.15  # relative: what receivers call a step of gain is true to about a decibel
_PHASE_STEP = 0.5  # rad: and moves the phase by some degrees, at most by tens
_LARGEST = 100.0  # dB: no receiver changes its gain by more, what is told then is no number to use


def pieces(frames: Frames, usable: NDArray[np.bool_], changes: Items) -> Iterator[tuple[int | None, Frames]]:
    """The message's usable frames in pieces: (the change before it by its place, or None; the frames), in order.

    frames: the usable ones alone; usable (F,): which of the message's frames they are. Raises ValueError where the changes
    are not of these frames.
    """
    if len(changes) != usable.size:
        raise ValueError(f"changes: expected one item for each of {usable.size} peaks, got {len(changes)}")
    rows = np.flatnonzero((changes.changed != AS_BEFORE).any(axis=1)).tolist()
    before = np.concatenate([[0], np.cumsum(usable)])  # usable frames before each of the message's
    ends = [int(before[row]) for row in rows] + [int(before[-1])]
    yield None, {name: array[: ends[0]] for name, array in frames.items()}
    for row, first, last in zip(rows, ends[:-1], ends[1:], strict=True):
        yield row, {name: array[first:last] for name, array in frames.items()}


def begins_anew(changed: NDArray[np.uint8]) -> bool:
    """Whether a change (N,) leaves no phase that is known."""
    return bool((changed == PHASE_UNKNOWN).all())


def forget(learner: Method, memory: Memory, changed: NDArray[np.uint8], gain: NDArray[np.float32]) -> None:
    """Of the antennas that changed (N,), in place; gain (N,) in dB, which counts where it is a number."""
    known = np.isfinite(gain) & (np.abs(gain) <= _LARGEST) & (changed == GAIN_CHANGED)
    kappa: Complex = learner.estimate(memory).kappa * 10.0 ** (np.where(known, gain, 0.0).astype(float) / 20)
    spread = np.where(known, np.abs(kappa) * np.array([[_GAIN_STEP], [_PHASE_STEP]]), np.inf)
    learner.forget(memory, changed != AS_BEFORE, kappa, spread)
