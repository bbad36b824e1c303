"""A thread that takes what comes at once, so that a sender never waits for whoever works behind a source."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_PAUSE = 1e-3  # s between the end of what is there and the next look: waking up for every message costs more than taking it


class Drain:
    """Calls `take` over and over until it is closed.

    take: takes one message, False where there is none; wait: returns when there is one, or after a while. What goes wrong
    in them is raised by :meth:`check` in the thread of whoever asks.
    """

    def __init__(self, take: Callable[[], bool], wait: Callable[[], object], name: str) -> None:
        self._take, self._wait = take, wait
        self._over = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"{name} drain", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._over:
                if not self._take():
                    self._wait()
                    continue
                while not self._over and self._take():
                    pass
                time.sleep(_PAUSE)
        except BaseException as error:
            self._error = error

    def check(self) -> None:
        """Raises what the thread has ended with."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End the thread; when this returns it takes nothing any more."""
        self._over = True
        self._thread.join()
