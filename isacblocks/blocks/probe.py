"""Sinks to look at a stream with: Probe keeps the items, Log writes them to the log."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.stream import Block, In, Reading, State
from isacblocks.stream.spec import ANY, Items


class Probe(Block):
    """Keeps the last `limit` items of any record (all of them by default); read them from ``values`` after the run.

    Raises ValueError for a limit below 1.
    """

    items = In(ANY)
    chunks = State(list)  # [sequence numbers, {field: array}] of every message that is still needed
    seen = Reading("items")

    def __init__(self, limit: int | None = None) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"limit: expected at least 1 item, got {limit!r}")
        self.limit = limit

    def process(self, items: Items) -> None:
        """Keep the items."""
        sequence = np.arange(items.first, items.first + len(items), dtype=np.uint64)
        # copies, so that a message's memory can go back to the link
        self.chunks.append([sequence, {name: array.copy() for name, array in items.fields.items()}])
        self.seen = float(items.first + len(items))
        if self.limit is not None:
            while sum(len(c[0]) for c in self.chunks[1:]) >= self.limit:
                self.chunks.pop(0)

    @property
    def values(self) -> dict[str, NDArray[Any]]:
        """The kept items, one array per field, and their sequence numbers as "sequence"; empty where none came."""
        if not self.chunks:
            return {}
        last = slice(None) if self.limit is None else slice(-self.limit, None)
        found = {"sequence": np.concatenate([c[0] for c in self.chunks])[last]}
        for name in self.chunks[0][1]:
            found[name] = np.concatenate([c[1][name] for c in self.chunks])[last]
        return found


class Log(Block):
    """Writes one line for every `every` items of any record: the numbers it holds, and of arrays their shape.

    Raises ValueError for fewer than 1.
    """

    items = In(ANY)
    passed = State("int64")

    def __init__(self, every: int = 1000) -> None:
        if every < 1:
            raise ValueError(f"every: expected at least 1 item, got {every!r}")
        self.every = every

    def process(self, items: Items) -> None:
        """One line where the count of items passes a multiple of `every`."""
        before, after = self.passed, self.passed + len(items)
        self.passed = after
        due = before // self.every != after // self.every
        if due:
            index = after // self.every * self.every - before - 1
            parts = [f"{name}={_short(array[index])}" for name, array in items.fields.items()]
            logging.getLogger(f"isacblocks.{self.label}").info("item %d: %s", items.first + index, ", ".join(parts))


def _short(value: Any) -> str:
    array = np.asarray(value)
    return f"{array.item():.6g}" if array.ndim == 0 else f"array{array.shape}"
