"""What ends a program from outside, tidily: Ctrl-C, SIGTERM, and SIGHUP where the terminal is closed."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any, NoReturn

HUNG_UP, INTERRUPTED, TERMINATED = 129, 130, 143
_MOMENT = 0.02  # seconds


class TerminatedError(BaseException):
    """SIGTERM or SIGHUP, by their number. status: the program's exit status; word: what is said of it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        self.status, self.word = (HUNG_UP, "hung up") if number == signal.SIGHUP else (TERMINATED, "terminated")


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    raise TerminatedError(number)


def _ask_again(told: Callable[[Any], Any], lost: Any) -> None:
    """What is raised in a destructor, or in what C calls (LLVM does), goes no further: the signal is sent once more."""
    error = lost.exc_value
    if not isinstance(error, KeyboardInterrupt | TerminatedError):
        told(lost)
        return
    number = error.number if isinstance(error, TerminatedError) else signal.SIGINT
    again = threading.Timer(_MOMENT, os.kill, (os.getpid(), number))  # when this has returned to where it was called from
    again.daemon = True
    again.start()


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM raises TerminatedError where Ctrl-C raises KeyboardInterrupt, and so does SIGHUP where nobody said otherwise
    (nohup does). None of them gets lost. Before and after it Ctrl-C may do less, see entry.py."""
    numbers = [signal.SIGTERM] + [signal.SIGHUP] * (signal.getsignal(signal.SIGHUP) == signal.SIG_DFL)
    before: dict[int, Any] = {number: signal.signal(number, _terminate) for number in numbers}
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    told = sys.unraisablehook
    sys.unraisablehook = partial(_ask_again, told)
    try:
        yield
    finally:
        sys.unraisablehook = told
        for number, handler in before.items():
            signal.signal(number, handler)
