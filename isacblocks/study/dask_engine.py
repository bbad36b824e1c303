"""The engine that has a campaign's cells run by a Dask cluster that is there already; needs the extra `dist`."""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from functools import partial
from typing import Any

from isacblocks.study.campaign import Cell
from isacblocks.study.cell import Outcome, RowOf, attempt, code_digest
from isacblocks.study.engines import EngineError


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """A library that logs, with tracebacks, what it raises as well: its errors come to the user once, unless debugging."""
    names = [n for n in logging.root.manager.loggerDict if n.split(".")[0] == name]  # each may have a level of its own
    loud = [log for log in map(logging.getLogger, names) if not log.disabled]
    debugging = logging.getLogger().getEffectiveLevel() <= logging.DEBUG
    for log in loud:
        log.disabled = not debugging
    try:
        yield
    finally:
        for log in loud:
            log.disabled = False


def _distributed() -> Any:
    try:
        import distributed
    except ImportError:
        raise EngineError("a Dask cluster needs the package distributed; pip install 'isacblocks[dist]'") from None
    return distributed


class DaskEngine:
    """The workers of a Dask cluster. address: its scheduler's, say tcp://host:8786.

    The scheduler gives the cells of a worker that dies to others. isacblocks must be installed, in the same version, where
    the scheduler and the workers run; a result of another version is refused when it arrives.
    """

    def __init__(self, address: str, timeout: float = 10.0) -> None:
        self.address = address
        self.timeout = timeout  # seconds to find the scheduler
        _distributed()

    def outcomes(self, row_of: RowOf, cells: Sequence[Cell]) -> Generator[Outcome, None, None]:
        """Every cell's outcome, once."""
        distributed = _distributed()
        with _quiet("distributed"):
            try:
                client = distributed.Client(self.address, timeout=self.timeout, set_as_default=False, name="isacblocks")
            except (OSError, ValueError) as error:
                raise EngineError(f"{self.address}: no Dask scheduler answers there ({_first_line(error)})") from None
            try:
                yield from self._gather(distributed, client, row_of, cells)
            finally:
                client.close(timeout=1)

    def _gather(self, distributed: Any, client: Any, row_of: RowOf, cells: Sequence[Cell]) -> Generator[Outcome, None, None]:
        run = secrets.token_hex(4)  # an outcome that an earlier run left on the cluster is not this one's
        keys = [f"isacblocks-{run}-{cell.number}" for cell in cells]
        futures = client.map(partial(attempt, row_of), cells, key=keys, retries=2, pure=False)
        waiting = dict(zip(futures, cells, strict=True))
        try:
            for future in distributed.as_completed(futures, loop=client.loop):
                cell = waiting.pop(future)
                yield self._outcome(distributed, future, cell)
                future.release()
        finally:
            with contextlib.suppress(Exception):  # the cluster may be gone, which has been said by then
                client.cancel(list(waiting))

    def _outcome(self, distributed: Any, future: Any, cell: Cell) -> Outcome:
        try:
            outcome = future.result()
        except distributed.KilledWorker as error:
            return Outcome(
                cell.number, None, f"its worker died again and again: {_first_line(error)}", 0.0, "", code_digest()
            )
        except (CancelledError, OSError) as error:  # futures are lost, or a transfer is cut off
            lost = f"the connection to the scheduler is lost ({_first_line(error)})"
            raise EngineError(f"{self.address}: {lost}; run the campaign again to go on") from error
        except Exception as error:
            raise EngineError(
                f"{self.address}: the cluster cannot run cells ({type(error).__name__}: {_first_line(error)}); is "
                "isacblocks installed where its scheduler and its workers run?"
            ) from error
        assert isinstance(outcome, Outcome)
        return outcome


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
