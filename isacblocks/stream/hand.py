"""A hand of a crew: the worker of a block in a thread, which shares its thread with the other blocks of its process."""

from __future__ import annotations

import time
from collections.abc import Callable

import zmq

from isacblocks.stream.bell import Bell
from isacblocks.stream.block import Block
from isacblocks.stream.control import WorkerSpec
from isacblocks.stream.crew import Crew, Turn
from isacblocks.stream.orders import StopError
from isacblocks.stream.task import Task
from isacblocks.stream.worker import LINGER, Worker

_SLEEP = 0.02  # seconds: how long an idle block does not look for orders
_GLANCE = 0.002  # after its end, when only orders are to come


class Hand(Worker):
    """One block at work, in turns."""

    def __init__(self, block: Block, spec: WorkerSpec, context: zmq.Context[zmq.Socket[bytes]], crew: Crew) -> None:
        super().__init__(block, spec, context)
        self.over = False
        self._crew = crew
        self._turn = Turn(crew)
        self._shares = False  # its thread serves all blocks
        self._lingers = 0.0  # until when acknowledgements may wait for more; 0: there is no such time

    def _make_bell(self) -> Bell:
        return self._turn

    def _learned(self) -> bytes:
        return b""  # the block is the caller's own

    def _cpu_seconds(self) -> float:
        return self._turn.cpu_seconds() if self._shares else super()._cpu_seconds()

    def _live(self, task: Task) -> None:
        if not self._ears.has_bell():
            super()._live(task)
        self._shares = True
        self._turn.run = self._take_turns(task)
        self._crew.serve(self._turn)

    def _take_turns(self, task: Task) -> Callable[[], float | None]:
        def run() -> float | None:
            try:
                return self._rounds(task)
            except Exception as error:
                self._conclude(error)
                self.over = True
                return None

        return run

    def _rounds(self, task: Task) -> float:
        """What there is to do, at least one message of it where others wait; seconds until the next turn."""
        self._ears.get_up()
        while self._round(task, True):
            self._lingers = 0.0
            if self._crew.over:
                raise StopError
            if self._crew.wanted():
                return 0.0
        return self._rest_until(task)

    def _rest_until(self, task: Task) -> float:
        """Nothing to do: what a worker does before it sleeps, without sleeping."""
        wait, now = _SLEEP, time.monotonic()
        owing = [inlet for inlet in self.inlets.values() if inlet.owing]
        if owing and not task.ended and not self._lingers:
            self._lingers = now + 1e-3 * LINGER
        if owing and not task.ended and now < self._lingers:
            wait = self._lingers - now
        else:
            self._lingers = 0.0
            for inlet in owing:
                inlet.acknowledge(urgent=True)
        for outlet in self.outlets.values():
            outlet.look_at_the_time()
        self._finish(task)
        if self._finished:
            return _GLANCE
        return 0.0 if self._ears.lie_down() else wait
