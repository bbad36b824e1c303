"""Imports lead downward only: 3 scripts, cli, view, study; 2 blocks, frontends; 1 kernels, stream; 0 radar."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from conftest import ROOT

FLOORS = {
    "flowgraphs": 3,
    "isacblocks.cli": 3,
    "isacblocks.view": 3,
    "isacblocks.study": 3,
    "isacblocks.__main__": 3,
    "isacblocks.blocks": 2,
    "isacblocks.frontends": 2,
    "isacblocks.kernels": 1,
    "isacblocks.stream": 1,
    "isacblocks.radar": 0,
    "isacblocks._version": 0,
    "isacblocks._lazy": 0,
    "isacblocks._toml": 0,
}
ALLOWED_OUTSIDE = {
    "isacblocks.kernels": {"numpy", "numba", "llvmlite"},  # llvmlite: its version is part of the cache's key
    "isacblocks.stream": {"numpy", "zmq", "msgspec", "typing_extensions"},  # typing_extensions: for type checkers only
    "isacblocks.radar": {"numpy"},
    "isacblocks._version": set(),
    "isacblocks._lazy": set(),
    "isacblocks._toml": {"msgspec"},
}
# The records are the language of the whole second floor; some front ends make compressed ones, as the compressor does.
BESIDE = {("isacblocks.frontends", f"isacblocks.blocks.{module}") for module in ("records", "compressed_frames")}
FILES = sorted([*ROOT.glob("isacblocks/**/*.py"), *ROOT.glob("flowgraphs/*.py")])


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(module: str) -> str:
    return next((name for name in FLOORS if module == name or module.startswith(name + ".")), module)


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_lead_downward(path: Path) -> None:
    module = module_of(path)
    if module == "isacblocks":  # names everything, loads nothing
        return
    here = part_of(module)
    for name in imports(path):
        top = name.split(".")[0]
        if top == "isacblocks":
            there = part_of(name)
            if there == "isacblocks":
                assert FLOORS[here] == 3, f"{module} takes {name} from the package's front door, which is for scripts"
                continue
            if {(here, name), (here, name.rpartition(".")[0])} & BESIDE:
                continue
            if there in FLOORS and there != here:
                assert FLOORS[there] < FLOORS[here] or FLOORS[here] == 3, f"{module} imports {name}, which is not below it"
        elif here in ALLOWED_OUTSIDE and top not in sys.stdlib_module_names:
            assert top in ALLOWED_OUTSIDE[here], f"{module} imports {top}"


def test_kernels_and_streams_do_not_know_each_other() -> None:
    for path in FILES:
        module = module_of(path)
        if module.startswith("isacblocks.kernels"):
            assert not any(n.startswith("isacblocks.stream") for n in imports(path)), module
        if module.startswith("isacblocks.stream"):
            assert not any(n.startswith(("isacblocks.kernels", "isacblocks.radar")) for n in imports(path)), module


def test_every_file_has_a_floor() -> None:
    assert FILES
    for path in FILES:
        module = module_of(path)
        assert module == "isacblocks" or part_of(module) in FLOORS, module


def test_the_reference_imports_nothing_of_ours() -> None:
    for path in (ROOT / "tests" / "reference").glob("*.py"):
        assert not any(name.startswith("isacblocks") for name in imports(path)), path


def test_importing_the_package_loads_nothing_heavy() -> None:
    import subprocess

    code = "import sys, isacblocks; print(sorted({'numpy', 'numba', 'scipy', 'zmq', 'matplotlib'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"
