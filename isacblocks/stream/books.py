"""The queue and the books of one edge, at its receiving end: what has come, what of it is done, how far the sender knows."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

from isacblocks.stream.parcel import size_of
from isacblocks.stream.reader import Reader
from isacblocks.stream.spec import Items


class Books:
    """See the module. reader: it is told which messages are done."""

    def __init__(self, reader: Reader) -> None:
        self.queue: deque[Items] = deque()
        self.expected = 0  # serial of the next message to receive
        self.next = 0  # serial of the next message to commit
        self.committed = 0
        self.dropped: Counter[str] = Counter()
        self.ended = False
        self.owing = 0  # messages that were processed and not acknowledged
        self._owing_bytes = 0
        self._said = 0  # the serial of our last word: of what came before it the sender has been told what we keep
        self._told: tuple[int, int, dict[str, int]] | None = None  # with snapshots: what the last one holds
        self._reader = reader

    def head(self) -> Items | None:
        """The oldest message not yet processed."""
        return self.queue[0] if self.queue else None

    def commit(self) -> None:
        """The oldest message has been processed, and what it led to has been handed on."""
        items = self.queue.popleft()
        self.committed += items.count
        self._pass(items)

    def discard(self, reason: str) -> None:
        """The oldest message will not be processed."""
        items = self.queue.popleft()
        self.dropped[reason] += items.count
        self._pass(items)

    def _pass(self, items: Items) -> None:
        if items.spoiled:
            self.dropped["bad"] += items.spoiled
        self.next = items.serial + 1
        self.ended = items.final
        self.owing += 1
        self._owing_bytes += size_of(items)
        if items.lease is not None:
            self._reader.done(items)

    def settle(self) -> None:
        """A snapshot holds all that was committed up to now: it may be acknowledged, and no more until the next one."""
        self._told = self.next, self.committed, dict(self.dropped)

    def word(self) -> tuple[int, int, dict[str, int]]:
        """What may be said now, after which nothing is owed: the next serial, items committed, items dropped by reason."""
        self.owing = self._owing_bytes = 0
        return self._told or (self.next, self.committed, dict(self.dropped))

    def save(self) -> dict[str, Any]:
        """What a checkpoint or a snapshot keeps."""
        return {"next": self.next, "committed": self.committed, "dropped": dict(self.dropped), "ended": self.ended}

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue after the last committed message of :meth:`save`."""
        self.next = self.expected = self._said = saved["next"]
        self.committed = saved["committed"]
        self.dropped = Counter(saved["dropped"])
        self.ended = saved.get("ended", False)
