"""Blocks for the tests of the runtime: they know nothing of radar either."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from isacblocks.stream import Block, Field, In, Items, Out, Reading, Record, Setting, Source, State

NUMBER = Record("number", (Field("value", "float64", ("N",), "V"),))
PAIR = Record("pair", (*NUMBER.fields, Field("extra", "uint8")))


class Sized(Block):
    """A block of dimension N."""

    def __init__(self, size: int = 3) -> None:
        self.size = size

    def dimensions(self) -> Mapping[str, int]:
        return {"N": self.size}


class Counter(Source):
    """Item k holds k."""

    number = Out(NUMBER)

    def __init__(self, size: int = 3, end: int | None = None, pause: float = 0.0) -> None:
        self.size, self.end, self.pause = size, end, pause

    def dimensions(self) -> Mapping[str, int]:
        return {"N": self.size}

    def produce(self, first: int, count: int) -> Items | None:
        if self.pause:
            time.sleep(self.pause)
        if self.end is not None:
            count = min(count, self.end - first)
        if count <= 0:
            return None
        return self.number.items(value=np.arange(first, first + count)[:, None] * np.ones(self.size))


class Live(Source):
    """Random whole numbers that nobody can make a second time, and their sum."""

    replayable = False
    number = Out(NUMBER)
    total = State("float64")

    def __init__(self, size: int = 3, pause: float = 0.0) -> None:
        self.size, self.pause = size, pause

    def dimensions(self) -> Mapping[str, int]:
        return {"N": self.size}

    def produce(self, first: int, count: int) -> Items:
        time.sleep(self.pause)
        value = np.frombuffer(os.urandom(count), np.uint8)[:, None] * np.ones(self.size)
        self.total += float(value[:, 0].sum())
        return self.number.items(value=value)


class Scale(Sized):
    """value times factor."""

    number = In(NUMBER)
    scaled = Out(NUMBER)
    factor = Setting(float, initial=2.0, minimum=-100.0, maximum=100.0)
    last = Reading("V")
    used = Reading("")  # the factor

    def process(self, number: Items) -> Items:
        self.last, self.used = float(number.value[-1, 0]), self.factor
        return self.scaled.items(value=self.factor * number.value)


class Mixer(Sized):
    """value plus whatever came back last: order and lag of the feedback show in every bit."""

    number = In(NUMBER)
    back = In(NUMBER, optional=True)
    mixed = Out(NUMBER)
    held = State("float64", "N")
    heard = State(list)  # (message, message that the feedback came from)

    def process(self, number: Items, back: Items | None) -> Items:
        if back is not None:
            self.heard.append([number.message, back.message])
            if len(back):
                self.held = back.value[-1]
        return self.mixed.items(value=number.value + 0.5 * self.held)


class Leaky(Sized):
    """A running sum that forgets; one item per message, so its output is not aligned with its input."""

    number = In(NUMBER)
    total = Out(NUMBER, aligned=False)
    memory = State("float64", "N")
    seen = State("int64")

    def process(self, number: Items) -> Items:
        for row in number.value:
            self.memory = 0.9 * self.memory + np.sin(row)
        self.seen += len(number)
        return self.total.items(value=self.memory[None].copy())


class Collect(Sized):
    """Keeps what came, with its sequence numbers."""

    number = In(NUMBER)
    values = State(list)
    numbers = State(list)
    finished = State("int64")

    def __init__(self, size: int = 3, pause: float = 0.0) -> None:
        super().__init__(size)
        self.pause = pause

    def process(self, number: Items) -> None:
        if self.pause:
            time.sleep(self.pause)
        self.values += [float(v) for v in number.value[:, 0]]
        self.numbers += list(range(number.first, number.first + len(number)))

    def finish(self) -> None:
        self.finished += 1


class Watcher(Collect):
    """Wants the newest message of an hour, or all."""

    onlooker = True
    eager = Setting(bool, initial=False)

    def interval_wanted(self) -> float:
        return 0.0 if self.eager else 3600.0


class Join(Sized):
    """The difference of two streams that belong together."""

    left = In(NUMBER)
    right = In(NUMBER)
    gap = Out(NUMBER)
    worst = State("float64")
    joined = State("int64")

    def process(self, left: Items, right: Items) -> Items:
        assert left.message == right.message
        self.joined += len(left)
        self.worst = max(self.worst, float(np.abs(left.value - right.value).max()))
        return self.gap.items(value=left.value - right.value)


class EveryThird(Sized):
    """Says something for every third message only."""

    number = In(NUMBER)
    some = Out(NUMBER, aligned=False)

    def process(self, number: Items) -> Items | None:
        return self.some.items(value=number.value[:1]) if number.message % 3 == 0 else None


class Running(Sized):
    """A running sum that is kept, and sent, in one array."""

    number = In(NUMBER)
    total = Out(NUMBER)
    memory = State("float64", "N")

    def process(self, number: Items) -> Items:
        self.memory += number.value.sum(axis=0)
        return self.total.items(value=self.memory[None].repeat(len(number), 0) if len(number) > 1 else self.memory[None])


class Frames(Source):
    """Item k holds k; written where it is sent from, or made elsewhere and given away."""

    number = Out(NUMBER)
    wrong = State("int64")

    def __init__(self, size: int = 6000, allocate: bool = True, keep: bool = False) -> None:
        self.size, self.allocate, self.keep = size, allocate, keep
        self.kept: list[tuple[int, Any]] = []

    def dimensions(self) -> Mapping[str, int]:
        return {"N": self.size}

    def produce(self, first: int, count: int) -> Items:
        value = np.arange(first, first + count, dtype=float)[:, None]
        if self.allocate:
            fields = self.number.allocate(count)
            fields["value"][:] = value
        else:
            fields = {"value": value * np.ones(self.size)}
        if self.keep:
            self.kept.append((first, fields["value"]))
        return self.number.items(**fields)

    def finish(self) -> None:
        for first, value in self.kept:
            self.wrong += int((value != np.arange(first, first + len(value))[:, None]).sum())


class Held(Source):
    """A source of numbers that makes nothing from item `held` on, until that is moved on: what is to be done to a flowgraph
    while it runs is done before its end, however fast the machine is and whoever has to wait for it.
    """

    number = Out(NUMBER)
    held = Setting(int, initial=0, minimum=0, unit="items", doc="a whole number of messages")
    size: int

    def produce(self, first: int, count: int) -> Any:
        if first >= self.held:
            return self.number.items(value=np.zeros((0, self.size)))
        return super().produce(first, min(count, self.held - first))


class HeldCounter(Held, Counter):
    name = "counter"


class MortalLive(Held, Live):
    """Dies when some messages have been handed on and no snapshot holds them yet; once at each, as files in `marks` tell."""

    name = "live"
    messages = State("int64")

    def __init__(self, marks: str, size: int = 3, pause: float = 0.0) -> None:
        super().__init__(size, pause)
        self.marks = marks

    def produce(self, first: int, count: int) -> Any:
        made = super().produce(first, count)
        self.messages += int(len(made) > 0)
        return made

    def save(self) -> dict[str, Any]:
        if self.messages % 200 == 100:
            with contextlib.suppress(FileExistsError):
                os.close(os.open(f"{self.marks}/{self.messages}", os.O_CREAT | os.O_EXCL))
                time.sleep(0.05)  # what was given to the socket goes out meanwhile
                os.kill(os.getpid(), signal.SIGKILL)
        return super().save()


class HeldFrames(Held, Frames):
    name = "frames"


class Hoard(Sized):
    """Keeps every array that came, and passes it on; at the end each must still hold what it held."""

    number = In(NUMBER)
    same = Out(NUMBER)
    wrong = State("int64")
    seen = State("int64")

    def __init__(self, size: int = 6000, every: int = 1) -> None:
        super().__init__(size)
        self.every = every
        self.kept: list[tuple[int, Any]] = []

    def process(self, number: Items) -> Items:
        self.wrong += self._wrong(number.first, number.value)
        self.seen += len(number)
        if number.message % self.every == 0:
            self.kept.append((number.first, number.value))
        return self.same.items(value=number.value)

    @staticmethod
    def _wrong(first: int, value: Any) -> int:
        return int((value != np.arange(first, first + len(value))[:, None]).sum())

    def finish(self) -> None:
        for first, value in self.kept:
            self.wrong += self._wrong(first, value)


class Pairs(Sized):
    """Sends a record with more fields than others want."""

    number = In(NUMBER)
    pair = Out(PAIR)

    def process(self, number: Items) -> Items:
        return self.pair.items(value=number.value, extra=(number.first + np.arange(len(number))) % 2)


class Trouble(Sized):
    """Does something bad when item `at` comes, or in a phase of its life."""

    number = In(NUMBER)
    out = Out(NUMBER)

    def __init__(self, kind: str, at: int = 100, size: int = 3, seconds: float = 5.0) -> None:
        super().__init__(size)
        self.kind, self.at, self.seconds = kind, at, seconds
        self.sleeping = False

    def _sleep(self) -> None:
        self.sleeping = True
        time.sleep(self.seconds)

    def start(self) -> None:
        super().start()
        if self.kind == "raise in start":
            raise RuntimeError("no start today")
        if self.kind == "sleep in start":
            self._sleep()

    def process(self, number: Items) -> Any:
        if number.first <= self.at < number.first + len(number):
            if self.kind == "raise":
                raise ValueError(f"item {self.at} is unlucky")
            if self.kind == "die":
                os.kill(os.getpid(), 9)
            if self.kind == "exit":
                os._exit(3)
            if self.kind == "sleep":
                self._sleep()
            if self.kind == "wrong count":
                return self.out.items(value=number.value[:1])
            if self.kind == "wrong shape":
                return self.out.items(value=number.value[:, :1])
            if self.kind == "nonsense":
                return 42
            if self.kind == "write to input":
                number.value[0] = 1
        return self.out.items(value=number.value)

    def finish(self) -> None:
        if self.kind == "raise in finish":
            raise RuntimeError("no end today")
