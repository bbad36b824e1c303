"""The angle-delay map of eq. (11) and its maximum, eqs. (9)-(10), over every frame's own prior sector."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.records import COMPRESSED, FRAME, KAPPA, PEAK, SAMPLES, SECTOR, radar_sizes, where
from isacblocks.blocks.soundness import Refusals, sound_samples
from isacblocks.kernels.arrays import Float, frozen
from isacblocks.kernels.compressed_peak import search_compressed_literally
from isacblocks.kernels.delay_basis import Compressed, DelayBasis, delay_basis
from isacblocks.kernels.impairments import retract
from isacblocks.kernels.peak import Peaks, search_literally
from isacblocks.kernels.search import search, search_compressed
from isacblocks.kernels.soundness import LATEST, REASONS, USABLE, judge_frames
from isacblocks.kernels.warmup import load
from isacblocks.radar import OfdmRadar, Scene
from isacblocks.stream import Block, In, Out, Reading, Setting, State, WiringError
from isacblocks.stream.spec import Field, Items, Record

MAP = Record("map", (Field("map", "float32", ("angles", "delays"), doc="M of eq. (11), not normalised"),))


Fields = dict[str, NDArray[Any]]
_LIMITS = ("theta_min", "theta_max", "tau_min", "tau_max")


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
    Antennas with samples that cannot be used are left out of their frames; frames marked invalid, without samples, with
    numbers that are none, or with a burst of interference pass with no peak and ``valid`` 0, and are counted by reason:
    :mod:`isacblocks.kernels.soundness`. Raises ValueError for arguments that cannot be.
    """

    frame = In(FRAME, optional=True)
    compressed = In(COMPRESSED, optional=True)
    kappa = In(KAPPA, optional=True)
    peak = Out(PEAK)
    map = Out(MAP)
    refine = Setting(bool, initial=False, doc="move peaks off the grid, to the maximum of the continuous map")
    burst = Setting(float, initial=4.0, minimum=1.0, doc="times the usual noise: a frame with more is refused; inf: none")
    assumed = State("complex128", "N")
    latest = State("float64", LATEST + 1)  # noise of the latest frames, by which bursts are told
    muted = State("uint64")  # antennas, summed over the frames
    refused = State("uint64", len(REASONS))  # frames, by reason
    invalid = Reading("frames", "refused so far")
    refused_antennas = Reading("antennas", "left out so far, summed over the frames")

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
        load("soundness")

    def start(self) -> None:
        """Begin with the initial kappa. Raises WiringError where both inputs of frames are connected."""
        super().start()
        self.assumed = self.initial
        self.refusals = Refusals(self.label)
        if self.frame.connected and self.compressed.connected:
            raise WiringError(f"{self.label}: frame and compressed are both connected; connect one of them")

    def process(self, frame: Items | None, compressed: Items | None, kappa: Items | None) -> Items | tuple[Items, ...]:
        """One peak per frame."""
        if kappa is not None and len(kappa) and np.isfinite(kappa.kappa[-1]).all():
            self.assumed = kappa.kappa[-1]
        came = frame if frame is not None else compressed
        assert came is not None
        fields, sector = self._sound(came)
        maps = np.empty((len(came), self.n_theta, self.n_tau), np.float32) if self.map.connected else None
        found = self._search(fields, maps)
        rest, usable = self._judge(found, fields, sector, came.first)
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
            **{name: where(usable, fields[name]) for name in SAMPLES},
            **{name: fields[name] for name in SECTOR if name != "valid"},
            valid=usable.view(np.uint8),
        )
        return peak if maps is None else (peak, self.map.items(map=maps))

    def _sound(self, came: Items) -> tuple[Fields, Float]:
        """The fields, without antennas that cannot be used, in sectors that can be searched; and the limits that came."""
        fields = dict(came.fields)
        sector = np.array([fields[name] for name in _LIMITS])
        if not np.isfinite(sector.sum()):
            sane = np.isfinite(sector.sum(axis=0))
            fields |= {name: where(sane, fields[name]) for name in _LIMITS}
        if "y" in fields:
            fields["y"], samples, refused = sound_samples(came.y, came.valid)
            fields |= samples
            self.muted += refused
            self.refused_antennas = float(self.muted)
        return fields, sector

    def _judge(self, found: Peaks, fields: Fields, sector: Float, first: int) -> tuple[Float, NDArray[np.bool_]]:
        """N0 from what the peak leaves of every frame, and whether it can be used, (F,)."""
        rest, codes = np.empty(found.energy.size), np.empty(found.energy.size, np.uint8)
        judge_frames(
            frozen(fields["valid"]),
            frozen(sector),
            frozen(found.energy),
            frozen(found.symbol_energy),
            frozen(found.statistic),
            frozen(found.snapshot.astype(np.complex64, copy=False)),
            frozen(fields["antenna_power"]),
            frozen(self.assumed),
            self.radar.subcarriers,
            self.burst,
            self.latest,
            rest,
            codes,
        )
        usable = codes == USABLE
        if np.count_nonzero(usable) < usable.size:
            self.refused += np.bincount(codes[~usable], minlength=len(REASONS)).astype(np.uint64)
            self.refusals.note(codes, first)
        self.invalid = float(self.refused[USABLE + 1 :].sum())
        return rest, usable

    def findings(self) -> dict[str, Any]:
        """Plain values for a report: frames refused, by reason, and antennas left out, summed over the frames."""
        frames = {name: int(count) for name, count in zip(REASONS[1:], self.refused[1:], strict=True) if count}
        return {"refused": frames, "refused_antennas": int(self.muted)}

    def _search(self, frame: Fields, maps: NDArray[np.float32] | None) -> Peaks:
        """Eqs. (9)-(11) over every frame's own grid; see the class on frames of other windows."""
        usual = (frame["tau_min"] == self.window[0]) & (frame["tau_max"] == self.window[1])
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

    def _search_alike(self, frame: Fields, usual: bool, rows: Any, maps: NDArray[np.float32] | None) -> Peaks:
        """The peaks of `rows` of the frames, all of the usual window or all of others."""
        theta = sector_grid(frame["theta_min"][rows], frame["theta_max"][rows], self.n_theta)
        tau = sector_grid(frame["tau_min"][rows], frame["tau_max"][rows], self.n_tau)
        if "g" in frame:
            frames = Compressed(frame["g"][rows], frame["energy"][rows], frame["symbol_energy"][rows])
            find = search_compressed if usual else search_compressed_literally
            return find(frames, self.basis, self.assumed, theta, tau, self.refine, maps)
        find_whole = search if usual else search_literally
        return find_whole(frame["y"][rows], frame["x"][rows], self.assumed, theta, tau, self.radar, self.refine, maps)
