"""Docstrings are prose with formulas: what reStructuredText would read as markup, as in |s|^2 and Y^*, stays as it is.

Roles (:class:`...`), literals (``...``) and definitions keep their meaning; a word in single backticks becomes a literal.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

from isacblocks.stream import Block

_MARKUP = re.compile(r"(:[a-z]+:`[^`]+`|``[^`]+``|`[^`]+`)")
_SPECIAL = re.compile(r"([\\*|`]|(?<=\w)_(?=\W|$))")


def plain(line: str) -> str:
    """One line of a docstring in reStructuredText."""
    parts = _MARKUP.split(line)
    for k, part in enumerate(parts):
        if k % 2 == 0:
            parts[k] = _SPECIAL.sub(r"\\\1", part)
        elif part.startswith("`") and not part.startswith("``"):
            parts[k] = f"`{part}`"
    return "".join(parts)


def is_code(line: str) -> bool:
    """Whether an indented line is Python or a drawing rather than words."""
    return re.search(r"^\s+(class |def |from |import |with |return |\w+\(|\w+ = |\w+\.\w+\(|\w+, \w+)|--", line) is not None


def ends_and_knobs(kind: type[Block]) -> list[str]:
    """What a block declares beside its functions, as a list."""
    made = [
        f"- {way} ``{name}``: record {port.record.name}{', optional' if getattr(port, 'optional', False) else ''}"
        for way, ports in (("in", kind.inputs()), ("out", kind.outputs()))
        for name, port in ports.items()
    ]
    made += [
        f"- setting ``{s.name}`` = {s.initial!r} [{s.unit}]" + (f": {plain(s.doc)}" if s.doc else "")
        for s in kind.settings().values()
    ]
    made += [f"- reading ``{r.name}`` [{r.unit}]" + (f": {plain(r.doc)}" if r.doc else "") for r in kind.readings().values()]
    return ["", *made, ""] if made else []


def signature(_app: Any, what: str, _name: str, found: Any, _options: Any, *_: Any) -> tuple[str, None] | None:
    """A block's arguments are those of __init__; what Block's __new__ takes says nothing."""
    if what != "class" or not issubclass(found, Block) or found.__init__ is object.__init__:
        return None
    own = inspect.signature(found.__init__)
    parameters = [p.replace(annotation=p.annotation) for p in list(own.parameters.values())[1:]]
    return str(own.replace(parameters=parameters, return_annotation=inspect.Signature.empty)).replace("'", ""), None


def process(_app: Any, what: str, _name: str, found: Any, _options: Any, lines: list[str]) -> None:
    """Rewrite the lines of one docstring in place: formulas are kept, indented code becomes a literal block."""
    made: list[str] = []
    block = False
    for k, line in enumerate(lines):
        begins = line.startswith("    ") and (k == 0 or not lines[k - 1].strip())
        if begins and not block and is_code(line):
            made += ["::", ""]
            block = True
        elif block and line.strip() and not line.startswith("    "):
            block = False
        made.append(line if block else plain(line))
    if what == "class" and issubclass(found, Block):
        made += ends_and_knobs(found)
    lines[:] = made


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", process)
    app.connect("autodoc-process-signature", signature)
    return {"parallel_read_safe": True}
