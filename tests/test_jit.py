"""The compiler's cache is never stale, kernels are pure, and they mean the same as plain Python."""

from __future__ import annotations

import ast
import json
import shutil
import stat
from pathlib import Path

import programs
import pytest
from conftest import ROOT
from programs import python

KERNELS = ROOT / "isacblocks" / "kernels"


def jitted() -> list[tuple[Path, ast.FunctionDef]]:
    return [
        (path, node)
        for path in sorted(KERNELS.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        and {"jit", "jit_exact", "jit_apart"} & {ast.unparse(d) for d in node.decorator_list}
    ]


def test_there_are_kernels_to_look_at() -> None:
    assert len(jitted()) > 25


@pytest.mark.parametrize(("path", "node"), jitted(), ids=lambda v: v.name if isinstance(v, ast.FunctionDef) else v.stem)
def test_kernels_are_pure_and_typed(path: Path, node: ast.FunctionDef) -> None:
    """No output, no globals, no hidden random state; every argument and the result typed; public ones documented."""
    assert all(a.annotation is not None for a in node.args.args), "every argument has a type"
    assert node.returns is not None
    if not node.name.startswith("_"):
        assert ast.get_docstring(node)
    for inner in ast.walk(node):
        assert not isinstance(inner, ast.Global | ast.Nonlocal)
        if isinstance(inner, ast.Call):
            called = ast.unparse(inner.func)
            assert called != "print"
            assert not called.startswith("np.random.")


_MAKERS = ("np.empty", "np.zeros", "np.ones", "aligned")


def _lines(node: ast.AST, name: str) -> list[int]:
    """Where a name is read."""
    return [n.lineno for n in ast.walk(node) if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)]


def _assigned(function: ast.FunctionDef) -> list[tuple[str, ast.expr]]:
    """Every name that is assigned to, with its own value of a tuple."""
    found: list[tuple[str, ast.expr]] = []
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            names = [n.id for n in ast.walk(node.targets[0]) if isinstance(n, ast.Name)]
            found += zip(names, node.value.elts if isinstance(node.value, ast.Tuple) else [node.value], strict=False)
    return found


def _outlived(function: ast.FunctionDef) -> list[str]:
    """The arrays made in a function that a pointer to them may outlive: numba frees an array after its last line.

    It is kept where it is read after the pointer, or in a loop that has all uses of the pointer.
    """
    assigned = _assigned(function)
    made = {name for name, value in assigned if any(f"{maker}(" in ast.unparse(value) for maker in _MAKERS)}
    loops = [n for n in ast.walk(function) if isinstance(n, ast.For | ast.While)]
    found = []
    for node in ast.walk(function):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func).endswith("pointer")):
            continue
        name = next((n.id for n in ast.walk(node.args[0]) if isinstance(n, ast.Name)), "")
        aliases = [alias for alias, value in assigned if value is node]
        uses = [node.lineno, *(line for alias in aliases for line in _lines(function, alias))]
        around = [n for n in loops if n.lineno < min(uses) and max(uses) <= (n.end_lineno or 0)]
        if name in made and max(_lines(function, name)) <= max(uses) and not any(_lines(n, name) for n in around):
            found.append(name)
    return found


FREED_TOO_EARLY = """def f(u):
    a, b = np.empty(4), np.zeros(4)
    p, q = pointer(a), pointer(b)
    for i in range(4):
        b[i] = u[i]
    for i in range(4):
        store(p, i, repeat(q, i))
    return a[0]
"""


def test_no_pointer_outlives_its_array() -> None:
    function = ast.parse(FREED_TOO_EARLY).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert _outlived(function) == ["b"]
    assert {f"{path.stem}.{node.name}": found for path, node in jitted() if (found := _outlived(node))} == {}


