"""From messages of any length to items of a fixed one, without losing sight of what is missing and when settings changed.

Samples that follow each other form a run. Where some are missing, or the sender has started again, a new run begins: an item
never has samples of two runs, and what is left over at the end of a run is counted as cut.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.frontends.gnuradio.wire import FARTHEST, Tag
from isacblocks.frontends.samples import GAP, RESTART

_TOLD = {"rx_time": "time", "rx_rate": "rate", "rx_freq": "frequency", "gain": "gain", "rx_gain": "gain"}
NAMES = tuple(_TOLD)  # of the tags that are understood


@dataclass
class Tuning:
    """How the receiver was set, and when sample number `at` was taken: `seconds` and `fraction`, nan where nobody said."""

    gain: NDArray[np.float32]
    rate: float = math.nan
    frequency: float = math.nan
    seconds: int = 0
    fraction: float = math.nan
    at: int = 0

    def times(self, first: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Of samples by their numbers: whole seconds, and the rest. One that was told needs no rate."""
        since = first.astype(np.int64) - self.at
        with np.errstate(invalid="ignore", divide="ignore"):
            exact = self.fraction + np.where(since == 0, 0.0, since / self.rate)
        known = np.isfinite(exact)
        whole = np.where(known, np.floor(np.where(known, exact, 0.0)), 0.0).astype(np.int64)
        return np.where(known, self.seconds + whole, 0), exact - whole

    def take(self, tag: Tag) -> bool | None:
        """What a tag says. True where a setting changed, None where it is not understood."""
        name = _TOLD.get(tag.key) if isinstance(tag.key, str) else None
        if name == "time":
            return self._take_time(tag)
        if name == "gain":
            return self._take_gain(tag.value)
        number = _number(tag.value)
        if name is None or number is None:
            return None
        if name == "rate":  # the time goes on from here at the new one
            seconds, fraction = self.times(np.array([tag.offset], np.uint64))
            self.seconds, self.fraction, self.at = int(seconds[0]), float(fraction[0]), tag.offset
        before = getattr(self, name)
        setattr(self, name, number)
        return bool(before != number and not math.isnan(before))

    def _take_time(self, tag: Tag) -> bool | None:
        value = tag.value
        if not (isinstance(value, tuple) and len(value) >= 2 and isinstance(value[0], int) and -(2**62) < value[0] < 2**62):
            return None
        fraction = _number(value[1])
        if fraction is None or not 0 <= fraction <= 1:
            return None
        self.seconds, self.fraction, self.at = int(value[0]), fraction, tag.offset
        return False

    def _take_gain(self, value: Any) -> bool | None:
        number = _number(value)
        numbers = [_number(one) for one in value] if isinstance(value, tuple | list | np.ndarray) else [number]
        if len(numbers) not in (1, self.gain.size) or None in numbers:
            return None
        before = self.gain.copy()
        self.gain[:] = np.array(numbers, np.float32)
        return bool(np.any((before != self.gain) & ~np.isnan(before)))


def _number(value: Any) -> float | None:
    """A value that is a finite real number."""
    plain = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    try:
        return float(value) if plain and math.isfinite(value) else None
    except OverflowError:
        return None


@dataclass
class _Run:
    first: int
    gap: int = 0  # a code of the field
    lost: int = 0
    fresh: bool = False  # the sender has started again: what was told before does not hold
    rows: int = 0
    parts: deque[NDArray[Any]] = field(default_factory=deque)
    tags: deque[Tag] = field(default_factory=deque)


