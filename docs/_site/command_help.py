"""The directive command-help: what --help prints, of every command of isacblocks, a section each."""

from __future__ import annotations

import argparse
import os
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive

from isacblocks.cli.main import parser


class CommandHelp(Directive):
    """Without arguments."""

    def run(self) -> list[nodes.Node]:
        """The sections."""
        os.environ["COLUMNS"] = "110"  # argparse breaks lines by it
        return self._of("isacblocks", parser())

    def _of(self, name: str, one: argparse.ArgumentParser) -> list[nodes.Node]:
        section = nodes.section(ids=[nodes.make_id(name)], names=[nodes.fully_normalize_name(name)])
        text = one.format_help()
        section += nodes.title(name, name)
        section += nodes.literal_block(text, text, language="text")
        found: list[nodes.Node] = [section]
        for action in one._actions:
            if isinstance(action, argparse._SubParsersAction):
                for command, below in action.choices.items():
                    found += self._of(f"{name} {command}", below)
        return found


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True}
