"""One frame of several symbols: sum_k Y_k conj(x_k) / X, X^2 = sum_k |x_k|^2 on every subcarrier, and X for its symbols."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isacblocks.frontends.changes import Change


class Made(NamedTuple):
    """A frame: Y (N, S), x (S,), whether it is valid, seconds, and what was done to the receiver before it."""

    y: NDArray[Any]
    x: NDArray[Any]
    valid: bool
    time: float
    change: Change


class Average:
    """Makes one frame of every `count` symbols, for a block that keeps `state` in its own; see :func:`no_average`."""

    def __init__(self, state: dict[str, Any], count: int) -> None:
        self.state, self.count = state, count

    def forget(self) -> None:
        """Begin anew, but for what was changed."""
        self.state["averaged"] = 0

    def add(self, one: Made) -> list[Made]:
        """The frame that a symbol completes, in a list, or none."""
        if self.count == 1:
            return [one]
        state = self.state
        if not state["averaged"]:
            state |= {"seen": np.zeros_like(state["seen"]), "weight": np.zeros_like(state["weight"])}
            state |= {"time": one.time, "usable": True}
        elif one.change.codes.any():  # at the border of two symbols
            state["usable"] = False
        state["averaged"] += 1
        state["seen"] += one.y * one.x.conj()
        state["weight"] += np.square(np.abs(one.x.astype(np.complex128)))
        state["usable"] = bool(state["usable"] and one.valid)
        state["frame_codes"] = np.maximum(state["frame_codes"], one.change.codes)
        state["frame_steps"] = state["frame_steps"] + one.change.gain
        if state["averaged"] < self.count:
            return []
        x = np.sqrt(state["weight"])
        y = (state["seen"] / np.maximum(x, 1e-30)).astype(np.complex64)
        change = Change(state["frame_codes"], state["frame_steps"])
        state["averaged"] = 0
        state["frame_codes"], state["frame_steps"] = np.zeros_like(change.codes), np.zeros_like(change.gain)
        return [Made(y, x.astype(np.complex64), state["usable"], state["time"], change)]


def no_average(antennas: int, subcarriers: int) -> dict[str, Any]:
    """The state of :class:`Average` at the start, arrays and numbers."""
    return {
        "averaged": 0,  # symbols in the frame that is being made: their sums, when the first one was, all valid
        "seen": np.zeros((antennas, subcarriers), np.complex128),
        "weight": np.zeros(subcarriers),
        "time": 0.0,
        "usable": True,
        "frame_codes": np.zeros(antennas, np.uint8),
        "frame_steps": np.zeros(antennas, np.float32),
    }
