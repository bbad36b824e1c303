"""What is told: --log for all and for one block, in every placement; exit statuses; warnings that are counted."""

from __future__ import annotations

import argparse
import logging
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from programs import isacblocks

from isacblocks.blocks.soundness import Refusals
from isacblocks.cli import script, signals
from isacblocks.cli.main import PASSING, main, parser
from isacblocks.cli.script import log_level
from isacblocks.kernels.soundness import REASONS, USABLE

GRAPH = """
name = "talk"
[run]
frames = 20
[blocks.ramp]
type = "talk:Ramp"
[blocks.loud]
type = "talk:Talker"
[blocks.quiet]
type = "talk:Talker"
[[edges]]
chain = ["ramp", "loud", "quiet"]
"""
TALK = """
import logging
import numpy as np
from isacblocks.stream import Block, Field, In, Out, Record, Source
R = Record("r", (Field("v", "float64"),))
class Ramp(Source):
    out = Out(R)
    def produce(self, first, count):
        return self.out.items(v=np.arange(first, first + count))
class Talker(Block):
    v = In(R)
    w = Out(R)
    def process(self, v):
        log = logging.getLogger(f"isacblocks.{self.label}")
        log.debug("debug of %s", self.label)
        log.warning("warning of %s", self.label)
        return self.w.items(v=v.v)
"""


def test_a_block_of_its_own_level_in_every_placement(placement: str, tmp_path: Path) -> None:
    (tmp_path / "talk.py").write_text(TALK)
    (tmp_path / "talk.toml").write_text(GRAPH)
    command = ["run", "talk.toml", "--no-view", "--placement", placement]
    done = isacblocks(*command, "--log", "error", "--log", "loud=debug", where=tmp_path)
    assert "DEBUG isacblocks.loud: debug of loud" in done.stderr
    assert "WARNING isacblocks.loud: warning of loud" in done.stderr
    assert "quiet" not in done.stderr


def test_a_block_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "talk.py").write_text(TALK)
    (tmp_path / "talk.toml").write_text(GRAPH)
    done = isacblocks("run", "talk.toml", "--no-view", "--log", "lous=debug", status=script.USAGE, where=tmp_path)
    blocks = ", ".join(re.findall(r"^\[blocks\.(\w+)\]", GRAPH, re.MULTILINE))
    assert f"--log: there is no block lous; there are {blocks}; and calibration, " in done.stderr
    assert done.stdout == ""


def test_every_part_that_tells_something_can_be_named() -> None:
    """And nothing else: names of loggers are read in the sources."""
    told = set()
    for path in (ROOT / "isacblocks").rglob("*.py"):
        text = path.read_text()
        told |= set(re.findall(r'getLogger\("isacblocks\.([\w.]+)"\)', text))
        if "getLogger(__name__)" in text:
            told.add(".".join(path.relative_to(ROOT / "isacblocks").with_suffix("").parts))
    assert sorted(told) == [*script.PARTS]
    script.check_log([(None, "info"), ("stream", "info"), ("view.hub", "debug"), ("own", "debug")], ["own"])
    for wrong in ("str", "stream.links", "owned"):
        with pytest.raises(ValueError, match=f"there is no block {wrong}; there are own; and calibration, "):
            script.check_log([(wrong, "debug")], ["own"])


@pytest.mark.parametrize("text", ["loud", "a=", "=info", "a=loud", "a b=info", "a=b=info", "os;x=info"])
def test_levels_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected"):
        log_level(text)


def test_levels() -> None:
    assert log_level("debug") == (None, "debug")
    assert log_level("stream.link=info") == log_level("isacblocks.stream.link=info") == ("stream.link", "info")


def commands(one: argparse.ArgumentParser, names: tuple[str, ...] = ()) -> dict[tuple[str, ...], argparse.ArgumentParser]:
    """Every command's options by its words, those of commands of commands too."""
    found = {names: one} if names else {}
    for action in one._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                found |= commands(below, (*names, name))
    return found


def test_every_command_says_its_statuses_and_has_log(capsys: pytest.CaptureFixture[str]) -> None:
    found = commands(parser())
    assert {("run",), ("top",), ("calibration", "export"), ("new-block",)} <= found.keys()
    for names, one in found.items():
        assert script.STATUSES in " ".join(one.format_help().split()), names
        ends = not any(isinstance(action, argparse._SubParsersAction) for action in one._actions)
        if ends and names[0] not in PASSING:
            assert "--log [BLOCK=]LEVEL" in one.format_help(), names
    assert main(["info", "--log", "stream.link=debug"]) == 0
    assert logging.getLogger("isacblocks.stream.link").level == logging.DEBUG
    logging.getLogger("isacblocks.stream.link").setLevel(logging.NOTSET)
    with pytest.raises(SystemExit) as ended:
        main(["info", "--log", "loud"])
    assert ended.value.code == script.USAGE
    assert "expected [BLOCK=]LEVEL, a level of debug, info, warning, error, got 'loud'" in capsys.readouterr().err


def test_the_table_of_statuses_is_that_of_the_code() -> None:
    """tests/test_limits.py and tests/test_ending.py send the signals."""
    text = (ROOT / "docs" / "reliability.md").read_text()
    table = text[text.index("| status | |") :].split("\n\n")[0]
    told = [int(number) for row in table.splitlines()[2:] for number in re.findall(r"\d+", row.split("|")[1])]
    coded = [0, script.FAILED, script.USAGE, signals.HUNG_UP, signals.INTERRUPTED, signals.TERMINATED]
    assert told == coded == [int(n) for n in re.findall(r"\d+", script.STATUSES)]


def test_frames_that_are_refused_are_counted_and_told_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    refusals, code = Refusals("image"), REASONS.index("interference")
    codes = np.full(10, USABLE, np.uint8)
    with caplog.at_level(logging.WARNING):
        refusals.note(codes, 0)
        for first in range(10, 1010, 10):
            codes[3] = code
            refusals.note(codes, first)
    told = [int(number) for number in re.findall(r"\((\d+) so far for this reason\)", caplog.text)]
    assert told == [1, 2, 4, 8, 16, 32, 64]
    assert "frame 13 is refused: interference" in caplog.text
    assert "frame 643 is refused" in caplog.text  # the 64th
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        refusals.note(np.full(300, code, np.uint8), 2000)  # passes 128 and 256 at once
    assert re.findall(r"frame (\d+) .*\((\d+) so far", caplog.text) == [("2155", "400")]
