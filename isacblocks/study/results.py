"""The state of a campaign: one file of JSON lines in its directory, appended to as results come; see docs/formats.md.

The first line says which campaign it is and which program began it, every other one is the outcome of a cell. A line is
whole or it does not count: what a killed program left behind without a newline is cut off before anything is appended.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType

import msgspec

from isacblocks.study.campaign import Campaign
from isacblocks.study.cell import Outcome, Row, code_digest, software

FORMAT = "isacblocks campaign"
VERSION = 1
STATE = "state.jsonl"


class StateError(RuntimeError):
    """The directory holds something else, or is in use; the message says what to do."""


class BusyError(StateError):
    """Another process is appending to the same state."""


class Header(msgspec.Struct, frozen=True):
    """The first line. code: see :func:`~isacblocks.study.cell.code_digest`; created: UTC."""

    format: str
    version: int
    digest: str
    code: str
    created: str
    software: dict[str, str]
    campaign: Campaign


class _Kind(msgspec.Struct, frozen=True):
    """What every version of the first line has."""

    format: str
    version: int


def _header(line: bytes, path: Path) -> Header:
    afresh = "remove it, or take another directory with --out"
    try:
        kind = msgspec.json.decode(line, type=_Kind)
    except msgspec.MsgspecError:
        raise StateError(f"{path}: not the state of a campaign; {afresh}") from None
    if (kind.format, kind.version) != (FORMAT, VERSION):
        raise StateError(f"{path}: expected {FORMAT!r} version {VERSION}, got {kind.format!r} {kind.version}; {afresh}")
    try:
        return msgspec.json.decode(line, type=Header)
    except msgspec.MsgspecError as error:
        raise StateError(f"{path}: the first line is damaged ({error}); {afresh}") from None


class State:
    """What has been computed of one campaign. Use it in a ``with``; only one process at a time may hold it for writing.

    directory: created where it is missing; campaign: the one it must be. Raises StateError where the directory holds
    another campaign's state or one of another program, BusyError where another process holds it. read_only: for a look,
    beside whoever holds it, whatever program began it; there must be a state then.
    """

    def __init__(self, directory: Path, campaign: Campaign, read_only: bool = False) -> None:
        self.path = directory / STATE
        self.campaign = campaign
        self.outcomes: dict[int, Outcome] = {}  # by cell; a later line replaces an error, nothing replaces a row
        self._file = -1
        if read_only:
            if not self.path.exists():
                raise StateError(f"{self.path}: there is none; run the campaign first")
            self.header = self._read(self.path.read_bytes())[0]
            return
        directory.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            self._lock()
            self.header = self._resume()
        except BaseException:
            self.close()
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # goes with the process, however it ends
        except BlockingIOError:
            raise BusyError(f"{self.path}: another process is running this campaign; wait for it or stop it") from None

    def _resume(self) -> Header:
        with open(self.path, "rb") as file:
            data = file.read()
        if b"\n" not in data:  # new, or not even the first line was finished
            os.ftruncate(self._file, 0)
            now = datetime.now(timezone.utc).isoformat(timespec="seconds")
            header = Header(FORMAT, VERSION, self.campaign.digest, code_digest(), now, software(), self.campaign)
            self._write(msgspec.json.encode(header))
            return header
        header, whole = self._read(data)
        if header.code != code_digest():
            was = ", ".join(f"{name} {number}" for name, number in header.software.items())
            raise StateError(
                f"{self.path}: begun by another version of the program or of what it uses ({was}, code {header.code}; "
                f"this is code {code_digest()}), whose rows might differ; finish it with that one or take another --out"
            )
        if whole < len(data):
            os.ftruncate(self._file, whole)
        return header

    def _read(self, data: bytes) -> tuple[Header, int]:
        """The first line and how many bytes are whole lines; the outcomes go to `outcomes`."""
        whole = data.rfind(b"\n") + 1
        lines = data[:whole].split(b"\n")[:-1]
        header = _header(lines[0] if lines else b"", self.path)
        if header.digest != self.campaign.digest:
            raise StateError(
                f"{self.path}: belongs to another campaign (digest {header.digest}, this one has {self.campaign.digest}); "
                "undo the change to the file, or begin anew with another --out"
            )
        number = 1
        try:
            for line in lines[1:]:
                number += 1
                self._keep(msgspec.json.decode(line, type=Outcome))
        except (msgspec.MsgspecError, ValueError) as error:
            raise StateError(
                f"{self.path}: line {number} is damaged ({error}); remove that line and its cell is run again"
            ) from None
        return header, whole

    def _keep(self, outcome: Outcome) -> bool:
        """Whether it is news."""
        if not 0 <= outcome.cell < self.campaign.size or (outcome.row is None) == (outcome.error is None):
            raise ValueError(f"cell {outcome.cell} of {self.campaign.size}: expected a row or an error")
        before = self.outcomes.get(outcome.cell)
        if before is not None and before.row is not None:
            return False
        self.outcomes[outcome.cell] = outcome
        return True

    def _write(self, line: bytes) -> None:
        line += b"\n"
        while line:
            line = line[os.write(self._file, line) :]
        os.fsync(self._file)

    def append(self, outcome: Outcome) -> None:
        """Keep an outcome for good. Raises StateError where another program than the one that began the state made it."""
        if outcome.code != self.header.code:
            raise StateError(
                f"cell {outcome.cell} was run by another version of the program (code {outcome.code} on {outcome.worker}, "
                f"here {self.header.code}); install the same isacblocks, numpy, scipy and numba on every worker"
            )
        if self._keep(outcome):
            self._write(msgspec.json.encode(outcome))

    def rows(self) -> Iterator[tuple[int, Row]]:
        """The rows there are, in the grid's order, with the numbers of their cells."""
        for number in sorted(self.outcomes):
            row = self.outcomes[number].row
            if row is not None:
                yield number, row

    def failed(self) -> dict[int, str]:
        """The errors of the cells that have no row because they failed."""
        found = sorted(self.outcomes.items())
        return {number: outcome.error for number, outcome in found if outcome.error is not None}

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> State:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
