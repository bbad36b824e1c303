"""What an end of a link would not take, counted by reason and told once in a while."""

from __future__ import annotations

import logging
import threading
from collections import Counter


class Refusals:
    """Of the port `owner`. A reason is one of our own words, so that there are few of them however many messages come."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.counts: Counter[str] = Counter()
        self.bad = 0  # noted: messages that an honest peer would not have sent
        self._lock = threading.Lock()  # the door has a thread of its own
        self._log = logging.getLogger("isacblocks.stream.link")

    def note(self, reason: str, text: object) -> None:
        """Count a message that was refused; the 1st, 2nd, 4th, 8th, ... of a reason is told."""
        with self._lock:
            self.bad += 1
            self.counts[reason] += 1
            number = self.counts[reason]
        if number & (number - 1) == 0:
            self._log.warning(
                "%s: skipped a bad message (%s, %d so far): %s; a lossless link asks for it again, what a sender cannot "
                "mend is counted as dropped; see who sends here",
                self.owner,
                reason,
                number,
                text,
            )

    def count(self, reason: str) -> None:
        """Count a message that was not needed, which can happen among honest peers too."""
        with self._lock:
            self.counts[reason] += 1


def total(refusals: list[Refusals]) -> dict[str, int]:
    """By reason, over several ports."""
    counts: Counter[str] = Counter()
    for one in refusals:
        counts.update(dict(one.counts))
    return dict(counts)
