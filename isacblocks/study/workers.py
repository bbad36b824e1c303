"""Threads that work on parts of something, with the same result however many there are."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


class Workers:
    """Threads for kernels, which release the interpreter's lock; results come in the order of the parts, always."""

    def __init__(self, count: int) -> None:
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"workers: expected an integer of at least 1, got {count!r}")
        self.count = count
        self._pool = ThreadPoolExecutor(count) if count > 1 else None

    def map(self, function: Callable[[T], U], parts: list[T]) -> list[U]:
        """[function(part) for part in parts]."""
        if self._pool is None:
            return [function(part) for part in parts]
        return list(self._pool.map(function, parts))

    def close(self) -> None:
        """End the threads; what has not begun is not begun."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def parts_of(first: int, count: int, size: int) -> list[tuple[int, int]]:
    """Items first .. first + count - 1 in parts (first, count) of at most `size`."""
    return [(k, min(size, first + count - k)) for k in range(first, first + count, size)]
