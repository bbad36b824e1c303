"""A flowgraph in a TOML file: what it may say, and what is wrong with it, by key.

name, seed; [radar] and [scene], parameters of OfdmRadar and Scene; [run] and [output], what the options of a script say;
[blocks.NAME], a block each; [[edges]], chains of blocks and ports; [[feedback]]. See docs/formats.md.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from isacblocks._toml import nearest, parted, read_toml, shown, value_at
from isacblocks.radar import OfdmRadar, Scene

_T = TypeVar("_T")
_Count = Annotated[int, Meta(ge=1, le=2**63 - 1)]
_Name = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
_End = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)?$")]
_NAME = "a letter, then letters, digits and underscores"
_END = f"BLOCK or BLOCK.PORT, each {_NAME}"


class GraphError(ValueError):
    """What the file says is not a flowgraph; the message names the key, what was expected and what came."""


class Run(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How it is run, unless an option says otherwise; frames: None for as many as the sources have."""

    frames: _Count | None = None
    placement: Literal["threads", "processes", "tcp"] = "threads"
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    rate: Annotated[float, Meta(ge=1e-3)] | None = None  # frames/s
    checkpoint: str | None = None
    restart: _Count | None = None  # how often in a row a block may die


class Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What it leaves behind."""

    report: str | None = None
    calibration: str | None = None


class Chain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Blocks or ports, each connected to the next one; see Flowgraph.connect."""

    chain: Annotated[tuple[_End, ...], Meta(min_length=2)]
    policy: Literal["block", "drop-oldest", "latest"] = "block"
    depth: _Count = 16
    budget: _Count = 16 << 20  # bytes


class Feedback(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"source": "from"}):
    """See Flowgraph.feedback; lag in messages."""

    source: _End
    to: _End
    lag: _Count | Literal["latest"] = 1
    depth: _Count | None = None


class GraphFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of it. blocks: by name, in the file's words."""

    name: _Name
    blocks: dict[_Name, dict[str, Any]]
    edges: Annotated[tuple[Chain, ...], Meta(min_length=1)]
    feedback: tuple[Feedback, ...] = ()
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 1
    radar: OfdmRadar = OfdmRadar()
    scene: Scene = Scene()
    run: Run = Run()
    output: Output = Output()


_EXPECTED = {
    "name": _NAME,
    "blocks": f"a table [blocks.NAME] for every block, NAME being {_NAME}",
    "edges": "a list of tables [[edges]], each with a chain",
    "edges.chain": f"a list of two or more of {_END}",
    "edges.policy": "block, drop-oldest or latest",
    "feedback": "a list of tables [[feedback]] {from, to, lag}",
    "feedback.from": _END,
    "feedback.to": _END,
    "feedback.lag": 'an integer of at least 1, in messages, or "latest"',
    "run.placement": "threads, processes or tcp",
    "run.port": "an integer from 0 to 65535",
    "run.rate": "a number of at least 0.001 frames per second",
    "seed": "an integer from 0 to 2^63 - 1",
}
_COUNTS = ("edges.depth", "edges.budget", "feedback.depth", "run.frames", "run.restart")
_EXPECTED |= dict.fromkeys(_COUNTS, "an integer of at least 1")
_KINDS: dict[str, type] = {"": GraphFile, "run": Run, "output": Output, "edges": Chain, "feedback": Feedback}


def load_graph(path: str | Path) -> GraphFile:
    """The flowgraph that a file describes. Raises GraphError for what is none, OSError where it cannot be read."""
    raw = read_toml(path, GraphError)
    try:
        return graph_of(raw)
    except GraphError as error:
        raise GraphError(f"{path}: {error}") from None


def graph_of(raw: Mapping[str, Any]) -> GraphFile:
    """The flowgraph that decoded TOML describes. Raises GraphError."""
    values = dict(raw)
    for key, kind in (("radar", OfdmRadar), ("scene", Scene)):
        if key in values:
            values[key] = _parameters(key, values[key], kind)
    if "blocks" not in values and "prefix" in values:
        raise GraphError("expected a flowgraph, got a waveform; run it by isacblocks run raw_iq FROM WAVEFORM")
    if "blocks" not in values and any(key in values for key in ("snr_db", "method", "antennas", "marks")):
        raise GraphError("expected a flowgraph, got a campaign; run it by isacblocks campaign")
    try:
        return msgspec.convert(values, GraphFile)
    except msgspec.ValidationError as error:
        raise _in_words(str(error), values) from None


def _parameters(key: str, value: Any, kind: type[_T]) -> _T:
    """An OfdmRadar or a Scene."""
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    if not isinstance(value, dict):
        raise GraphError(f"{key}: expected a table [{key}] with {', '.join(names)}, got {shown(value)}")
    for name in value:
        if name not in names:
            raise GraphError(f"{key}.{name}: unknown key; {nearest(name, names)}")
    try:
        typed = msgspec.convert(value, kind)
        return kind(**{name: getattr(typed, name) for name in value})
    except msgspec.ValidationError as error:
        said, name = parted(str(error))
        if not name and not said.startswith("expected"):  # what the class itself says, with the name and what came
            raise GraphError(f"{key}: {error}") from None
        what = f"{key}.{name}" if name else key
        raise GraphError(f"{what}: {said}, got {shown(value.get(name, value))}") from None


def _in_words(message: str, values: Mapping[str, Any]) -> GraphError:
    """The same with the key, what was expected and the value that came."""
    said, path = parted(message)
    key = re.sub(r"\[\d+\]", "", path)
    for pattern, word in ((r"unknown field (\w+)", "unknown key"), (r"missing required field (\w+)", "expected this key")):
        field = re.search(pattern, said)
        if field is not None:
            kind = _KINDS.get(key, GraphFile)
            known = [one.encode_name for one in msgspec.structs.fields(kind)]
            hint = nearest(field[1], known) if word == "unknown key" else _EXPECTED.get(f"{key}.{field[1]}".strip("."), "")
            where = f"{path}.{field[1]}".strip(".")
            return GraphError(f"{where}: {word}; {hint}" if hint else f"{where}: {word}")
    expected = f"expected {_EXPECTED[key]}" if key in _EXPECTED else said
    return GraphError(f"{path}: {expected}, got {shown(value_at(values, path))}")
