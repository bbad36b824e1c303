"""The frozen parameters of the radar and of the scene it looks at; Table I of the paper by default.

Units: metres, seconds, hertz, radians; element positions in wavelengths; powers relative to the noise power N0 = 1.

Source: J. M. Mateos-Ramos et al., "Unsupervised Learning for Gain-Phase Impairment Calibration in ISAC Systems",
ICASSP 2025, Table I. Two of its numbers are rounded there and exact here: "5 mm" for the spacing lambda/2 at 60 GHz is
lambda itself, and R_max = 43.75 m is c T_cp / 2 with c = 3e8 m/s. See docs/maths.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPEED_OF_LIGHT = 299_792_458.0  # m/s


def _require(ok: bool, owner: str, name: str, expected: str, came: object) -> None:
    if not ok:
        raise ValueError(f"{owner}: {name} must be {expected}, got {came!r}")


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0


@dataclass(frozen=True)
class OfdmRadar:
    """An OFDM transmitter and the N-element array that listens to its echoes.

    Elements lie in the plane of the angle theta: x points along the boresight (theta = 0), y along the array, so that the
    steering vector is [a(theta)]_n = exp(-j 2 pi (x_n cos theta + y_n sin theta)), which is eq. (3) for the uniform linear
    array y_n = n d_R / lambda.

    antennas: N; subcarriers: S; subcarrier_spacing: Delta_f in hertz; carrier_frequency: f_c in hertz; element_spacing: d_R
    in wavelengths; cyclic_prefix: T_cp as a fraction of T = 1 / Delta_f; element_positions: (x, y, z) of every element in
    wavelengths, None for the uniform linear array. Raises ValueError for what cannot be.
    """

    antennas: int = 64  # N
    subcarriers: int = 256  # S
    subcarrier_spacing: float = 240e3  # Delta_f, Hz
    carrier_frequency: float = 60e9  # f_c, Hz
    element_spacing: float = 0.5  # d_R, wavelengths
    cyclic_prefix: float = 0.07  # T_cp as a fraction of the elementary symbol T = 1 / Delta_f
    element_positions: tuple[tuple[float, float, float], ...] | None = None  # wavelengths; None: uniform linear array

    def __post_init__(self) -> None:
        me = "OfdmRadar"
        _require(_is_count(self.antennas, 2), me, "antennas", "an integer of at least 2", self.antennas)
        _require(_is_count(self.subcarriers, 2), me, "subcarriers", "an integer of at least 2", self.subcarriers)
        for name in ("subcarrier_spacing", "carrier_frequency", "element_spacing", "cyclic_prefix"):
            value = getattr(self, name)
            _require(_is_positive(value), me, name, "a positive finite number", value)
        if self.element_positions is not None:
            shape = (len(self.element_positions), {len(p) for p in self.element_positions})
            _require(
                shape == (self.antennas, {3}),
                me,
                "element_positions",
                f"{self.antennas} triples (x, y, z) in wavelengths",
                self.element_positions,
            )

    @property
    def wavelength(self) -> float:
        """lambda = c / f_c in metres."""
        return SPEED_OF_LIGHT / self.carrier_frequency

    @property
    def bandwidth(self) -> float:
        """S Delta_f in hertz."""
        return self.subcarriers * self.subcarrier_spacing

    @property
    def symbol_duration(self) -> float:
        """The elementary symbol duration T = 1 / Delta_f in seconds."""
        return 1.0 / self.subcarrier_spacing

    @property
    def prefix_duration(self) -> float:
        """The cyclic prefix T_cp in seconds: the longest delay that eq. (4) allows."""
        return self.cyclic_prefix * self.symbol_duration

    @property
    def frame_duration(self) -> float:
        """T_sym = T_cp + T in seconds."""
        return self.prefix_duration + self.symbol_duration

    @property
    def uniform_linear(self) -> bool:
        """True where the array is the uniform linear array of eq. (3)."""
        return self.element_positions is None

    @cached_property
    def positions(self) -> NDArray[np.float64]:
        """Element positions, shape (N, 3), in wavelengths."""
        import numpy as np

        if self.element_positions is not None:
            return np.array(self.element_positions, dtype=np.float64)
        out = np.zeros((self.antennas, 3))
        out[:, 1] = np.arange(self.antennas) * self.element_spacing
        return out

    def range_of(self, delay: float) -> float:
        """Range in metres of a round-trip delay in seconds."""
        return SPEED_OF_LIGHT * delay / 2

    def delay_of(self, distance: float) -> float:
        """Round-trip delay in seconds of a range in metres."""
        return 2 * distance / SPEED_OF_LIGHT


@dataclass(frozen=True)
class Scene:
    """What may be in front of the radar: the laws of t, gamma, theta and tau in Table I.

    A frame's prior sector of angles has a random centre and width; its window of delays runs from the nearest range to
    the farthest one, by default the one whose echo still falls inside the cyclic prefix.

    snr_db: sigma_gamma^2 N S / N0 in decibels, mean over the fading gain; target_probability: P(t = 1); sector_centre_max:
    the centre is drawn from U[-this, this]; sector_width_min, sector_width_max: the width is drawn between them, all three
    in radians; range_min, range_max: in metres, None for c T_cp / 2. Raises ValueError for what cannot be.
    """

    snr_db: float = 15.0  # sigma_gamma^2 N S / N0, mean over the fading gain
    target_probability: float = 0.5  # P(t = 1)
    sector_centre_max: float = math.radians(60)  # theta_mean ~ U[-this, this]
    sector_width_min: float = math.radians(10)  # Delta_theta ~ U[min, max]
    sector_width_max: float = math.radians(20)
    range_min: float = 10.0  # m
    range_max: float | None = None  # m; None: c T_cp / 2, the paper's 43.75 m with c = 3e8

    def __post_init__(self) -> None:
        me = "Scene"
        _require(math.isfinite(self.snr_db), me, "snr_db", "a finite number of decibels", self.snr_db)
        _require(0 <= self.target_probability <= 1, me, "target_probability", "between 0 and 1", self.target_probability)
        widths = (self.sector_width_min, self.sector_width_max)
        _require(0 < widths[0] <= widths[1] < math.pi, me, "sector widths", "0 < min <= max < pi radians", widths)
        edge = self.sector_centre_max + self.sector_width_max / 2
        _require(
            self.sector_centre_max >= 0 and edge <= math.pi / 2,
            me,
            "sector_centre_max",
            "at least 0 with the widest sector inside +-pi/2 radians",
            self.sector_centre_max,
        )
        _require(_is_positive(self.range_min), me, "range_min", "a positive number of metres", self.range_min)
        if self.range_max is not None:
            _require(self.range_max > self.range_min, me, "range_max", "above range_min", self.range_max)

    @property
    def snr(self) -> float:
        """The linear SNR, sigma_gamma^2 N S / N0."""
        return float(10 ** (self.snr_db / 10))

    def gain_variance(self, radar: OfdmRadar) -> float:
        """sigma_gamma^2 in units of N0."""
        return self.snr / (radar.antennas * radar.subcarriers)

    def delay_window(self, radar: OfdmRadar) -> tuple[float, float]:
        """(tau_min, tau_max) in seconds.

        Raises ValueError where the farthest echo would arrive after the cyclic prefix, which eq. (4) excludes.
        """
        low = radar.delay_of(self.range_min)
        high = radar.prefix_duration if self.range_max is None else radar.delay_of(self.range_max)
        farthest = radar.range_of(radar.prefix_duration)
        if high > radar.prefix_duration * (1 + 1e-12):
            raise ValueError(
                f"Scene: range_max {self.range_max:g} m is an echo of {high:.4g} s, later than the cyclic prefix "
                f"{radar.prefix_duration:.4g} s; take at most {farthest:.2f} m or a longer prefix"
            )
        if low >= high:
            raise ValueError(
                f"Scene: range_min {self.range_min:g} m lies beyond the farthest range {farthest:.2f} m of the cyclic prefix"
            )
        return low, high
