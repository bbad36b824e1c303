"""Blocks that `isacblocks new-block` makes: their tests pass as they are, and so do the linter and the type checker."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from conftest import ROOT
from programs import python

from isacblocks.cli.main import main
from isacblocks.cli.new_block import RECORDS, names_of

# Every kind with every record: (name, options)
MADE = [
    (f"{kind.title()}Of{taken.title()}", ["--kind", kind, "--in", taken])
    for kind, taken in itertools.product(("filter", "sink"), RECORDS)
]
MADE += [("SomeWave", ["--kind", "source"]), ("named_level", ["--in", "peak", "--out", "level"])]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("blocks")
    for name, options in MADE:
        assert main(["new-block", name, *options, "--dir", str(where)]) == 0
    return where


def tool(where: Path, *command: str) -> None:
    python("-m", *command, where=where, env={"MYPYPATH": str(ROOT)})


def test_their_tests_pass_as_they_are(made: Path) -> None:
    assert len([*made.glob("test_*.py")]) == len(MADE) == len([*made.glob("[!t]*.py")])
    done = python("-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", ".", where=made)
    assert f"{2 * len(MADE)} passed" in done.stdout


def test_their_tests_notice_another_equation(made: Path, tmp_path: Path) -> None:
    for module, before, after in (
        ("filter_of_peak", "/ self.memory", "/ (self.memory + 1)"),
        ("sink_of_own", "self.count += 1", "self.count += 2"),
        ("some_wave", "np.sin", "np.cos"),
    ):
        text = (made / f"{module}.py").read_text()
        assert before in text
        (tmp_path / f"{module}.py").write_text(text.replace(before, after))
        (tmp_path / f"test_{module}.py").write_text((made / f"test_{module}.py").read_text())
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", ".", status=1, where=tmp_path)
    for module in ("filter_of_peak", "sink_of_own", "some_wave"):
        assert f"FAILED test_{module}.py" in done.stdout


def test_linter_formatter_and_type_checker_pass(made: Path) -> None:
    pytest.importorskip("ruff", reason="lint is an environment's extra")
    pytest.importorskip("mypy", reason="lint is an environment's extra")
    config = ["--config", str(ROOT / "pyproject.toml")]
    tool(made, "ruff", "check", "--no-cache", *config, "--config", 'src = ["."]', "--ignore", "D1", ".")
    tool(made, "ruff", "check", "--no-cache", *config, "--config", 'src = ["."]', "--exclude", "test_*", ".")
    tool(made, "ruff", "format", "--no-cache", "--check", "--diff", *config, ".")
    silent = ["--follow-imports", "silent", "--config-file", "", "--cache-dir", str(ROOT / ".mypy_cache" / "made")]
    tool(made, "mypy", "--strict", *silent, ".")


def test_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = ["--dir", str(tmp_path)]
    for name, options, said in (
        ("two words", at, "expected a name of letters and digits"),
        ("../above", at, "expected a name of letters and digits"),
        ("class", at, "means something in Python or in isacblocks already"),
        ("True", at, "means something in Python or in isacblocks already"),
        ("kappa_calibrator", at, "means something in Python or in isacblocks already"),
        ("setting", at, "means something in Python or in isacblocks already"),
        ("Queue", at, "a module queue is installed already"),
        ("Numpy", at, "a module numpy is installed already"),
        ("Mine", ["--dir", str(tmp_path / "none")], "is not a directory; create it first"),
        ("Mine", ["--dir", "/proc"], "/proc/mine.py: No such file or directory"),  # where not even root can write
        ("Mine", ["--kind", "source", "--in", "peak", *at], "--in: a source takes nothing"),
        ("Mine", ["--kind", "sink", "--out", "level", *at], "--out: a sink makes nothing"),
        ("Mine", ["--out", "a b", *at], "--out: expected a name"),
        ("Mine", ["--out", "last", *at], "--out: last is a name that the block needs"),
        ("Mine", ["--out", "process", *at], "--out: process is a name that the block needs"),
    ):
        assert main(["new-block", name, *options]) == 2
        assert said in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]
    (tmp_path / "test_mine.py").write_text("# precious\n")
    assert main(["new-block", "Mine", *at]) == 2
    assert "exists already, and is not replaced" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["test_mine.py"]
    assert (tmp_path / "test_mine.py").read_text() == "# precious\n"


def test_names() -> None:
    assert names_of("MeanLevel") == names_of("mean_level") == ("MeanLevel", "mean_level")
    assert names_of("HTTPMeter2") == ("HTTPMeter2", "http_meter2")
