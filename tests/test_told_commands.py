"""Every command that a page, or --help, tells is one that its program takes: by its own parser, without doing anything.

The README's session and the tutorial are run by tests of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from isacblocks.cli import graph_run, main
from isacblocks.cli.script import UsageError

PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`((?:(?:python|\.venv/bin/python) )?(?:isacblocks|tools/\w+\.py|flowgraphs/\w+\.py) [^`\n]+)`")
# Commands that hand their options on to a script, and what makes them whole
PASSED_ON = {"calibrate": ["recording.isac"], "demo": [], "graph": ["online_calibration"], "run": ["online_calibration"]}


def fenced() -> Iterator[str]:
    """The lines of the shell's blocks that are commands of ours, and those of --help."""
    for page in PAGES:
        for block in FENCE.findall(page.read_text()):
            for line in block.splitlines():
                if re.match(r"(\.venv/bin/)?(isacblocks|python (tools|flowgraphs)/)", line):
                    yield line.rstrip(" &")
    yield from re.findall(r"^  (isacblocks .*?)(?:  |$)", main._EPILOG, re.MULTILINE)


def inline() -> Iterator[str]:
    """What stands in a line between backticks: a command, or the part of it that is spoken of."""
    for page in PAGES:
        yield from INLINE.findall(page.read_text())


class Parsed(BaseException):  # no error: it ends a program where it would begin to work
    """The parser has taken the arguments."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def words_of(text: str) -> list[str]:
    """A command's words from the program's name on; "..." stands for what is left out."""
    words = [word for word in shlex.split(text.removeprefix(".venv/bin/")) if word != "..."]
    return words[1:] if words[0] == "python" else words


def parser_of(words: list[str]) -> argparse.ArgumentParser:
    """The parser that took these words. Raises SystemExit, as argparse does, or UsageError where none did."""
    real = argparse.ArgumentParser.parse_args

    def parse_args(parser: argparse.ArgumentParser, *arguments: Any) -> None:
        real(parser, *arguments)
        raise Parsed(parser)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        patch.setattr(sys, "argv", words)
        try:
            if words[0] != "isacblocks":
                runpy.run_path(str(ROOT / words[0]), run_name="__main__")
            return parser_of_isacblocks(words[1:])
        except Parsed as parsed:
            return parsed.parser


def parser_of_isacblocks(words: list[str]) -> argparse.ArgumentParser:
    """The same for isacblocks; what it hands on to a script the script's parser has to take."""
    options, rest = main.parser().parse_known_args(words)
    if options.command in main.PASSING:
        script = getattr(options, "script", "")
        ours = not script or "." not in script or (ROOT / "flowgraphs" / script).exists()
        if ours:
            main.main(words)
        elif script.endswith(".toml"):  # one that the reader is to write
            graph_run.parse(Path(script), rest or getattr(options, "arguments", []))
    elif rest:
        raise UsageError(f"unrecognized arguments: {rest}")
    return named(words)


def named(words: list[str]) -> argparse.ArgumentParser:
    """The parser of the command that these words begin with, of a command's command too; of isacblocks where none does."""
    found = main.parser()
    for word in words:
        below = [action.choices for action in found._actions if isinstance(action, argparse._SubParsersAction)]
        if not below or word not in below[0]:
            break
        found = below[0][word]
    return found


@pytest.mark.parametrize("line", [*dict.fromkeys(fenced())])
def test_commands_are_taken(line: str) -> None:
    assert parser_of(words_of(line))


@pytest.mark.parametrize("text", [*dict.fromkeys(inline())])
def test_commands_that_are_spoken_of_are_there(text: str) -> None:
    """All of it where it is whole; of a part, the command and its options."""
    words = words_of(text)
    with contextlib.suppress(SystemExit, UsageError):
        assert parser_of(words)
        return
    assert words[0] == "isacblocks", text
    assert words[1].startswith("--") or words[1] in main.parser().format_help(), text
    known = {*named(words[1:])._option_string_actions}
    if words[1] in PASSED_ON:
        known |= {*parser_of(["isacblocks", words[1], *PASSED_ON[words[1]]])._option_string_actions}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("text", [text for text in dict.fromkeys(inline()) if text.startswith("tools/chaos.py")])
def test_cases_that_are_told_are_there(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    import chaos

    assert chaos.main([*words_of(text)[1:], "--list"]) == 0, capsys.readouterr().err


def test_files_that_commands_name_are_there() -> None:
    told = [word for text in [*fenced(), *inline()] for word in words_of(text)]
    paths = [word for word in told if re.match(r"(docs|flowgraphs|tools|grc)/[\w/.-]+\.\w+$", word)]
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []
