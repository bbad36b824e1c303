"""How a flowgraph is ended, whatever its workers do: they are told to stop, have a grace, and what is left is taken down.

A process ends when the runner has its last report and has said so (``control.Leave``): the news of its end, which comes
another way, never overtakes what it said.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from isacblocks.stream import control
from isacblocks.stream.roll import Roll
from isacblocks.stream.silence import is_stopped
from isacblocks.stream.staff import Staff
from isacblocks.stream.switchboard import Switchboard

GRACE = 0.5  # seconds that workers have to end by themselves when told to stop
_GRACE_FROZEN = 0.2  # the same for processes that are stopped (SIGSTOP): longer than a debugger takes for a look
_AGAIN = 0.05  # seconds: who was only just starting may not have been there the first time

_log = logging.getLogger("isacblocks.stream.runner")


class Ending:
    """The end of a run with these workers."""

    def __init__(self, board: Switchboard, staff: Staff, roll: Roll) -> None:
        self._board, self._staff, self._roll = board, staff, roll

    def halt(self, begun: bool) -> float:
        """Tell every worker to stop, and give them the grace; how long that took, in seconds. begun: the blocks have run."""
        patience = GRACE if begun or not self._staff.elsewhere else 0.0  # what has not begun has nothing to finish
        began = time.perf_counter()
        again = 0.0
        while time.perf_counter() < began + patience and not self._all_gone(began + _GRACE_FROZEN):
            if time.perf_counter() > again:
                self._tell_to_stop(self._roll.status)
                again = time.perf_counter() + _AGAIN
            if self._board.poll(5):
                self._last_words()
        while self._board.poll(0):
            self._last_words()
        return time.perf_counter() - began

    def tell(self, took: float, silent: bool) -> None:
        """Say who did not come to an end. took: seconds; silent: blocks that have not answered are worth a word, too."""
        left = self._staff.hanging()
        if left:
            _log.warning(
                "%s did not stop within %.1f s and was left behind in its thread; it ends when its present call returns, "
                "and what it does until then is lost; with placement 'processes' it could have been ended",
                ", ".join(left),
                GRACE,
            )
        unheard = self._roll.unheard() if silent and self._staff.elsewhere else []
        if unheard:
            _log.warning(
                "%s did not answer within %.1f s of being told to stop; what it learned since its last checkpoint is lost; "
                "shorter messages (--batch) answer sooner, a process that is stopped (SIGSTOP) cannot",
                ", ".join(unheard),
                took,
            )

    def _tell_to_stop(self, names: Iterable[str]) -> None:
        for name in names:
            self._board.tell(name, control.Leave() if name in self._roll.finished else control.Stop())

    def _last_words(self) -> None:
        """What a worker still reports after it was told to stop; its failures do not matter any more."""
        name, report = self._board.receive()
        if isinstance(report, control.Finished):
            self._roll.ready(name)
            self._roll.ended(name, report)
            self._tell_to_stop([name])

    def _all_gone(self, later: float) -> bool:
        """Whether nobody is left who could still end by himself. later: from when on none is whose process is stopped."""
        left, status = self._staff.left(), self._roll.status
        return not left or (time.perf_counter() > later and all(is_stopped(status[name].process) for name in left))
