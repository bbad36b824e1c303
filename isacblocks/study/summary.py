"""A campaign in figures: per configuration, over its seeds, kappa's loss against its bound, the slope, P_d and P_fa."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from isacblocks.kernels.bounds import loss_bound_db
from isacblocks.radar import Scene
from isacblocks.study.campaign import AXES, Campaign
from isacblocks.study.cell import Figure, Row

_CONFIGURATION = AXES[:-1]  # all but the seed
_UNITS = {"snr_db": " dB", "drift": " deg/sqrt(1000 frames)"}


def _values(rows: Sequence[Row], name: str) -> list[float]:
    return [float(value) for row in rows if (value := row[name]) is not None]


def _said(name: str, value: Figure) -> str:
    return f"{name} {value:g}{_UNITS.get(name, '')}" if isinstance(value, float) else f"{name} {value}"


def _rate(rows: Sequence[Row], events: str, chances: str) -> str:
    """Events per chance over all rows together."""
    total = sum(_values(rows, chances))
    return f"{sum(_values(rows, events)) / total:.4f}" if total else "-"


def _middle(rows: Sequence[Row], name: str, form: str) -> str:
    """The median over the rows."""
    values = _values(rows, name)
    return form.format(float(np.median(values))) if values else "-"


def _mark_line(campaign: Campaign, rows: Sequence[Row], mark: int) -> str | None:
    loss, slope = np.array(_values(rows, f"loss_db_{mark}")), np.array(_values(rows, f"slope_deg_{mark}"))
    if not loss.size:
        return None
    first = rows[0]
    bound, ratio = "-", "-"
    if first["method"] not in ("known", "none") and first["drift"] == 0 and not campaign.steps:  # it is for a kappa at rest
        scene = Scene(snr_db=float(first["snr_db"] or 0))
        least = float(loss_bound_db(mark, int(first["antennas"] or 0), scene.snr, scene.target_probability))
        bound, ratio = f"{least:.4f}", f"{np.median(loss) / least:.2f}"
    return (
        f"  {mark:8d}  {np.median(loss):11.4f}  {loss.mean():9.4f}  {np.quantile(loss, 0.9):9.4f}  {loss.max():9.4f}  "
        f"{bound:>8s}  {ratio:>12s}  {np.sqrt(np.mean(slope**2)):9.4f}"
    )


def _configuration(campaign: Campaign, rows: Sequence[Row], title: str) -> Iterable[str]:
    yield f"{title}: {len(rows)} of {len(campaign.seed)} seeds"
    if not rows:
        return
    lines = [line for mark in campaign.marks if (line := _mark_line(campaign, rows, mark)) is not None]
    if lines:
        yield "    frames  median loss       mean    9 of 10      worst     bound  median/bound  slope rms"
        yield from lines
    for part, what in (("", "all frames"), ("_after_1000", "after 1000")):
        if sum(_values(rows, "targets" + part)):
            yield (
                f"  {what}: P_d {_rate(rows, 'detections' + part, 'targets' + part)}, "
                f"P_fa {_rate(rows, 'false_alarms' + part, 'absent' + part)} (nominal {campaign.p_fa:g}), "
                f"position median {_middle(rows, 'position_median_m' + part, '{:.3f}')} m, "
                f"RMSE without outliers {_middle(rows, 'position_inlier_rmse_m' + part, '{:.3f}')} m, "
                f"outliers {_middle(rows, 'outlier_rate' + part, '{:.2%}')}"
            )


def summary(campaign: Campaign, rows: Iterable[Row]) -> str:
    """The rows that there are, in words: losses in dB, slopes in degrees, rates over all frames of all seeds together."""
    groups: dict[tuple[Figure, ...], list[Row]] = {}
    for cell in campaign.cells():
        groups.setdefault(tuple(getattr(cell, axis) for axis in _CONFIGURATION), [])
    for row in rows:
        groups[tuple(row[axis] for axis in _CONFIGURATION)].append(row)
    moving = [axis for axis in _CONFIGURATION if len(getattr(campaign, axis)) > 1]
    fixed = [_said(axis, getattr(campaign, axis)[0]) for axis in _CONFIGURATION if axis not in moving]
    lines = [f"all: {', '.join(fixed)}"] if fixed else []
    for values, members in groups.items():
        named = dict(zip(_CONFIGURATION, values, strict=True))
        title = ", ".join(_said(axis, named[axis]) for axis in moving) or "the configuration"
        lines += _configuration(campaign, members, title)
    return "\n".join(lines)
