"""The report of a calibration from a recording as one page for a browser: what was found, its pictures, every antenna."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from isacblocks._version import __version__

_STYLE = """body{font:15px/1.5 sans-serif;max-width:72em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;border-bottom:1px solid #ddd;text-align:right}
th:first-child,td:first-child{text-align:left}img{max-width:100%}.ill{color:#b30000;font-weight:bold}"""
_COLUMNS = {
    "antenna": ("antenna", "{}"),
    "gain_db": ("gain [dB]", "{:+.2f}"),
    "phase_deg": ("phase [deg]", "{:+.2f}"),
    "sigma_deg": ("sigma [deg]", "{:.2f}"),
    "health": ("health", "{}"),
}


def page_of(report: Mapping[str, Any], antennas: Sequence[Mapping[str, Any]], picture: Path | None) -> str:
    """HTML that needs no other file.

    report: that of `replay_recording`; antennas: a row each, keys as in _COLUMNS, None for what is not told; picture: a PNG,
    None where there is none.
    """
    name = escape(str(report["recording"]))
    before, after = report["efficiency_before"], report["efficiency_after"]
    facts = {
        "recording": name,
        "frames": f"{report['frames']}; kappa learned from {report['learned_from']}, judged by {report['judged_by']} others",
        "SNR, share of frames with a target": f"{report['snr_db']:.1f} dB, {report['target_probability']:.2f}",
        "combining efficiency, mean": f"{before['mean']:.4f} with kappa = 1, {after['mean']:.4f} with the learned kappa",
        "combining efficiency, median": f"{before['median']:.4f}, {after['median']:.4f}",
        "array gain that was won": f"{report['gain_db']:+.2f} dB",
        "written by": f"isacblocks {__version__}",
    }
    told = "".join(f"<tr><td>{key}</td><td style='text-align:left'>{value}</td></tr>" for key, value in facts.items())
    heads = "".join(f"<th>{title}</th>" for title, _ in _COLUMNS.values())
    lines = "".join(_line(row) for row in antennas)
    shown = "<p>No picture: matplotlib is not installed.</p>"
    if picture is not None:
        data = base64.b64encode(picture.read_bytes()).decode()
        about = "maps of a frame that was not learned from, combining efficiency frame by frame, kappa by antenna"
        shown = f'<img alt="{about}" src="data:image/png;base64,{data}">'
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Calibration: {name}</title><style>{_STYLE}</style>'
        f"<h1>Calibration</h1><table>{told}</table>{shown}"
        f"<h2>Antennas</h2><p>Phases relative to a common one and to a common slope, standard deviations of the phases.</p>"
        f"<table><tr>{heads}</tr>{lines}</table></html>\n"
    )


def _line(row: Mapping[str, Any]) -> str:
    """A row of the table of antennas."""
    cells = ("-" if row.get(key) is None else escape(form.format(row[key])) for key, (_, form) in _COLUMNS.items())
    ill = ' class="ill"' if row.get("health") not in (None, "good") else ""
    return f"<tr{ill}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
