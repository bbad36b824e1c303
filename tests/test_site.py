"""The site that `sh tools/docs` has made: every public name is in it, it fetches nothing, formulas stay as they are."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path

import pytest
from conftest import ROOT

SITE = ROOT / "build" / "site"
PACKAGES = ("isacblocks", "isacblocks.blocks", "isacblocks.frontends", "isacblocks.stream")


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    pytest.importorskip("sphinx", reason="the extra docs is not installed; sh tools/docs does it")
    found = {str(path.relative_to(SITE)): path.read_text() for path in SITE.rglob("*.html")}
    if not found:
        pytest.skip("there is no build/site; sh tools/docs makes it")
    return found


def test_every_public_name_and_every_command_has_its_place(pages: dict[str, str]) -> None:
    reference = "".join(text for name, text in pages.items() if name.startswith("api/"))
    for package in PACKAGES:
        for name in import_module(package).__all__:
            if name not in ("ANY", "__version__"):  # no class or function
                assert f'id="{package}.{name}"' in reference, f"{package}.{name}"
    from isacblocks.cli.main import parser

    for line in parser().format_help().splitlines():
        command = re.match(r"    ([a-z-]+) ", line)
        if command is not None:
            assert f'id="isacblocks-{command[1]}"' in reference, command[1]
    assert "radar: OfdmRadar, scene: Scene | None = None" in re.sub(r"<[^>]+>", "", pages["api/blocks.html"])
    assert "setting memory = inf [frames]" in re.sub(r"<[^>]+>", "", pages["api/blocks.html"])


def test_every_page_of_the_documentation_is_there(pages: dict[str, str]) -> None:
    for path in (ROOT / "docs").rglob("*.md"):
        assert str(path.relative_to(ROOT / "docs").with_suffix(".html")) in pages, path


def test_nothing_is_fetched_from_elsewhere(pages: dict[str, str]) -> None:
    fetched = re.compile(r'<(?:script|img|link|iframe|source)\b[^>]*(?:src|href)="((?:https?:)?//[^"]+)"')
    for name, text in pages.items():
        assert not fetched.findall(text), name
    for path in (*SITE.rglob("*.css"), *SITE.rglob("*.js")):
        assert not re.search(r"@import\s+(?:url\()?['\"]?https?:|url\(['\"]?https?:", path.read_text(errors="replace")), path


@pytest.mark.parametrize(
    ("said", "made"),
    [
        ("|s|^2 = Y^*", r"\|s\|^2 = Y^\*"),
        ("of :class:`~a.B` and ``x|y``", "of :class:`~a.B` and ``x|y``"),
        ("the `field` of x_ here", r"the ``field`` of x\_ here"),
        ("theta_min stays", "theta_min stays"),
    ],
)
def test_formulas_are_no_markup(said: str, made: str) -> None:
    sys.path.insert(0, str(Path(ROOT) / "docs" / "_site"))
    try:
        plain = import_module("docstrings").plain
    finally:
        sys.path.pop(0)
    assert plain(said) == made
