"""isacblocks new-block NAME: a block and its test as files of one's own, which run as they are."""

from __future__ import annotations

import argparse
import importlib.util
import keyword
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isacblocks.cli.block_templates import BLOCKS, RADAR, TESTS
from isacblocks.cli.script import UsageError, usage

_OWN = "own"
_ABOUT = """Make a block, NAME, in name.py and its test in test_name.py. Both work as they are: a filter is a running mean of
what comes, a sink adds it up, a source makes a wave. Put your own equation in their place, in the block and in the test.

    isacblocks new-block MeanLevel --in detection
    python -m pytest test_mean_level.py"""
_EPILOG = """records for --in: own (a number, x), or one of isacblocks: what of it is averaged or added up is in the file.
What is made goes on with: from mean_level import MeanLevel; or, in a flowgraph's file, type = "mean_level:MeanLevel"."""
_IMPORTED = {"Any", "Block", "Field", "In", "Items", "Mapping", "NDArray", "OfdmRadar", "Out", "Reading", "Record", "Scene"}
_IMPORTED |= {"Setting", "Source", "State"}
_OWN_NAMES = {"memory", "last", "newest", "amplitude", "period", "radar", "basis"}


@dataclass(frozen=True)
class _Taken:
    """What a block makes of a record: a number for each item, F of them, from the items' fields. said: in words."""

    said: str
    values: str
    unit: str = "1"


RECORDS = {
    _OWN: _Taken("x", "{}value"),
    "symbol": _Taken("mean |x|^2 over the subcarriers", "np.mean(np.abs({}x) ** 2, axis=1)"),
    "frame": _Taken("mean |Y|^2 over antennas and subcarriers", "np.mean(np.abs({}y) ** 2, axis=(1, 2))"),
    "compressed": _Taken("||Y||^2", "{}energy"),
    "truth": _Taken("theta", "{}theta", "rad"),
    "peak": _Taken("||Y||^2", "{}energy"),
    "detection": _Taken("T of the strongest peak", "{}level[:, 0]"),
    "kappa": _Taken("the slope", "{}slope", "rad"),
}


def add_parser(commands: Any) -> None:
    """The command and its options."""
    parser = commands.add_parser(
        "new-block",
        help="make a block of your own and its test",
        description=_ABOUT,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="of its class, say MeanLevel")
    parser.add_argument("--kind", choices=tuple(BLOCKS), default="filter", help="what it is (default: filter)")
    parser.add_argument("--in", dest="taken", choices=tuple(RECORDS), help=f"record that it takes (default: {_OWN})")
    parser.add_argument("--out", metavar="FIELD", help="port and field that it makes (default: mean; of a source: wave)")
    parser.add_argument("--dir", default=".", metavar="DIR", help="where to write (default: here)")


def names_of(name: str) -> tuple[str, str]:
    """The class and the module of a block: MeanLevel, mean_level. Raises UsageError for what cannot be one."""
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) is None:
        raise UsageError(f"{name!r}: expected a name of letters and digits that begins with a letter, say MeanLevel")
    parts = [part for part in name.split("_") if part]
    kind = "".join(part[:1].upper() + part[1:] for part in parts)
    module = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", kind).lower()
    if keyword.iskeyword(name) or keyword.iskeyword(kind) or keyword.iskeyword(module) or kind in _taken():
        raise UsageError(f"{name!r}: means something in Python or in isacblocks already; choose another name")
    return kind, module


def _taken() -> set[str]:
    """Names of classes that a block's file uses, or that mean a block of isacblocks in a flowgraph's file."""
    from isacblocks.cli.graph_build import public_blocks

    return {*_IMPORTED, *public_blocks()}


def work(options: argparse.Namespace) -> int:
    """The command; returns the exit status."""
    kind, module = names_of(options.name)
    where = Path(options.dir)
    if not where.is_dir():
        raise UsageError(f"--dir: {where} is not a directory; create it first")
    paths = where / f"{module}.py", where / f"test_{module}.py"
    for path in paths:
        if path.exists():
            raise UsageError(f"{path}: exists already, and is not replaced; choose another name or directory")
    if importlib.util.find_spec(module) is not None:
        hidden = f"a module {module} is installed already, and {paths[0]} would hide it"
        raise UsageError(f"{options.name}: {hidden}; choose another name")
    if options.kind == "source" and options.taken is not None:
        raise UsageError("--in: a source takes nothing; leave it out, or take --kind filter")
    if options.out is not None and options.kind == "sink":
        raise UsageError("--out: a sink makes nothing; leave it out, or take --kind filter")
    _check_out(options.out, options.taken, options.kind)
    for path, text in zip(paths, texts(kind, module, options.kind, options.taken or _OWN, options.out), strict=True):
        with usage(), path.open("x") as file:
            file.write(text)
        print(path)
    return 0


