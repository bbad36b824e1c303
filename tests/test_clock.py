"""Clocks that jump: nothing waits, ends or is counted by the time of day, which people and programs set."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

# A clock that jumps by years, there and back, every time it is read
JUMP = """
import time
def jumping(real=time.time, calls=[0]):
    calls[0] += 1
    return real() + (calls[0] % 3 - 1) * 1e8
time.time = jumping
"""
PROGRAM = """
import json, sys
{jump}
sys.path[:0] = [{tests!r}, {root!r}]
import isacblocks.stream.nursery as nursery
from stream_blocks import Collect, Counter, Leaky, Mixer
from isacblocks.stream import Flowgraph
if __name__ == "__main__":
    nursery._MAIN = {jump!r} + nursery._MAIN
    source, mixer, leaky, sink = Counter(), Mixer(), Leaky(), Collect()
    source.batch, source.rate = 4, 4000.0
    fg = Flowgraph("clock")
    fg.connect(source, mixer, leaky)
    fg.connect(mixer, sink)
    fg.feedback(leaky.total, mixer.back, lag=3)
    status = fg.run(1200, placement={placement!r})
    books = [[e.sender, e.produced, e.committed, e.in_flight, e.lost] for e in status.edges]
    print(json.dumps([status.phase, sink.values, leaky.memory.tolist(), mixer.heard, books]))
"""


def _run(path: Path, placement: str, jump: str) -> list[object]:
    text = PROGRAM.format(jump=jump, tests=str(ROOT / "tests"), root=str(ROOT), placement=placement)
    path.write_text(text)
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found: list[object] = json.loads(done.stdout)
    return found


def test_a_clock_that_jumps_changes_nothing(placement: str, tmp_path: Path) -> None:
    disturbed = _run(tmp_path / "jumps.py", placement, JUMP)
    assert disturbed == _run(tmp_path / "calm.py", placement, "")
    assert disturbed[0] == "finished"


def test_the_jumping_clock_is_the_one_that_blocks_see(tmp_path: Path) -> None:
    """Else the test above would jump a clock that nobody reads: the times in the headers of messages come from it."""
    code = f"{JUMP}\nimport sys; sys.path.insert(0, {str(ROOT)!r})\nfrom isacblocks.stream import task\nprint(task.time())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    real = subprocess.run([sys.executable, "-c", "import time; print(time.time())"], capture_output=True, check=True).stdout
    assert abs(abs(float(out) - float(real)) - 1e8) < 1e6


# Where the time of day may be read: it goes into the headers of messages, for people
HEADERS = {"outlet.py": 1, "request.py": 1, "task.py": 2}


def _reads(path: Path) -> int:
    """How often a file reads the time of day."""
    tree, count, names = ast.parse(path.read_text()), 0, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            names |= {alias.asname or alias.name for alias in node.names if alias.name in ("time", "time_ns")}
        if isinstance(node, ast.ImportFrom | ast.Import):
            assert "datetime" not in {alias.name for alias in node.names}, path
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            call = ast.unparse(node.func)
            count += call in ("time.time", "time.time_ns") or call in names
    return count


@pytest.mark.parametrize("path", sorted((ROOT / "isacblocks" / "stream").glob("*.py")), ids=lambda p: p.name)
def test_streams_read_the_time_of_day_for_headers_only(path: Path) -> None:
    assert _reads(path) == HEADERS.get(path.name, 0)
