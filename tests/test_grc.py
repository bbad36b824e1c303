"""GNU Radio Companion: our block in an example that grcc compiles, and that runs."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from programs import run
from test_gnuradio_live import COUNT, PYTHON, RADAR, UPDATES, absence, simulated

from isacblocks import kappa_error

GRC = ROOT / "grc"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as a Python program."""
    if absence():
        pytest.skip(absence() or "")
    if shutil.which("grcc") is None:
        pytest.skip("grcc is not installed (it comes with gnuradio)")
    where = tmp_path_factory.mktemp("grc")
    environment = {"GRC_BLOCKS_PATH": str(GRC), "PYTHONPATH": str(GRC)}
    run("grcc", "-o", where, GRC / "calibrated_array.grc", env=environment)
    return where / "calibrated_array.py"


def test_the_example_compiles_and_calibrates(compiled: Path, tmp_path: Path) -> None:
    """GNU Radio's Python starts ours by the command in the block, and gets kappa back."""
    frames, truth = simulated(RADAR, COUNT)
    frames.tofile(tmp_path / "frames.c64")
    at, out = f"ipc://{tmp_path}/at", tmp_path / "kappa.c64"
    command = f"{sys.executable} {ROOT / 'flowgraphs' / 'from_gnuradio.py'}"
    options = {"a": at, "c": command, "f": tmp_path / "frames.c64", "r": out, "u": UPDATES, "n": 8, "s": 32}
    program = [PYTHON, str(compiled), *(word for name, value in options.items() for word in (f"-{name}", str(value)))]
    environment = {**os.environ, "PYTHONPATH": str(GRC)}
    child = subprocess.Popen(program, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        until = time.monotonic() + 180
        while not out.exists() or out.stat().st_size < 8 * 8 * UPDATES:
            assert child.poll() is None, child.communicate()[1]
            assert time.monotonic() < until
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)  # a flowgraph with a message source does not end by itself
        _, said = child.communicate(timeout=60)
        assert child.returncode == 0, said
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
    kappas = np.fromfile(out, np.complex64).reshape(-1, 8)
    assert len(kappas) == UPDATES
    assert kappa_error(np.ones(8), truth, RADAR).loss_db > 1.0
    assert kappa_error(kappas[-1].astype(np.complex128), truth, RADAR).loss_db < 0.05


def test_the_module_needs_nothing_of_ours() -> None:
    if absence():
        pytest.skip(absence() or "")
    code = "import sys, isacblocks_gr; print(sorted({'isacblocks', 'numba', 'msgspec', 'scipy'} & set(sys.modules)))"
    done = run(PYTHON, "-c", code, env={"PYTHONPATH": str(GRC)})
    assert done.stdout.strip() == "[]"
