#!/usr/bin/env python3
"""Copies the numbers of docs/results/*.csv into the tables of docs/results.md: python tools/results.py [--check]

The CSV files come from `isacblocks figure` and `isacblocks campaign`; the document names the commands. Each table stands
between a line <!-- table KIND PATH --> and a line <!-- end -->, and is made by the function of that name below.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from isacblocks import Scene
from isacblocks.kernels.bounds import loss_bound_db
from isacblocks.study.campaign import AXES
from isacblocks.study.provenance import read_table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "results.md"
_BLOCK = re.compile(r"(<!-- table (\w+) (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def number(text: str, digits: int) -> str:
    """A number of a CSV with so many digits behind the point; a dash for an empty field."""
    return f"{float(text):.{digits}f}" if text else "-"


def at(rows: list[dict[str, str]], curve: str, p_fa: str) -> dict[str, str]:
    """The row of a curve at a false-alarm probability."""
    return next(row for row in rows if row["curve"] == curve and float(row["p_fa"]) == float(p_fa))


def curves(rows: list[dict[str, str]]) -> list[str]:
    """The names of the curves in their order."""
    return list(dict.fromkeys(row["curve"] for row in rows))


def detection(rows: list[dict[str, str]]) -> str:
    """P_d of Fig. 3 with its interval over realisations, and its difference to known kappa on the same frames."""
    out = []
    for curve in curves(rows):
        line = [curve]
        for p_fa in ("0.1", "0.01", "0.001", "0.0001"):
            row = at(rows, curve, p_fa)
            reach = (float(row["p_d_high"]) - float(row["p_d_low"])) / 2
            line.append(f"{number(row['p_d'], 3)} ± {reach:.3f}")
        row = at(rows, curve, "0.01")
        reach = (float(row["p_d_minus_known_high"]) - float(row["p_d_minus_known_low"])) / 2
        out.append([*line, f"{float(row['p_d_minus_known']):+.4f} ± {reach:.4f}"])
    return markdown(["curve", "P_d at P_fa 1e-1", "1e-2", "1e-3", "1e-4", "minus known, at 1e-2"], out)


def position(rows: list[dict[str, str]]) -> str:
    """Position errors of Fig. 3 at P_fa = 1e-2."""
    out = []
    for curve in curves(rows):
        row = at(rows, curve, "0.01")
        keys = ("rmse_m", "inlier_rmse_m", "inlier_bound_m", "median_m")
        out.append([curve, *(number(row[key], 3) for key in keys), f"{100 * float(row['outlier_rate']):.2f} %"])
    return markdown(["curve", "RMSE, all [m]", "RMSE, main lobe [m]", "bound [m]", "median [m]", "outliers"], out)


def alarms(rows: list[dict[str, str]]) -> str:
    """The closed form's threshold against counts: known kappa of Fig. 3."""
    out = []
    for p_fa in ("0.1", "0.01", "0.001", "0.0001"):
        row = at(rows, "known", p_fa)
        low, high = row["p_fa_counted_low"], row["p_fa_counted_high"]
        out.append([p_fa, f"{float(row['p_fa_counted']):.2g}", f"{float(low):.2g} to {float(high):.2g}", row["absent"]])
    return markdown(["P_fa", "counted", "95 % interval", "frames without a target"], out)


def kappas(rows: list[dict[str, str]]) -> str:
    """What is left of kappa's error in Fig. 3: median loss and root mean square slope over realisations."""
    out = []
    for curve in curves(rows):
        own = [row for row in rows if row["curve"] == curve]
        slope = (sum(float(row["slope_deg"]) ** 2 for row in own) / len(own)) ** 0.5
        loss = median(float(row["loss_db"]) for row in own)
        out.append([curve, own[0]["frames"], f"{loss:.4f}", f"{slope:.3f}"])
    return markdown(["curve", "frames", "loss, median [dB]", "slope, rms [deg]"], out)


def peaks(rows: list[dict[str, str]]) -> str:
    """The maxima of Fig. 2."""
    keys = (("peak", 3), ("peak_angle_deg", 2), ("peak_range_m", 2), ("position_error_m", 3), ("loss_db", 3))
    out = [[row["curve"], row["frames"], *(number(row[key], digits) for key, digits in keys)] for row in rows]
    head = ["curve", "frames learned", "peak", "angle [deg]", "range [m]", "position error [m]", "loss of kappa [dB]"]
    return markdown(head, out)


def reached(rows: list[dict[str, str]]) -> str:
    """Frames to 0.05 dB, and where each curve ends."""
    out = []
    for row in rows:
        line = [row["curve"], *(number(row[key], 0) for key in ("iterations_to_target", "frames_to_target", "times_online"))]
        out.append([*line, row["frames"], number(row["loss_db"], 4), number(row["slope_deg"], 3)])
    head = ["curve", "iterations to 0.05 dB", "frames to 0.05 dB", "times the one pass", "frames in all", "loss then [dB]"]
    return markdown([*head, "slope then [deg]"], out)


