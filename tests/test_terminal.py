"""What a run says: a line that lives on a terminal, lines now and then elsewhere, JSON for programs, nothing for --quiet."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path

from conftest import ROOT

RUN = [sys.executable, str(ROOT / "flowgraphs" / "online_calibration.py"), "--frames", "600", "--no-view"]
LIVE = [one for one in RUN if one != "--no-view"]


def run(tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, *options], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)


def test_json_is_one_object_a_line_and_the_last_one_is_the_report(tmp_path: Path) -> None:
    done = run(tmp_path, "--json", "--report", "report.json")
    assert (done.returncode, done.stderr) == (0, "")
    *updates, last = [json.loads(line) for line in done.stdout.splitlines()]
    known = ["phase", "seconds", "frames", "total", "frames_per_second", "lost", "loss_db", "slope_deg", "p_d", "p_fa"]
    assert all(list(update) == known for update in updates)
    end = updates[-1]
    assert (end["phase"], end["frames"], end["total"], end["lost"]) == ("finished", 600, 600, 0)
    assert 0 < updates[-1]["p_d"] <= 1
    assert list(last) == ["result"]
    assert last["result"] == json.loads((tmp_path / "report.json").read_text())
    assert last["result"]["frames"] == 600


def test_quiet_says_nothing_and_both_at_once_are_refused(tmp_path: Path) -> None:
    done = run(tmp_path, "--quiet", "--calibration", "kappa.json")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [path.name for path in tmp_path.iterdir()] == ["kappa.json"]
    both = run(tmp_path, "--quiet", "--json")
    assert both.returncode == 2
    assert "not allowed with argument" in both.stderr


def test_on_a_terminal_one_line_lives(tmp_path: Path) -> None:
    """On a pseudo terminal the line is written over and over; in a pipe every line stays, and there are few."""
    master, slave = pty.openpty()
    with subprocess.Popen(LIVE, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=slave, stdin=subprocess.DEVNULL) as process:
        os.close(slave)
        said = b""
        while select.select([master], [], [], 300)[0]:
            try:
                piece = os.read(master, 4096)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            said += piece
        assert process.wait(300) == 0
    os.close(master)
    lines = said.decode().strip().split("\r")
    assert len(lines) >= 2
    assert "600/600 frames" in lines[-1]
    assert said.decode().count("\n") == 1
    piped = subprocess.run(LIVE, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True)
    assert "\r" not in piped.stderr
    assert "600/600 frames" in piped.stderr.splitlines()[-1]
