"""What the machine refuses: one clear line, the right exit status, and nothing left behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from stream_blocks import Collect, Counter, Trouble

from isacblocks.stream import CheckpointError, Flowgraph, PlacementError
from isacblocks.stream.directory import SocketDirectory, in_use, sweep

HEAD = """
import os, resource, sys, time
sys.path[:0] = [{tests!r}, {root!r}]
from stream_blocks import Collect, Counter, Frames, HeldCounter, Hoard, Scale
from isacblocks.cli.script import execute
from isacblocks.stream import Flowgraph

def flowgraph(*blocks):
    fg = Flowgraph("limits")
    fg.connect(*blocks or (Counter(), Scale(), Collect()))
    return fg
"""
NEEDS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="needs to be root, to mount file systems or to become another user")


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A short temporary directory of the test's own, empty before and after."""
    tmp_path_factory.getbasetemp()
    with tempfile.TemporaryDirectory(prefix="ib") as name:
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(name)
        assert not list(Path(name).glob("isacblocks*")), "a directory was left behind"


class Program:
    """A program of its own that runs `body` in work(); what becomes of it."""

    def __init__(self, body: str, where: Path, wrap: tuple[str, ...] = (), **options: Any) -> None:
        path = where / "program.py"
        head = HEAD.format(tests=str(ROOT / "tests"), root=str(ROOT))
        work = f"def work():\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
        path.write_text(f'{head}\n{work}\nif __name__ == "__main__":\n    sys.exit(execute("limits", work))\n')
        path.chmod(0o644)
        command = [*wrap, sys.executable, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, **options)
        self.status, self.out, self.errors = done.returncode, done.stdout, done.stderr

    def failed_with(self, status: int, *words: str) -> None:
        """Exit status and one line with these words."""
        assert self.errors.count("\n") == 1, self.errors
        assert self.status == status, self.errors
        assert self.errors.startswith("limits: error: ")
        for word in words:
            assert word in self.errors


@contextlib.contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    """A file system in memory."""
    place.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


# The directory of the sockets


def test_the_directory_is_ours_alone_and_goes(own: Path) -> None:
    made = SocketDirectory()
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o700
    assert made.path.parent == own
    assert in_use(made.path)
    made.remove()
    made.remove()
    assert not made.path.exists()


def test_directories_of_dead_programs_are_removed_and_those_of_living_ones_are_not(own: Path) -> None:
    """Whatever their process numbers: a dead program's may have been given to another one."""
    living = SocketDirectory()
    dead = own / f"isacblocks-run-{os.getpid()}"
    dead.mkdir()
    (dead / "control").touch()
    SocketDirectory().remove()
    assert living.path.exists()
    assert not dead.exists()
    living.remove()


def test_the_directory_of_a_killed_program_is_known_for_stale_by_its_lock(own: Path) -> None:
    code = (
        f"import sys, time; sys.path.insert(0, {str(ROOT)!r})\n"
        "from isacblocks.stream.directory import SocketDirectory\n"
        "print(SocketDirectory().path, flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        path = Path(process.stdout.readline().strip())
        sweep("run")
        assert path.exists()
        process.kill()
        process.wait(30)
    assert path.exists()
    sweep("run")
    assert not path.exists()


def test_a_directory_swept_before_it_was_locked_is_made_again(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    real = tempfile.mkdtemp

    def mkdtemp(prefix: str) -> str:
        made.append(real(prefix=prefix))
        return made[-1]

    def flock(descriptor: int, how: int) -> None:
        if len(made) == 1 and not how & fcntl.LOCK_NB:
            os.rmdir(made[0])

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    monkeypatch.setattr(fcntl, "flock", flock)
    found = SocketDirectory()
    assert len(made) == 2
    assert str(found.path) == made[1]
    found.remove()


@pytest.mark.parametrize("elsewhere", ["processes", "tcp"])
def test_a_directory_that_vanishes_while_blocks_start_ends_the_run(own: Path, elsewhere: str) -> None:
    fg = Flowgraph("vanished")
    fg.connect(Counter(), Trouble("sleep in start"), Collect())  # else all may be running before it vanishes
    fg.start(placement=elsewhere)
    (path,) = own.glob("isacblocks-run-*")
    path.rename(own / "elsewhere")
    assert fg.wait(60)
    with pytest.raises(PlacementError, match=r"isacblocks-run-\w+, was removed while they were starting.*TMPDIR"):
        fg._raise()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL], ids=lambda n: n.name)
