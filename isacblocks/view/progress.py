"""The line of a campaign: how many cells, how many failed, how long it will take."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from isacblocks.study.campaign import Campaign
from isacblocks.study.cell import Outcome
from isacblocks.view.terminal import duration

_QUIET = 5.0  # seconds between lines where the output is not a terminal


class CampaignProgress:
    """Call it with every outcome. cells: numbers of those that will be run; the others of the campaign are done.

    The time to go counts every cell by its frames, antennas and subcarriers, at the speed since the start.
    """

    def __init__(self, campaign: Campaign, cells: set[int], stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self._costs = {c.number: c.frames * c.antennas * c.subcarriers for c in campaign.cells() if c.number in cells}
        self._total = campaign.size
        self._cost_left = sum(self._costs.values())
        self._cost_done = 0
        self._failed = 0
        self._live = self.stream.isatty()
        self._began = time.monotonic()
        self._shown = self._began
        self._width = 0
        self._show(0.0)

    def __call__(self, outcome: Outcome) -> None:
        """Count it and show the line, at once on a terminal, now and then elsewhere."""
        cost = self._costs.pop(outcome.cell, 0)
        self._cost_left -= cost
        self._cost_done += cost
        self._failed += outcome.error is not None
        now = time.monotonic()
        if self._live or now - self._shown >= _QUIET or not self._costs:
            self._shown = now
            self._show(now - self._began)

    def _show(self, seconds: float) -> None:
        line = self.line(seconds)
        if self._live:
            self.stream.write("\r" + line + " " * max(0, self._width - len(line)))
            self._width = len(line)
        else:
            self.stream.write(line + "\n")
        self.stream.flush()

    def line(self, seconds: float) -> str:
        """How far it is, `seconds` after the start."""
        parts = [f"{self._total - len(self._costs)}/{self._total} cells", f"{self._failed} failed", duration(seconds)]
        if self._costs:
            to_go = seconds * self._cost_left / self._cost_done if self._cost_done else float("nan")
            parts.append(f"{duration(to_go)} to go")
        return "  ".join(parts)

    def end(self) -> None:
        """Leave the line."""
        if self._live:
            self.stream.write("\n")
            self.stream.flush()
