"""One cell of a campaign: from a configuration and a seed to a flat row of figures, the same on every machine that runs it.

Nothing heavy is imported before a cell is run: a Dask scheduler loads this module only to know the functions' names.
"""

from __future__ import annotations

import hashlib
import os
import platform
import socket
import time
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path

import msgspec

from isacblocks._version import __version__
from isacblocks.study.campaign import AXES, Campaign, Cell

Figure = int | float | str | None  # None: there was not a single event, or the run ended before the mark
Row = dict[str, Figure]
RowOf = Callable[[Cell], Row]
KAPPA_FIGURES = {"phase_db": "dB", "ramp_db": "dB", "slope_deg": "deg", "loss_db": "dB"}
COUNTS = ("targets", "detections", "absent", "false_alarms")
DETECTION_FIGURES = {
    "p_d": "",
    "p_fa": "",
    "position_rmse_m": "m",
    "position_median_m": "m",
    "position_inlier_rmse_m": "m",
    "outlier_rate": "",
}
_PARTS = ("", "_after_1000")


class Column(msgspec.Struct, frozen=True):
    """A column of the table; `kind` is int, float or str."""

    name: str
    kind: str
    unit: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """What became of a cell: a row, or the error that kept it from one.

    seconds: what it took; worker: host:process; code: digest of the program that ran it.
    """

    cell: int
    row: Row | None
    error: str | None
    seconds: float
    worker: str
    code: str


@cache
def software() -> dict[str, str]:
    """The versions that a figure's last bits may depend on."""
    libraries = {name: version(name) for name in ("numpy", "scipy", "numba", "llvmlite")}
    return {"isacblocks": __version__, "python": platform.python_version(), **libraries}


@cache
def code_digest() -> str:
    """Digest of this package's sources and of the versions beside it: equal digests compute equal rows on equal machines."""
    digest = hashlib.sha256(msgspec.json.encode(software(), order="sorted"))
    root = Path(__file__).resolve().parents[1]
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def columns(campaign: Campaign) -> list[Column]:
    """The columns of the campaign's table, which are the keys of every row."""
    kinds = {"snr_db": "float", "drift": "float", "impairments": "str", "method": "str"}
    units = {"snr_db": "dB", "drift": "deg/sqrt(1000 frames)"}
    found = [Column(axis, kinds.get(axis, "int"), units.get(axis, "")) for axis in AXES]
    for mark in campaign.marks:
        found += [Column(f"{name}_{mark}", "float", unit) for name, unit in KAPPA_FIGURES.items()]
    for part in _PARTS:
        found += [Column(name + part, "int") for name in COUNTS]
        found += [Column(name + part, "float", unit) for name, unit in DETECTION_FIGURES.items()]
    return found


def cell_row(cell: Cell) -> Row:
    """Run one cell; its row has the columns of :func:`columns`. Equal cells give equal bits."""
    from isacblocks.blocks.impaired_channel import PhaseStep
    from isacblocks.radar import OfdmRadar, Scene
    from isacblocks.study.simulation import simulate

    run = simulate(
        cell.frames,
        cell.seed,
        cell.method,
        radar=OfdmRadar(antennas=cell.antennas, subcarriers=cell.subcarriers),
        scene=Scene(snr_db=cell.snr_db),
        impairments=cell.impairments,
        drift=cell.drift,
        steps=[PhaseStep(step.frame, step.antennas, step.degrees) for step in cell.steps],
        p_fa=cell.p_fa,
        marks=cell.marks,
        told=cell.told,
        refine=cell.refine,
        full_circle=cell.full_circle,
        compressed=True,
    )
    row: Row = {axis: getattr(cell, axis) for axis in AXES}
    errors = run.marks.errors() if run.marks is not None else {}
    for mark in cell.marks:
        row |= {f"{name}_{mark}": getattr(errors.get(mark), name, None) for name in KAPPA_FIGURES}
    everything = run.judge.detection_figures(cell.p_fa)
    for part, figures in zip(_PARTS, (everything, everything["after_1000"]), strict=True):
        row |= {name + part: figures[name] for name in (*COUNTS, *DETECTION_FIGURES)}
    return row


def attempt(row_of: RowOf, cell: Cell) -> Outcome:
    """`row_of(cell)`, or the error that it raised as one line."""
    began = time.perf_counter()
    row, problem = None, None
    try:
        row = row_of(cell)
    except Exception as error:
        problem = f"{type(error).__name__}: {' '.join(str(error).split())}"
    worker = f"{socket.gethostname()}:{os.getpid()}"
    return Outcome(cell.number, row, problem, time.perf_counter() - began, worker, code_digest())
