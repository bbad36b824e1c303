"""How a flowgraph ends: by an error that names block and item, by stop() in any state, by signals; and nothing stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from stream_blocks import Collect, Counter, Leaky, Mixer, Scale, Trouble

from isacblocks.stream import BlockError, Flowgraph, PlacementError, ending
from isacblocks.stream.control import Go, Order
from isacblocks.stream.runner import Runner
from isacblocks.stream.switchboard import Switchboard

GRACE = 20.0  # seconds
PATIENCE = 60.0  # seconds, until a test is given up
PROMPT = 4.0  # seconds: one where nobody else keeps the processors; tools/chaos.py measures it


def children(root: int | None = None) -> set[int]:
    """All processes that descend from this one, or from `root`."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents[int(entry.name)] = int(fields[1])
    top = {os.getpid() if root is None else root}
    found = set(top)
    while True:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        if not more:
            return found - top
        found |= more


def leftovers() -> set[str]:
    """Socket directories of flowgraphs, and their shared memory if there were any."""
    found = {str(p) for p in Path(tempfile.gettempdir()).glob("isacblocks-*-*")}
    return found | {str(p) for p in Path("/dev/shm").glob("isacblocks*")}


@pytest.fixture(autouse=True)
def nothing_stays(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """In a temporary directory of the test's own: other flowgraphs may be running on the machine."""
    tmp_path_factory.getbasetemp()  # pytest's own directories stay where they are
    with tempfile.TemporaryDirectory(prefix="ib") as own:  # short: the path of a socket has 107 characters at most
        monkeypatch.setenv("TMPDIR", own)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield from _compare()


def _compare() -> Iterator[None]:
    before = children(), leftovers()
    yield
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and (children() - before[0] or leftovers() - before[1]):
        time.sleep(0.02)
    assert not children() - before[0], "a process was left behind"
    assert not leftovers() - before[1], "a file was left behind"


def chain(trouble: Trouble) -> Flowgraph:
    source = Counter()
    source.batch = 16
    fg = Flowgraph("trouble")
    fg.connect(source, Scale(), trouble, Collect())
    return fg


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("raise", r"trouble failed at items 96 to 111 \(message 6\): ValueError: item 100 is unlucky"),
        ("raise in start", r"trouble failed in start\(\): RuntimeError: no start today"),
        ("raise in finish", r"trouble failed in finish\(\): RuntimeError: no end today"),
        ("wrong count", r"trouble failed .*message 6.*an aligned port makes one for each"),
        ("wrong shape", r"trouble failed .*message 6.*trouble\.out\.value: expected shape \(16, 3\), got \(16, 1\)"),
        ("nonsense", r"trouble failed .*message 6.*returned 42"),
        ("write to input", r"trouble failed .*message 6.*read-only"),
    ],
)
def test_a_block_that_raises_stops_the_flowgraph_and_is_named(placement: str, kind: str, message: str) -> None:
    with pytest.raises(BlockError, match=message) as caught:
        chain(Trouble(kind)).run(500, placement=placement)
    assert caught.value.block == "trouble"
    assert "Traceback" in caught.value.trace


@pytest.mark.parametrize(("kind", "message"), [("die", r"killed by signal 9 \(SIGKILL\)"), ("exit", "ended with status 3")])
@pytest.mark.parametrize("elsewhere", ["processes", "tcp"])
def test_a_process_that_dies_stops_the_flowgraph_and_is_named(elsewhere: str, kind: str, message: str) -> None:
    with pytest.raises(BlockError, match=f"trouble failed while running: its process (was )?{message}"):
        chain(Trouble(kind)).run(500, placement=elsewhere)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.01)


def stop_time(fg: Flowgraph) -> float:
    began = time.monotonic()
    fg.stop()
    assert fg.wait(60)
    return time.monotonic() - began


def test_busy_blocks_in_threads_stop_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner's word may be late: it needs the interpreter, which they have."""
    fg, stopped = chain(Trouble("none")), threading.Event()
    halt = Runner._halt

    def late(self: Runner) -> None:
        stopped.wait(PATIENCE)
        halt(self)

    monkeypatch.setattr(Runner, "_halt", late)
    fg.start(placement="threads")

    def values() -> int:
        return len(fg.blocks["collect"].state_values.get("values", ()))

    until(lambda: values() > 0)
    stopping = threading.Thread(target=fg.stop)
    stopping.start()

    def rests() -> bool:
        before = values()
        time.sleep(0.2)
        return values() == before

    until(rests)
    stopped.set()
    stopping.join()
    assert fg.wait(PATIENCE)
    assert fg.status.phase == "stopped"


