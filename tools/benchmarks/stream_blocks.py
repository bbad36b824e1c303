"""The blocks that streams are measured with: frames that carry their number, and who takes them."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.stream import Block, Field, In, Items, Out, Record, Source, State

ANTENNAS, SUBCARRIERS = 64, 256
FRAME = Record(
    "frame",
    (
        Field("y", "complex64", ("N", "S")),
        Field("x", "complex64", ("S",)),
        *(Field(name, "float64") for name in ("theta_min", "theta_max", "tau_min", "tau_max", "time")),
        Field("valid", "uint8"),
    ),
)


class Frames(Source):
    """Frames that carry their number in y and the time when they were made; `period` seconds between messages."""

    frame = Out(FRAME)

    def __init__(self, period: float = 0.0) -> None:
        self.period = period
        self.due = 0.0
        self.symbols, self.valid = np.zeros((0, SUBCARRIERS), np.complex64), np.ones(0, np.uint8)

    def dimensions(self) -> dict[str, int]:
        """Of Table I."""
        return {"N": ANTENNAS, "S": SUBCARRIERS}

    def produce(self, first: int, count: int) -> Items:
        """The next frames, when they are due."""
        if self.period:
            self.due = max(self.due + self.period, time.perf_counter() - self.period)
            time.sleep(max(0.0, self.due - time.perf_counter()))
        return self.make(self.frame.allocate(count)["y"], first)

    def make(self, y: NDArray[Any], first: int) -> Items:
        """Items with y, of which the first and last sample are set. Filling the rest is a block's work, not the link's."""
        frames = y.shape[0]
        y[:, 0, 0] = y[:, -1, -1] = np.arange(first, first + frames)
        if len(self.valid) != frames:
            self.symbols, self.valid = np.zeros((frames, SUBCARRIERS), np.complex64), np.ones(frames, np.uint8)
        made = np.full(frames, time.perf_counter())
        sector = dict.fromkeys(("theta_min", "theta_max", "tau_min", "tau_max", "time"), made)
        return self.frame.items(y=y, x=self.symbols, valid=self.valid, **sector)


def verify(y: NDArray[Any], first: int) -> None:
    """Raises RuntimeError where y is not what was sent."""
    number = np.arange(first, first + y.shape[0])
    if not ((y[:, 0, 0] == number).all() and (y[:, -1, -1] == number).all()):
        raise RuntimeError(f"frames {first} to {first + y.shape[0] - 1} came damaged")


class Arrivals(Block):
    """Notes how old every message's first frame is when process() gets it, and which one it is; takes `pause` seconds."""

    frame = In(FRAME)
    ages = State(list)
    numbers = State(list)

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause

    def dimensions(self) -> dict[str, int]:
        """Of Table I."""
        return {"N": ANTENNAS, "S": SUBCARRIERS}

    def process(self, frame: Items) -> None:
        """Look at the clock."""
        self.ages.append(time.perf_counter() - float(frame.time[0]))
        verify(frame.y, frame.first)
        self.numbers.append(frame.first)
        if self.pause:
            time.sleep(self.pause)


class Work(Block):
    """Keeps its core busy for so many seconds a frame, and sends the frames' sectors on."""

    frame = In(FRAME)
    done = Out(Record("done", FRAME.fields[2:]))

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def dimensions(self) -> dict[str, int]:
        """Of Table I."""
        return {"N": ANTENNAS, "S": SUBCARRIERS}

    def process(self, frame: Items) -> Items:
        """Work."""
        end = time.perf_counter() + self.seconds * len(frame)
        while time.perf_counter() < end:
            pass
        return self.done.items(**{field.name: frame.fields[field.name] for field in FRAME.fields[2:]})


class Taken(Block):
    """Takes what Work sends."""

    done = In(Work.done.record)
    frames = State("int64")

    def process(self, done: Items) -> None:
        """Count."""
        self.frames += len(done)
