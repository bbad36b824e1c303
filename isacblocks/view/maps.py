"""The angle-delay map of one frame, before and after calibration, and whether a detector sees a target in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.delay_basis import Compressed, DelayBasis, delay_basis
from isacblocks.kernels.detection import window_thresholds, windows
from isacblocks.kernels.peak import Peaks
from isacblocks.kernels.search import search_compressed
from isacblocks.radar import OfdmRadar, Scene

POINTS = 100  # of the grid in angle and in delay, Table I


@dataclass(frozen=True)
class MapPicture:
    """Maps (POINTS, POINTS), angle by delay, relative to the larger of their peaks. Angles in rad, delays in s.

    level, threshold: the statistic T of the calibrated map's peak and what it takes to be a detection.
    """

    frame: int
    before: NDArray[np.float32]
    after: NDArray[np.float32]
    gain_db: float  # of the peak, by calibration
    sector: tuple[float, float]
    window: tuple[float, float]
    theta: float
    tau: float
    level: float
    threshold: float

    @property
    def detected(self) -> bool:
        """Whether the peak passes the threshold."""
        return self.level >= self.threshold


class Mapper:
    """Makes pictures of compressed frames. noise_known: N0 = 1 rather than what the peak leaves of its frame."""

    def __init__(self, radar: OfdmRadar, scene: Scene, noise_known: bool = False) -> None:
        self.radar = radar
        self.basis: DelayBasis = delay_basis(radar, *scene.delay_window(radar))
        self.noise_known = noise_known

    def picture(self, message: dict[str, Any], kappa: NDArray[np.complex128], p_fa: float) -> MapPicture | None:
        """Of the newest frame of a message with a detection, else of the newest one; None where none can be used.

        message: what a tap showed of a stream of compressed frames; kappa: (N,). Maps are made of that one frame alone.
        """
        rows = np.flatnonzero(message["fields"]["valid"])
        if not rows.size:
            return None
        fields = {name: np.ascontiguousarray(array[rows]) for name, array in message["fields"].items()}
        found = self._search(fields, kappa, None)
        power, symbols = found.statistic, fields["symbol_energy"].astype(np.float64)
        share, cells = self.radar.antennas * symbols, self.radar.antennas * self.radar.subcarriers
        rest = np.maximum((fields["energy"] - power / share) / (cells - 1), 1e-300)
        levels = power / (share * (1.0 if self.noise_known else rest))
        extents = windows(fields, self.radar, POINTS, POINTS)
        samples = math.inf if self.noise_known else cells - 1
        thresholds = window_thresholds(p_fa, extents[0], extents[1], POINTS, POINTS, samples)
        detected = np.flatnonzero(levels >= thresholds)
        row = int(detected[-1]) if detected.size else rows.size - 1
        one = {name: array[row : row + 1] for name, array in fields.items()}
        maps = np.empty((2, 1, POINTS, POINTS), np.float32)
        plain = self._search(one, np.ones(self.radar.antennas, np.complex128), maps[0])
        self._search(one, kappa, maps[1])
        gain, top = power[row] / max(plain.statistic[0], 1e-300), max(float(maps.max()), 1e-30)
        return MapPicture(
            frame=int(message["first"]) + int(rows[row]),
            before=maps[0, 0] / top,
            after=maps[1, 0] / top,
            gain_db=10 * math.log10(max(gain, 1e-30)),
            sector=(float(one["theta_min"][0]), float(one["theta_max"][0])),
            window=self.basis.window,
            theta=float(found.theta[row]),
            tau=float(found.tau[row]),
            level=float(levels[row]),
            threshold=float(thresholds[row]),
        )

    def _search(self, fields: dict[str, Any], kappa: NDArray[np.complex128], maps: NDArray[np.float32] | None) -> Peaks:
        """The peaks of some frames; maps: where their maps go."""
        frames = Compressed(fields["g"], fields["energy"], fields["symbol_energy"])
        theta = np.ascontiguousarray(np.linspace(fields["theta_min"], fields["theta_max"], POINTS, axis=1))
        tau = np.linspace(*self.basis.window, POINTS)[None]
        return search_compressed(frames, self.basis, kappa, theta, tau, False, maps)