class Assembly:
    """Collects rows (GNU Radio's items) and gives them back as items of `group` rows each.

    Counts rows: received, lost (missing, by their numbers), cut, left_out (by :meth:`shed`); and gaps, restarts, ignored
    (tags that are not understood).
    """

    def __init__(self, group: int, channels: int) -> None:
        self.group = group
        self.received = self.lost = self.cut = self.left_out = self.gaps = self.restarts = self.ignored = 0
        self.expected: int | None = None  # number of the next row
        self._channels = channels
        self._interrupted = 0  # a code of the field "gap"
        self._runs: deque[_Run] = deque()
        self._tuning = self._untold()

    def _untold(self) -> Tuning:
        return Tuning(np.full(self._channels, np.nan, np.float32))

    def feed(self, rows: NDArray[Any], offset: int | None, tags: Sequence[Tag] = ()) -> None:
        """Rows (n, ...) of which the first is number `offset`; None: they follow the ones before."""
        if offset is None:
            offset = self.expected or 0
        if self.expected is None:
            self._runs.append(_Run(offset, gap=self._interrupted))
            self.gaps += self._interrupted == GAP
            self.restarts += self._interrupted == RESTART
        elif offset != self.expected or self._interrupted:
            self._break(offset, offset - self.expected)
        self._interrupted = 0
        run = self._runs[-1]
        if len(rows):
            run.parts.append(rows)
            run.rows += len(rows)
        if tags:
            run.tags += sorted(
                (tag for tag in tags if offset <= tag.offset < offset + len(rows)), key=lambda tag: tag.offset
            )
        self.received += len(rows)
        self.expected = offset + len(rows)

    def interrupt(self, code: int = GAP) -> None:
        """What comes next does not follow what came last, even if its number does: nobody knows how much is missing.

        code: GAP, or RESTART where it is known that the sender has started again.
        """
        if self.expected is not None:
            self._interrupted = max(self._interrupted, code)

    def succeed(self, received: int, lost: int) -> None:
        """Go on counting for an earlier self that has died: what comes next does not follow what it took last."""
        self.received, self.lost, self._interrupted = received, lost, GAP

    def _break(self, offset: int, jump: int) -> None:
        """A new run; what is left over of the one before is missing too."""
        before = self._runs[-1]
        rest = before.rows % self.group
        before.rows -= rest
        self.cut += rest
        again = jump < 0 or self._interrupted == RESTART
        run = _Run(offset, gap=RESTART if again else GAP, lost=rest + max(jump, 0), fresh=again)
        self.gaps += not again
        self.restarts += again
        self.lost += max(jump, 0)
        if not before.rows:  # of which nothing is left to be taken
            self._runs.pop()
            run.lost += before.lost
            run.gap = max(run.gap, before.gap)
            run.fresh |= before.fresh
            run.tags += () if again else before.tags  # settings told with what was cut hold on
        self._runs.append(run)

    def ready(self) -> int:
        """Items that can be taken."""
        return sum(run.rows // self.group for run in self._runs)

    def shed(self, newest: int) -> None:
        """Leave out the oldest items until at most `newest` can be taken. What they told holds on, the next one tells of a
        gap, and of a new start of the sender where it was among them.
        """
        while (extra := self.ready() - newest) > 0:
            run = self._runs[0]
            self._begin(run)
            rows = min(extra, run.rows // self.group) * self.group
            self._learn(run, run.first + rows)
            for _ in self._draw(run, rows):
                pass
            run.first += rows
            run.gap, run.lost = max(run.gap, GAP), run.lost + rows
            self.left_out += rows
            self._leave(run)

    def take(self, count: int, out: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The next `count` items, of those that are ready, into `out` (count * group, ...); what is told of them."""
        made: list[dict[str, NDArray[Any]]] = []
        done = 0
        while done < count:
            run = self._runs[0]
            self._begin(run)
            part = min(count - done, run.rows // self.group)
            if part:
                made.append(self._describe(run, part))
                at = done * self.group
                for rows in self._draw(run, part * self.group):
                    out[at : at + len(rows)] = rows
                    at += len(rows)
                run.first += part * self.group
                run.gap, run.lost = 0, 0
                done += part
            self._leave(run)
        return made[0] if len(made) == 1 else {name: np.concatenate([one[name] for one in made]) for name in made[0]}

    def _begin(self, run: _Run) -> None:
        """Before anything is taken from a run."""
        if run.fresh:
            self._tuning, run.fresh = self._untold(), False

    def _leave(self, run: _Run) -> None:
        """The first run, where nothing is left of it and there is another."""
        if run.rows or len(self._runs) == 1:
            return
        self._learn(run, FARTHEST)  # settings told with what was cut hold on
        self._runs.popleft()
        following = self._runs[0]
        following.gap, following.lost = max(following.gap, run.gap), following.lost + run.lost

    def _draw(self, run: _Run, count: int) -> Iterator[NDArray[Any]]:
        """The run's next `count` rows, in pieces as they came."""
        run.rows -= count
        while count:
            head = run.parts[0]
            part = min(len(head), count)
            if part < len(head):
                run.parts[0] = head[part:]
            else:
                run.parts.popleft()
            count -= part
            yield head[:part]

    def _learn(self, run: _Run, before: int) -> bool:
        """Take in the run's tags on rows before that number; True where one of them changed a setting."""
        changed = False
        while run.tags and run.tags[0].offset < before:
            told = self._tuning.take(run.tags.popleft())
            self.ignored += told is None
            changed |= bool(told)
        return changed

    def _describe(self, run: _Run, count: int) -> dict[str, NDArray[Any]]:
        """The fields META of the run's next items. Tags inside an item are in force from the next one on."""
        first = run.first + self.group * np.arange(count, dtype=np.uint64)
        found: dict[str, NDArray[Any]] = {
            "start": first,
            "gap": np.zeros(count, np.uint8),
            "lost": np.zeros(count, np.uint64),
            "changed": np.zeros(count, np.uint8),
            "seconds": np.zeros(count, np.int64),
            "fraction": np.empty(count),
            "rate": np.empty(count),
            "frequency": np.empty(count),
            "gain": np.empty((count, self._channels), np.float32),
        }
        found["gap"][0], found["lost"][0] = run.gap, run.lost
        start = 0
        while start < count:
            self._learn(run, int(first[start]) + 1)
            stop = count
            if run.tags:  # on the first row of an item, or inside one, which is then the last of the old setting
                stop = min(count, -((run.first - run.tags[0].offset) // self.group))
            inside = slice(start, stop)
            found["seconds"][inside], found["fraction"][inside] = self._tuning.times(first[inside])
            found["rate"][inside], found["frequency"][inside] = self._tuning.rate, self._tuning.frequency
            found["gain"][inside] = self._tuning.gain
            found["changed"][stop - 1] = self._learn(run, int(first[stop - 1]) + self.group)
            start = stop
        return found
