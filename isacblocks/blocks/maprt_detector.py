"""The MAP ratio test of eqs. (9) and (20)-(25): is there a target, where, how strong, with which probability."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from isacblocks.blocks.records import DETECTION, KAPPA, PEAK, fields_of, radar_sizes
from isacblocks.kernels.arrays import Float, frozen
from isacblocks.kernels.detection import (
    angle_extent,
    delay_extent,
    gain_estimate,
    target_probabilities,
    window_thresholds,
)
from isacblocks.kernels.warmup import load
from isacblocks.radar import SPEED_OF_LIGHT, OfdmRadar, Scene
from isacblocks.stream import Block, In, Out, Reading, Setting, State
from isacblocks.stream.spec import Items

NOISE = ("known", "estimated")
_ROUNDING = 1e-15  # of ||Y||^2, per sample: frames come in single precision


class MaprtDetector(Block):
    """Compares T = |s|^2 / (N ||x||^2 N0) with the closed-form threshold of every frame's own search window.

    radar, scene: parameters, of which the SNR and P(t = 1) enter gamma_hat and the probability only, not the decision. Where
    a calibrator's words come back on ``kappa``, its estimates of both take the place of the scene's;
    p_fa: false-alarm probability; n_theta, n_tau: points of the grid that was searched; refine: searched off the grid;
    noise: "known", the setting `noise_power`; or "estimated", what the peak leaves of its own frame: a constant false-alarm
    rate whatever the noise, with the threshold for M = N S - 1 samples. An echo that kappa does not focus counts as noise.
    """

    peak = In(PEAK)
    kappa = In(KAPPA, optional=True)
    detection = Out(DETECTION)
    p_fa = Setting(float, initial=1e-2, minimum=1e-12, maximum=0.4, doc="false-alarm probability")
    noise_power = Setting(float, initial=1.0, minimum=1e-300, doc="N0, where the noise is known")
    snr = State("float64")  # linear
    prior = State("float64")  # P(t = 1)
    detected = Reading(doc="share of the last message's frames with a detection")

    def __init__(
        self,
        radar: OfdmRadar,
        scene: Scene | None = None,
        p_fa: float = 1e-2,
        n_theta: int = 100,
        n_tau: int = 100,
        refine: bool = False,
        noise: str = "known",
    ) -> None:
        if noise not in NOISE:
            raise ValueError(f"noise: expected one of {', '.join(NOISE)}, got {noise!r}")
        self.radar = radar
        self.scene = scene or Scene()
        self.estimated = noise == "estimated"
        self.p_fa = p_fa
        self.n_theta, self.n_tau = (0, 0) if refine else (n_theta, n_tau)

    def dimensions(self) -> Mapping[str, int]:
        """N, S, K."""
        return radar_sizes(self.radar)

    @classmethod
    def prepare(cls) -> None:
        """Load the compiled kernels."""
        load("detection")

    def start(self) -> None:
        """Begin with the scene's SNR and P(t = 1)."""
        super().start()
        self.snr, self.prior = self.scene.snr, self.scene.target_probability

    def _noise(self, peak: Items) -> Float:
        """N0 of every frame, (F,)."""
        if not self.estimated:
            return np.full(len(peak), self.noise_power)
        # where a frame has no noise at all, what the peak leaves is rounding
        return np.asarray(np.maximum(peak.noise_power, _ROUNDING * peak.energy + 1e-300))

    def process(self, peak: Items, kappa: Items | None) -> Items:
        """One detection per peak record; a frame without a usable peak has none."""
        if kappa is not None and len(kappa):
            self.snr, self.prior = float(10 ** (kappa.snr[-1] / 10)), kappa.target_probability[-1]
        elements = self.radar.antennas
        extent_1 = angle_extent(peak.theta_min, peak.theta_max, self.radar)
        extent_2 = delay_extent(peak.tau_min, peak.tau_max, self.radar)
        samples = elements * self.radar.subcarriers - 1 if self.estimated else math.inf
        threshold = window_thresholds(self.p_fa, extent_1, extent_2, self.n_theta, self.n_tau, samples)
        filled = np.arange(peak.statistic.shape[1]) < peak.peaks[:, None]
        floor = elements * np.maximum(peak.symbol_energy, 1e-300) * self._noise(peak)
        level = np.where(filled, peak.statistic / floor[:, None], 0.0)
        probability = np.zeros_like(level)
        for k in range(level.shape[1]):
            column = np.empty(len(peak))
            target_probabilities(
                frozen(level[:, k]),
                frozen(extent_1),
                frozen(extent_2),
                self.snr,
                self.prior,
                column,
            )
            probability[:, k] = column
        noise_to_gain = elements * self.radar.subcarriers / self.snr  # N0 / sigma_gamma^2, whatever N0 is
        gain = np.stack([gain_estimate(s, peak.symbol_energy, elements, noise_to_gain) for s in peak.correlation.T], axis=1)
        distance = SPEED_OF_LIGHT * peak.tau / 2
        position = np.stack([distance * np.cos(peak.theta), distance * np.sin(peak.theta)], axis=-1)
        present = filled & (level >= threshold[:, None])
        self.detected = float(present[:, 0].mean())
        return self.detection.items(
            **fields_of(PEAK, peak),
            present=present,
            level=level,
            threshold=threshold,
            probability=np.where(filled, probability, 0.0),
            gain=gain,
            range=distance,
            position=position,
        )
