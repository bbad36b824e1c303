"""The books and queues of one edge, at its sending end."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import Any

from isacblocks.stream.box import Box
from isacblocks.stream.errors import WireError
from isacblocks.stream.link import RECEIVERS_REASONS, EdgeCount, EdgeSpec
from isacblocks.stream.parcel import Parcel

# Drops that are remembered until the receiver has told what it has. The sender's earlier self was at most as far beyond its
# snapshot as the credit of its own inputs, so that what comes later it cannot have sent.
_MOST_DOUBTFUL = 1 << 14


class Peer:
    """The sending end of one edge."""

    def __init__(self, edge: EdgeSpec, local: Box | None) -> None:
        self.edge = edge
        self.box = local  # where the receiver is in this process
        self.pending: deque[Parcel] = deque()  # never sent: only these may be dropped
        self.again: deque[Parcel] = deque()  # sent to an earlier self of the receiver, to be sent once more
        self.unacknowledged: deque[Parcel] = deque()  # sent
        self.bytes = 0  # of all three queues
        self.sent_bytes = 0  # of what is unacknowledged
        self.produced = 0
        self.committed = 0
        self.messages = 0
        self.dropped: Counter[str] = Counter()
        self.open = False
        self.name = ""  # under which a guard let it in
        self.inline = False  # it cannot map shared segments
        self.lossless = edge.policy == "block"
        self.window = 1 if edge.policy == "latest" else edge.depth  # messages that may be sent and not yet acknowledged
        self.acknowledged = 0  # serial up to which the receiver has everything
        self.interval = edge.interval  # seconds between two messages, where the receiver does not want them all
        self._rests_until = 0.0  # with an interval: when the next message may be sent
        self.recent: deque[Parcel] = deque(maxlen=edge.lag or 0)  # what a lagged feedback must be able to send again
        # Of a sender that came back only the receiver knows what became of some items, until its HELLO tells and, where the
        # sender had been farther than it now is, until it has caught up
        self.unsettled = False
        self._doubtful: list[tuple[int, int, str]] = []  # serial, items, reason: dropped although the receiver may have it

    def room(self) -> bool:
        """Whether a lossless edge may take one more message."""
        if not self.lossless:
            return True
        waiting = len(self.pending) + len(self.again) + len(self.unacknowledged)
        return not waiting or (waiting < self.edge.depth and self.bytes < self.edge.budget)

    def push(self, parcel: Parcel) -> None:
        """Take one more message; a lossy edge makes place for it."""
        self.produced += parcel.count
        self.messages += 1
        if parcel.serial < self.acknowledged:  # made for the second time
            self.recent.append(parcel)
            self._settle()
            return
        if not self.lossless and self.pending and self.pending[-1].gap:  # what comes behind it says as much
            self.bytes -= self.pending.pop().size
        if not self.lossless and not parcel.final and not parcel.gap:  # a gap takes nobody's place
            newest = self.edge.policy == "latest" or self.interval > 0.0
            limit = 1 if newest else self.edge.depth
            while self.pending and (len(self.pending) >= limit or self.bytes + parcel.size > self.edge.budget):
                old = self.pending.popleft()
                self.bytes -= old.size
                self._drop(old, "superseded" if newest else "overflow")
        self.pending.append(parcel)
        if self.recent.maxlen:
            self.recent.append(parcel)
        self.bytes += parcel.size

    def _drop(self, parcel: Parcel, reason: str) -> None:
        self.dropped[reason] += parcel.count
        if self.unsettled and parcel.count and len(self._doubtful) < _MOST_DOUBTFUL:
            self._doubtful.append((parcel.serial, parcel.count, reason))

    def pressed(self) -> bool:
        """Whether an acknowledgement would be of use: something waits for it, or half of the credit is used up."""
        if self.open and not self.unacknowledged:
            return False
        return bool(self.pending) or 2 * len(self.unacknowledged) >= self.window or 2 * self.bytes >= self.edge.budget

    def waits(self) -> bool:
        """Whether nothing can go on without a word of the receiver."""
        return not self.open or bool(self.pending or self.again) or not self.room()

    def due(self) -> Parcel | None:
        """What may be sent now. What a lossy edge has sent cannot be dropped any more, so no more of it than its budget."""
        if not self.open or len(self.unacknowledged) >= self.window:
            return None
        queue = self.again or self.pending
        if not queue or (self._rests_until and self.rests()):
            return None
        if not self.lossless and self.unacknowledged and self.sent_bytes + queue[0].size > self.edge.budget:
            return None
        return queue[0]

    def want(self, interval: float) -> None:
        """The receiver of a lossy edge wants a message in so many seconds, the newest one; 0: all."""
        if interval != self.interval and not self.lossless:
            self.interval = interval
            self._rests_until = min(self._rests_until, monotonic() + interval) if interval else 0.0

    def rests(self) -> bool:
        """Whether the interval has yet to pass; not before the end, which waits for nobody."""
        return not self.again and not self.pending[-1].final and monotonic() < self._rests_until

    def sent(self) -> None:
        """What was due has been sent."""
        if self.interval and not (self.again or self.pending)[0].gap:
            self._rests_until = monotonic() + self.interval
        parcel = (self.again or self.pending).popleft()
        self.sent_bytes += parcel.size
        self.unacknowledged.append(parcel)

    def check(self, serial: int, committed: int, dropped: dict[str, int], following: int) -> None:
        """Raises WireError for what a receiver cannot truly say. following: serial of the next message of the port.

        What is not held any more has been committed or dropped: a receiver that says anything else would break the law.
        """
        if self.unsettled:
            return
        if serial > following:
            raise WireError("ahead", f"{following} messages were made, a receiver says that it has {serial}")
        if not dropped.keys() <= RECEIVERS_REASONS or any(count < 0 for count in dropped.values()):
            raise WireError(
                "words", f"a receiver drops items for {', '.join(sorted(RECEIVERS_REASONS))}, this one says {dropped}"
            )
        if serial < self.acknowledged:
            return
        held = sum(p.count for p in self.held() if p.serial >= serial)
        ours = sum(count for reason, count in self.dropped.items() if reason not in RECEIVERS_REASONS)
        settled, said = self.produced - held - ours, committed + sum(dropped.values())
        if said != settled and not self._lost_on_the_way(settled - said, serial):
            raise WireError("books", f"{settled} items come before message {serial}, a receiver accounts for {said}")

    def _lost_on_the_way(self, missing: int, serial: int) -> bool:
        """Whether so many items of messages before `serial` can have been lost; if so they are counted.

        What is sent into a connection that breaks is gone. A lossless receiver sees the gap and asks for it; a lossy one
        takes it for what the policy dropped and goes on with what came by the next connection.
        """
        sent = sum(p.count for queue in (self.again, self.unacknowledged) for p in queue if p.serial < serial)
        if self.lossless or not 0 < missing <= sent:
            return False
        self.dropped["connection"] += missing
        return True

    def give_up(self, since: int) -> None:
        """A word acknowledges messages before `since` that no word before it did: that one was lost, and with it what the
        receiver keeps of them. It may be anything, so that their memory is not written to again."""
        for queue in (self.unacknowledged, self.again):
            for parcel in queue:
                if parcel.serial >= since:
                    break
                parcel.give_up()

    def acknowledge(self, serial: int, committed: int, dropped: dict[str, int]) -> None:
        """Everything before message `serial` has been committed or dropped by the receiver; totals over all runs.

        Of a receiver that came back, words of its earlier self may still arrive late; they say less and are ignored.
        """
        if serial < self.acknowledged:
            return
        self.acknowledged = serial
        while self.unacknowledged and self.unacknowledged[0].serial < serial:
            size = self.unacknowledged.popleft().size
            self.bytes -= size
            self.sent_bytes -= size
        for queue in (self.again, self.pending):  # pending ones: sent before a checkpoint
            while queue and queue[0].serial < serial:
                self.bytes -= queue.popleft().size
        self.committed = committed
        for reason, count in dropped.items():
            self.dropped[reason] = count

    def greet(self, serial: int, committed: int, dropped: dict[str, int]) -> None:
        """The receiver is there and wants message `serial` next: settle the books and send again from there on."""
        self.open = True
        self.acknowledge(serial, committed, dropped)
        self.again.extendleft(reversed(self.unacknowledged))
        self.unacknowledged.clear()
        self.sent_bytes = 0
        for number, count, reason in self._doubtful:
            if number < self.acknowledged:  # an earlier self had sent it, or dropped it and not lived to tell
                self.dropped[reason] -= count
        self._doubtful.clear()
        self._settle()

    def _settle(self) -> None:
        """Of a lossy edge: what an earlier self sent, and the receiver neither took nor counted nor waits for, is lost."""
        if not self.unsettled or self.messages < self.acknowledged:
            return
        self.unsettled = False
        book = self.count()
        gone = book.produced - book.committed - book.in_flight - book.lost
        if gone:
            self.dropped["restart"] += gone

    def dropped_there(self) -> dict[str, int]:
        """Items that the receiver has dropped, by reason."""
        return {reason: count for reason, count in self.dropped.items() if reason in RECEIVERS_REASONS}

    def held(self) -> Iterator[Parcel]:
        """What has not been acknowledged, in the order of the stream."""
        yield from self.unacknowledged
        yield from self.again
        yield from self.pending

    def count(self) -> EdgeCount:
        """The books as they stand."""
        produced, known = self.produced, self.committed + sum(self.dropped.values())
        in_flight = sum(parcel.count for parcel in self.held())
        if self.unsettled:
            produced = max(produced, known)
            in_flight = produced - known
        return EdgeCount(
            self.edge.sender, self.edge.receiver, produced, self.committed, in_flight, dict(self.dropped), self.messages
        )

    def save_cut(self) -> dict[str, Any]:
        """What a checkpoint keeps: the totals, and the last messages of a lagged feedback, still on their way."""
        return {
            "produced": self.produced,
            "messages": self.messages,
            "dropped": dict(self.dropped),
            "recent": [[bytes(part) for part in parcel.inline()] for parcel in self.recent],
        }

    def restore_cut(self, saved: Mapping[str, Any]) -> None:
        """Continue the books of :meth:`save_cut`, with the kept messages waiting to be sent again."""
        self.produced, self.messages = saved["produced"], saved["messages"]
        self.dropped = Counter(saved["dropped"])
        for parts in saved["recent"]:
            parcel = Parcel.again(list(parts))
            self.again.append(parcel)
            self.recent.append(parcel)
            self.bytes += parcel.size
        self.unsettled = True

    def save(self) -> dict[str, Any]:
        """What a snapshot keeps beside the messages of :meth:`held`."""
        return {
            "produced": self.produced,
            "messages": self.messages,
            "committed": self.committed,
            "dropped": dict(self.dropped),
            "acknowledged": self.acknowledged,
            "again": [parcel.serial for parcel in (*self.unacknowledged, *self.again)],
            "pending": [parcel.serial for parcel in self.pending],
            "recent": [[bytes(part) for part in parcel.inline()] for parcel in self.recent],
            "doubtful": self._doubtful,
        }

    def come_back(self, saved: Mapping[str, Any], held: Mapping[int, Parcel]) -> None:
        """Go on from :meth:`save`, with the messages that were held, by their serial numbers."""
        self.produced, self.messages, self.committed = saved["produced"], saved["messages"], saved["committed"]
        self.dropped, self.acknowledged = Counter(saved["dropped"]), saved["acknowledged"]
        self.again.extend(held[serial] for serial in saved["again"])
        self.pending.extend(held[serial] for serial in saved["pending"])
        self.recent.extend(Parcel.again(list(parts)) for parts in saved["recent"])
        self.bytes = sum(parcel.size for parcel in self.held())
        self._doubtful = [(serial, count, reason) for serial, count, reason in saved["doubtful"]]
        self.unsettled = True
