"""The JSON report of a run and its short form in words."""

from __future__ import annotations

import math
import platform
from typing import Any

import msgspec
import numpy as np

from isacblocks._version import __version__
from isacblocks.kernels.bounds import loss_bound_db
from isacblocks.radar import OfdmRadar, Scene
from isacblocks.stream import Status
from isacblocks.study.evaluation import Evaluation
from isacblocks.view.tap import looks_on
from isacblocks.view.words import decibels, named


def edge_report(status: Status) -> list[dict[str, Any]]:
    """The books of every edge, in items: produced = committed + in_flight + dropped."""
    return [
        {
            "from": edge.sender,
            "to": edge.receiver,
            "produced": edge.produced,
            "committed": edge.committed,
            "in_flight": edge.in_flight,
            "dropped": edge.lost,
            "dropped_by_reason": edge.dropped,
        }
        for edge in status.edges
    ]


def block_report(status: Status) -> dict[str, Any]:
    """Items, messages, the time spent inside process(), and the thread's CPU time there and altogether, per block."""
    return {
        name: {
            "items": max(block.items_in, block.items_out if not block.items_in else 0),
            "messages": block.messages,
            "work_seconds": block.work_seconds,
            "work_cpu_seconds": block.work_cpu_seconds,
            "cpu_seconds": block.cpu_seconds,
            "restarts": block.restarts,
        }
        for name, block in status.blocks.items()
    }


def calibration_report(
    status: Status, judge: Evaluation, radar: OfdmRadar, scene: Scene, p_fa: float, **known: Any
) -> dict[str, Any]:
    """The report of an online calibration; `known`: what the caller adds (seed, placement, method and so on)."""
    rows = judge.kappa_errors()
    for row in rows:
        row["bound_db"] = float(loss_bound_db(row["frames"], radar.antennas, scene.snr, scene.target_probability))
    found = {"kappa_error": rows, "detection": judge.detection_figures(p_fa)}
    return _report(status, judge.frames, radar, scene, known, found)


def flowgraph_report(status: Status, radar: OfdmRadar, scene: Scene, **known: Any) -> dict[str, Any]:
    """The report of a flowgraph that nobody judges: its books, and the last readings of its blocks (null: none yet)."""
    frames = max((block.items_out for block in status.blocks.values() if not block.items_in), default=0)
    readings = {
        name: {key: value if math.isfinite(value) else None for key, value in block.readings.items()}
        for name, block in status.blocks.items()
        if block.readings
    }
    return _report(status, frames, radar, scene, known, {"readings": readings})


def _report(
    status: Status, frames: int, radar: OfdmRadar, scene: Scene, known: dict[str, Any], found: dict[str, Any]
) -> dict[str, Any]:
    """What every report says, around what was found."""
    return {
        "frames": frames,
        "seconds": status.seconds,
        "frames_per_second": frames / status.seconds if status.seconds else 0.0,
        **known,
        "phase": status.phase,
        **found,
        "edges": edge_report(status),
        "blocks": block_report(status),
        "radar": msgspec.to_builtins(radar),
        "scene": msgspec.to_builtins(scene),
        "versions": {"isacblocks": __version__, "numpy": np.__version__, "python": platform.python_version()},
    }


def _figure(value: float | None, form: str, unit: str = "") -> str:
    return "-" if value is None else form.format(value) + unit


def receiver_in_words(found: dict[str, Any]) -> list[str]:
    """What the calibrator itself thinks."""
    sigma = None if found["sigma_rad"] is None else math.degrees(found["sigma_rad"])
    snr, prior, noise = _figure(found["snr_db"], "{:.1f}", " dB"), found["target_probability"], found["noise_power"]
    lines = [
        f"the receiver's view: SNR {snr}, P(t = 1) {_figure(prior, '{:.2f}')}, N0 {_figure(noise, '{:.4g}')}"
        + ("" if sigma is None else f", phases known to {sigma:.2f} deg")
    ]
    being = {"restarted": "restarted, their phases being learned"}
    lines += [f"antennas {being.get(name, name)}: {named(antennas)}" for name, antennas in found["health"].items()]
    return lines


def in_words(report: dict[str, Any]) -> str:
    """The report for a person at a terminal."""
    lines = [
        f"{report['frames']} frames in {report['seconds']:.2f} s ({report['frames_per_second']:.0f} frames/s, "
        f"{report['placement']})"
    ]
    if report.get("kappa_error"):
        last = report["kappa_error"][-1]
        lines.append(
            f"kappa after {last['frames']} frames: loss {decibels(last['loss_db'])} (bound {decibels(last['bound_db'])}), "
            f"error {last['ramp_db']:.1f} dB without the ramp, {last['phase_db']:.1f} dB with it, "
            f"boresight bias {last['slope_deg']:+.3f} deg"
        )
    if report.get("receiver"):
        lines += receiver_in_words(report["receiver"])
    lines += [*detection_in_words(report["detection"])] if "detection" in report else []
    edges = [edge for edge in report["edges"] if not looks_on(edge["to"])]  # what a view misses is lost to nobody
    lost = sum(edge["dropped"] for edge in edges)
    balanced = all(e["produced"] == e["committed"] + e["in_flight"] + e["dropped"] for e in report["edges"])
    lines.append(f"streams: {len(edges)} edges, {'balanced' if balanced else 'NOT BALANCED'}, {lost} items dropped")
    restarts = {name: block["restarts"] for name, block in report.get("blocks", {}).items() if block["restarts"]}
    if restarts:
        lines.append("replaced processes: " + ", ".join(f"{name} {count}" for name, count in restarts.items()))
    return "\n".join(lines)


def detection_in_words(figures: dict[str, Any]) -> list[str]:
    """P_d, P_fa and positions."""
    lines = []
    for name, part in (("all frames", figures), ("after the first 1000", figures["after_1000"])):
        if part["p_d"] is not None:
            lines.append(
                f"detection, {name}: P_d {part['p_d']:.3f}, P_fa {_figure(part['p_fa'], '{:.4f}')} "
                f"(nominal {figures['p_fa_nominal']:g}), position RMSE {_figure(part['position_rmse_m'], '{:.3f}', ' m')}"
            )
    lines.append(
        f"position: median {_figure(figures['position_median_m'], '{:.3f}', ' m')}, RMSE without outliers "
        f"{_figure(figures['position_inlier_rmse_m'], '{:.3f}', ' m')}, outliers "
        f"{_figure(figures['outlier_rate'], '{:.2%}')}"
    )
    return lines
