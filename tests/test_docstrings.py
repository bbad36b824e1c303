"""Docstrings of the public names: every one is there, its arguments and errors are those of the code, its example runs."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import isacblocks.stream.block
from isacblocks.radar import OfdmRadar
from isacblocks.stream import Block, Field, Record, Source, jig

PACKAGES = ("isacblocks", "isacblocks.blocks", "isacblocks.frontends", "isacblocks.stream")
# What blocks do when the runtime asks them to; the base class says what is given
HOOKS = {name for kind in (Block, Source) for name in vars(kind)}
# What these are is in their names
SPEAKING = {"isacblocks.kappa_error": ("estimate", "truth"), "isacblocks.stream.State.check": ("block",)}
# Where a docstring names an argument: "name: what it is", at the beginning of a sentence or behind a semicolon
TOLD = re.compile(r"(?:^|(?<=[;.] ))((?:[a-z_]\w*, )*[a-z_]\w*): ")

# Where it sends its reader to another one for what is the same there
REFERENCE = re.compile(r"(?:\bas for|\bsee|\binverse of)\s(?::\w+:`~?)?([\w.]+)")


def functions(kind: type) -> Iterator[tuple[str, Any]]:
    """The public functions and properties that a class defines itself."""
    for name, found in vars(kind).items():
        plain = found.__func__ if isinstance(found, classmethod | staticmethod) else found
        plain = plain.fget if isinstance(plain, property) else plain
        if not name.startswith("_") and inspect.isfunction(plain):
            yield name, plain


def public() -> Iterator[tuple[str, Any]]:
    """The classes and functions of the reference, and the functions of its classes, by their names."""
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            found = getattr(module, name)
            if inspect.isclass(found):
                yield from ((f"{package}.{name}.{inner}", one) for inner, one in functions(found))
            if inspect.isclass(found) or inspect.isfunction(found):
                yield f"{package}.{name}", found


NAMES = dict(public())


def arguments(found: Any) -> list[str]:
    """What a caller gives, without the radar that so many things are of."""
    if inspect.isclass(found) and issubclass(found, msgspec.Struct):
        return [*found.__struct_fields__]
    if dataclasses.is_dataclass(found):
        return [field.name for field in dataclasses.fields(found)]
    if inspect.isclass(found) and "__init__" not in vars(found):  # an error of one's own, or a base class
        return []
    given = inspect.signature(found.__init__ if inspect.isclass(found) else found).parameters.values()
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    known = (OfdmRadar, OfdmRadar.__name__)
    return [p.name for p in given if p.name not in ("self", "cls") and p.kind not in kinds and p.annotation not in known]


def text_of(name: str) -> str:
    return inspect.getdoc(NAMES[name]) or ""


def explained(name: str) -> str:
    """A docstring, and those that it sends its reader to by "as for NAME" and the like."""
    found, ahead = {name: text_of(name)}, [name]
    while ahead:
        here = found[ahead.pop()]
        meant = {one.rpartition(".")[2] for one in REFERENCE.findall(here)}
        for other in NAMES.keys() - found.keys():
            if other.rpartition(".")[2] in meant:
                found[other] = text_of(other)
                ahead.append(other)
    return "\n".join(found.values())


def named(name: str) -> list[str]:
    """What a docstring explains as "name: ..."."""
    return [one for names in TOLD.findall(" ".join(text_of(name).split())) for one in names.split(", ")]


def raised(found: Any) -> set[str]:
    """The names of the errors that a function's own lines raise."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(found)))
    errors = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc is not None]
    return {ast.unparse(error.func) for error in errors if isinstance(error, ast.Call)}


def test_there_is_much_to_read() -> None:
    """Else the tests below would look at nothing."""
    assert len(NAMES) > 150
    assert sum(len(named(name)) for name in NAMES) > 200


def test_every_public_name_says_what_it_is() -> None:
    assert [name for name, found in NAMES.items() if not found.__doc__] == []


def test_arguments_are_explained() -> None:
    """By name; where a function has but one, its sentence says what it is."""
    lacking = {}
    for name, found in NAMES.items():
        names = [one for one in arguments(found) if one not in SPEAKING.get(name, ())]
        if name.rpartition(".")[2] not in HOOKS and (len(names) > 1 or inspect.isclass(found)):
            text = explained(name)
            lacking[name] = [one for one in names if not re.search(rf"\b{one}\b", text)]
    assert {name: names for name, names in lacking.items() if names} == {}


def test_what_is_explained_is_there() -> None:
    """No argument that was renamed or taken away. A dictionary's keys, which are explained alike, are in code beside it."""
    astray = {}
    for name, found in NAMES.items():
        known = {*arguments(found), *vars(found), "radar"}
        if inspect.isfunction(found) and "dict[" in str(inspect.signature(found).return_annotation):
            beside = Path(inspect.getfile(found)).parent.rglob("*.py")
            known |= {word for path in beside for word in re.findall(r'"(\w+)"', path.read_text())}
        astray[name] = [one for one in named(name) if one not in known]
    assert {name: names for name, names in astray.items() if names} == {}


def test_errors_are_told() -> None:
    """Those that the lines themselves raise: of a class's __init__ by the class. What is not implemented says so itself."""
    silent = {}
    for name, found in NAMES.items():
        own = [found]
        if inspect.isclass(found):
            own = [vars(found)[inner] for inner in ("__init__", "__post_init__") if inner in vars(found)]
        errors = set().union(*(raised(one) for one in own if one.__code__.co_filename != "<string>"))
        owner = name.rpartition(".")[0]
        text = explained(name) + (text_of(owner) if owner in NAMES else "")
        silent[name] = [one for one in errors if one != "TypeError" and not re.search(rf"Raises [^.]*\b{one}\b", text)]
    assert {name: errors for name, errors in silent.items() if errors} == {}


@pytest.mark.parametrize("package", ["isacblocks.blocks", "isacblocks.frontends"])
def test_settings_say_their_unit_or_what_they_do(package: str) -> None:
    module = importlib.import_module(package)
    for name in module.__all__:
        kind = getattr(module, name)
        if inspect.isclass(kind) and issubclass(kind, Block):
            for setting in kind.settings().values():
                assert setting.doc or setting.unit != "1", f"{name}.{setting.name}"


def test_the_block_in_the_docstring_of_blocks_works() -> None:
    """It stands as an example at the head of stream/block.py, between its first sentence and what the runtime does."""
    text = inspect.getdoc(isacblocks.stream.block) or ""
    code = textwrap.dedent("\n".join(line for line in text.splitlines() if line.startswith("    ") or not line))
    space: dict[str, Any] = {"SAMPLE": Record("sample", (Field("value", "float64"),))}
    exec(f"from isacblocks.stream import *\n{code}", space)
    values = np.arange(8.0)

    def make() -> Block:
        block: Block = space["Scale"]()
        block.factor = 3.0  # type: ignore[attr-defined]
        return block

    outputs, _ = jig.check(make, {"x": {"value": values}})
    assert outputs["y"]["value"].tolist() == (3 * values).tolist()