def test_what_has_started_is_finished_though_nothing_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    """start() opens files and sockets, and begins threads: who is stopped before the first message has to close them."""
    fg, started = chain(Trouble("none")), threading.Event()

    def not_go(self: Switchboard, order: Order) -> None:
        if isinstance(order, Go):
            started.set()
        else:
            tell(self, order)

    tell = Switchboard.tell_all
    monkeypatch.setattr(Switchboard, "tell_all", not_go)
    fg.start(placement="threads")
    assert started.wait(60)
    fg.stop()
    assert fg.blocks["collect"].state_values["finished"] == 1
    assert fg.blocks["collect"].state_values["values"] == []


@pytest.mark.parametrize("after", [0.0, 0.02, 0.1, 0.3])
def test_stop_while_starting_or_running(placement: str, after: float) -> None:
    fg = chain(Trouble("none"))
    fg.start(placement=placement)
    time.sleep(after)
    assert stop_time(fg) < PROMPT
    assert fg.status.phase == "stopped"
    fg.stop()  # a second time does nothing
    assert fg.status.phase == "stopped"


@pytest.mark.parametrize("kind", ["sleep", "sleep in start"])
@pytest.mark.parametrize("elsewhere", ["processes", "tcp"])
def test_stop_while_a_block_hangs_in_a_process(elsewhere: str, kind: str) -> None:
    fg = chain(Trouble(kind, at=20, seconds=30.0))
    fg.start(placement=elsewhere)
    time.sleep(0.7)
    assert stop_time(fg) < PROMPT


