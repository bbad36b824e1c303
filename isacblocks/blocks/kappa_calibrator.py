"""Learns the gain-phase impairments kappa from the detected peaks, without labels, while the radar senses.

Methods, by name:

``online`` (default)
    one pass at the Cramer-Rao bound and the slope from the prior sectors, :mod:`isacblocks.kernels.calibration`;
``adam-max``, ``adam-reconstruction``
    the paper's: gradient descent on eq. (14) or (15) by Adam and ||kappa||^2 = N, Algorithm 1, a batch being consecutive
    frames of the stream.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.calibration_file import Calibration, calibration_of
from isacblocks.blocks.records import GAUGE_START, KAPPA, PEAK, radar_sizes
from isacblocks.kernels.adam import SECOND_MOMENTS, adam_step
from isacblocks.kernels.arrays import frozen
from isacblocks.kernels.calibration import (
    best_slope,
    online_sums,
    rotate,
    slope_deviation,
    slope_likelihood_ula,
)
from isacblocks.kernels.detection import angle_extent, delay_extent
from isacblocks.kernels.errors import best_ramp
from isacblocks.kernels.impairments import retract
from isacblocks.kernels.losses import max_gradient, reconstruction_gradient
from isacblocks.kernels.warmup import load
from isacblocks.radar import OfdmRadar, Scene
from isacblocks.stream import Block, In, Out, Reading, Setting, State
from isacblocks.stream.spec import Items

METHODS = ("online", "adam-max", "adam-reconstruction")
BATCH = {"online": 8, "adam-max": 128, "adam-reconstruction": 128}  # frames per update, where none is given
_SLOPES = 101  # points of the slope's posterior
_REACH = 8.0  # of its grid, in prior standard deviations
_TABLE1_PHASES = math.pi / math.sqrt(12)  # standard deviation of U[-pi/2, pi/2]


class KappaCalibrator(Block):
    """Tracks kappa and sends an estimate after every `batch` usable frames.

    radar, scene: parameters, the SNR and P(t = 1) among them; method: see the module; batch: frames per update, by default 8
    for "online" and 128 for Adam; kappa: the start kappa^(0), complex (N,), 1 by default; confidence: how many frames with a
    target the start is worth to "online"; slope: whether "online" estimates the slope; phase_deviation: prior standard
    deviation of the impairments' phases in radians, which bounds the slope; learning_rate, second_moment: Adam's.
    The result depends on the frames and their order, not on how they are divided into messages.
    """

    peak = In(PEAK)
    kappa = Out(KAPPA, aligned=False)
    memory = Setting(float, initial=math.inf, unit="frames", minimum=1.0, doc="of the online method")
    snr_db = Setting(float, initial=15.0, unit="dB", minimum=-60.0, maximum=120.0)
    noise_power = Setting(float, initial=1.0, minimum=1e-300, doc="N0")
    estimate = State("complex128", "N")
    frames = State("uint64")
    targets = State("float64")
    filled = State("int64")  # frames in the update that is being filled
    pending = State("complex128", "N")  # its sum
    pending_slope = State("float64", "slopes")
    pending_loss = State("float64", 1)
    total = State("complex128", "N")
    likelihood = State("float64", "slopes")
    slope = State("float64")  # of the estimate, on the scale of `likelihood`
    steps = State("int64")
    mean = State("complex128", "N")
    square = State("float64", "N", 2)
    used = Reading("frames")

    def __init__(
        self,
        radar: OfdmRadar,
        scene: Scene | None = None,
        method: str = "online",
        batch: int | None = None,
        kappa: NDArray[Any] | None = None,
        confidence: float = 1.0,
        slope: bool = True,
        phase_deviation: float = _TABLE1_PHASES,
        learning_rate: float = 1e-2,
        second_moment: str = "modulus",
    ) -> None:
        self.radar = radar
        self.scene = scene or Scene()
        if method not in METHODS:
            raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
        if second_moment not in SECOND_MOMENTS:
            raise ValueError(f"second_moment: expected one of {', '.join(SECOND_MOMENTS)}, got {second_moment!r}")
        self.method = method
        self.second_moment = second_moment
        self.batch = BATCH[method] if batch is None else batch
        if isinstance(self.batch, bool) or not isinstance(self.batch, int) or self.batch < 1:
            raise ValueError(f"batch: expected a number of frames of at least 1, got {batch!r}")
        start = np.ones(radar.antennas) if kappa is None else np.asarray(kappa)
        if start.shape != (radar.antennas,):
            raise ValueError(f"kappa: expected shape ({radar.antennas},), got {start.shape}")
        self.initial = retract(start.astype(np.complex128))
        for name, value in (("learning_rate", learning_rate), ("phase_deviation", phase_deviation)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name}: expected a positive number, got {value!r}")
        if not (math.isfinite(confidence) and confidence >= 0):
            raise ValueError(f"confidence: expected at least 0 frames, got {confidence!r}")
        self.confidence = confidence
        self.learning_rate = learning_rate
        self.with_slope = slope and method == "online" and radar.uniform_linear
        self.slope_prior = slope_deviation(phase_deviation, radar.antennas)
        self.slopes = np.linspace(-_REACH, _REACH, _SLOPES) * self.slope_prior
        self.snr_db = self.scene.snr_db

    def dimensions(self) -> Mapping[str, int]:
        """N, S, K and the points of the slope's posterior."""
        return radar_sizes(self.radar) | {"slopes": _SLOPES}

    @classmethod
    def prepare(cls) -> None:
        """Load the compiled kernels."""
        load("online calibration")
        load("gradient descent")

    @property
    def snr(self) -> float:
        """The linear SNR that was set."""
        return float(10 ** (self.snr_db / 10))

    def start(self) -> None:
        """Begin with kappa^(0)."""
        super().start()
        self.estimate = self.initial
        # A frame with a target adds |gamma|^2 N X^2 kappa on average: SNR S N0 per element of modulus one.
        self.total = self.initial * (self.confidence * self.snr * self.radar.subcarriers * self.noise_power)

    def process(self, peak: Items) -> Items | None:
        """Fill updates with the usable frames; one kappa item for every update that is complete."""
        usable = np.flatnonzero((peak.valid != 0) & (peak.peaks > 0))
        made: list[dict[str, Any]] = []
        done = 0
        while done < usable.size:
            part = usable[done : done + self.batch - self.filled]
            self._add({name: array[part] for name, array in peak.fields.items()})
            done += part.size
            self.filled += part.size
            self.frames += part.size
            if self.filled == self.batch:
                made.append(self._update())
        self.used = float(self.frames)
        if not made:
            return None
        return self.kappa.items(**{name: np.stack([item[name] for item in made]) for name in made[0]})

    def _add(self, peak: Mapping[str, NDArray[Any]]) -> None:
        """Add frames to the update that is being filled."""
        u = frozen(peak["snapshot"][:, 0, :].astype(np.complex128))
        kappa = frozen(self.estimate)
        if self.method == "adam-max":
            max_gradient(u, kappa, self.pending_loss, self.pending)
        elif self.method == "adam-reconstruction":
            noise_to_gain = self.radar.antennas * self.radar.subcarriers / self.snr
            energies = frozen(peak["energy"]), frozen(peak["symbol_energy"])
            reconstruction_gradient(u, *energies, kappa, noise_to_gain, self.pending_loss, self.pending)
        else:
            self._add_online(u, kappa, peak)

    def _add_online(
        self, u: NDArray[np.complex128], kappa: NDArray[np.complex128], peak: Mapping[str, NDArray[Any]]
    ) -> None:
        prior = self.scene.target_probability
        extent_1 = frozen(angle_extent(peak["theta_min"], peak["theta_max"], self.radar))
        extent_2 = frozen(delay_extent(peak["tau_min"], peak["tau_max"], self.radar))
        energy = frozen(peak["symbol_energy"])
        probability = np.empty(u.shape[0])
        online_sums(u, energy, extent_1, extent_2, kappa, self.snr, prior, self.noise_power, self.pending, probability)
        for p in probability:  # one after the other: the same bits however the frames came
            self.targets += float(p)
        if self.with_slope:
            slope_likelihood_ula(
                u,
                energy,
                frozen(peak["theta"][:, 0]),
                frozen(peak["theta_min"]),
                frozen(peak["theta_max"]),
                extent_2,
                frozen(probability),
                kappa,
                self.radar.element_spacing,
                self.snr,
                prior,
                self.noise_power,
                frozen(self.slopes),
                self.pending_slope,
            )

    def _update(self) -> dict[str, Any]:
        """The update is full: a new estimate from it."""
        if self.method == "online":
            self._update_online()
            loss = math.nan
        else:
            self.steps += 1
            loss = float(self.pending_loss[0]) / self.batch
            gradient = frozen(self.pending / self.batch)
            kappa = self.estimate.copy()
            components = self.second_moment == "components"
            adam_step(kappa, gradient, self.mean, self.square, self.steps, self.learning_rate, components)
            self.estimate = retract(kappa)
        self.pending[:] = 0
        self.pending_slope[:] = 0
        self.pending_loss[:] = 0
        self.filled = 0
        return {
            "kappa": self.estimate.copy(),
            "sigma": np.full(self.radar.antennas, self._phase_deviation()),
            "health": np.zeros(self.radar.antennas, np.uint8),
            "slope": self.slope,
            "slope_sigma": self._slope_deviation(),
            "frames": self.frames,
            "targets": self.targets,
            "loss": loss,
            "gauge": np.uint8(GAUGE_START),
        }

    def _update_online(self) -> None:
        keep = math.exp(-self.batch / self.memory)
        self.total = keep * self.total + self.pending
        before, after = self.estimate, retract(self.total)
        if self.with_slope:
            # The frames' likelihoods are functions of the slope relative to the estimate they were seen with.
            self.likelihood = keep * self.likelihood + np.interp(self.slopes - self.slope, self.slopes, self.pending_slope)
            self.slope += best_ramp(after * before.conj())[0]
            target = best_slope(self.slopes, self.likelihood, self.slope_prior)
            turn = target - self.slope
            rotate(after, turn)
            rotate(self.total, turn)
            self.slope = target
        self.estimate = after

    def calibration(self, provenance: str = "") -> Calibration:
        """What has been learned so far, for a calibration file."""
        sigma, slope_sigma = self._phase_deviation(), self._slope_deviation()
        return calibration_of(
            self.radar,
            self.estimate,
            sigma_rad=None if math.isnan(sigma) else [sigma] * self.radar.antennas,
            health=[0] * self.radar.antennas,
            slope_rad=self.slope,
            slope_sigma_rad=None if math.isnan(slope_sigma) else slope_sigma,
            frames=self.frames,
            targets=self.targets,
            method=self.method,
            snr_db=self.snr_db,
            provenance=provenance,
        )

    def _phase_deviation(self) -> float:
        """Standard deviation of one antenna's phase, from the information gathered: half of the bound's NMSE per antenna."""
        gathered = min(self.targets, self.memory * self.scene.target_probability) + self.confidence
        if self.method != "online" or gathered <= 0:
            return math.nan
        return math.sqrt(self.radar.antennas * (1 + self.snr) / (2 * self.snr**2 * gathered))

    def _slope_deviation(self) -> float:
        """Standard deviation of the slope from the curvature of its posterior at the top."""
        if not self.with_slope:
            return math.nan
        step = self.slopes[1] - self.slopes[0]
        posterior = self.likelihood - np.square(self.slopes) / (2 * self.slope_prior**2)
        k = min(max(int(np.argmax(posterior)), 1), _SLOPES - 2)
        curve = (2 * posterior[k] - posterior[k - 1] - posterior[k + 1]) / step**2
        return 1 / math.sqrt(curve) if curve > 0 else self.slope_prior
