"""Learns the gain-phase impairments kappa from the detected peaks, without labels, while the radar senses.

The methods and their names are in :mod:`isacblocks.blocks.methods.choice`. Each may start from kappa^(0), or, with
full_circle, from nothing: :mod:`isacblocks.blocks.methods.full_circle`; and forgets what a front end says does not hold any
more: :mod:`isacblocks.blocks.methods.changes`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks import told_noise
from isacblocks.blocks.calibration_file import Calibration, calibration_of
from isacblocks.blocks.methods import changes as changing
from isacblocks.blocks.methods.base import Estimate, Frames, Method
from isacblocks.blocks.methods.choice import Choice
from isacblocks.blocks.methods.findings import calibration_values, findings_of
from isacblocks.blocks.methods.kappa_items import Fields, fields_of, fields_of_all
from isacblocks.blocks.methods.surroundings import Surroundings, decibels
from isacblocks.blocks.methods.tracker import Tracker
from isacblocks.blocks.records import AS_BEFORE, CHANGE, COMPRESSED, KAPPA, PEAK, SAMPLES, radar_sizes
from isacblocks.kernels.arrays import frozen
from isacblocks.kernels.delay_basis import delay_basis
from isacblocks.kernels.impairments import retract
from isacblocks.kernels.soundness import judge_peaks
from isacblocks.kernels.warmup import load
from isacblocks.radar import OfdmRadar, Scene
from isacblocks.stream import Block, In, Out, Reading, Setting, State, WiringError
from isacblocks.stream.spec import Items

_OF_SLOTS = ("theta", "tau", "snapshot")  # fields with a value for every peak of a frame
_ASKED = (*_OF_SLOTS, "energy", "symbol_energy", "noise_power", "theta_min", "theta_max", "tau_min", "tau_max", *SAMPLES)


class KappaCalibrator(Block):
    """Tracks kappa and sends an estimate after every `batch` usable frames.

    radar: its parameters; scene: what is told, its SNR and P(t = 1), with N0 = 1; None: SNR, P(t = 1) and N0 are estimated
    from the stream, as they are from where frames contradict that N0 by more than a factor of 10 (one warning, the reading
    `noise_wrong`); method: see the module; batch: frames per update, by default 8, 32 for "em" and 128 for Adam; kappa: the
    start kappa^(0), complex (N,), 1 by default; confidence: how many frames with a target the start is worth; slope: whether
    the slope is estimated (uniform linear arrays, not Adam); phase_deviation: prior standard deviation of the impairments'
    phases in radians, which bounds the slope, by default that of U[-pi/2, pi/2], or of any phase with full_circle;
    learning_rate, second_moment: Adam's; n_theta, n_tau: points of the grid that was searched, 0 for a search off the grid;
    shrink: whether the gains that are sent are moved towards their mean by the share of their spread that is error,
    :mod:`isacblocks.kernels.gains` (not Adam's); full_circle: the phases may be anywhere, start from nothing; window: a
    scene whose delay window says in which basis compressed frames come. "em" and full_circle need them, on ``compressed``,
    beside peaks. Where ``changes`` is connected, as an OfdmReceiver has them for each frame, antennas that were changed are
    learned anew from that frame on, and the map is told at once; a new phase of all of them is a new start.
    The result depends on the frames and their order, not on how they are divided into messages.
    Raises ValueError for arguments that cannot be.
    """

    peak = In(PEAK)
    compressed = In(COMPRESSED, optional=True)
    changes = In(CHANGE, optional=True)
    kappa = Out(KAPPA, aligned=False)
    memory = Setting(float, initial=math.inf, unit="frames", minimum=1.0, doc="of online and em; the tracker finds its own")
    estimate = State("complex128", "N")
    frames = State("uint64")
    filled = State("int64")  # frames in the update that is being filled
    learned = State(dict)  # the method's memory
    broken = State("uint64")  # frames that came as valid, with numbers that are none
    passed_over = State("uint64")  # frames, these and those that came marked
    times_changed = State("uint64")
    starts = State("uint64")  # anew, because all phases were told to be unknown
    forgotten = State("uint64")  # antennas, summed over the other changes
    trust = State(dict)  # in what was told of the noise
    used = Reading("frames")
    changed = Reading("times", "that the receiver was said to be changed, so that something was forgotten")
    invalid = Reading("frames", "not used so far")
    noise_wrong = Reading("frames", "so many say that N0 is not what was told, within a factor of 10")
    snr_db = Reading("dB", "told, or estimated")
    target_probability = Reading("1", "told, or estimated")

    def __init__(
        self,
        radar: OfdmRadar,
        scene: Scene | None = None,
        method: str = "tracker",
        batch: int | None = None,
        kappa: NDArray[Any] | None = None,
        confidence: float = 1.0,
        slope: bool = True,
        phase_deviation: float | None = None,
        learning_rate: float = 1e-2,
        second_moment: str = "modulus",
        n_theta: int = 100,
        n_tau: int = 100,
        shrink: bool = True,
        full_circle: bool = False,
        window: Scene | None = None,
    ) -> None:
        self.radar, self.method = radar, method
        self.basis = delay_basis(radar, *(window or scene or Scene()).delay_window(radar))
        chosen = Choice(method, radar, self.basis, slope, phase_deviation, learning_rate, second_moment, full_circle)
        self.needs_frames = chosen.needs_frames
        if not (math.isfinite(confidence) and confidence >= 0):
            raise ValueError(f"confidence: expected at least 0 frames, got {confidence!r}")
        self.confidence = float(confidence)
        self.shrink = shrink
        self.surroundings = Surroundings(radar, scene, n_theta, n_tau)
        self.learner = chosen.make(self.surroundings)
        # Where what was told turns out to be wrong
        self.doubter = chosen.make(replace(self.surroundings, told=None)) if scene else self.learner
        self.batch = self.learner.batch if batch is None else batch
        if isinstance(self.batch, bool) or not isinstance(self.batch, int) or self.batch < 1:
            raise ValueError(f"batch: expected a number of frames of at least 1, got {batch!r}")
        start = np.ones(radar.antennas) if kappa is None else np.asarray(kappa)
        if start.shape != (radar.antennas,):
            raise ValueError(f"kappa: expected shape ({radar.antennas},), got {start.shape}")
        self.initial = retract(start.astype(np.complex128))

    def dimensions(self) -> Mapping[str, int]:
        """N, S, D, K."""
        return radar_sizes(self.radar) | {"D": self.basis.rank}

    @classmethod
    def prepare(cls) -> None:
        """Load the compiled kernels."""
        load("online calibration")
        load("tracking")
        load("soundness")
        load("gradient descent")

    def start(self) -> None:
        """Begin with kappa^(0). Raises WiringError where compressed frames are needed and not connected."""
        super().start()
        if self.needs_frames and not self.compressed.connected:
            raise WiringError(
                f"{self.label}: {self.method} from {'nothing' if self.method != 'em' else 'the whole map'} needs compressed "
                "frames; connect a DelayCompressor to `compressed`"
            )
        if self.needs_frames:
            load("start")
        self.estimate = self.initial
        self.learned = self.learner.begin(self.initial, self.confidence)
        self.trust = told_noise.trusting()
        self.changed = 0.0

    def process(self, peak: Items, compressed: Items | None, changes: Items | None = None) -> Items | None:
        """Fill updates with the usable frames; one kappa item for every update that is complete, and every change."""
        frames, usable = self._usable(peak, compressed)
        if changes is None or not (changes.changed != AS_BEFORE).any():
            return self._send(self._weigh(frames))
        parts: list[Fields] = []
        for row, piece in changing.pieces(frames, usable, changes):
            if row is not None:
                self._let_go()
            if row is not None and self.frames:  # else nothing has been learned yet
                parts.append(self._forget(changes.changed[row], changes.gain[row], changes.first + row))
            parts += self._weigh(piece)
        return self._send(parts)

    @property
    def _method(self) -> Method:
        """What learns now."""
        return self.learner if self.trust["believed"] else self.doubter

    def _weigh(self, frames: Frames) -> list[Fields]:
        """The fields of the kappa items of the updates that become full, once it is known whether N0 is what was told."""
        ready: Frames | None = frames
        doubted: Frames | None = None
        told = self.surroundings.noise_power
        if self.surroundings.told is not None:
            ready, doubted = told_noise.sort(self.trust, told, frames, self.radar.antennas * self.radar.subcarriers)
            self.noise_wrong = float(self.trust["wrong"])
        made = [] if ready is None else [self._learn(ready)]
        if doubted is not None:
            if self.trust["believed"]:
                fresh = self.doubter.begin(self.initial, self.confidence)["surroundings"]
                told_noise.give_up(self.trust, self.learned, fresh, self.label, told, doubted)
            made.append(self._learn(doubted))
        return [fields for fields in made if fields is not None]

    def _let_go(self) -> None:
        """What waits to be learned from is of the receiver as it was before a change, and is not learned from."""
        self.passed_over += told_noise.let_go(self.trust)
        self.invalid = float(self.passed_over)

    def _learn(self, frames: Frames) -> Fields | None:
        """The fields of the kappa items of all updates that become full."""
        learner = self._method
        if isinstance(learner, Tracker):
            return self._follow(learner, frames)
        count, done, filled, used, updates = frames["energy"].size, 0, self.filled, self.frames, 0
        made = self.kappa.layout.empty((filled + count) // self.batch) if filled + count >= self.batch else {}
        while done < count:
            part = min(count - done, self.batch - filled)
            learner.add(self.learned, {name: array[done : done + part] for name, array in frames.items()})
            done, filled, used = done + part, filled + part, used + part
            if filled == self.batch:
                for name, value in self._update(used).items():
                    made[name][updates] = value
                filled, updates = 0, updates + 1
        self.filled, self.frames, self.used = filled, used, float(used)
        return made if updates else None

    def _forget(self, changed: NDArray[Any], gain: NDArray[Any], frame: int) -> Fields:
        """What is known no more since `frame` is forgotten; the fields of one kappa item, which says so."""
        if self.filled:
            self._method.update(self.learned, self.filled, self.memory)
            self.filled = 0
        anew = changing.begins_anew(changed)
        if anew:
            known = self.learned["surroundings"]
            self.learned = self._method.begin(self.initial, self.confidence) | {"surroundings": known}
            self.starts += 1
        else:
            changing.forget(self._method, self.learned, changed, gain)
            self.forgotten += int(np.count_nonzero(changed))
        count = self.times_changed = int(self.times_changed) + 1
        self.changed = float(count)
        if count & (count - 1) == 0:
            what = "all phases" if anew else f"antennas {', '.join(map(str, np.flatnonzero(changed)))}"
            logging.getLogger(f"isacblocks.{self.label}").warning(
                "the receiver was changed before frame %d: %s learned anew (change %d so far); fewer echoes are detected "
                "until that is done, some hundred frames; nothing is to be done",
                frame,
                what,
                count,
            )
        made = self.kappa.layout.empty(1)
        for name, value in self._row(self._method.estimate(self.learned), self.frames).items():
            made[name][0] = value
        return made

    def _send(self, parts: list[Fields]) -> Items | None:
        if not parts:
            return None
        made = parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        self.estimate = made["kappa"][-1]
        for array in made.values():  # nobody writes to them any more: they are taken without a copy
            array.flags.writeable = False
        return self.kappa.items(**made)

    def _follow(self, tracker: Tracker, frames: Frames) -> Fields | None:
        """As _learn(), for the method that takes a message as a whole."""
        count, filled, used = frames["energy"].size, self.filled, self.frames
        found = tracker.follow(self.learned, frames, filled, self.batch)
        updates = (filled + count) // self.batch
        self.filled, self.frames, self.used = filled + count - updates * self.batch, used + count, float(used + count)
        if not updates:
            return None
        frames_used = used + self.batch * np.arange(1, updates + 1, dtype=np.uint64) - np.uint64(filled)
        made = fields_of_all(found, frames_used, self.shrink)
        self.snr_db, self.target_probability = float(made["snr"][-1]), float(found.target_probability[-1])
        return made

    def _usable(self, peak: Items, compressed: Items | None) -> tuple[Frames, NDArray[np.bool_]]:
        """What a method may ask of the message's usable frames, and which these are (F,)."""
        fields = {name: peak.fields[name][:, 0] if name in _OF_SLOTS else peak.fields[name] for name in _ASKED}
        if self.needs_frames and compressed is not None:
            fields["g"] = compressed.g
        flags = np.empty(len(peak), np.uint8)
        self.broken += judge_peaks(
            frozen(peak.valid),
            frozen(peak.peaks),
            frozen(peak.energy),
            frozen(peak.symbol_energy),
            frozen(peak.noise_power),
            frozen(fields["snapshot"]),
            flags,
        )
        usable = flags != 0
        if np.count_nonzero(flags) < flags.size:
            self.passed_over += flags.size - int(np.count_nonzero(flags))
            fields = {name: array[usable] for name, array in fields.items()}
        self.invalid = float(self.passed_over)
        fields["snapshot"] = fields["snapshot"].astype(np.complex128)
        return self.surroundings.prepared(fields), usable

    def _update(self, used: int) -> dict[str, Any]:
        """The update is full, `used` frames since the start: a new estimate from it."""
        return self._row(self._method.update(self.learned, self.batch, self.memory), used)

    def _row(self, new: Estimate, used: int) -> dict[str, Any]:
        """The fields of one kappa item."""
        made = fields_of(new, used, self._believed(), self.shrink)
        self.snr_db, self.target_probability = made["snr"], made["target_probability"]
        return made

    def _believed(self) -> tuple[float, float, float]:
        return self.surroundings.believed(self.learned["surroundings"])

    def findings(self) -> dict[str, Any]:
        """What the calibrator thinks, of the stream and of itself: plain values for a report, None where it has no thought.

        snr_db, target_probability, noise_power: told or estimated, and where frames speak against what was told of the noise
        frames_noise_wrong, their number; sigma_rad, gain_sigma: medians over the antennas;
        slope_sigma_rad; acceptance; health: the antennas that are not good, by the name of what is wrong with them.
        """
        found = findings_of(self._method.estimate(self.learned), self._believed())
        health = found.pop("health")
        found |= {"frames_passed_over": int(self.passed_over), "frames_not_numbers": int(self.broken)}
        if self.starts or self.forgotten:
            found |= {"starts_anew": int(self.starts), "antennas_forgotten": int(self.forgotten)}
        if self.trust["wrong"]:
            found["frames_noise_wrong"] = self.trust["wrong"]
        return found | {"health": health}

    def calibration(self, provenance: str = "", temperature_c: float | None = None) -> Calibration:
        """What has been learned so far, for a calibration file.

        provenance: how the frames were made, in words; temperature_c: of the hardware, where it is known.
        """
        values = calibration_values(self._method.estimate(self.learned))
        if self.method != "tracker":  # the others judge no antennas
            values["health"] = None
        return calibration_of(
            self.radar,
            self.estimate,
            **values,
            frames=self.frames,
            method=self.method,
            snr_db=decibels(self._believed()[0]),
            provenance=provenance,
            temperature_c=temperature_c,
        )
