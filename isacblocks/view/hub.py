"""Sends what is new to all who look on: made once, however many they are, and not at all where nobody looks.

A browser says which pictures are in sight and confirms every update that it has drawn. It is sent no picture that is out of
sight, none that it has already, and nothing more while it is too far behind: one that has stalled costs nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

import msgspec

from isacblocks.view.feed import Feed
from isacblocks.view.plots.content import Content, Painter
from isacblocks.view.terminal import phase_of

_AHEAD = 3  # updates that may be on their way to a browser


class Drawn(msgspec.Struct):
    """What a browser says. number: of the update that it has drawn, 0 for none; visible: figures that are in sight."""

    number: int
    visible: list[str]


class _Update(msgspec.Struct):
    """What a browser gets. Times in seconds since 1970, of the newest data, of their arrival here and of the update."""

    number: int
    phase: str
    seconds: float
    sent: float
    came: float
    made: float
    contents: list[msgspec.Raw]


class Watcher:
    """One browser. send: takes an update and does not wait."""

    def __init__(self, send: Callable[[bytes], object]) -> None:
        self.send = send
        self.sent = self.drawn = 0  # numbers of updates
        self.visible: frozenset[str] = frozenset()
        self.has: dict[int, int] = {}  # version of every content that it was sent

    @property
    def ready(self) -> bool:
        """Whether it may be sent another update."""
        return bool(self.visible) and self.sent - self.drawn < _AHEAD


class Hub:
    """See the module. Everything is called from one thread. clock: time.time()."""

    def __init__(self, feed: Feed, painters: Sequence[Painter], clock: Callable[[], float]) -> None:
        self.feed = feed
        self.painters = painters
        self.clock = clock
        self.watchers: set[Watcher] = set()
        self._contents: dict[int, tuple[int, msgspec.Raw]] = {}  # version and newest content, by painter
        self._waits = [0] * len(painters)  # updates until a painter is asked again
        self._failed: set[str] = set()
        self._log = logging.getLogger("isacblocks.view.hub")
        self._encode = msgspec.json.Encoder().encode

    def join(self, send: Callable[[bytes], object]) -> Watcher:
        """One more looks on."""
        watcher = Watcher(send)
        self.watchers.add(watcher)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """And one less."""
        self.watchers.discard(watcher)

    def hear(self, watcher: Watcher, drawn: Drawn) -> None:
        """A browser has drawn an update."""
        watcher.drawn = min(max(watcher.drawn, drawn.number), watcher.sent)
        watcher.visible = frozenset(drawn.visible)
        self.feed.watch(True)

    def publish(self) -> None:
        """Send the newest to all who can take it."""
        ready = [watcher for watcher in self.watchers if watcher.ready]
        if not ready:
            self.feed.watch(False)
            return
        self._paint(frozenset[str]().union(*(watcher.visible for watcher in ready)))
        for watcher in ready:
            watcher.sent += 1
            watcher.send(self._encode(self._update(watcher)))

    def _paint(self, visible: Iterable[str]) -> None:
        for k, painter in enumerate(self.painters):
            if self._waits[k] > 0:
                self._waits[k] -= 1
            elif not set(painter.figures).isdisjoint(visible):
                content = self._asked(painter)
                if content is not None:
                    version = self._contents[k][0] + 1 if k in self._contents else 1
                    self._contents[k] = version, msgspec.Raw(self._encode(content))
                    self._waits[k] = painter.every - 1

    def _asked(self, painter: Painter) -> Content | None:
        """What it says; where it fails the other pictures go on."""
        try:
            return painter.update(self.feed)
        except Exception as error:
            name = type(painter).__name__
            if name not in self._failed:
                self._failed.add(name)
                self._log.warning(
                    "the picture %s fails, said once: %s; it stays as it is, the others and the flowgraph go on; the "
                    "fault is in isacblocks, please report what follows",
                    name,
                    error,
                    exc_info=True,
                )
            return None

    def _update(self, watcher: Watcher) -> _Update:
        feed, status = self.feed, self.feed.status
        phase = "ended" if feed.gone else phase_of(status, feed.paused)
        contents = []
        for k, (version, content) in self._contents.items():
            if watcher.has.get(k) != version and not watcher.visible.isdisjoint(self.painters[k].figures):
                watcher.has[k] = version
                contents.append(content)
        newest = max((shown["sent"] for shown in feed.seen.values()), default=feed.came)
        return _Update(watcher.sent, phase, status.seconds, newest, feed.came, self.clock(), contents)