@pytest.mark.parametrize("kind", ["sleep", "sleep in start"])
def test_stop_while_a_block_hangs_in_a_thread(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    trouble = Trouble(kind, at=20)
    fg = chain(trouble)
    fg.start(placement="threads")
    until(lambda: trouble.sleeping)
    assert stop_time(fg) < PROMPT
    assert "trouble did not stop within 0.5 s and was left behind in its thread" in caplog.text


def test_stop_under_back_pressure(placement: str) -> None:
    fg = Flowgraph("pressed")
    fg.connect(Counter(), Scale(), Collect(pause=0.05), depth=1)
    fg.start(placement=placement)
    time.sleep(0.5)
    assert stop_time(fg) < PROMPT


@pytest.mark.parametrize("victim", ["counter", "scale", "collect"])
def test_stop_with_a_frozen_process(victim: str) -> None:
    fg = Flowgraph("frozen")
    fg.connect(Counter(), Scale(), Collect())
    fg.start(placement="processes")
    while fg.status.phase == "starting":
        time.sleep(0.01)
    time.sleep(0.1)
    names = {"counter": 0, "scale": 1, "collect": 2}
    workers = sorted(pid for pid in children() if pid in grandchildren())
    os.kill(workers[names[victim]], signal.SIGSTOP)
    time.sleep(0.1)
    assert stop_time(fg) < PROMPT


def test_nobody_waits_for_a_process_that_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The grace, here a long one, is for those that can still answer; the others' last words are not lost by it."""
    monkeypatch.setattr(ending, "GRACE", GRACE)
    source, sink = Counter(), Collect()
    fg = Flowgraph("frozen")
    fg.connect(source, Scale(), sink)
    fg.start(placement="processes")
    while fg.status.phase == "starting" or not fg.status.blocks["collect"].items_in:
        time.sleep(0.01)
    os.kill(fg.status.blocks["scale"].process, signal.SIGSTOP)
    assert stop_time(fg) < GRACE
    assert fg.status.phase == "stopped"
    assert len(sink.numbers) >= fg.status.blocks["collect"].items_in > 0


def grandchildren() -> set[int]:
    """The workers: children of the nursery."""
    direct = set()
    for pid in children():
        stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        if int(stat[1]) != os.getpid():
            direct.add(pid)
    return direct


def test_state_so_far_is_there_after_a_stop(placement: str) -> None:
    source, sink = Counter(pause=0.001), Collect()
    fg = Flowgraph("so far")
    fg.connect(source, sink)
    fg.start(placement=placement)
    while not fg.status.blocks["collect"].items_in:
        assert not fg.wait(0.01)
    fg.stop()
    assert sink.finished == 1
    assert sink.numbers
    assert sink.numbers == list(range(len(sink.numbers)))


def test_a_block_that_cannot_be_made_elsewhere_is_refused(tmp_path: Path) -> None:
    class Local(Collect):
        pass

    fg = Flowgraph("local")
    fg.connect(Counter(), Local())
    with pytest.raises(PlacementError, match="inside a function"):
        fg.run(10, placement="processes")
    fg.run(10, placement="threads")


def test_a_tcp_port_in_use_is_one_clear_line() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        fg = Flowgraph("taken")
        fg.connect(Counter(), Collect())
        with pytest.raises(
            BlockError, match=rf"counter\.number cannot be bound to tcp://127\.0\.0\.1:{port}: Address already"
        ):
            fg.run(10, placement="tcp", port=port)


def test_a_feedback_loop_can_be_stopped(placement: str) -> None:
    mixer, leaky = Mixer(), Leaky()
    fg = Flowgraph("loop")
    fg.connect(Counter(), mixer, leaky)
    fg.feedback(leaky.total, mixer.back, lag=2)
    fg.start(placement=placement)
    time.sleep(0.5)
    assert stop_time(fg) < PROMPT


# Signals, seen from outside

SCRIPT = """
import sys, time
sys.path[:0] = [{tests!r}, {root!r}]
from stream_blocks import Counter, Scale, Collect
from isacblocks.cli.script import execute
from isacblocks.stream import Flowgraph

def work():
    fg = Flowgraph("signals")
    fg.connect(Counter(), Scale(), Collect())
    def view(status):
        if status.phase == "running":
            print("running", flush=True)
    fg.run(placement={placement!r}, view=view)

if __name__ == "__main__":
    sys.exit(execute("signals", work))
"""


@pytest.fixture
def start_script(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Starts a running flowgraph in a program of its own, which does not outlive a test that failed."""
    started = []

    def start(placement: str, start_new_session: bool = False) -> Any:
        path = tmp_path / "signals.py"
        path.write_text(textwrap.dedent(SCRIPT.format(tests=str(ROOT / "tests"), root=str(ROOT), placement=placement)))
        command, pipe = [sys.executable, str(path)], subprocess.PIPE
        process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=start_new_session)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("number", "status", "word"), [(signal.SIGINT, 130, "signals: stopped"), (signal.SIGTERM, 143, "signals: terminated")]
)
def test_signals_end_everything(
    placement: str, number: signal.Signals, status: int, word: str, start_script: Callable[..., Any]
) -> None:
    process = start_script(placement)
    began = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - began < 10.0  # the interpreter's own end included
    assert process.returncode == status
    assert errors.strip().splitlines()[-1] == word  # before it, on a busy machine: who did not answer in time


@pytest.mark.parametrize("elsewhere", ["processes", "tcp"])
def test_a_ctrl_c_typed_at_a_terminal_reaches_the_whole_group(elsewhere: str, start_script: Callable[..., Any]) -> None:
    process = start_script(elsewhere, start_new_session=True)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    *warned, last = errors.strip().splitlines()
    assert last == "signals: stopped"
    assert all("did not answer within" in line for line in warned if line)  # a machine so busy that it takes half a second


@pytest.mark.parametrize("elsewhere", ["processes", "tcp"])
def test_nothing_outlives_a_program_that_is_killed(elsewhere: str, start_script: Callable[..., Any]) -> None:
    """kill -9: no chance to tidy up; the nursery does it. The fixture looks for what is left."""
    process = start_script(elsewhere)
    mine = {process.pid} | children(process.pid)
    process.kill()
    process.communicate(timeout=60)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and any(Path(f"/proc/{pid}").exists() for pid in mine):
        time.sleep(0.02)
    assert not [pid for pid in mine if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize("elsewhere", ["processes", "tcp"])
def test_nothing_outlives_a_nursery_that_is_killed(elsewhere: str, start_script: Callable[..., Any]) -> None:
    process = start_script(elsewhere)
    mine = {process.pid} | children(process.pid)
    nursery = min(children(process.pid))
    os.kill(nursery, signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the process that starts the blocks ended with status" in errors
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and any(Path(f"/proc/{pid}").exists() for pid in mine):
        time.sleep(0.02)
    assert not [pid for pid in mine if Path(f"/proc/{pid}").exists()]


def test_a_program_that_ends_with_a_block_hanging_in_a_thread_ends(tmp_path: Path) -> None:
    path = tmp_path / "hanging.py"
    path.write_text(
        f"import sys; sys.path[:0] = [{str(ROOT / 'tests')!r}, {str(ROOT)!r}]\n"
        "from stream_blocks import Counter, Trouble\n"
        "from isacblocks.stream import Flowgraph\n"
        "trouble = Trouble('sleep', at=0, seconds=1000.0)\n"
        "fg = Flowgraph('hanging'); fg.connect(Counter(), trouble); fg.start()\n"
        "while not trouble.sleeping: fg.wait(0.01)\n"
        "fg.stop(); print('stopped', fg.status.phase)\n"
    )
    result = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert result.returncode == 0
    assert result.stdout == "stopped stopped\n"
