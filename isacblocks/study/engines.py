"""What runs the cells of a campaign: here, processes on this machine; a Dask cluster is in dask_engine.

An engine takes a function from a cell to its row and yields every cell's outcome once, in the order in which they come.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import Protocol

from isacblocks.study.campaign import Cell
from isacblocks.study.cell import Outcome, RowOf, attempt, cell_row, code_digest
from isacblocks.study.results import State

_DEATHS = 3  # a cell whose process died so often, running alone, has failed
_BREAKS = 3  # so many pools that died one after the other without a single outcome: it is not the cells
_SINGLE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class EngineError(RuntimeError):
    """Cells cannot be run there at all; the message says why and what to do."""


def conduct(
    state: State,
    engine: Engine,
    row_of: RowOf = cell_row,
    retry: bool = False,
    watch: Callable[[Outcome], None] | None = None,
) -> None:
    """Have the engine run the cells that the state does not hold yet, and keep every outcome as it comes.

    retry: also those that failed; watch: called with every outcome after it is safe. Whatever interrupts it ends the
    engine's work first. Raises EngineError, StateError.
    """
    done = {number for number, outcome in state.outcomes.items() if outcome.row is not None or not retry}
    cells = [cell for cell in state.campaign.cells() if cell.number not in done]
    if not cells:
        return
    with contextlib.closing(engine.outcomes(row_of, cells)) as outcomes:
        for outcome in outcomes:
            state.append(outcome)
            if watch is not None:
                watch(outcome)


class Engine(Protocol):
    """Where cells are run."""

    def outcomes(self, row_of: RowOf, cells: Sequence[Cell]) -> Generator[Outcome, None, None]:
        """Every cell's outcome, once. Closing the generator stops what is running. Raises EngineError."""
        ...


def _die_with(lifeline: Connection) -> None:
    """In a worker: end at once when the other end of the pipe is closed, by the program or by the program's death."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            lifeline.poll(None)
        os._exit(0)

    threading.Thread(target=watch, name="isacblocks lifeline", daemon=True).start()


@contextlib.contextmanager
def _deaf_children() -> Iterator[None]:
    """Children inherit a blocked SIGINT: Ctrl-C goes to a whole terminal, and ending the workers is the program's to do."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _single_threaded() -> Iterator[None]:
    """Children compute in one thread each: the cells are what runs in parallel."""
    before = {name: os.environ.get(name) for name in _SINGLE}
    os.environ.update(dict.fromkeys(_SINGLE, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes, gone when the block is left however it is left."""
    context = multiprocessing.get_context("spawn")  # nothing of this process' threads and locks
    try:
        ears, lifeline = context.Pipe(duplex=False)
        pool = ProcessPoolExecutor(workers, context, _die_with, (ears,))
    except OSError as error:
        raise EngineError(
            f"no worker processes can be made: {error.strerror}; they need file descriptors (ulimit -n) and room in /dev/shm"
        ) from error
    with _single_threaded():
        try:
            yield pool
        except BaseException:
            lifeline.close()  # whatever they are doing
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            lifeline.close()
            ears.close()


class LocalEngine:
    """Processes on this machine. workers: how many, by default one per core.

    When a process dies, a pool of processes is lost with all cells under way in it. They are run again, at the end and one
    at a time, so that a cell that takes its process down harms no other; it has failed after three deaths.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or os.cpu_count() or 1

    def outcomes(self, row_of: RowOf, cells: Sequence[Cell]) -> Generator[Outcome, None, None]:
        """Every cell's outcome, once."""
        waiting, suspects, breaks = deque(cells), deque[Cell](), 0
        while waiting:
            done = 0
            for outcome in self._run(row_of, waiting, suspects, self.workers):
                done += 1
                yield outcome
            breaks = 0 if done else breaks + 1
            if breaks == _BREAKS:
                raise EngineError(f"the worker processes die before they can run a cell ({breaks} times); is memory short?")
        yield from self._alone(row_of, suspects)

    def _alone(self, row_of: RowOf, suspects: deque[Cell]) -> Generator[Outcome, None, None]:
        """Run cells one at a time: the one that is running when the process dies is to blame."""
        deaths: Counter[int] = Counter()
        while suspects:
            dead: deque[Cell] = deque()
            yield from self._run(row_of, suspects, dead, 1, 1)
            for cell in dead:
                deaths[cell.number] += 1
                if deaths[cell.number] < _DEATHS:
                    suspects.appendleft(cell)
                    continue
                problem = f"its process died {_DEATHS} times while it ran alone; is there enough memory?"
                yield Outcome(cell.number, None, problem, 0.0, socket.gethostname(), code_digest())

    def _run(
        self, row_of: RowOf, waiting: deque[Cell], lost: deque[Cell], workers: int, ahead: int | None = None
    ) -> Generator[Outcome, None, None]:
        """Run cells until all are done or a process dies; the cells that were under way then go to `lost`.

        ahead: cells handed out at a time, by default one more than can run, so that no process waits for its next.
        """
        most = workers + 1 if ahead is None else ahead
        running: dict[Future[Outcome], Cell] = {}
        with _pool(min(workers, len(waiting))) as pool:
            broken = False
            while running or (waiting and not broken):
                while waiting and not broken and len(running) < most:
                    cell = waiting.popleft()
                    try:
                        with _deaf_children():
                            running[pool.submit(attempt, row_of, cell)] = cell
                    except BrokenProcessPool:
                        lost.append(cell)
                        broken = True
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    cell = running.pop(future)
                    try:
                        outcome = future.result()
                    except BrokenProcessPool:
                        lost.append(cell)
                        broken = True
                        continue
                    yield outcome
