"""Ctrl-C and its like end a program with one line and their status, from its first moment on, and never get lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from isacblocks import OfdmRadar
from isacblocks.blocks.calibration_file import load_calibration

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
RUN = ("run", "online_calibration", "--frames", "1000000", "--rate", "1000", "--no-view")
LOADED = (
    "argparse",
    "isacblocks.cli.script",
    "numpy",
    "zmq",
    "isacblocks.stream",
    "llvmlite.binding",
    "numba",
    "isacblocks.blocks",
)


@pytest.mark.parametrize("module", LOADED)
def test_ctrl_c_while_modules_are_loaded_is_one_line(module: str, tmp_path: Path) -> None:
    """Python says what it has loaded; the signal comes as soon as this module is."""
    command = [sys.executable, "-X", "importtime", "-m", "isacblocks", *RUN]
    with subprocess.Popen(
        command, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stderr is not None
        for line in program.stderr:
            if line.split("|")[-1].strip() == module:
                break
        else:
            pytest.fail(f"{module} is never loaded")
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=300)
    assert program.returncode == 130
    *before, last = [line for line in said.splitlines() if line and not line.startswith("import time:")]
    assert last in ("isacblocks: stopped", "online_calibration: stopped")
    assert "Traceback" not in said
    assert "Exception" not in said
    assert all(line.startswith("online_calibration:") for line in before)


@pytest.mark.parametrize("script", ["online_calibration", "online_calibration.toml"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str)
def test_what_was_learned_by_then_is_told_and_left(number: signal.Signals, status: int, script: str, tmp_path: Path) -> None:
    """By a run of a million frames; where the terminal is closed nobody is told, and the files are left all the same."""
    made = ["--report", "report.json", "--calibration", "kappa.json"]
    command = [sys.executable, "-m", "isacblocks", "run", script, *RUN[2:-1], "--json", *made]
    with subprocess.Popen(
        command, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        while json.loads(program.stdout.readline())["frames"] < 500:
            pass
        if number == signal.SIGHUP:
            program.stdout.close()
            program.stderr.close()
            told = ""
        program.send_signal(number)
        if number != signal.SIGHUP:
            told = program.communicate(timeout=300)[0]
        assert program.wait(300) == status
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["phase"] == "stopped"
    assert 500 <= report["frames"] < 1_000_000
    assert load_calibration(tmp_path / "kappa.json", OfdmRadar()).targets > 0
    if told:
        *updates, last = [json.loads(line) for line in told.splitlines()]
        assert last["result"] == report
        assert updates[-1]["phase"] == "stopped"
    assert bool(told) == (number != signal.SIGHUP)


WHERE_IT_GETS_LOST = """
import ctypes, signal, sys, time
from isacblocks.cli.script import execute
number = signal.Signals(int(sys.argv[1]))
sent = []

def send():
    if not sent:
        sent.append(number)
        signal.raise_signal(number)

class Destroyed:
    def __del__(self):
        send()

def work():
    ctypes.CFUNCTYPE(None)(send)() if sys.argv[2] == "called from C" else Destroyed()
    print("goes on", flush=True)
    time.sleep(300)

sys.exit(execute("lost", work))
"""


@pytest.mark.parametrize("where", ["called from C", "destroyed"])
@pytest.mark.parametrize(
    ("number", "status", "word"), [(signal.SIGINT, 130, "stopped"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_is_not_lost_where_exceptions_are(where: str, number: int, status: int, word: str) -> None:
    """The compiler calls Python from C; an exception that comes up there is only printed."""
    done = subprocess.run(
        [sys.executable, "-c", WHERE_IT_GETS_LOST, str(int(number)), where],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (status, "goes on\n", f"\nlost: {word}\n")


def test_what_else_is_raised_in_a_destructor_is_printed_as_ever() -> None:
    code = """
import sys
from isacblocks.cli.script import execute
class Destroyed:
    def __del__(self):
        raise ValueError("of its own")
sys.exit(execute("printed", lambda: Destroyed() and None))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0
    assert "ValueError: of its own" in done.stderr
