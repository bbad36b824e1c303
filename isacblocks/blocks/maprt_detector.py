"""The MAP ratio test of eqs. (9) and (20)-(25): is there a target, where, how strong, with which probability."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

import numpy as np

from isacblocks.blocks.records import DETECTION, KAPPA, PEAK, fields_of, radar_sizes
from isacblocks.blocks.told_noise import RUN, flagged, noise_doubts
from isacblocks.kernels.arrays import Float, frozen
from isacblocks.kernels.decision import LEVEL, PROBABILITY, RANGE, decide
from isacblocks.kernels.detection import window_thresholds, windows
from isacblocks.kernels.warmup import load
from isacblocks.radar import OfdmRadar, Scene
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
    A known noise that the frames contradict by more than a factor of 10 is flagged: one warning, the reading `noise_wrong`.
    Raises ValueError for another word for the noise.
    """

    peak = In(PEAK)
    kappa = In(KAPPA, optional=True)
    detection = Out(DETECTION)
    p_fa = Setting(float, initial=1e-2, minimum=1e-12, maximum=0.4, doc="false-alarm probability")
    noise_power = Setting(float, initial=1.0, minimum=1e-300, doc="N0, where the noise is known")
    snr = State("float64")  # linear
    prior = State("float64")  # P(t = 1)
    doubt = State("int64")  # that the noise is as it was told
    noise_wrong = Reading("frames", doc="so many frames say that N0 is not what was told, within a factor of 10")
    wrong = State("int64")  # the same
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

    def _doubt(self, peak: Items) -> None:
        """Flag a noise that is told and far from what the frames hold; it is believed all the same."""
        said = {
            "noise_power": np.where(peak.peaks > 0, peak.noise_power, 0.0),
            "symbol_energy": peak.symbol_energy,
            "snapshot": peak.snapshot[:, 0],
        }
        walk = noise_doubts(int(self.doubt), self.noise_power, said, self.radar.antennas * self.radar.subcarriers)
        more = flagged(int(self.doubt), walk)
        if more and not self.wrong:
            logging.getLogger(f"isacblocks.{self.label}").warning(
                "N0 was told to be %.3g, but %d frames more say otherwise than agree, the last one %.3g: the false-alarm "
                "probability is not the one that was set; set noise_power to that, or take noise='estimated'; "
                "further frames are counted in the reading noise_wrong",
                self.noise_power,
                RUN,
                float(peak.noise_power[-1]),
            )
        self.doubt = int(walk[-1]) if walk.size else self.doubt
        self.wrong += more
        self.noise_wrong = float(self.wrong)

    def process(self, peak: Items, kappa: Items | None) -> Items:
        """One detection per peak record; a frame without a usable peak has none."""
        if kappa is not None and len(kappa):
            self.snr, self.prior = float(10 ** (kappa.snr[-1] / 10)), float(kappa.target_probability[-1])
        if not self.estimated:
            self._doubt(peak)
        elements, shape = self.radar.antennas, peak.statistic.shape
        extents = windows(peak.fields, self.radar, self.n_theta, self.n_tau)
        samples = elements * self.radar.subcarriers - 1 if self.estimated else math.inf
        threshold = window_thresholds(self.p_fa, extents[0], extents[1], self.n_theta, self.n_tau, samples)
        present, values, gain = np.empty(shape, np.uint8), np.empty((3, *shape)), np.empty(shape, np.complex128)
        position = np.empty((*shape, 2))
        decide(
            frozen(peak.statistic),
            frozen(peak.correlation),
            frozen(peak.theta),
            frozen(peak.tau),
            frozen(peak.peaks),
            frozen(peak.symbol_energy),
            frozen(self._noise(peak)),
            extents,
            frozen(threshold),
            elements,
            elements * self.radar.subcarriers / self.snr,  # N0 / sigma_gamma^2, whatever N0 is
            self.snr,
            self.prior,
            present,
            values,
            gain,
            position,
        )
        self.detected = np.count_nonzero(present[:, 0]) / shape[0]
        return self.detection.items(
            **fields_of(PEAK, peak),
            present=present,
            level=values[LEVEL],
            threshold=threshold,
            probability=values[PROBABILITY],
            gain=gain,
            range=values[RANGE],
            position=position,
        )