def _check_out(out: str | None, taken: str | None, kind: str) -> None:
    """Raises UsageError for a name that no port can have."""
    from isacblocks.stream import Block, Items, Source

    if out is None:
        return
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", out) is None or keyword.iskeyword(out):
        raise UsageError(f"--out: expected a name, say level, got {out!r}")
    if out in {
        *_OWN_NAMES,
        *dir(Source if kind == "source" else Block),
        *Items.__slots__,
        *Block.__annotations__,
        taken or "x",
    }:
        raise UsageError(f"--out: {out} is a name that the block needs for something else; choose another one")


def texts(name: str, module: str, kind: str, taken: str, out: str | None = None) -> tuple[str, str]:
    """The block's file and its test's."""
    own, record = taken == _OWN, RECORDS[taken]
    port, upper, radar = "x" if own else taken, module.upper(), not own and kind != "source"
    made = out or ("wave" if kind == "source" else "mean")
    arguments = "radar: its parameters." if radar else "period: of the wave, in items." if kind == "source" else ""
    title, equation = _words(kind, record.said)
    said = {
        "name": name,
        "title": title,
        "equation": equation,
        "base": "Source" if kind == "source" else "Block",
        "imports": _imports(kind, taken),
        "records": _records(kind, own, upper, module, made, record.unit),
        "arguments": f"\n\n    {arguments}\n    " if arguments else "",
        "port": port,
        "out": made,
        "taken": f"{upper}_IN" if own else taken.upper(),
        "made": upper,
        "unit": record.unit,
        "values": record.values.format(f"{port}."),
        "fields_values": re.sub(r"\{\}(\w+)", r'fields["\1"]', record.values),
        "radar": _radar(taken) if radar else "",
        "call": f"{name}(OfdmRadar(antennas=6, subcarriers=16))" if radar else f"{name}()",
    }
    test = said | {"imports": _test_imports(kind, module, name, radar)}
    return BLOCKS[kind].substitute(said), TESTS[kind].substitute(test)


def _words(kind: str, said: str) -> tuple[str, str]:
    """What the block is, and its equation."""
    if kind == "source":
        return "A wave.", "x_k = A sin(2 pi k / period)"
    if kind == "sink":
        return f"Adds up what comes: {said}.", "total = sum over k of v_k, of those that are not above the limit"
    return f"The running mean of what comes: {said}.", "m_k = m_{k-1} + (v_k - m_{k-1}) / memory, m_{-1} = 0"


def _records(kind: str, own: bool, upper: str, module: str, made: str, unit: str) -> str:
    """The records that are the block's own."""
    suffix = "" if unit == "1" else f', unit="{unit}"'
    lines = []
    if own and kind != "source":
        lines.append(f'{upper}_IN = Record("{module}_in", (Field("value", "float64"),))')
    if kind != "sink":
        lines.append(f'{upper} = Record("{module}", (Field("{made}", "float64"{suffix}),))')
    return "\n".join(lines) + "\n\n" if lines else ""


def _radar(taken: str) -> str:
    """The constructor and the dimensions of a block that takes one of isacblocks' records."""
    if taken != "compressed":
        return RADAR.substitute(basis="", sizes="radar_sizes(self.radar)")
    basis = "        self.basis = delay_basis(radar, *Scene().delay_window(radar))\n"
    return RADAR.substitute(basis=basis, sizes='radar_sizes(self.radar) | {"D": self.basis.rank}')


def _imports(kind: str, taken: str) -> str:
    standard, outside, radar = [], [], taken != _OWN and kind != "source"
    if kind == "sink":
        standard.append("import math")
    if radar:
        standard.append("from collections.abc import Mapping")
        outside.append(f"from isacblocks.blocks.records import {taken.upper()}, radar_sizes")
    if radar and taken == "compressed":
        outside.append("from isacblocks.kernels.delay_basis import delay_basis")
    if radar:
        outside.append("from isacblocks.radar import OfdmRadar" + (", Scene" if taken == "compressed" else ""))
    names = {"filter": {"Block", "In", "Out", "Reading", "Setting", "State"}, "source": {"Out", "Setting", "Source"}}
    used = names.get(kind, {"Block", "In", "Reading", "Setting", "State"})
    if not radar or kind == "filter":
        used = used | {"Field", "Record"}
    outside.append(f"from isacblocks.stream import {', '.join(sorted(used))}")
    outside.append("from isacblocks.stream.spec import Items")
    if kind != "sink" or "np." in RECORDS[taken].values:
        outside.insert(0, "import numpy as np")
    return "\n".join([*([""] if standard else []), *standard, "", *sorted(outside, key=_order)])


def _order(line: str) -> tuple[bool, str]:
    """Whole modules first, then names from modules, each by the alphabet."""
    return line.startswith("from"), line.split()[1]


def _test_imports(kind: str, module: str, name: str, radar: bool) -> str:
    source = kind == "source"
    standard = "import math" if source else "from typing import Any"
    outside = ["import numpy as np", "import pytest"]
    if not source:
        outside.append("from numpy.typing import NDArray")
    if radar:
        outside.append("from isacblocks import OfdmRadar")
    own = f"from {module} import {name}"
    outside = sorted([*outside, "from isacblocks.stream import jig"], key=_order)
    return "\n".join([standard, "", *outside, "", own])