def test_what_is_freed_is_not_read_again(tmp_path: Path) -> None:
    """The same bits whatever memory holds after it was freed, of the kernels of a run from frames to kappa."""
    made = []
    for number, filler in enumerate(("0", "85")):
        report = tmp_path / f"{number}.json"
        options = ("--frames", "400", "--full-frames", "--refine", "--full-circle", "--no-view", "--report", report)
        programs.isacblocks("run", "online_calibration", *options, env={"MALLOC_PERTURB_": filler})
        found = json.loads(report.read_text())
        made.append({name: found[name] for name in ("kappa_error", "detection", "receiver")})
    assert made[0] == made[1]


def run(code: str, cache: Path, **environment: str) -> str:
    return python("-c", code, env={"ISACBLOCKS_CACHE": str(cache), **environment}).stdout


def test_an_edited_source_gets_a_cache_of_its_own(tmp_path: Path) -> None:
    """Also where the edit is in a kernel that another file's kernel calls, which numba's own key does not see."""
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "isacblocks", copy / "isacblocks", ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        f"import sys; sys.path.insert(0, {str(copy)!r})\n"
        "from isacblocks.kernels import jit, detection\n"
        "assert jit.__file__.startswith(sys.path[0])\n"
        "print(jit.cache_directory(), detection.evidence(10.0, 3.0, 3.0, 30.0), detection.logistic(0.3))"
    )
    first = run(code, tmp_path / "cache").split()
    assert run(code, tmp_path / "cache").split() == first
    source = copy / "isacblocks" / "kernels" / "detection.py"
    source.write_text(source.read_text().replace("math.log1p(snr)", "math.log1p(2.0 * snr)"))
    second = run(code, tmp_path / "cache").split()
    assert second[0] != first[0]
    assert float(second[1]) < float(first[1]) - 0.5
    assert second[2] == first[2]


def test_the_cache_is_private_and_can_be_moved(tmp_path: Path) -> None:
    where = Path(run("from isacblocks.kernels import jit; print(jit.cache_directory())", tmp_path / "mine").strip())
    assert where.parent == tmp_path / "mine"
    assert stat.S_IMODE(where.stat().st_mode) == 0o700


def test_a_cache_that_cannot_be_written_is_replaced_by_another(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    out = run(
        "from isacblocks.kernels import jit; print(jit.cache_directory())", blocked, XDG_CACHE_HOME=str(tmp_path / "home")
    )
    assert out.strip().startswith(str(tmp_path / "home"))


def test_kernels_mean_the_same_without_the_compiler(tmp_path: Path) -> None:
    """The kernel tests that are quick enough, in plain Python."""
    done = python(
        *("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-W", "ignore"),
        *("tests/test_contract.py", "tests/test_random.py", "tests/test_normals.py"),
        *("-k", "(smallest or small or known or lanes or tie) and not law and not moments"),
        env={"NUMBA_DISABLE_JIT": "1", "ISACBLOCKS_CACHE": str(tmp_path)},
    )
    assert " passed" in done.stdout


PRODUCTS = """
import numpy as np
from isacblocks.kernels.jit import jit, jit_exact

@jit
def fast(a, b):
    total = 0j
    for n in range(a.shape[0]):
        total += a[n] * b[n]
    return total

@jit_exact
def exact(a, b):
    total = 0j
    for n in range(a.shape[0]):
        total += a[n] * b[n]
    return total

a, b = (np.random.default_rng(seed).standard_normal(998).view(complex) for seed in (1, 2))
plain = 0j
for n in range(a.size):
    plain += complex(a[n]) * complex(b[n])
"""


def test_complex_products_have_the_flags_of_their_kernel_whatever_was_compiled_before(tmp_path: Path) -> None:
    """Numba compiles the product of complex numbers once, with the flags of whoever asks first, unless it is told not to."""
    (tmp_path / "products.py").write_text(PRODUCTS)
    found = []
    for order in ("exact, fast", "fast, exact"):
        code = f"from products import *\nfor kernel in ({order}): kernel(a, b)\nprint(fast(a, b), exact(a, b) == plain)"
        found.append(run(code, tmp_path / order, PYTHONPATH=str(tmp_path)))
    assert found[0] == found[1], "the order of compiling shows in the bits"
    assert "True" in found[0], "an exact kernel computes what Python computes"
