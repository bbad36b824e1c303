"""The README says what happens: its commands and its Python run, its links lead somewhere, and so do those of the docs."""

from __future__ import annotations

import configparser
import re
import shlex
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from programs import Done, isacblocks, python, run

README = (ROOT / "README.md").read_text()
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md")])


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.strip().splitlines()]


def test_the_commands_are_those_we_know() -> None:
    assert COMMANDS[:2] == ["sh tools/demo", "sh tools/test"]
    assert len(COMMANDS) > 8
    assert all(line.startswith((".venv/bin/isacblocks ", "sh tools/")) for line in COMMANDS)


def test_the_readme_s_session_runs_as_it_stands(tmp_path: Path) -> None:
    """One command after the other in one directory: the last one replays what an earlier one recorded.

    `sh tools/demo` has a test of its own below, and `sh tools/test` is what runs this.
    """
    for line in COMMANDS[2:]:
        arguments = shlex.split(line)[1:]
        isacblocks(*arguments, where=tmp_path)
    made = {path.name for path in tmp_path.iterdir()}
    assert {"report.json", "kappa.json", "run.png", "frames.isac", "replay.png"} <= made


def test_the_readme_s_python_runs_as_it_stands(tmp_path: Path) -> None:
    for number, code in enumerate(blocks("python")):
        script = tmp_path / f"readme{number}.py"
        script.write_text(code)
        done = python(script, where=tmp_path, env={"PYTHONPATH": str(ROOT)})
        assert done.stdout.startswith("KappaError(phase_db=-")


def test_tools_demo(tmp_path: Path) -> None:
    venv = Path(sys.prefix)
    if not (venv / "isacblocks-test.stamp").exists():
        pytest.skip("not run by tools/test: another environment would have to be installed first")
    arguments = ["--frames", 160, "--plot", tmp_path / "p.png"]
    done = run("sh", ROOT / "tools" / "demo", *arguments, where=tmp_path, env={"ISACBLOCKS_VENV": str(venv)})
    assert "160 frames" in done.stdout
    assert (tmp_path / "p.png").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert not target.startswith("http"), "the documentation stands by itself"
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_that_are_named_are_there(page: Path) -> None:
    for name in re.findall(r"`((?:isacblocks|tests|tools|flowgraphs|docs)/[A-Za-z0-9_./-]+)`", page.read_text()):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"`((?:kernels|blocks|frontends|cli|stream|study|view)/[a-z_]+\.py)`", page.read_text()):
        assert (ROOT / "isacblocks" / name).exists(), name


def test_every_dependency_has_its_reason_and_every_decision_its_number() -> None:
    said = configparser.ConfigParser()
    said.read(ROOT / "setup.cfg")
    wanted = [said["options"]["install_requires"], *said["options.extras_require"].values()]
    packages = {name for lines in wanted for name in re.findall(r"^[a-zA-Z][\w-]*", lines, re.MULTILINE)}
    decisions = {path.name: path.read_text() for path in (ROOT / "docs" / "decisions").glob("0*.md")}
    text = "\n".join(decisions.values()).replace("_", "-")
    assert len(packages) > 15
    assert [name for name in packages if not re.search(rf"\b{name}\b", text)] == []
    assert [name[:4] for name in sorted(decisions)] == [f"{number:04d}" for number in range(1, len(decisions) + 1)]
    assert all(page.startswith(f"# {name[:4]} ") for name, page in decisions.items())


def test_the_shell_tools_are_plain_sh() -> None:
    for name in ("demo", "docs", "test", "environment"):
        path = ROOT / "tools" / name
        run("sh", "-n", path)
        if Path("/bin/dash").exists():
            run("dash", "-n", path)


def test_tools_say_what_is_missing(tmp_path: Path) -> None:
    """An old Python, no Python, and a Python whose venv is incomplete: one clear line each, nothing left half made."""
    fake = tmp_path / "old"
    fake.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.8.1 && exit 0\nexit 1\n')
    fake.chmod(0o755)
    venv = tmp_path / "venv"

    def tool(python: Path) -> Done:
        return run("sh", ROOT / "tools" / "demo", status=1, env={"ISACBLOCKS_VENV": str(venv), "PYTHON": str(python)})

    done = tool(fake)
    assert "is Python 3.8.1; isacblocks needs Python 3.10 or newer" in done.stderr
    done = tool(tmp_path / "none")
    assert "Install it: apt install python3 python3-venv" in done.stderr
    broken = tmp_path / "broken"
    broken.write_text(f'#!/bin/sh\n[ "$1" = -m ] && echo "No module named $2" && exit 1\nexec {sys.executable} "$@"\n')
    broken.chmod(0o755)
    done = tool(broken)
    assert "apt install python3-venv" in done.stderr
    assert not venv.exists()


def test_a_broken_install_is_not_taken_for_a_finished_one(tmp_path: Path) -> None:
    """The stamp comes last: an environment without it is installed into again."""
    script = (ROOT / "tools" / "environment").read_text()
    assert script.index('rm -f "$stamp"') < script.index('install "$1"') < script.index('>"$stamp"')
    venv = tmp_path / "venv"
    python("-m", "venv", "--without-pip", venv)
    nothing = {"ISACBLOCKS_VENV": str(venv), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    done = run("sh", ROOT / "tools" / "demo", status=1, env=nothing)
    assert "The installation failed" in done.stderr
    assert not list(venv.glob("*.stamp"))
