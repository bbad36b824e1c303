"""Programs, run as their users run them: a command, Python with a script or a module, isacblocks itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TypeAlias

from conftest import ROOT

Done: TypeAlias = "subprocess.CompletedProcess[str]"


def run(
    *command: object, status: int | None = 0, where: Path = ROOT, limit: float = 600, env: dict[str, str] | None = None
) -> Done:
    """A command to its end, and what it said.

    status: what it has to end with, None for anything; where: its directory; limit: seconds, against hanging; env: added to
    the environment.
    """
    done = subprocess.run(
        [str(word) for word in command],
        cwd=where,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=limit,
    )
    assert status is None or done.returncode == status, f"{done.args}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def python(
    *arguments: object, status: int | None = 0, where: Path = ROOT, limit: float = 600, env: dict[str, str] | None = None
) -> Done:
    """This Python with arguments, as :func:`run`."""
    return run(sys.executable, *arguments, status=status, where=where, limit=limit, env=env)


def isacblocks(
    *arguments: object, status: int | None = 0, where: Path = ROOT, limit: float = 600, env: dict[str, str] | None = None
) -> Done:
    """The command isacblocks of this checkout with arguments, as :func:`run`."""
    path = {"PYTHONPATH": str(ROOT), **(env or {})}
    return python("-m", "isacblocks", *arguments, status=status, where=where, limit=limit, env=path)
