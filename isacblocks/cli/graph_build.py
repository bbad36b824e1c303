"""From a flowgraph's file to the flowgraph: blocks by name or "module:Class", their arguments by their annotations."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from isacblocks._toml import nearest, shown
from isacblocks.cli.graph_file import GraphError, GraphFile
from isacblocks.stream import Block, Flowgraph, Port, WiringError
from isacblocks.stream.block import load_class
from isacblocks.stream.errors import PlacementError

VALUES = ("$radar", "$scene", "$seed", "$kappa", "$confidence")
_NO_BLOCKS = ("DataSymbols", "Framing", "PhaseStep", "Waveform", "read_waveform")  # what else has a public name there
_RESERVED = ("type", "settings")
_MOST_CONFIDENCE = 50.0  # frames with a target that a calibration from a file is worth at most


def public_blocks() -> dict[str, Callable[[], type[Block]]]:
    """The blocks that have a name of their own, loaded when called."""
    from isacblocks import blocks, frontends

    def of(package: Any, name: str) -> Callable[[], type[Block]]:
        return lambda: getattr(package, name)

    def judge() -> type[Block]:
        from isacblocks.study.evaluation import Evaluation

        return Evaluation

    names = {name: package for package in (blocks, frontends) for name in package.__all__ if name not in _NO_BLOCKS}
    return {name: of(package, name) for name, package in names.items()} | {"Evaluation": judge}


def values_of(graph: GraphFile, seed: int, calibration: str | Path | None) -> dict[str, Any]:
    """What $NAME stands for. kappa and confidence come from the calibration file, where there is one; without: None and 1.

    Raises CalibrationError for one that does not fit.
    """
    values: dict[str, Any] = {"$radar": graph.radar, "$scene": graph.scene, "$seed": seed}
    values |= {"$kappa": None, "$confidence": 1.0}
    if calibration is not None and Path(calibration).exists():
        from isacblocks.blocks.calibration_file import load_calibration

        loaded = load_calibration(calibration, graph.radar)
        values |= {"$kappa": loaded.vector, "$confidence": min(1.0 + loaded.targets, _MOST_CONFIDENCE)}
    return values


def build(graph: GraphFile, values: Mapping[str, Any]) -> Flowgraph:
    """The flowgraph, drawn in the file's order. Raises GraphError naming the key."""
    blocks = {name: _block(name, dict(said), values) for name, said in graph.blocks.items()}
    fg = Flowgraph(graph.name)
    for number, edge in enumerate(graph.edges):
        where = f"edges[{number}]"
        ends = [_end(f"{where}.chain", end, blocks) for end in edge.chain]
        with _told(where):
            fg.connect(*ends, policy=edge.policy, depth=edge.depth, budget=edge.budget)
    for number, back in enumerate(graph.feedback):
        where = f"feedback[{number}]"
        ports = [_port(f"{where}.{key}", end, blocks) for key, end in (("from", back.source), ("to", back.to))]
        with _told(where):
            fg.feedback(ports[0], ports[1], None if back.lag == "latest" else back.lag, back.depth)
    for name in blocks:
        if name not in fg.blocks:
            raise GraphError(f"blocks.{name}: no edge leads to it or from it; name it in a chain, or leave it out")
    with _told("edges"):
        fg.check()
    return fg


@contextlib.contextmanager
def _told(where: str) -> Iterator[None]:
    """What does not fit is told with the key."""
    try:
        yield
    except WiringError as error:
        raise GraphError(f"{where}: {error}") from None


def _ports(block: Block) -> str:
    return f"ports in: {', '.join(block.inputs()) or 'none'}; out: {', '.join(block.outputs()) or 'none'}"


def _end(where: str, end: str, blocks: Mapping[str, Block]) -> Block | Port:
    name, _, port = end.partition(".")
    if name not in blocks:
        raise GraphError(f"{where}: there is no block {name!r}; {nearest(name, blocks)}")
    if not port:
        return blocks[name]
    if port not in blocks[name].ports:
        raise GraphError(f"{where}: {name} has no port {port!r}; {_ports(blocks[name])}")
    return blocks[name].ports[port]


