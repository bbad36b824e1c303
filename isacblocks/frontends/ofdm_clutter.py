"""What stands still, subtracted: the mean over frames of Y conj(x) / |x|^2 on every antenna and subcarrier, times x."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_FRAMES = 8  # before the static part is known well enough to be subtracted


class Clutter:
    """The static part, averaged over `memory` frames, 0 for none, for a block that keeps `state` in its own; see
    :func:`no_static`."""

    def __init__(self, state: dict[str, Any], memory: float) -> None:
        self.state, self.memory = state, memory

    def forget(self) -> None:
        """Begin anew."""
        self.state |= no_static(*self.state["static"].shape)

    def without(self, y: NDArray[Any], x: NDArray[Any], broken: NDArray[np.bool_]) -> tuple[NDArray[Any], bool]:
        """Y (N, S) less x (S,) times the static part, and whether that is known; frames are turned to its phase first.

        broken: antennas (N,) without samples, of which nothing is learned.
        """
        state = self.state
        if not self.memory:
            return y.astype(np.complex64), True
        seen = y * x.conj() / np.maximum(np.square(np.abs(x)), 1e-30)
        known = state["static_frames"]
        if known:
            turn = np.exp(-1j * np.angle(np.vdot(state["static"], seen)))
            y, seen = y * turn, seen * turn
        left = y - x * state["static"]
        seen[broken] = state["static"][broken]
        state["static_frames"] = min(known + 1.0, self.memory)
        state["static"] = (state["static"] + (seen - state["static"]) / state["static_frames"]).astype(np.complex64)
        return left.astype(np.complex64), known >= _FRAMES


def no_static(antennas: int, subcarriers: int) -> dict[str, Any]:
    """The state of :class:`Clutter` at the start: the static part, and the frames in it."""
    return {"static": np.zeros((antennas, subcarriers), np.complex64), "static_frames": 0.0}
