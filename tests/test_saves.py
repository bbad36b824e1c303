"""Files that are replaced whole: every moment at which a program can die, tried; then kill -9 at moments nobody chose."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from faults import saves

from isacblocks.stream import files
from isacblocks.stream.files import replacing, sweep, write_atomically

OLD, NEW = b"old" * 10_000, b"new!" * 10_000
# Every call that changes what is on the disk. A child that dies before or after each of them is every way to be cut short
# but the writing itself, which has a test of its own.
STEPS = [(os, "fsync"), (os, "replace"), (os, "fchmod"), (fcntl, "flock"), (os, "open")]


def in_child(action: Callable[[], None]) -> int:
    """The exit status of a forked child that does something and ends; what it raises is status 1."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def dying(at: int, action: Callable[[], None]) -> Callable[[], None]:
    """`action`, killed at the step of this number: two a call, before it and after it."""

    def act() -> None:
        count = 0

        def stepping(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **named: Any) -> Any:
                nonlocal count
                for when in range(2):
                    if count == at:
                        os.kill(os.getpid(), signal.SIGKILL)
                    count += 1
                    if when == 0:
                        result = function(*arguments, **named)
                return result

            return call

        for module, name in STEPS:
            setattr(module, name, stepping(getattr(module, name)))
        action()

    return act


@pytest.mark.parametrize("before", [OLD, None], ids=["replaced", "new"])
def test_death_at_every_step_leaves_the_old_file_or_the_new_one(tmp_path: Path, before: bytes | None) -> None:
    target, seen, deaths = tmp_path / "file", set(), 0
    while True:
        target.unlink(missing_ok=True)
        if before is not None:
            target.write_bytes(before)
        status = in_child(dying(deaths, lambda: write_atomically(target, NEW)))
        found = target.read_bytes() if target.exists() else None
        assert found in (before, NEW)
        seen.add(found)
        if status == 0:
            break
        assert status == -signal.SIGKILL
        deaths += 1
    assert deaths >= 10  # locked, flushed, renamed, the directory flushed
    assert seen == {before, NEW}
    write_atomically(target, NEW)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]  # the last one has tidied up behind all who died


def test_death_in_the_middle_of_writing_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(OLD)

    def act() -> None:
        with replacing(target) as file:
            file.write(NEW[:5000])
            file.flush()
            os._exit(9)

    assert in_child(act) == 9
    assert target.read_bytes() == OLD
    assert len(list(tmp_path.iterdir())) == 2
    write_atomically(target, NEW)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_bytes_are_on_the_disk_before_the_name_is_and_the_name_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that loses power may keep a rename and lose what was written before it, unless it was flushed."""
    done: list[str] = []

    def fsync(descriptor: int) -> None:
        kind = "directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else f"{os.fstat(descriptor).st_size} bytes"
        done.append(kind)

    def replace(source: Path, target: Path) -> None:
        done.append("renamed")
        os.rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    write_atomically(tmp_path / "file", NEW)
    assert done == [f"{len(NEW)} bytes", "renamed", "directory"]


def test_an_error_leaves_the_old_file_and_nothing_else_and_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "file"
    write_atomically(target, OLD)

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match=r"No space left on device: '.*/file'"):
        write_atomically(target, NEW)
    assert target.read_bytes() == OLD
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_temporary_file_that_is_being_written_is_not_swept(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with replacing(target) as file:
        file.write(OLD)
        in_child(lambda: sweep(tmp_path))
        in_child(lambda: write_atomically(target, NEW))  # another one of the same
        assert target.read_bytes() == NEW
    assert target.read_bytes() == OLD
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_temporary_file_swept_before_it_was_locked_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the making and the locking of it another process may take it for one that nobody holds."""
    swept: list[Path] = []

    def lock(descriptor: int, wait: bool) -> bool:
        if wait and not swept:
            swept.extend(tmp_path.glob("*.part"))
            swept[0].unlink()
        return True

    monkeypatch.setattr(files, "_lock", lock)
    write_atomically(tmp_path / "file", NEW)
    assert swept
    assert (tmp_path / "file").read_bytes() == NEW


def test_files_of_others_are_not_swept(tmp_path: Path) -> None:
    for name in ("file.part", "other.0123abcd.part", "file.0123abcd.parts"):
        (tmp_path / name).write_bytes(OLD)
    write_atomically(tmp_path / "file", NEW)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "file.part", "other.0123abcd.part", "file.0123abcd.parts"}


def test_a_file_keeps_its_mode_and_a_link_its_place(tmp_path: Path) -> None:
    target, link = tmp_path / "file", tmp_path / "link"
    write_atomically(target, OLD)
    target.chmod(0o640)
    link.symlink_to(target)
    write_atomically(link, NEW)
    assert link.is_symlink()
    assert target.read_bytes() == NEW
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_what_is_not_a_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    """`--report /dev/stderr`, and for root the difference between /dev/null and a file of that name."""
    pipe, got = tmp_path / "pipe", tmp_path / "got"
    os.mkfifo(pipe)
    with got.open("wb") as out, subprocess.Popen(["cat", str(pipe)], stdout=out) as reader:
        write_atomically(pipe, NEW)
        reader.wait(300)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert got.read_bytes() == NEW


def _kills(directory: Path, count: int) -> dict[str, Any]:
    """In a process of its own, which forks and so must not have threads."""
    import json

    command = [sys.executable, "-m", "faults.saves", str(directory), str(count)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tools")])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_kill_9_while_checkpoints_and_calibrations_are_saved(tmp_path: Path) -> None:
    found = _kills(tmp_path, 60)
    assert found["breaches"] == []
    assert found["kills"] == 60
    assert found["saves"] > 0
    assert found["cut_short"] > 0


def test_the_case_sees_a_save_that_is_not_atomic(tmp_path: Path) -> None:
    """A save that writes over the file in place, in two parts, is found out by the same loop."""

    def careless(directory: Path, number: int) -> None:
        began = time.monotonic()
        saves._save(directory, number)
        took = time.monotonic() - began
        with (directory / "manifest.json").open("r+b") as file:
            text = file.read()
            file.truncate(0)
            file.flush()
            time.sleep(took)  # half of the time, on any machine
            file.seek(0)
            file.write(text)

    tally = saves.kill_and_read(tmp_path, 20, seed=1, save=careless)
    assert any("not a manifest" in breach for breach in tally.breaches)
