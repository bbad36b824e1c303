"""What a run says: a table on a terminal, a line that lives where only the errors go there, lines now and then elsewhere,
JSON for programs, nothing for --quiet."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import termios
from pathlib import Path

from conftest import ROOT
from screen import Terminal

RUN = [sys.executable, str(ROOT / "flowgraphs" / "online_calibration.py"), "--frames", "600", "--no-view"]
LIVE = [one for one in RUN if one != "--no-view"]
PACED = [*LIVE, "--rate", "600"]  # long enough to be looked at more than once, however fast the machine is


def run(tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, *options], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)


def test_json_is_one_object_a_line_and_the_last_one_is_the_report(tmp_path: Path) -> None:
    done = run(tmp_path, "--json", "--report", "report.json")
    assert (done.returncode, done.stderr) == (0, "")
    *updates, last = [json.loads(line) for line in done.stdout.splitlines()]
    known = ["phase", "paused", "seconds", "frames", "total", "frames_per_second", "lost"]
    known += ["loss_db", "slope_deg", "p_d", "p_fa"]
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
    """Where only the error output is a terminal a line is written over and over; in a pipe every line stays."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        PACED,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=slave,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm"},
    ) as process:
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


FIGURES = ("kappa      ", "boresight  ", "antennas   ", "detection  ", "target     ", "speed      ", "edge  ")
ENDLESS = [*LIVE, "--frames", "1000000", "--rate", "1000"]
COLOUR = re.compile(rb"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7]|38|48)[;m]")


def places(terminal: Terminal) -> list[int]:
    """In which lines of the screen the figures stand."""
    return [k for k, line in enumerate(terminal.lines) if line.startswith(FIGURES)]


def is_clean(terminal: Terminal) -> bool:
    """Whether the cursor can be seen again, and keys do what they did."""
    left = termios.tcgetattr(terminal.slave)
    return not terminal.screen.cursor.hidden and left == terminal.before


def test_on_a_terminal_a_table_stays_in_its_place_and_ctrl_c_leaves_it_clean(tmp_path: Path) -> None:
    with Terminal(ENDLESS, tmp_path) as terminal:
        terminal.until(lambda: len(places(terminal)) == len(FIGURES), "the figures")
        at, above = places(terminal), len(terminal.screen.history.top)
        for _ in range(3):
            head = terminal.lines[at[0] - 1]
            terminal.until(lambda head=head: terminal.lines[at[0] - 1] != head, "the head to move")  # type: ignore[misc]
        terminal.until(lambda: places(terminal) == at, "the figures where they were, the whole picture read")
        assert len(terminal.screen.history.top) == above  # nothing scrolled
        assert "maprt_detector.detection > kappa_calibrator.peak" in terminal.text
        for shown in (r"^antennas   64 of 64 good", r"^target +[-+]\d+\.\d\d deg, \d+\.\d\d m, \d+\.\d ns; "):
            terminal.until(lambda line=shown: re.search(line, terminal.text, re.MULTILINE), shown)  # type: ignore[misc]
        assert COLOUR.search(terminal.raw)
        terminal.resize(60, 20)
        terminal.until(lambda: places(terminal)[:1] == [1] and len(places(terminal)) == len(FIGURES), "the smaller table")
        assert max(map(len, terminal.lines)) <= 60
        assert terminal.lines[0].startswith("online_calibration  running")
        terminal.press(b"\x03")
        assert terminal.wait() == 130
        assert places(terminal)[:1] == [1] or len(places(terminal)) <= len(FIGURES)  # once
        assert terminal.text.rstrip().endswith("online_calibration: stopped")
        assert is_clean(terminal)


def test_the_last_table_stays_and_the_report_follows_without_colours_where_none_are_wanted(tmp_path: Path) -> None:
    with Terminal([*LIVE, "--placement", "processes"], tmp_path, 100, 50, NO_COLOR="1") as terminal:
        assert terminal.wait() == 0
        assert terminal.lines[0].startswith("online_calibration  finished")
        assert "600 of 600 frames" in terminal.lines[0]
        assert len(places(terminal)) == len(FIGURES)
        assert re.search(r"^600 frames in ", terminal.text, re.MULTILINE)
        assert "picture: online_calibration.png" in terminal.text
        assert not COLOUR.search(terminal.raw)
        assert is_clean(terminal)


def test_a_terminal_that_can_do_nothing_gets_lines(tmp_path: Path) -> None:
    with Terminal(LIVE, tmp_path, 150, 40, TERM="dumb") as terminal:
        assert terminal.wait() == 0
    assert b"\x1b" not in terminal.raw
    assert b"600/600 frames" in terminal.raw


NOISY = """
import os, sys
sys.path.insert(0, {tests!r})
from stream_blocks import Collect, Counter
from isacblocks.stream import Block, Flowgraph, In, Out
from isacblocks.view.client import NearClient
from isacblocks.view.dashboard import Dashboard
from isacblocks.view.desk import Desk
from isacblocks.view.feed import Feed

class Noisy(Counter):
    def produce(self, first, count):
        if first == 400:
            os.write(2, b"a process has something to say\\n")
        return super().produce(first, count)

if __name__ == "__main__":
    fg, source = Flowgraph("noisy"), Noisy()
    source.batch, source.rate = 20, 1000.0
    fg.connect(source, Collect())
    with Desk(fg) as desk, Dashboard(Feed(NearClient(desk)), 1000, "collect") as line:
        fg.run(1000, placement="processes", view=line)
    print("the end")
"""


def test_what_processes_say_stands_above_the_table_of_any_flowgraph(tmp_path: Path) -> None:
    script = tmp_path / "noisy.py"
    script.write_text(NOISY.format(tests=str(ROOT / "tests")))
    with Terminal([sys.executable, str(script)], tmp_path, PYTHONPATH=str(ROOT)) as terminal:
        assert terminal.wait() == 0
        lines = [line for line in terminal.lines if line]
        assert lines[0] == "a process has something to say"
        assert lines[1].startswith("noisy  finished")
        assert "1,000 of 1,000" in lines[1]
        assert [line.split()[0] for line in lines[2:]] == [
            "speed",
            "edge",
            "noisy.number",
            "block",
            "noisy",
            "collect",
            "the",
        ]
        assert terminal.raw.count(b"a process has something to say") == 1