@pytest.mark.parametrize("elsewhere", ["processes", "tcp"])
def test_the_directory_goes_with_the_program_however_it_ends(
    own: Path, tmp_path: Path, elsewhere: str, number: signal.Signals
) -> None:
    body = f"""
    fg = flowgraph()
    def view(status):
        if status.phase == "running":
            os.kill(os.getpid(), {int(number)})
    fg.run(placement={elsewhere!r}, view=view)
    """
    result = Program(body, tmp_path)
    expected = {signal.SIGTERM: (143, "terminated"), signal.SIGHUP: (129, "hung up"), signal.SIGINT: (130, "stopped")}
    if number in expected:
        said = result.errors.strip().splitlines()[-1]  # before it, on a busy machine: who did not answer in time
        assert (result.status, said) == (expected[number][0], f"limits: {expected[number][1]}")
        assert not list(own.iterdir())
    else:
        assert result.status == -signal.SIGKILL
        end = time.monotonic() + 30
        while list(own.glob("isacblocks*")) and time.monotonic() < end:
            time.sleep(0.02)


def test_a_program_started_with_nohup_does_not_hear_sighup(own: Path, tmp_path: Path) -> None:
    body = """
    fg = flowgraph()
    def view(status):
        if status.phase == "finished":
            os.kill(os.getpid(), 1)
    print(fg.run(200, view=view).phase)
    """
    result = Program(body, tmp_path, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert (result.status, result.out) == (0, "finished\n")


def test_a_place_with_too_long_a_name_is_refused(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = own / ("d" * 90)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    fg = Flowgraph("deep")
    fg.connect(Counter(), Collect())
    with pytest.raises(PlacementError, match=r"expected at most 100 bytes for the path of a socket.*TMPDIR"):
        fg.run(10, placement="processes")
    assert not list(deep.iterdir())
    fg.run(10)


# Full disks, read-only places, missing permissions


@NEEDS_ROOT
@pytest.mark.parametrize("elsewhere", ["threads", "processes"])
def test_a_full_disk_stops_a_run_with_checkpoints_and_leaves_the_last_whole_one(
    own: Path, tmp_path: Path, elsewhere: str
) -> None:
    with mounted(tmp_path / "disk", "size=256k") as disk:
        body = f"""
        source = Counter()
        source.batch = 16
        flowgraph(source, Collect()).run(200_000, placement={elsewhere!r}, checkpoint={str(disk)!r}, checkpoint_every=16)
        """
        Program(body, tmp_path).failed_with(1, "No space left on device", str(disk))
        from isacblocks.stream import checkpoint

        manifest = checkpoint.load_manifest(disk, "limits", ["counter", "collect"])
        assert manifest is not None
        kept = checkpoint.load_block(disk, "collect", manifest.message)
        assert kept["state"]
        assert not list(disk.glob("*.part"))


@NEEDS_ROOT
def test_a_full_disk_stops_a_recording_with_everything_before_it(own: Path, tmp_path: Path) -> None:
    from isacblocks.blocks.recording import Recording

    with mounted(tmp_path / "disk", "size=256k") as disk:
        body = f"""
        from isacblocks.blocks import Recorder
        flowgraph(Counter(), Recorder({str(disk / "out.isac")!r})).run(200_000, placement="processes")
        """
        Program(body, tmp_path).failed_with(1, "No space left on device", "recorder failed")
        kept = Recording(disk / "out.isac")
        assert len(kept) > 0
        assert kept.gaps() == 0
        del kept


@NEEDS_ROOT
@pytest.mark.parametrize(("options", "word"), [("ro", "Read-only file system"), ("nr_inodes=1", "No space left on device")])
def test_no_place_for_sockets_or_checkpoints_is_one_line(own: Path, tmp_path: Path, options: str, word: str) -> None:
    with mounted(tmp_path / "disk", options) as disk:
        body = f'import tempfile; tempfile.tempdir = {str(disk)!r}; flowgraph().run(10, placement="processes")'
        Program(body, tmp_path).failed_with(1, f"no directory for the blocks' sockets under {disk}: {word}", "TMPDIR")
        body = f'flowgraph().run(10, placement="processes", checkpoint={str(disk)!r})'
        Program(body, tmp_path).failed_with(1, f"{disk}: no checkpoints can be written there: {word}")
        assert not list(disk.iterdir())


@NEEDS_ROOT
def test_missing_permissions_are_one_line(own: Path, tmp_path: Path) -> None:
    """As another user: root may everything."""
    closed = tmp_path / "closed"
    closed.mkdir()
    tmp_path.chmod(0o755)
    become = "fg = flowgraph(); import tempfile, secrets; os.setgroups([]); os.setgid(65534); os.setuid(65534)"
    body = f'{become}; tempfile.tempdir = {str(closed)!r}; fg.run(10, placement="processes")'
    Program(body, own).failed_with(1, f"no directory for the blocks' sockets under {closed}: Permission denied")
    body = f"{become}; fg.run(10, checkpoint={str(closed / 'kept')!r})"
    Program(body, own).failed_with(1, f"{closed / 'kept'}: no checkpoints can be written there: Permission denied")


def test_a_checkpoint_directory_that_is_a_file_is_refused(own: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    fg = Flowgraph("file")
    fg.connect(Counter(), Collect())
    with pytest.raises(CheckpointError, match="no checkpoints can be written there: File exists"):
        fg.run(10, placement="processes", checkpoint=tmp_path / "file")


@pytest.mark.parametrize("buffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_an_output_that_takes_nothing_more_is_one_line(buffered: str) -> None:
    environment = os.environ | {"PYTHONUNBUFFERED": buffered}
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "isacblocks", "info"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, cwd=ROOT, env=environment, check=False)
    assert done.returncode == 1
    assert done.stderr == b"isacblocks: error: the standard output: No space left on device\n"


# Shared memory


def _in_own_mounts(script: str) -> tuple[str, ...]:
    """Before a command: mounts that only it sees."""
    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("mounts cannot be made apart here")
    return ("unshare", "-m", "sh", "-c", f'{script} && exec "$@"', "sh")


@NEEDS_ROOT
@pytest.mark.parametrize(
    "script",
    [
        "mount -t tmpfs -o ro tmpfs /dev/shm",
        "mount -t tmpfs -o size=4k tmpfs /dev/shm && head -c 4096 /dev/zero > /dev/shm/x",
    ],
    ids=["absent", "full"],
)
def test_streams_need_no_dev_shm(own: Path, tmp_path: Path, script: str) -> None:
    body = """
    hoard = Hoard()
    status = flowgraph(Frames(), hoard, Collect(6000)).run(256, placement="processes")
    print(status.phase, hoard.wrong, hoard.seen)
    """
    result = Program(body, tmp_path, _in_own_mounts(script))
    assert (result.status, result.out, result.errors) == (0, "finished 0 256\n", "")


@NEEDS_ROOT
def test_a_campaign_without_dev_shm_is_one_line(own: Path, tmp_path: Path) -> None:
    body = """
    from isacblocks.study.engines import LocalEngine
    list(LocalEngine(1).outcomes(len, [None]))
    """
    Program(body, tmp_path, _in_own_mounts("mount -t tmpfs -o ro tmpfs /dev/shm")).failed_with(
        1, "no worker processes can be made: Read-only file system", "/dev/shm"
    )


def test_frames_go_through_sockets_where_memory_cannot_be_shared(own: Path, tmp_path: Path) -> None:
    """A limit on the size of files is one on segments too; the same items arrive, and a warning says why they are slower."""
    body = """
    hoard = Hoard()
    fg = flowgraph(Frames(), hoard, Collect(6000))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    status = fg.run(256, placement="processes")
    print(status.phase, hoard.wrong, hoard.seen)
    """
    result = Program(body, tmp_path)
    assert (result.status, result.out) == (0, "finished 0 256\n")
    assert "no shared memory, frames go through the socket: File too large" in result.errors


# File descriptors, processes, memory


@pytest.mark.parametrize("placement", ["threads", "processes", "tcp"])
def test_too_few_descriptors_are_told_before_anything_starts(own: Path, tmp_path: Path, placement: str) -> None:
    body = f"""
    fg = flowgraph()
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
    fg.run(10, placement={placement!r})
    """
    Program(body, tmp_path).failed_with(1, f"limits, in {placement}, needs about", "file descriptors", "ulimit -n")


@pytest.mark.parametrize("placement", ["threads", "processes", "tcp"])
def test_with_any_number_of_descriptors_it_runs_or_says_why_not(own: Path, tmp_path: Path, placement: str) -> None:
    """From none to enough, in one program: no abort inside a library, no hang, nothing left open after a refusal."""
    body = f"""
    hard = 200
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = len(os.listdir("/proc/self/fd"))
    for limit in (*range(count, count + 40, 4), 199):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        try:
            end = flowgraph().run(10, placement={placement!r}).phase
        except Exception as error:
            end = str(error)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        assert end == "finished" or "file descriptors" in end, end
        assert len(os.listdir("/proc/self/fd")) == count, limit
    print(end)
    """
    result = Program(body, tmp_path)
    assert (result.status, result.out) == (0, "finished\n"), result.errors


def test_no_more_descriptors_in_the_blocks_processes_is_one_line(own: Path, tmp_path: Path) -> None:
    """The nursery may have fewer than the program: it looks before it forks."""
    body = """
    import isacblocks.stream.nursery as nursery
    nursery._MAIN = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24)); " + nursery._MAIN
    flowgraph().run(10, placement="processes")
    """
    Program(body, tmp_path).failed_with(1, "no process for", "can be made", "file descriptors")


def test_no_more_processes_is_one_line(own: Path, tmp_path: Path) -> None:
    body = """
    import isacblocks.stream.nursery as nursery
    refuse = "import os\\ndef fork(): raise BlockingIOError(11, os.strerror(11))\\nos.fork = fork\\n"
    nursery._MAIN = refuse + nursery._MAIN
    flowgraph().run(10, placement="processes")
    """
    Program(body, tmp_path).failed_with(1, "no process for", "can be made: Resource temporarily unavailable")


# A fork in the user's program


@pytest.mark.parametrize("placement", ["threads", "processes", "tcp"])
def test_a_forked_child_leaves_the_flowgraph_of_its_parent_alone(own: Path, tmp_path: Path, placement: str) -> None:
    """It returns into run(), which ends there with an error; the parent's run does not notice. And it may have its own."""
    body = f"""
    source, children = HeldCounter(), []
    source.batch, source.held = 16, 10_000
    fg = flowgraph(source, Scale(), Collect())
    def view(status):
        if status.phase == "running" and not children:
            children.append(os.fork())
            source.held = 20_000
    try:
        status = fg.run(20_000, placement={placement!r}, view=view)
    except Exception as error:
        assert children == [0], error
        assert "runs in the process that this one was forked from" in str(error)
        collect = Collect()
        flowgraph(Counter(), collect).run(10, placement={placement!r})
        sys.stdout.flush()
        os._exit(7 if len(collect.numbers) == 10 else 8)
    child = os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1])
    print(child, status.phase, fg.blocks["collect"].numbers == list(range(20_000)))
    """
    result = Program(body, tmp_path)
    assert (result.status, result.out, result.errors) == (0, "7 finished True\n", "")


@pytest.mark.parametrize("elsewhere", ["processes", "tcp"])
def test_a_forked_child_that_lives_on_keeps_nothing_alive(own: Path, tmp_path: Path, elsewhere: str) -> None:
    """The program is killed, its child is not: blocks and directory go all the same."""
    body = f"""
    fg = flowgraph()
    fg.start(placement={elsewhere!r})
    while fg.status.phase == "starting":
        time.sleep(0.01)
    pid = os.fork()
    if pid == 0:
        os.close(1), os.close(2)
        time.sleep(120)
        os._exit(0)
    print(pid, flush=True)
    os.kill(os.getpid(), 9)
    """
    result = Program(body, tmp_path)
    child = int(result.out)
    try:
        end = time.monotonic() + 30
        while list(own.glob("isacblocks*")) and time.monotonic() < end:
            time.sleep(0.02)
        assert not list(own.glob("isacblocks*"))
        assert Path(f"/proc/{child}").exists()
    finally:
        os.kill(child, signal.SIGKILL)
