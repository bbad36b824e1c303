"""A fault, how often it is tried, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """What one case found. figures: measured, by name; breaches: each promise that did not hold, in a sentence."""

    figures: dict[str, float | str] = field(default_factory=dict)
    breaches: list[str] = field(default_factory=list)

    def expect(self, holds: bool, otherwise: str) -> None:
        """Note a breach where something that was promised does not hold."""
        if not holds:
            self.breaches.append(otherwise)


@dataclass(frozen=True)
class Case:
    """run: called with how often the fault is to be tried; small and full: that number in CI and by hand."""

    name: str
    promise: str
    run: Callable[[int], Outcome]
    small: int
    full: int
    unit: str = "times"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that at least `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, int(share * len(ordered) + 0.999999) - 1))]
