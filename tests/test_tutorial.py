"""docs/tutorial.md says what happens: its files are written and its commands run, in order, and print what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from conftest import ROOT

from isacblocks.kernels.jit import cache_directory

TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()
FENCES = re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```$", TUTORIAL, flags=re.DOTALL | re.MULTILINE)
SET_UP = "sh tools/demo\n. .venv/bin/activate\n"  # test_docs.py runs the first, the second is what Newcomer makes


class Newcomer:
    """A shell with `isacblocks` and `python` in it, line by line, in a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = self.here = home
        self.behind: subprocess.Popen[str] | None = None  # what was put into the background
        bin_directory = home / "bin"
        bin_directory.mkdir()
        for name, what in (("python", ""), ("isacblocks", " -m isacblocks")):
            path = bin_directory / name
            path.write_text(f'#!/bin/sh\nexec "{sys.executable}"{what} "$@"\n')
            path.chmod(0o755)
        python_path = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}".rstrip(os.pathsep)
        compiled = str(cache_directory().parent)  # this user's, whose home is another one
        self.seen = os.environ | {"HOME": str(home), "PYTHONPATH": python_path, "ISACBLOCKS_CACHE": compiled}
        self.rooms = tempfile.TemporaryDirectory(prefix="isacblocks-tutorial-")  # sockets lie there, and one desk
        self.seen["TMPDIR"] = self.rooms.name
        self.seen["PATH"] = f"{bin_directory}{os.pathsep}{self.seen['PATH']}"

    def say(self, line: str) -> str:
        """Run one line; what it printed."""
        if line.endswith("&"):
            self.behind = subprocess.Popen(
                ["sh", "-c", f"exec {line[:-1]}"], cwd=self.here, env=self.seen, text=True, stderr=subprocess.PIPE
            )
            return ""
        if line == "wait":
            assert self.behind is not None
            _, errors = self.behind.communicate(timeout=600)
            assert self.behind.returncode == 0, errors
            assert "live view: http://127.0.0.1:" in errors
            return ""
        script = f"{line}\nstatus=$?\npwd >{self.home}/where\nexit $status\n"
        done = subprocess.run(
            ["sh", "-c", script], cwd=self.here, env=self.seen, capture_output=True, text=True, check=False, timeout=600
        )
        if done.returncode and line.startswith("isacblocks top") and self.behind is not None and self.behind.poll() is None:
            time.sleep(0.5)  # a person would have been slower
            return self.say(line)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        self.here = Path((self.home / "where").read_text().strip())
        return done.stdout

    def leave(self) -> None:
        """Nothing stays behind, whatever happened."""
        if self.behind is not None and self.behind.poll() is None:
            self.behind.kill()
            self.behind.communicate()
        self.rooms.cleanup()


def shape(line: str) -> str:
    """A line of output without its numbers, which differ from machine to machine."""
    return re.sub(r"\d+(\.\d+)?", "#", line.strip())


def test_everything_on_the_page_is_of_a_kind_that_is_run() -> None:
    assert TUTORIAL.count("```") == 2 * len(FENCES)
    assert {language for language, _, _ in FENCES} == {"sh", "python", "toml", "text"}
    assert all(bool(file) == (language in ("python", "toml")) for language, file, _ in FENCES)
    assert FENCES[0] == ("sh", "", SET_UP)
    for command in ("new-block", "calibrate", "graph", "top", "set", "do"):
        assert f"\nisacblocks {command} " in TUTORIAL


def test_the_tutorial_runs_as_it_stands(tmp_path: Path) -> None:
    newcomer, printed = Newcomer(tmp_path), ""
    try:
        for language, file, text in FENCES[1:]:
            if language == "sh":
                printed = "".join(newcomer.say(line) for line in text.splitlines())
            elif language == "text":
                lines = [shape(line) for line in printed.splitlines()]
                for line in text.splitlines():
                    assert shape(line) in lines, f"{line!r} is not among\n{printed}"
            else:
                (newcomer.here / file).write_text(text)
    finally:
        newcomer.leave()
    made = {path.name for path in (tmp_path / "my-array").iterdir()}
    assert {"hit_rate.py", "my_array.svg", "report.json", "frames.kappa.json", "frames.png", "kappa.csv"} <= made
