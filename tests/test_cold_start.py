"""Where this version has never run, all kernels are compiled once, and what is loaded afterwards has the same bits.

The gate runs this before all other tests: on a machine where nothing is compiled yet, what is compiled here is theirs.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import programs
import pytest

from isacblocks.kernels import jit

METHODS = (
    "tracker",
    "online",
    "adam-max",
    "adam-reconstruction",
    "em",
    "tracker --full-circle",
    "tracker --refine",
)


@pytest.mark.slow
def test_a_cold_start_compiles_all_there_is_and_the_next_has_the_same_bits(tmp_path: Path) -> None:
    """It says that it compiles; afterwards there is nothing left to compile, for no method of the main flowgraph."""
    cache = tmp_path / "cache" if jit.is_warm() else jit.cache_directory().parent

    def compiled() -> list[str]:
        return sorted(path.name for path in (cache / jit.source_digest()).rglob("*.nb[ic]"))

    def isacblocks(*arguments: str) -> str:
        done = programs.isacblocks(*arguments, env={"ISACBLOCKS_CACHE": str(cache)})
        return done.stdout + done.stderr

    reports = []
    for name in ("cold", "warm"):
        path = tmp_path / name
        out = isacblocks("run", "online_calibration", "--no-view", "--frames", "200", "--report", str(path))
        assert ("compiling the kernels, once per version on this machine" in out) == (name == "cold")
        reports.append(json.loads(path.read_text()))
    assert reports[0]["kappa_error"] == reports[1]["kappa_error"]
    assert reports[0]["detection"] == reports[1]["detection"]
    before = compiled()
    assert len(before) > 20
    assert "are compiled" in isacblocks("warmup")

    def run(options: str) -> str:
        method = ["--method", *options.split()]
        return isacblocks("run", "online_calibration", "--frames", "300", *method, "--no-view", "--drift", "1")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for out in pool.map(run, METHODS):
            assert "compiling" not in out
    assert compiled() == before
