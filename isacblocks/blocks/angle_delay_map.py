"""The angle-delay map of eq. (11) and its maximum, eqs. (9)-(10), over every frame's own prior sector."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.records import COMPRESSED, FRAME, KAPPA, PEAK, SAMPLES, SECTOR, antenna_samples, radar_sizes, where
from isacblocks.kernels.arrays import Float, frozen
from isacblocks.kernels.compressed_peak import search_compressed_literally
from isacblocks.kernels.delay_basis import Compressed, DelayBasis, delay_basis
from isacblocks.kernels.impairments import retract
from isacblocks.kernels.peak import Peaks, search_literally
from isacblocks.kernels.search import search, search_compressed
from isacblocks.kernels.warmup import load
from isacblocks.radar import OfdmRadar, Scene
from isacblocks.stream import Block, In, Out, Setting, State, WiringError
from isacblocks.stream.spec import Field, Items, Record

MAP = Record("map", (Field("map", "float32", ("angles", "delays"), doc="M of eq. (11), not normalised"),))


def sector_grid(low: NDArray[Any], high: NDArray[Any], points: int) -> Float:
    """`points` values from low to high for every frame, shape (F, points), or (1, points) where all frames agree."""
    if np.count_nonzero(low == low[0]) + np.count_nonzero(high == high[0]) == 2 * low.size:
        low, high = low[:1], high[:1]
    return np.asarray(low[:, None] + (high - low)[:, None] * _fractions(points))


@cache
def _fractions(points: int) -> Float:
    """0 to 1 in `points` values."""
    return frozen(np.linspace(0.0, 1.0, points))


class AngleDelayMap(Block):
    """The peak of every frame's map, and the snapshot u there; the map itself only while somebody is connected to it.

    Frames come whole, on ``frame``, or from a DelayCompressor, on ``compressed``; one of the two is connected.
    radar: its parameters; n_theta, n_tau: points of the search grid (Table I: 100 each); kappa: what is assumed until the
    calibrator's first word, complex (N,), 1 by default; refine: move peaks off the grid; scene: its delay window says in
    which basis compressed frames come, as it did to the compressor; window: (tau_min, tau_max) in seconds, in the place of
    the scene's. Frames that carry just this window are searched at speed, others by the literal sums, so that what comes
    out for a frame does not depend on its neighbours in a message.
    Frames marked invalid, or with samples that are not finite, pass with no peak and ``valid`` 0.
    """

    frame = In(FRAME, optional=True)
    compressed = In(COMPRESSED, optional=True)
    kappa = In(KAPPA, optional=True)
    peak = Out(PEAK)
    map = Out(MAP)
    refine = Setting(bool, initial=False, doc="move peaks off the grid, to the maximum of the continuous map")
    assumed = State("complex128", "N")

    def __init__(
        self,
        radar: OfdmRadar,
        n_theta: int = 100,
        n_tau: int = 100,
        kappa: NDArray[Any] | None = None,
        refine: bool = False,
        scene: Scene | None = None,
        window: tuple[float, float] | None = None,
    ) -> None:
        self.radar = radar
        low, high = (scene or Scene()).delay_window(radar) if window is None else window
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"window: expected two different delays in seconds, the lower one first, got {window!r}")
        self.window = float(low), float(high)
        for name, points in (("n_theta", n_theta), ("n_tau", n_tau)):
            if isinstance(points, bool) or not isinstance(points, int) or points < 1:
                raise ValueError(f"{name}: expected a number of grid points of at least 1, got {points!r}")
        self.n_theta, self.n_tau = n_theta, n_tau
        start = np.ones(radar.antennas) if kappa is None else np.asarray(kappa)
        if start.shape != (radar.antennas,):
            raise ValueError(f"kappa: expected shape ({radar.antennas},), got {start.shape}")
        self.initial = retract(start.astype(np.complex128))
        self.refine = refine

    @cached_property
    def basis(self) -> DelayBasis:
        """The delay basis of ``compressed``."""
        return delay_basis(self.radar, *self.window)

    def dimensions(self) -> Mapping[str, int]:
        """N, S, D, K and the grid."""
        return radar_sizes(self.radar) | {"D": self.basis.rank, "angles": self.n_theta, "delays": self.n_tau}

    @classmethod
    def prepare(cls) -> None:
        """Load the compiled kernels."""
        load("peak search")

    def start(self) -> None:
        """Begin with the initial kappa."""
        super().start()
        self.assumed = self.initial
        if self.frame.connected and self.compressed.connected:
            raise WiringError(f"{self.label}: frame and compressed are both connected; connect one of them")

    def process(self, frame: Items | None, compressed: Items | None, kappa: Items | None) -> Items | tuple[Items, ...]:
        """One peak per frame."""
        if kappa is not None and len(kappa):
            self.assumed = kappa.kappa[-1]
        came = frame if frame is not None else compressed
        assert came is not None
        maps = np.empty((len(came), self.n_theta, self.n_tau), np.float32) if self.map.connected else None
        found = self._search(came, maps)
        usable = (came.valid != 0) & np.isfinite(found.energy) & (found.symbol_energy > 0)
        cells = self.radar.antennas * self.radar.subcarriers
        with np.errstate(all="ignore"):
            rest = (found.energy - found.statistic / (self.radar.antennas * found.symbol_energy)) / (cells - 1)
        peak = self.peak.items(
            peaks=usable.view(np.uint8),
            statistic=where(usable, found.statistic)[:, None],
            correlation=where(usable, found.correlation)[:, None],
            theta=found.theta[:, None],
            tau=found.tau[:, None],
            snapshot=where(usable, found.snapshot)[:, None, :],
            energy=where(usable, found.energy),
            symbol_energy=where(usable, found.symbol_energy),
            noise_power=where(usable, rest),
            **self._samples(came, usable),
            **{name: came.fields[name] for name in SECTOR if name != "valid"},
            valid=usable.view(np.uint8),
        )
        return peak if maps is None else (peak, self.map.items(map=maps))

    @staticmethod
    def _samples(frame: Items, usable: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
        """What every antenna's samples look like; a compressor has looked at them already."""
        if "g" in frame.fields:
            return {name: frame.fields[name] for name in SAMPLES}
        return antenna_samples(frame.y, usable)

    def _search(self, frame: Items, maps: NDArray[np.float32] | None) -> Peaks:
        """Eqs. (9)-(11) over every frame's own grid; see the class on frames of other windows."""
        usual = (frame.tau_min == self.window[0]) & (frame.tau_max == self.window[1])
        if usual.all() or not usual.any():
            return self._search_alike(frame, bool(usual.all()), slice(None), maps)
        found: list[Peaks] = []
        for alike in (True, False):
            rows = np.flatnonzero(usual == alike)
            part = None if maps is None else np.empty((rows.size, *maps.shape[1:]), maps.dtype)
            found.append(self._search_alike(frame, alike, rows, part))
            if maps is not None and part is not None:
                maps[rows] = part
        order = np.argsort(np.argsort(~usual, kind="stable"))  # from those of the usual window before the others, back
        return Peaks(*(np.concatenate([getattr(p, f.name) for p in found])[order] for f in fields(Peaks)))

    def _search_alike(self, frame: Items, usual: bool, rows: Any, maps: NDArray[np.float32] | None) -> Peaks:
        """The peaks of `rows` of the frames, all of the usual window or all of others."""
        theta = sector_grid(frame.theta_min[rows], frame.theta_max[rows], self.n_theta)
        tau = sector_grid(frame.tau_min[rows], frame.tau_max[rows], self.n_tau)
        if "g" in frame.fields:
            frames = Compressed(frame.g[rows], frame.energy[rows], frame.symbol_energy[rows])
            find = search_compressed if usual else search_compressed_literally
            return find(frames, self.basis, self.assumed, theta, tau, self.refine, maps)
        find_whole = search if usual else search_literally
        return find_whole(frame.y[rows], frame.x[rows], self.assumed, theta, tau, self.radar, self.refine, maps)
