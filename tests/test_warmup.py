"""Compiling everything: some groups beside the others, and nothing left behind when it is broken off."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from isacblocks.kernels import jit, warmup


@pytest.fixture
def sleeper(monkeypatch: pytest.MonkeyPatch) -> subprocess.Popen[bytes]:
    """What stands for the process that compiles beside."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    monkeypatch.setattr(warmup, "_beside", lambda groups: process)
    monkeypatch.setattr(jit, "mark_warm", lambda: None)
    return process


def _groups(monkeypatch: pytest.MonkeyPatch, other: Callable[[], None], longest: Callable[[], None]) -> None:
    monkeypatch.setattr(warmup, "GROUPS", {warmup.BESIDE[0]: longest, "other": other})
    warmup.load.cache_clear()


def test_what_is_compiled_beside_comes_last_and_waits_for_its_process(
    monkeypatch: pytest.MonkeyPatch, sleeper: subprocess.Popen[bytes]
) -> None:
    done: list[str] = []

    def other() -> None:
        done.append("other")
        sleeper.terminate()  # stands for its end

    _groups(monkeypatch, other, lambda: done.append("longest"))
    said: list[str] = []
    warmup.compile_all(said.append)
    assert done == ["other", "longest"]
    assert said == ["1/2 other", f"2/2 {warmup.BESIDE[0]}"]
    assert sleeper.returncode is not None
    warmup.load.cache_clear()


def test_broken_off_it_leaves_no_process(monkeypatch: pytest.MonkeyPatch, sleeper: subprocess.Popen[bytes]) -> None:
    def broken() -> None:
        raise KeyboardInterrupt

    _groups(monkeypatch, broken, lambda: None)
    with pytest.raises(KeyboardInterrupt):
        warmup.compile_all(lambda _: None)
    assert sleeper.returncode is not None
    warmup.load.cache_clear()


def test_what_is_on_disk_needs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "is_warm", lambda: True)
    assert warmup._beside(warmup.BESIDE) is None
