"""Nothing heavy is loaded before it is needed: modules are counted, not seconds."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from conftest import ROOT
from programs import python

HEAVY = {"numpy", "numba", "scipy", "scipy.linalg", "scipy.stats", "scipy.signal", "matplotlib", "zmq", "msgspec"} | {
    "distributed",
    "pyarrow",
    "torch",
    "multiprocessing.pool",
}
_NUMBA = {"numpy", "numba", "scipy"}  # numba takes scipy's front door
_STREAM = {"numpy", "zmq", "msgspec"}
# scipy.linalg: numba looks for its BLAS there when the first kernel is loaded
_RUN = _NUMBA | _STREAM | {"scipy.linalg"}

NEEDED = {
    "import isacblocks": set(),
    "from isacblocks import OfdmRadar, Scene": set(),
    "import isacblocks.blocks": set(),
    "import isacblocks.cli.main": set(),
    "import isacblocks.stream": _STREAM,
    "from isacblocks import find_peak, angle_delay_map, max_loss, Adam": _NUMBA,
    "from isacblocks import detection_threshold, false_alarm_probability": _NUMBA,
    "from isacblocks.blocks import AngleDelayMap, MaprtDetector, KappaCalibrator, Recorder": _NUMBA | _STREAM,
    "import isacblocks.study.simulation": _NUMBA | _STREAM,
}


def loaded(*arguments: str, where: Path = ROOT) -> set[str]:
    """The heavy modules that a program has loaded at its end."""
    code = (
        "import atexit, runpy, sys; "
        f"atexit.register(lambda: print('loaded:', *sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)); "
    )
    done = python("-c", code + arguments[0], *arguments[1:], where=where, env={"PYTHONPATH": str(ROOT)})
    line = next(line for line in done.stderr.splitlines() if line.startswith("loaded:"))
    return set(line.split()[1:])


@pytest.mark.parametrize("statement", NEEDED)
def test_an_import_loads_what_it_needs(statement: str) -> None:
    assert loaded(statement) <= NEEDED[statement]


def test_the_list_would_notice() -> None:
    assert loaded("import scipy.signal") >= {"numpy", "scipy", "scipy.signal"}
    assert loaded("from isacblocks import find_peak") >= {"numpy", "numba"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], ["figure", "--help"]], ids=" ".join)
def test_help_loads_nothing(arguments: list[str]) -> None:
    assert loaded("runpy.run_module('isacblocks', run_name='__main__')", *arguments) == set()


def test_a_run_without_pictures_loads_no_plots_and_no_statistics() -> None:
    script = str(ROOT / "flowgraphs" / "online_calibration.py")
    found = loaded(f"runpy.run_path({script!r}, run_name='__main__')", "--frames", "16", "--no-view")
    assert {"numba", "zmq"} <= found <= _RUN


def test_scipy_signal_is_nowhere() -> None:
    """It alone takes longer to import than everything else together."""
    for folder in ("isacblocks", "flowgraphs", "tools"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
                if isinstance(node, ast.ImportFrom):
                    names = [f"{node.module}.{name}" for name in names]
                assert not any(name.startswith("scipy.signal") for name in names), path
