"""How fast a source may go: so many items a second, in the mean.

What could not be made for a moment is made up for, so that the rate is held although a source looks only now and then; what
was missed for longer than that is not.
"""

from __future__ import annotations

import math

_BURST = 0.25  # seconds: how much may be made up for


class Pace:
    """An account that fills with time and is spent by items."""

    def __init__(self) -> None:
        self._rate = math.inf
        self._credit = 0.0  # items that may be made; below zero: made too early
        self._seen = 0.0  # seconds

    def allows(self, rate: float, now: float) -> bool:
        """Whether the next items may be made at `now`, in seconds of any clock; rate: items per second, inf for no limit."""
        if rate == math.inf:
            self._rate = rate
            return True
        if rate != self._rate:  # new: what was earned or owed at another rate does not count
            self._rate, self._credit, self._seen = rate, 0.0, now
        self._credit = min(self._credit + rate * (now - self._seen), _BURST * rate)
        self._seen = now
        return self._credit >= 0.0

    def spend(self, items: int) -> None:
        """So many have been made."""
        if self._rate != math.inf:
            self._credit -= items
