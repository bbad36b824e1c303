"""Compressed frames that a method keeps until it has enough of them."""

from __future__ import annotations

import numpy as np

from isacblocks.blocks.methods.base import Frames, Memory
from isacblocks.blocks.records import SAMPLES
from isacblocks.kernels.delay_basis import Compressed

_KEPT = ("g", "energy", "symbol_energy", "noise_power", "theta_min", "theta_max", "tau_min", "tau_max", *SAMPLES)


def empty() -> Memory:
    """A buffer without frames."""
    return {}


def append(buffer: Memory, frames: Frames) -> None:
    """Add frames that have come with their compressed samples `g` (F, N, D)."""
    for name in _KEPT:
        held = buffer.get(name)
        buffer[name] = frames[name].copy() if held is None else np.concatenate([held, frames[name]])


def count(buffer: Memory) -> int:
    """How many frames it holds."""
    return len(buffer["g"]) if buffer else 0


def let_go(buffer: Memory, frames: int) -> None:
    """Forget the oldest frames."""
    for name in _KEPT:
        buffer[name] = buffer[name][frames:].copy()


def drop_bursts(buffer: Memory, ratio: float = 4.0) -> None:
    """Forget frames with more than `ratio` times the median noise.

    A map tells bursts of interference by the frames before them; of the very first frames there are none.
    """
    if not buffer:
        return
    noise = buffer["noise_power"]
    usual = noise <= ratio * np.median(noise)
    if np.count_nonzero(usual) < usual.size:
        for name in _KEPT:
            buffer[name] = buffer[name][usual]


def samples(buffer: Memory) -> Compressed:
    """The frames as kernels take them."""
    return Compressed(buffer["g"], buffer["energy"], buffer["symbol_energy"])