def _port(where: str, end: str, blocks: Mapping[str, Block]) -> Port:
    found = _end(where, end, blocks)
    if isinstance(found, Block):
        raise GraphError(f"{where}: expected BLOCK.PORT, got {end!r}; {_ports(found)}")
    return found


def _block(name: str, said: dict[str, Any], values: Mapping[str, Any]) -> Block:
    where = f"blocks.{name}"
    kind = _kind(f"{where}.type", said.pop("type", None))
    settings = said.pop("settings", {})
    given = _arguments(where, kind, said, values)
    try:
        block: Block = kind(**given)
        block.name = name
    except (ValueError, TypeError, OSError, ImportError) as error:
        raise GraphError(f"{where}: {error}") from error
    if not isinstance(settings, dict):
        raise GraphError(f"{where}.settings: expected a table, got {shown(settings)}")
    for setting, value in settings.items():
        if setting not in kind.settings():
            raise GraphError(f"{where}.settings.{setting}: unknown key; {nearest(setting, kind.settings())}")
        try:
            setattr(block, setting, value)
        except ValueError as error:
            raise GraphError(f"{where}.settings: {error}") from None
    return block


def _kind(where: str, said: Any) -> type[Block]:
    """The class that a type names. Nothing but a block is taken."""
    known = public_blocks()
    expected = 'the name of a block, or "module:Class"'
    if not isinstance(said, str):
        raise GraphError(f"{where}: expected {expected}, got {shown(said)}")
    if said in known:
        return known[said]()
    if ":" not in said:
        raise GraphError(f"{where}: expected {expected}, got {said!r}; {nearest(said, known)}")
    if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", said) is None:
        raise GraphError(f"{where}: expected {expected}, got {said!r}")
    module, _, name = said.partition(":")
    try:
        return load_class(module, name)
    except PlacementError as error:
        raise GraphError(f"{where}: {error}; expected a class derived from isacblocks.stream.Block") from error
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):  # it is there, and wants another one
            raise GraphError(
                f"{where}: {module} cannot be imported: it needs {error.name}, which is not installed"
            ) from error
        raise GraphError(f"{where}: there is no module {module}; install it, or put {module}.py beside the file") from error
    except Exception as error:  # a module runs when it is imported
        raise GraphError(f"{where}: {said!r} cannot be used: {type(error).__name__}: {error}") from error


def _arguments(where: str, kind: type[Block], said: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """What is written, as the constructor's annotations want it."""
    parameters = inspect.signature(kind.__init__).parameters
    names = [one for one in list(parameters)[1:] if parameters[one].kind.name in ("POSITIONAL_OR_KEYWORD", "KEYWORD_ONLY")]
    names = names if kind.__init__ is not object.__init__ else []
    try:
        hints = get_type_hints(kind.__init__)
    except Exception:  # names that are there for type checkers only
        hints = {}
    given = {}
    for key, value in said.items():
        if key not in names:
            raise GraphError(f"{where}.{key}: unknown key; {nearest(key, (*names, *_RESERVED))}")
        given[key] = _value(f"{where}.{key}", value, hints.get(key, Any), values)
    for key in names:
        if parameters[key].default is inspect.Parameter.empty and key not in given:
            raise GraphError(f"{where}.{key}: expected this key, {kind.__name__} cannot do without it")
    return given


def _array(kind: type, _: Any) -> Any:
    raise ValueError(f"expected {getattr(kind, '__name__', kind)}, which a file cannot say; see $kappa")


def _value(where: str, value: Any, hint: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, str) and value.startswith("$"):
        if value not in values:
            raise GraphError(f"{where}: expected one of {', '.join(values)}, got {value!r}")
        return values[value]
    try:
        return msgspec.convert(value, hint, dec_hook=_array)
    except msgspec.ValidationError as error:
        said = re.sub(r", got `.*?`", "", str(error).split(" - at `")[0]).replace("`", "")
        said = said.replace("object", 'a table, or a value such as "$radar"')
        raise GraphError(f"{where}: {said[:1].lower()}{said[1:]}, got {shown(value)}") from None
    except (TypeError, NotImplementedError):  # an annotation that cannot be checked: the constructor sees to it
        return value
