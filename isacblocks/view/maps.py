"""The angle-delay map of one frame, before and after calibration, and whether a detector sees a target in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.delay_basis import Compressed, DelayBasis, delay_basis
from isacblocks.kernels.detection import window_thresholds, windows
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

        message: what a tap showed of a stream of compressed frames; kappa: (N,).
        """
        fields = message["fields"]
        picture = None
        for row in reversed(np.flatnonzero(fields["valid"])):
            made = self._picture(fields, int(row), int(message["first"]) + int(row), kappa, p_fa)
            if made.detected:
                return made
            picture = picture or made
        return picture

    def _picture(
        self, fields: dict[str, Any], row: int, number: int, kappa: NDArray[np.complex128], p_fa: float
    ) -> MapPicture:
        one = {name: np.ascontiguousarray(array[row : row + 1]) for name, array in fields.items()}
        frame = Compressed(one["g"], one["energy"], one["symbol_energy"])
        low, high = float(one["theta_min"][0]), float(one["theta_max"][0])
        theta = np.linspace(low, high, POINTS)[None]
        tau = np.linspace(*self.basis.window, POINTS)[None]
        maps = np.empty((2, 1, POINTS, POINTS), np.float32)
        plain = search_compressed(frame, self.basis, np.ones(self.radar.antennas, np.complex128), theta, tau, False, maps[0])
        found = search_compressed(frame, self.basis, kappa, theta, tau, False, maps[1])
        power, gain = float(found.statistic[0]), float(found.statistic[0] / max(plain.statistic[0], 1e-300))
        cells, share = self.radar.antennas * self.radar.subcarriers, self.radar.antennas * float(one["symbol_energy"][0])
        noise = 1.0 if self.noise_known else max((float(one["energy"][0]) - power / share) / (cells - 1), 1e-300)
        extents = windows(one, self.radar, POINTS, POINTS)
        samples = math.inf if self.noise_known else cells - 1
        threshold = float(window_thresholds(p_fa, extents[0], extents[1], POINTS, POINTS, samples)[0])
        top = max(float(maps.max()), 1e-30)
        return MapPicture(
            frame=number,
            before=maps[0, 0] / top,
            after=maps[1, 0] / top,
            gain_db=10 * math.log10(max(gain, 1e-30)),
            sector=(low, high),
            window=self.basis.window,
            theta=float(found.theta[0]),
            tau=float(found.tau[0]),
            level=power / (share * noise),
            threshold=threshold,
        )
