"""The channel of eq. (8): Y = t gamma (kappa . a(theta)) (b(tau) . x)^T + W, with kappa that may drift and jump.

t, gamma, theta, tau and the prior sector follow Table I (:class:`~isacblocks.radar.Scene`), kappa one of the laws of
:mod:`isacblocks.kernels.impairments`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.records import COMPRESSED, FRAME, SAMPLES, SYMBOL, TRUTH, radar_sizes
from isacblocks.kernels.arrays import real_view
from isacblocks.kernels.compressed_simulation import antenna_powers, off_circle, simulate_compressed
from isacblocks.kernels.delay_basis import DelayBasis, delay_basis
from isacblocks.kernels.impairments import LAWS, draw_impairments, drift_phases, retract
from isacblocks.kernels.random import check_seed
from isacblocks.kernels.simulation import Truth, draw_scene, simulate_frames
from isacblocks.kernels.warmup import load
from isacblocks.radar import OfdmRadar, Scene
from isacblocks.stream import Block, In, Out, Setting, State
from isacblocks.stream.spec import Items

_UNIT = 2e-5  # how far a symbol's |x|^2 may be from one: single precision's rounding


@dataclass(frozen=True)
class PhaseStep:
    """At frame `frame` the phase of the named antennas jumps by `degrees`, and stays there; gain: of their echoes then."""

    frame: int
    antennas: tuple[int, ...]
    degrees: float
    gain: float = 1.0


class ImpairedChannel(Block):
    """From symbols to what an impaired array receives, with the truth on a port of its own.

    Of ``frame`` and ``compressed`` only what is connected is made. ``compressed`` draws the frame directly in the delay
    basis of the scene's window: the same law, not the same noise, and only for symbols of modulus one.

    radar, scene: parameters; impairments: the name of a law, or kappa itself as complex (N,); seed: of everything random;
    drift: standard deviation of each antenna's phase walk in degrees per square root of 1000 frames; steps: jumps of chosen
    antennas; noise_power: N0. SNR and drift are settings too, and antennas may be kicked and muted while the stream runs:
    from the next message on. Raises ValueError for arguments that cannot be.
    """

    symbols = In(SYMBOL)
    frame = Out(FRAME)
    compressed = Out(COMPRESSED)
    truth = Out(TRUTH)
    snr_db = Setting(float, initial=15.0, unit="dB", minimum=-60.0, maximum=60.0, doc="mean SNR")
    drift = Setting(float, initial=0.0, unit="deg", minimum=0.0, maximum=1e3, doc="phase walk per sqrt(1000 frames)")
    kicks = Setting(list, initial=[], unit="deg", doc="added to the phase of every antenna; empty: nothing")
    muted = Setting(list, initial=[], doc="antennas that receive no echo")
    walk = State("float64", "N")  # rad, the drift so far

    def __init__(
        self,
        radar: OfdmRadar,
        scene: Scene | None = None,
        impairments: str | NDArray[Any] = "table1",
        seed: int = 0,
        drift: float = 0.0,
        steps: Sequence[PhaseStep] = (),
        noise_power: float = 1.0,
    ) -> None:
        self.radar = radar
        self.scene = scene or Scene()
        self.seed = check_seed(seed)
        self.window = self.scene.delay_window(radar)
        if isinstance(impairments, str):
            self.kappa = draw_impairments(impairments, radar.antennas, seed)
        else:
            self.kappa = np.asarray(impairments, np.complex128)
            if self.kappa.shape != (radar.antennas,):
                raise ValueError(
                    f"impairments: expected a law ({', '.join(LAWS)}) or kappa of shape ({radar.antennas},), "
                    f"got shape {self.kappa.shape}"
                )
            self.kappa = retract(self.kappa)
        if not (math.isfinite(drift) and drift >= 0):
            raise ValueError(f"drift: expected at least 0 degrees per sqrt(1000 frames), got {drift!r}")
        if not (math.isfinite(noise_power) and noise_power > 0):
            raise ValueError(f"noise_power: expected a positive number, got {noise_power!r}")
        self.drift = drift
        self.snr_db = self.scene.snr_db
        self.noise_power = noise_power
        self.steps = tuple(steps)
        for step in self.steps:
            if step.frame < 0 or any(not 0 <= n < radar.antennas for n in step.antennas):
                raise ValueError(f"steps: expected frames from 0 and antennas 0 to {radar.antennas - 1}, got {step}")

    def kick(self, antenna: int, degrees: float) -> None:
        """Turn an antenna's phase by so many degrees, for good. Raises ValueError for what cannot be."""
        if not 0 <= antenna < self.radar.antennas or not math.isfinite(degrees):
            expected = f"an antenna from 0 to {self.radar.antennas - 1} and finite degrees"
            raise ValueError(f"kick: expected {expected}, got {antenna} and {degrees}")
        turned = list(self.kicks) or [0.0] * self.radar.antennas
        turned[antenna] += float(degrees)
        self.kicks = turned

    def mute(self, antenna: int, silent: bool = True) -> None:
        """Let an antenna receive no echo any more, or, silent=False, again. Raises ValueError for what cannot be."""
        if not 0 <= antenna < self.radar.antennas:
            raise ValueError(f"mute: expected an antenna from 0 to {self.radar.antennas - 1}, got {antenna}")
        self.muted = sorted({*self.muted, antenna} if silent else {*self.muted} - {antenna})

    @cached_property
    def basis(self) -> DelayBasis:
        """The delay basis of ``compressed``."""
        return delay_basis(self.radar, *self.window)

    def dimensions(self) -> Mapping[str, int]:
        """N, S, D, K."""
        return radar_sizes(self.radar) | {"D": self.basis.rank}

    @classmethod
    def prepare(cls) -> None:
        """Load the compiled kernels."""
        load("simulation")

    def impairments_at(self, first: int, count: int) -> NDArray[np.complex128]:
        """kappa of frames first .. first + count - 1, shape (count, N); moves the walk on."""
        calm = self.drift == 0 and not np.count_nonzero(self.walk) and not self.kicks and not self.muted
        if calm and all(first + count <= step.frame for step in self.steps):
            return np.broadcast_to(self.kappa, (count, self.radar.antennas))
        phases = np.zeros((count, self.radar.antennas))
        if self.drift == 0:
            phases += self.walk
        else:
            deviation = math.radians(self.drift) / math.sqrt(1000)
            phases += drift_phases(self.seed, first, count, self.radar.antennas, self.walk, deviation)
            self.walk = phases[-1]
        frames = np.arange(first, first + count)
        for step in self.steps:
            phases[np.ix_(frames >= step.frame, np.array(step.antennas, int))] += math.radians(step.degrees)
        if self.kicks:
            phases += np.radians(self.kicks)
        kappa = self.kappa * np.exp(1j * phases)
        for step in self.steps:
            if step.gain != 1.0:
                kappa[np.ix_(frames >= step.frame, np.array(step.antennas, int))] *= step.gain
        kappa[:, self.muted] = 0.0
        return np.asarray(kappa)

    def process(self, symbols: Items) -> tuple[Items, ...]:
        """One frame, and one truth, per symbol vector."""
        first, count = symbols.first, len(symbols)
        law = self.scene if self.snr_db == self.scene.snr_db else replace(self.scene, snr_db=self.snr_db)
        scene = draw_scene(self.seed, first, count, self.radar, law)
        scene = replace(scene, gamma=scene.gamma * math.sqrt(self.noise_power))
        kappa = self.impairments_at(first, count)
        sector = {
            "theta_min": scene.theta_min,
            "theta_max": scene.theta_max,
            "tau_min": np.full(count, self.window[0]),
            "tau_max": np.full(count, self.window[1]),
            "time": np.arange(first, first + count) * self.radar.frame_duration,
            "valid": np.ones(count, np.uint8),
        }
        made = [
            self.truth.items(
                present=scene.present, gamma=scene.gamma, theta=scene.theta, tau=scene.tau, kappa=kappa.astype(np.complex64)
            )
        ]
        if self.frame.connected:
            made.append(self.frame.items(y=self._frames(symbols, scene, kappa), x=symbols.x, **sector))
        if self.compressed.connected:
            made.append(self.compressed.items(**self._compressed(symbols, scene, kappa), **sector))
        return tuple(made)

    def _frames(self, symbols: Items, scene: Truth, kappa: NDArray[np.complex128]) -> NDArray[Any]:
        """The frames, drawn where they are sent from."""
        return simulate_frames(
            symbols.x,
            scene.gamma,
            kappa,
            scene.theta,
            scene.tau,
            self.radar,
            noise_power=self.noise_power,
            seed=self.seed,
            first=symbols.first,
            out=self.frame.allocate(len(symbols))["y"],
        )

    def _compressed(self, symbols: Items, scene: Truth, kappa: NDArray[np.complex128]) -> dict[str, NDArray[Any]]:
        if off_circle(real_view(symbols.x), _UNIT):
            raise ValueError(
                "symbols: compressed frames are drawn for symbols of modulus one only, got moduli from "
                f"{np.abs(symbols.x).min():.3g} to {np.abs(symbols.x).max():.3g}; send QPSK, or take the full frames and a "
                "DelayCompressor"
            )
        drawn = simulate_compressed(
            scene, kappa, self.basis, noise_power=self.noise_power, seed=self.seed, first=symbols.first
        )
        power = np.empty(drawn.g.shape[:2], np.float32)
        antenna_powers(real_view(drawn.g), power)  # of a simulated antenna the subspace tells as much as all samples
        samples = dict(zip(SAMPLES, (power, np.ones_like(power)), strict=True))
        return {"g": drawn.g, "energy": drawn.energy, "symbol_energy": drawn.symbol_energy} | samples
