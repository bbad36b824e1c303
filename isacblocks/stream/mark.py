"""Something that happens once, and that a signal cannot get stuck.

Ctrl-C raises in the main thread between any two of its instructions. threading.Event takes a lock in Python: raised in
between taking it and entering its ``with``, an exception leaves it taken, and whoever waits for the event or sets it stands
still for ever. Here a wait is one call of C, which either has the lock or has raised.
"""

from __future__ import annotations

import contextlib
import threading
import time

_SLICE = 0.5  # seconds: who waits without end looks so often whether another waiter was cut off with the lock in its hand


class Mark:
    """Like threading.Event, but that nobody clears it."""

    def __init__(self) -> None:
        self._is_set = False
        self._gate = threading.Lock()  # open from set() on
        self._gate.acquire()

    def set(self) -> None:
        """It has happened; more than once is once."""
        self._is_set = True
        self._open()

    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has happened, or `timeout` seconds; True where it has."""
        limit = None if timeout is None else time.monotonic() + timeout
        while not self._is_set:
            left = _SLICE if limit is None else min(limit - time.monotonic(), _SLICE)
            if left <= 0:
                break
            if self._gate.acquire(timeout=left):
                self._open()  # for whoever else waits
        return self._is_set

    def _open(self) -> None:
        with contextlib.suppress(RuntimeError):  # it is open already
            self._gate.release()
