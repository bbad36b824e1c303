"""Whether N0 is what was told: a walk over the frames' own, and frames that wait until they are known to be learned from.

What is told of the noise is believed until frames contradict it. Who only decides goes on believing it and flags them, as
the detector does. Who learns must not: a calibrator that takes the noise for 20 dB more than it is learns from hardly a
frame, one that takes it for less is surer than it may be. So a frame that contradicts waits, and those behind it; when so
many more do than do not, all that waited is learned from with what the stream itself says, and nothing that was told is
believed any more.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import frozen

OFF = 10.0  # by which factor a noise that is told may be off
RUN = 32  # frames more that say so than frames that do not
LONGEST = 256  # frames that wait at most
_LEFT = 0.2  # of a peak's energy: twice what a peak between two delays of the grid may leave

Frames = Mapping[str, NDArray[Any]]
Memory = dict[str, Any]


def noise_doubts(doubt: int, told: float, frames: Frames, samples: int) -> NDArray[np.int64]:
    """The doubt (F,) that N0 is `told`, after every frame; doubt: what the frames before left of it.

    frames: their noise_power and symbol_energy (F,), and snapshot (F, N) of the first peak; samples: in a frame, of which
    noise_power is the mean; where there is no peak it is not above zero.
    A frame whose own N0 is not within a factor `OFF` raises the doubt by one, any other takes one off, down to zero. Where
    what is left of a frame may be its echo's, between two delays of the grid, it says nothing. Where the noise is as it is
    told, a frame of 32 samples or more raises the doubt with probability below 3e-20 (Chernoff), at Table I's 16 383 never.
    """
    noise = frames["noise_power"]
    ratio, heard = noise / told, noise > 0.0
    high = ratio > OFF
    off = high | (heard & (ratio < 1.0 / OFF))
    if not doubt and not off.any():
        return np.zeros(noise.size, np.int64)
    if high.any():
        snapshot = frames["snapshot"].astype(np.complex128)
        echo = np.square(np.abs(snapshot)).sum(axis=1) / np.where(heard, frames["symbol_energy"], 1.0)
        heard = heard & ~(high & (samples * noise <= _LEFT * echo))
    walk = doubt + np.cumsum(np.where(heard, np.where(off, 1, -1), 0))
    walk -= np.minimum(np.minimum.accumulate(walk), 0)  # never below zero
    return walk


def flagged(doubt: int, walk: NDArray[np.int64]) -> int:
    """How many frames raised the doubt to `RUN` or beyond."""
    return int(np.count_nonzero((walk >= RUN) & (np.diff(walk, prepend=doubt) > 0)))


def trusting() -> Memory:
    """The memory of :func:`sort` at the start: nothing speaks against what was told."""
    return {"doubt": 0, "wrong": 0, "believed": True, "waiting": {}}


def sort(memory: Memory, told: float, frames: Frames, samples: int) -> tuple[Frames | None, Frames | None]:
    """Frames to be learned from now: those that bear out what was told, and then those to which it must not be applied.

    frames: as of :func:`noise_doubts`, with whatever fields beside them, all F long. Both are None where they are none. The
    same frames come out for the same reason however they were divided. Where the latter come out, :func:`give_up` is due.
    """
    walk = noise_doubts(memory["doubt"], told, frames, samples)
    memory["wrong"] += flagged(memory["doubt"], walk)
    memory["doubt"] = int(walk[-1]) if walk.size else memory["doubt"]
    if not memory["believed"]:
        return None, frames
    if not memory["waiting"] and not walk.any():
        return frames, None
    frames = _joined(memory["waiting"], frames)
    held = frames["noise_power"].size - walk.size
    found = np.flatnonzero(walk >= RUN)
    end = int(found[0]) if found.size else walk.size  # frames before the one that settles it
    sound = np.flatnonzero(walk[:end] == 0)
    ready = max(held + int(sound[-1]) + 1 if sound.size else 0, held + end - LONGEST, 0)
    rest = _cut(frames, ready, None)
    memory["waiting"] = {} if found.size or not rest["noise_power"].size else {n: a.copy() for n, a in rest.items()}
    return _cut(frames, 0, ready) if ready else None, rest if found.size else None


def give_up(memory: Memory, learned: Memory, fresh: Memory, label: str, told: float, frames: Frames) -> None:
    """Believe nothing any more that was told: what a method has of the stream is `fresh`. frames: those that waited."""
    memory["believed"] = False
    learned["surroundings"] = fresh
    if learned.get("started"):  # over the whole circle; another method goes on
        learned["follower"]["surroundings"] = fresh
    logging.getLogger(f"isacblocks.{label}").warning(
        "N0 was told to be %.3g, but %d frames more say otherwise than agree, the last one %.3g: SNR, P(t = 1) and N0 are "
        "estimated from now on, the %d frames that waited included; give no scene, or scale the samples to N0 = %.3g; "
        "further frames are counted in the reading noise_wrong",
        told,
        RUN,
        float(frames["noise_power"][-1]),
        frames["noise_power"].size,
        told,
    )


def let_go(memory: Memory) -> int:
    """Frames that wait will not be learned from; how many."""
    count = len(memory["waiting"]["noise_power"]) if memory["waiting"] else 0
    memory["waiting"] = {}
    return count


def _joined(first: Frames, then: Frames) -> Frames:
    return {name: frozen(np.concatenate([first[name], then[name]])) for name in then} if first else then


def _cut(frames: Frames, first: int, last: int | None) -> Frames:
    return {name: array[first:last] for name, array in frames.items()}
