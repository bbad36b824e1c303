"""The form of the paper's figures: column width, small print that says where it comes from, the same bytes every time."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from isacblocks.stream.files import write_atomically
from isacblocks.study.pictures import _pyplot

COLUMN = 3.5  # inches, a column of a two-column paper
_STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 6.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "grid.alpha": 0.35,
    "grid.linewidth": 0.5,
}


def pyplot() -> Any:
    """matplotlib's pyplot in this form. Raises NoPlotsError where matplotlib is missing."""
    plt = _pyplot()
    plt.rcdefaults()
    plt.rcParams.update(_STYLE)
    return plt


def grid(axis: Any) -> None:
    """Lines behind the curves, finer ones between decades."""
    axis.grid(True, which="major")
    axis.grid(True, which="minor", alpha=0.15)
    axis.set_axisbelow(True)


def around(values: Iterable[float]) -> tuple[float, float]:
    """Limits of an ordinate around these positive values."""
    finite = [value for value in values if math.isfinite(value) and value > 0]
    return min(finite) / 1.25, max(finite) * 1.25


def decimals(axis: Any) -> None:
    """A logarithmic ordinate with decimal numbers at 1, 2, 3 and 5 of every decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())


def small_print(head: Mapping[str, str]) -> str:
    """Two short lines: figure, version, commit; what was scaled down."""
    return f"isacblocks {head['isacblocks']} ({head['commit']}), figure {head['figure']}\n{head['note']}"


def save(figure: Any, path: Path, head: Mapping[str, str]) -> None:
    """Write the picture with its head as small print and as PNG text, atomically, and close it."""
    import matplotlib.pyplot as plt

    figure.text(0.005, 0.001, small_print(head), fontsize=4, color="0.35", va="bottom")
    reserved = 0.17 / figure.get_figheight()
    figure.get_layout_engine().set(rect=(0, reserved, 1, 1 - reserved))
    out = io.BytesIO()
    try:
        figure.savefig(out, format="png", dpi=220, metadata={"Title": head["figure"], "Description": json.dumps(dict(head))})
    finally:
        plt.close(figure)
    write_atomically(path, out.getvalue())
