"""What a calibration is worth where there is no truth: coherent combining efficiency, and the levels a recording has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.detection import angle_extent, delay_extent, window_thresholds
from isacblocks.radar import OfdmRadar

_SURE = 1e-3  # false-alarm probability of the frames that are counted as having a target


@dataclass(frozen=True)
class Levels:
    """Mean SNR of the frames with a target, sigma_gamma^2 N S / N0, in dB; and the share of frames that have one."""

    snr_db: float
    target_probability: float


def _level(peaks: Mapping[str, NDArray[Any]], radar: OfdmRadar) -> NDArray[np.float64]:
    """T = |s|^2 / (N ||x||^2 N0) for N0 = 1."""
    return np.asarray(peaks["statistic"][:, 0] / (radar.antennas * np.maximum(peaks["symbol_energy"], 1e-300)))


def clear_peaks(peaks: Mapping[str, NDArray[Any]], radar: OfdmRadar) -> NDArray[np.bool_]:
    """Which frames, with N0 = 1, surely show a target."""
    extents = (
        angle_extent(peaks["theta_min"], peaks["theta_max"], radar),
        delay_extent(peaks["tau_min"], peaks["tau_max"], radar),
    )
    return np.asarray((_level(peaks, radar) > window_thresholds(_SURE, *extents, 0, 0)) & (peaks["valid"] != 0))


def levels_of(peaks: Mapping[str, NDArray[Any]], radar: OfdmRadar) -> Levels:
    """Levels from the peaks of frames with N0 = 1, under whatever kappa; the share is kept between 2 and 98 percent.

    Raises ValueError where no frame has a clear peak.
    """
    level, clear = _level(peaks, radar), clear_peaks(peaks, radar)
    if not clear.any():
        raise ValueError(f"no frame of {len(level)} has a peak above the noise; is the noise power 1, the window right?")
    return Levels(10 * math.log10(float(level[clear].mean()) - 1), float(np.clip(clear.mean(), 0.02, 0.98)))


def efficiencies(peaks: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """|kappa^H u|^2 / (||kappa||^2 ||u||^2) per frame, ||kappa||^2 = N: 1 where all antennas add up in phase."""
    snapshot = peaks["snapshot"][:, 0].astype(np.complex128)
    total = snapshot.shape[1] * np.square(np.abs(snapshot)).sum(axis=1)
    return np.asarray(peaks["statistic"][:, 0] / np.maximum(total, 1e-300))


def efficiency_report(
    recording: str,
    frames: int,
    learned_from: int,
    split: str,
    levels: Levels,
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    kappa: NDArray[Any],
) -> dict[str, Any]:
    """What a calibration from a recording has brought, as JSON may have it.

    frames: of the recording, learned_from of them for learning; split: how they were parted; before, after: the efficiency
    of each of the others that shows a target, under kappa = 1 and under the learned kappa (N,).
    """
    return {
        "recording": recording,
        "frames": frames,
        "learned_from": learned_from,
        "judged_by": before.size,
        "split": split,
        "snr_db": levels.snr_db,
        "target_probability": levels.target_probability,
        "efficiency_before": {"mean": float(before.mean()), "median": float(np.median(before))},
        "efficiency_after": {"mean": float(after.mean()), "median": float(np.median(after))},
        "gain_db": float(10 * np.log10(after.mean() / before.mean())),
        "kappa": [[float(k.real), float(k.imag)] for k in kappa],
    }


def efficiency_in_words(report: Mapping[str, Any]) -> str:
    """The same for people, in two lines."""
    before, after = report["efficiency_before"], report["efficiency_after"]
    return (
        f"{report['frames']} frames of {len(report['kappa'])} antennas; learned kappa from {report['learned_from']}, "
        f"at {report['snr_db']:.1f} dB SNR\n"
        f"combining efficiency on {report['judged_by']} others that show a target: "
        f"mean {before['mean']:.4f} before, {after['mean']:.4f} after; "
        f"median {before['median']:.4f} before, {after['median']:.4f} after"
    )
