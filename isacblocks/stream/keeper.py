"""The keeper has a killed block's process replaced by another one, which goes on from the last snapshot."""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from pathlib import Path

import msgspec

from isacblocks.stream.control import BlockStatus, WorkerSpec
from isacblocks.stream.errors import BlockError
from isacblocks.stream.nursery_messages import Death


class Restart(msgspec.Struct, frozen=True):
    """What happens when the process of a block dies: another one takes its place, at once where the block had got on.

    limit: how often in a row a block may die without having got on (by a snapshot) in between; once more, and the
    flowgraph stops. wait: seconds before the second attempt in such a row, doubled for every further one, up to `longest`.
    Raises ValueError for what cannot be.
    """

    limit: int = 5
    wait: float = 0.1
    longest: float = 5.0

    def __post_init__(self) -> None:
        if isinstance(self.limit, bool) or not isinstance(self.limit, int) or self.limit < 1:
            raise ValueError(f"restart: limit must be a number of at least 1, got {self.limit!r}")
        for name, value in (("wait", self.wait), ("longest", self.longest)):
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"restart: {name} must be a number of seconds of at least 0, got {value!r}")

    def pause(self, fruitless: int) -> float:
        """Seconds to wait after so many deaths in a row without progress."""
        return 0.0 if fruitless < 1 else float(min(self.wait * 2 ** min(fruitless - 1, 60), self.longest))


def cause_of(death: Death) -> str:
    """How a process ended, in words."""
    if os.WIFSIGNALED(death.status):
        number = os.WTERMSIG(death.status)
        return f"its process was killed by signal {number} ({signal.Signals(number).name})"
    return f"its process ended with status {os.waitstatus_to_exitcode(death.status)}"


class Keeper:
    """Which blocks are down, and when each is to be made again."""

    def __init__(self, policy: Restart) -> None:
        self.policy = policy
        self.restarts: dict[str, int] = {}  # by block, where there were any
        self.down: set[str] = set()  # dead, or not yet ready again
        self._due: dict[str, float] = {}
        self._progress: dict[str, int] = {}
        self._fruitless: dict[str, int] = {}  # deaths in a row without progress
        self._log = logging.getLogger("isacblocks.stream.keeper")

    def died(self, death: Death) -> None:
        """A block's process has ended. Raises BlockError where the policy's limit is reached."""
        name, cause = death.block, cause_of(death)
        got_on = death.progress > self._progress.get(name, 0)
        self._progress[name] = death.progress
        fruitless = self._fruitless[name] = 0 if got_on else self._fruitless.get(name, 0) + 1
        if fruitless > self.policy.limit:
            raise BlockError(name, "again and again", f"{cause}, {fruitless} times in a row without getting on")
        pause = self.policy.pause(fruitless - 1)
        self.restarts[name] = self.restarts.get(name, 0) + 1
        self._log.warning(
            "%s: %s (%d times so far); it goes on in another one%s, nothing is lost on lossless edges; see why it dies",
            name,
            cause,
            self.restarts[name],
            f" in {pause:.1f} s" if pause else "",
        )
        self.down.add(name)
        self._due[name] = time.monotonic() + pause

    def dated(self, name: str, status: BlockStatus) -> BlockStatus:
        """A block's report with what only the keeper knows; one that is down may have reported before it died."""
        count = self.restarts.get(name)
        if count is None:
            return status
        phase = "restarting" if name in self.down else status.phase
        return msgspec.structs.replace(status, restarts=count, phase=phase)

    def moved(self, spec: WorkerSpec) -> WorkerSpec:
        """As `spec`, with sockets of its own: a connection that still tries to reach the dead process must not reach it."""
        number = self.restarts[spec.name]
        outlets = []
        for outlet in spec.outlets:
            ours = outlet.bind.startswith("ipc://")  # over tcp the system chooses another port, unless one was asked for
            if ours and number > 1:
                Path(f"{outlet.bind}.{number - 1}".removeprefix("ipc://")).unlink(missing_ok=True)
            outlets.append(msgspec.structs.replace(outlet, bind=f"{outlet.bind}.{number}") if ours else outlet)
        return msgspec.structs.replace(spec, outlets=outlets)

    def due(self) -> list[str]:
        """The blocks whose processes are to be made now."""
        now = time.monotonic()
        names = [name for name, when in self._due.items() if when <= now]
        for name in names:
            del self._due[name]
        return names