def campaign(rows: list[dict[str, str]]) -> str:
    """A campaign over seeds: loss at its marks against the bound of an array at rest, and slope, per configuration."""
    out = []
    for name, own in configurations(rows).items():
        scene, elements = Scene(snr_db=float(own[0]["snr_db"])), int(own[0]["antennas"])
        for mark in marks(rows):
            loss, slope = column(own, f"loss_db_{mark}"), column(own, f"slope_deg_{mark}")
            bound = float(loss_bound_db(mark, elements, scene.snr, scene.target_probability))
            middle = float(np.median(loss))
            line = [name, str(mark), *(f"{v:.4f}" for v in (middle, np.quantile(loss, 0.9), loss.max(), bound))]
            out.append([*line, f"{middle / bound:.2f}", f"{np.sqrt(np.mean(slope**2)):.3f}"])
    head = ["configuration", "frames", "loss, median [dB]", "9 of 10 [dB]", "worst [dB]", "bound [dB]", "median/bound"]
    return markdown([*head, "slope, rms [deg]"], out)


def steady(rows: list[dict[str, str]]) -> str:
    """A campaign in its steady state: loss over all marks and seeds together, per configuration, and detection."""
    out = []
    for name, own in configurations(rows).items():
        loss = np.concatenate([column(own, f"loss_db_{mark}") for mark in marks(rows)])
        slope = np.concatenate([column(own, f"slope_deg_{mark}") for mark in marks(rows)])
        hits = column(own, "detections_after_1000").sum() / column(own, "targets_after_1000").sum()
        figures = (np.median(loss), loss.mean(), np.quantile(loss, 0.9))
        span = f"{min(marks(rows))} to {max(marks(rows))}"
        out.append([name, span, *(f"{v:.4f}" for v in figures), f"{np.sqrt(np.mean(slope**2)):.3f}", f"{hits:.3f}"])
    head = ["configuration", "frames", "loss, median [dB]", "mean [dB]", "9 of 10 [dB]", "slope, rms [deg]"]
    return markdown([*head, "P_d at P_fa 1e-2"], out)


def places(rows: list[dict[str, str]]) -> str:
    """A campaign's position errors and detection after the first 1000 frames, per configuration."""
    out = []
    for name, own in configurations(rows).items():
        hits = column(own, "detections_after_1000").sum() / column(own, "targets_after_1000").sum()
        keys = ("position_inlier_rmse_m", "position_median_m", "outlier_rate")
        inlier, middle, outliers = (float(np.mean(column(own, f"{key}_after_1000"))) for key in keys)
        out.append([name, f"{hits:.3f}", f"{inlier:.4f}", f"{middle:.4f}", f"{100 * outliers:.2f} %"])
    head = ["configuration", "P_d at P_fa 1e-2", "RMSE, main lobe [m]", "median [m]", "outliers"]
    return markdown(head, out)


def configurations(rows: list[dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    """The rows of a campaign by what distinguishes them, seeds aside."""
    only = "drift" if float(rows[0]["drift"]) > 0 else "snr_db"  # what to call the one configuration that there is
    axes = [axis for axis in AXES[:-1] if len({row[axis] for row in rows}) > 1] or [only]
    units = {"snr_db": "{} dB", "drift": "{} deg per sqrt(1000 frames)"}
    found: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        found.setdefault(", ".join(units.get(axis, axis + " {}").format(row[axis]) for axis in axes), []).append(row)
    return found


def marks(rows: list[dict[str, str]]) -> list[int]:
    """The numbers of frames at which a campaign noted kappa's error."""
    return [int(name.removeprefix("loss_db_")) for name in rows[0] if name.startswith("loss_db_")]


def column(rows: list[dict[str, str]], name: str) -> NDArray[np.float64]:
    """The numbers of a column, empty fields left out."""
    return np.array([float(row[name]) for row in rows if row[name]])


TABLES: dict[str, Callable[[list[dict[str, str]]], str]] = {
    function.__name__: function
    for function in (detection, position, alarms, kappas, peaks, reached, campaign, steady, places)
}


def filled(page: str) -> str:
    """The document with every table made anew."""
    return _BLOCK.sub(lambda m: m[1] + TABLES[m[2]](read_table(PAGE.parent / m[3])[1]) + m[4], page)


def main() -> int:
    """The tool; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 where a table is not the CSV's")
    options = parser.parse_args()
    page = PAGE.read_text()
    new = filled(page)
    if options.check:
        if new != page:
            print("docs/results.md: tables differ from docs/results/*.csv; run tools/results.py", file=sys.stderr)
        return int(new != page)
    PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
