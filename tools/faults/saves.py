"""kill -9 while checkpoints and calibration files are being saved: what is there afterwards is whole, old or new.

A process of one thread forks a victim that saves over and over; kills it after a moment that nobody chose; and reads what is
there. The next victim goes on from that. Every value in a file depends on its number, so that a mixture is seen.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from faults.case import Case, Outcome
from isacblocks.blocks.calibration_file import calibration_of, load_calibration, save_calibration
from isacblocks.radar import OfdmRadar
from isacblocks.stream import checkpoint
from isacblocks.stream.files import SUFFIX

_NAME, _BLOCKS = "saves", ["small", "large"]
_SIZES = {"small": 16, "large": 40_000}  # numbers: pages of a file, and enough of them to be cut in two
_LONGEST = 0.06  # seconds until a kill, at most, to begin with; a round of saves takes about half of it on a quick disk
_FEW, _MANY = 1, 4  # rounds that a victim may get done before the next one is given more time, or less


def _state(block: str, number: int) -> dict[str, Any]:
    return {"values": np.full(_SIZES[block], float(number)), "number": number}


def _save(directory: Path, number: int) -> None:
    """One cut of the flowgraph, then kappa."""
    for block in _BLOCKS:
        checkpoint.save_block(directory, block, number, _state(block, number))
    checkpoint.save_manifest(directory, checkpoint.Manifest(_NAME, _BLOCKS, number))
    radar = OfdmRadar()
    kappa = np.exp(2j * np.pi * number * np.arange(radar.antennas) / 1000)
    save_calibration(directory / "kappa.json", calibration_of(radar, kappa, frames=number))


def _read(directory: Path) -> tuple[int, int]:
    """The numbers of the newest whole cut and of the newest kappa, -1 where there is none.

    Raises what reading raises; ValueError for a mixture.
    """
    manifest = checkpoint.load_manifest(directory, _NAME, _BLOCKS)
    number = -1 if manifest is None else manifest.message
    for block in _BLOCKS if manifest is not None else ():
        found = checkpoint.load_block(directory, block, number)
        if found["number"] != number or not np.array_equal(found["values"], _state(block, number)["values"]):
            raise ValueError(f"{block}: the state of another cut than {number}")
    path = directory / "kappa.json"
    if path.exists():
        made = load_calibration(path, OfdmRadar())
        if not np.allclose(made.vector, np.exp(2j * np.pi * made.frames * np.arange(64) / 1000)):
            raise ValueError(f"{path}: frames and kappa do not belong together")
        return number, made.frames
    return number, -1


@dataclass
class Tally:
    """What the kills led to."""

    kills: int = 0
    saves: int = 0  # cuts that became whole
    cut_short: int = 0  # kills that left a file unfinished
    breaches: list[str] = field(default_factory=list)


def _victim(directory: Path, number: int, save: Callable[[Path, int], None], ready: int) -> None:
    os.write(ready, b".")
    while True:
        number += 1
        save(directory, number)


def kill_and_read(
    directory: Path, count: int, seed: int, save: Callable[[Path, int], None] = _save, longest: float = _LONGEST
) -> Tally:
    """The loop; in a process without other threads, since it forks. longest: seconds that the first victim has at most; how
    long the next ones have follows from what the ones before got done, so that kills fall into saves on any machine.
    """
    moments, tally, known = random.Random(seed), Tally(), (-1, -1)
    for kill in range(count):
        began, ready = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                _victim(directory, known[0], save, ready)
            finally:
                os._exit(3)  # only an error leads here
        os.close(ready)
        os.read(began, 1)
        os.close(began)
        time.sleep(moments.uniform(0.0, longest))
        os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        if not os.WIFSIGNALED(status):
            tally.breaches.append(f"kill {kill}: the victim failed by itself, status {os.waitstatus_to_exitcode(status)}")
        tally.cut_short += bool(list(directory.glob(f"*{SUFFIX}")))
        try:
            found = _read(directory)
            if found[0] < known[0] or not known[1] <= found[1] <= found[0]:
                tally.breaches.append(f"kill {kill}: cut and kappa went from {known} to {found}")
            saved = found[0] - known[0]
            longest *= 1.5 if saved < _FEW else 0.7 if saved > _MANY else 1.0
            tally.saves += saved
            known = found
        except Exception as error:
            tally.breaches.append(f"kill {kill}: {type(error).__name__}: {error}")
        tally.kills += 1
    save(directory, known[0] + 1)
    left = [path.name for path in directory.glob(f"*{SUFFIX}")]
    if left:
        tally.breaches.append(f"temporary files that nobody removed: {', '.join(left)}")
    return tally


def _case(count: int) -> Outcome:
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "faults.saves", directory, str(count)]
        root = Path(__file__).resolve().parents[2]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), str(root / "tools")])}
        limit = 120 + count  # seconds, against hanging
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit, check=False)
    if done.returncode != 0:
        return Outcome(breaches=[f"the process that kills failed: {done.stderr.strip()[-500:]}"])
    found = json.loads(done.stdout)
    outcome = Outcome({"cuts saved": found["saves"], "files cut short": found["cut_short"]}, found["breaches"])
    outcome.expect(found["kills"] == count, f"expected {count} kills, got {found['kills']}")
    outcome.expect(found["cut_short"] > 0 or count < 50, "not one kill fell into a save: nothing was tried")
    return outcome


CASES = (Case("saves", "kill -9 during a save leaves the old file or the new one", _case, 200, 1000, "kills"),)

if __name__ == "__main__":
    print(json.dumps(kill_and_read(Path(sys.argv[1]), int(sys.argv[2]), seed=1).__dict__))
