"""What a start costs: imports, compilation with an empty cache, loading from the cache, the first frames of the demo.

Each is a child process, as a user's start is one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
IMPORTS = (
    "import numpy",
    "import numba",
    "import isacblocks",
    "from isacblocks import find_peak",
    "import isacblocks.blocks",
    "import isacblocks.stream",
    "from isacblocks.blocks import KappaCalibrator",
)
_GROUPS = """
import json, sys, time
begin = time.perf_counter()
from isacblocks.kernels import warmup
from isacblocks.kernels import jit
found = {"import": time.perf_counter() - begin}
for group in sys.argv[1:] or warmup.GROUPS:
    begin = time.perf_counter()
    warmup.load(group)
    found[group] = time.perf_counter() - begin
jit.mark_warm()
print(json.dumps(found))
"""


def _child(arguments: list[str], cache: Path | None = None) -> tuple[str, float]:
    """What a child of this Python printed, and its wall time."""
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    if cache is not None:
        environment["ISACBLOCKS_CACHE"] = str(cache)
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=True, cwd=cache or ROOT
    )
    return done.stdout, time.perf_counter() - begin


def imports(rounds: int) -> dict[str, list[float]]:
    """Wall seconds of each import in an interpreter of its own, the interpreter's own start not counted; round by round."""
    found: dict[str, list[float]] = {line: [] for line in IMPORTS}
    for _ in range(rounds):
        for line in IMPORTS:
            code = f"import time; begin = time.perf_counter(); {line}; print(time.perf_counter() - begin)"
            found[line].append(float(_child(["-c", code])[0]))
    return found


def cache_files(cache: Path) -> dict[str, int]:
    """How many files of machine code and of indices there are, and their bytes."""
    code, index = list(cache.rglob("*.nbc")), list(cache.rglob("*.nbi"))
    return {
        "kernels": len(code),
        "indices": len(index),
        "code_bytes": sum(path.stat().st_size for path in code),
        "index_bytes": sum(path.stat().st_size for path in index),
    }


def measure_starts(rounds: int, groups: list[str] | None = None) -> dict[str, Any]:
    """Seconds: imports; per kernel group compiled once, and loaded; `isacblocks --help`; the demo's first 16 frames.

    groups: some of the groups of kernels. The demo then starts from the user's own cache, as it needs the others, too.
    """
    load = ["-c", _GROUPS, *(groups or [])]
    help_command = ["-m", "isacblocks", "--help"]
    first_frames = ["-m", "isacblocks", "run", "online_calibration", "--frames", "16", "--no-view"]
    with tempfile.TemporaryDirectory(prefix="isacblocks-bench-") as directory:
        cache = Path(directory)
        cold: dict[str, float] = json.loads(_child(load, cache)[0])
        files = cache_files(cache)
        warm: dict[str, list[float]] = {group: [] for group in cold}
        demo, usage = [], []
        for _ in range(rounds):
            for group, seconds in json.loads(_child(load, cache)[0]).items():
                warm[group].append(seconds)
            demo.append(_child(first_frames, None if groups else cache)[1])
            usage.append(_child(help_command, cache)[1])
    return {
        "imports": imports(rounds),
        "cold": cold,
        "cold_total": sum(cold.values()),
        "warm": warm,
        "warm_total": [sum(values) for values in zip(*warm.values(), strict=True)],
        "cache": files,
        "first_16_frames": demo,
        "help": usage,
    }
