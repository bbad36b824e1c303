"""What was done to a receiver while it ran, and what cannot hold any more since then: the record "change".

A retune and a new start of the sender draw new phases for all channels; a change of a channel's gain moves its gain and
phase. A gap alone changes nothing: all channels lose the same samples. What nobody tells is not known to have changed.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.records import GAIN_CHANGED, PHASE_UNKNOWN
from isacblocks.frontends.samples import RESTART

Codes = NDArray[np.uint8]


class Change(NamedTuple):
    """Codes of the record "change" and steps of the gains in dB, (N,) each."""

    codes: Codes
    gain: NDArray[np.float32]


class Watch:
    """Compares what is told with what was told last, for a block that keeps `state` in its own; see :func:`nothing_told`.

    What is told only now was not changed by that; what is not told any more holds on.
    """

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def see(self, start: int, count: int, gap: int, frequency: float, gain: NDArray[Any]) -> None:
        """An item of `count` samples from number `start` on, its code of a gap, frequency in Hz, gains in dB (N,)."""
        state = self.state
        again = gap == RESTART or (gap and start < state["next"])
        retuned = frequency != state["frequency"] and not math.isnan(frequency + state["frequency"])
        step = np.where(np.isnan(gain - state["gain"]), 0.0, gain - state["gain"]).astype(np.float32)
        codes = np.where(step != 0, GAIN_CHANGED, 0).astype(np.uint8)
        if again or retuned:
            codes[:] = PHASE_UNKNOWN
        if codes.any():
            state["codes"] = np.concatenate([state["codes"], codes[None]])
            state["steps"] = np.concatenate([state["steps"], step[None]])
            state["places"] = np.append(state["places"], 0 if again else start)
            if again:  # before all that comes now, whatever the old numbers were
                state["places"][:] = 0
        state["next"] = start + count
        state["frequency"] = state["frequency"] if math.isnan(frequency) else frequency
        state["gain"] = np.where(np.isnan(gain), state["gain"], gain)

    def take(self, before: int) -> Change:
        """All changes at samples below `before` that have not been taken yet, as one."""
        state = self.state
        if not state["places"].size:
            return Change(np.zeros(state["gain"].size, np.uint8), np.zeros(state["gain"].size, np.float32))
        due = state["places"] < before
        codes, steps = state["codes"][due], state["steps"][due]
        found = Change(codes.max(axis=0, initial=0), steps.sum(axis=0, dtype=np.float32))
        for name in ("codes", "steps", "places"):
            state[name] = state[name][~due]
        return found


def nothing_told(channels: int) -> dict[str, Any]:
    """The state of a :class:`Watch` at the start, arrays and numbers."""
    return {
        "next": -1,  # number of the sample that follows
        "frequency": math.nan,
        "gain": np.full(channels, math.nan),
        "codes": np.empty((0, channels), np.uint8),
        "steps": np.empty((0, channels), np.float32),
        "places": np.empty(0, np.int64),
    }
