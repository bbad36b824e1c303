"""Samples that are not numbers, antennas that are dead, loud or clipped, noise that is not what was said, interference.

A receiver (map, detector, calibrator, kappa fed back) takes frames that are spoiled on the way. Whatever comes, kappa is
made of numbers, what is refused is counted, and antennas and frames that are sound go on as if nothing were.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faults.case import Case, Outcome
from isacblocks.blocks import AngleDelayMap, DelayCompressor, ImpairedChannel, KappaCalibrator, MaprtDetector, OfdmSource
from isacblocks.blocks.told_noise import RUN
from isacblocks.kernels.errors import best_ramp
from isacblocks.radar import OfdmRadar, Scene
from isacblocks.stream import Block, jig
from isacblocks.stream.spec import Items

RADAR = OfdmRadar(antennas=16, subcarriers=64)
MESSAGE = 16
Fields = dict[str, NDArray[Any]]
Spoil = Callable[[Fields, np.random.Generator], None]  # frames of one message, in place


def _items(block: Block, port: str, fields: Fields) -> Items:
    for array in fields.values():
        array.flags.writeable = False  # as a link hands it over
    return block.ports[port].items(**fields)


@dataclass
class Receiver:
    """Map, detector and calibrator; told: a scene for calibrator and detector, or nothing; frames go through a compressor
    where the method needs them so. kappas: all that were sent; present: the detector's word on every frame."""

    method: str = "tracker"
    told: Scene | None = None
    full_circle: bool = False
    radar: OfdmRadar = RADAR
    kappas: list[NDArray[Any]] = field(default_factory=list)
    health: list[NDArray[Any]] = field(default_factory=list)
    present: list[NDArray[Any]] = field(default_factory=list)
    valid: list[NDArray[Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.compressor = DelayCompressor(self.radar) if self.method == "em" or self.full_circle else None
        self.map = AngleDelayMap(self.radar)
        self.detector = MaprtDetector(self.radar, self.told, noise="known" if self.told else "estimated")
        self.calibrator = KappaCalibrator(self.radar, self.told, self.method, full_circle=self.full_circle)
        blocks: list[Block] = [self.map, self.detector, self.calibrator]
        for block in [*blocks, self.compressor] if self.compressor else blocks:
            block.prepare()
        self.calibrator.ports["compressed"].connected = self.compressor is not None
        for block in blocks:
            block.start()
        if self.compressor is not None:
            self.compressor.start()
        self._word: Fields | None = None

    def take(self, frames: Fields, changes: Fields | None = None) -> None:
        """One message, and what was done to the receiver before its frames."""
        back = [
            None if self._word is None else _items(block, "kappa", dict(self._word)) for block in (self.map, self.detector)
        ]
        whole, small = _items(self.map, "frame", frames), None
        if self.compressor is not None:
            small = self.compressor.process(_items(self.compressor, "frame", frames))
        peak = self.map.process(
            None if small else whole, small and _items(self.map, "compressed", dict(small.fields)), back[0]
        )
        assert isinstance(peak, Items)
        made = self.detector.process(_items(self.detector, "peak", dict(peak.fields)), back[1])
        self.present.append(made.present[:, 0])
        self.valid.append(peak.valid)
        held = small and _items(self.calibrator, "compressed", dict(small.fields))
        told = None if changes is None else _items(self.calibrator, "changes", changes)
        if told is not None:
            told.first = sum(len(one) for one in self.valid[:-1])
        sent = self.calibrator.process(_items(self.calibrator, "peak", dict(peak.fields)), held, told)
        if sent is not None and len(sent):
            self._word = dict(sent.fields)
            self.kappas.append(sent.kappa)
            self.health.append(sent.health)

    @property
    def numbers(self) -> bool:
        """Whether every kappa that was ever sent is made of numbers and scaled."""
        kappas = np.concatenate(self.kappas)
        norms = np.square(np.abs(kappas)).sum(axis=1)
        return bool(np.isfinite(kappas).all() and np.allclose(norms, self.radar.antennas))

    def loss_db(self, truth: NDArray[Any], antennas: NDArray[Any] | slice = slice(None)) -> float:
        """What the array gain loses by the last kappa's error, over some antennas, dB."""
        return loss_db(self.kappas[-1][-1], truth, antennas)


def loss_db(kappa: NDArray[Any], truth: NDArray[Any], antennas: NDArray[Any] | slice = slice(None)) -> float:
    """What the array gain loses by an error of kappa, but for phase and slope, over some antennas, dB."""
    product = np.zeros(truth.size, complex)
    product[antennas] = (kappa * truth.conj())[antennas]
    sizes = np.linalg.norm(kappa[antennas]) * np.linalg.norm(truth[antennas])
    return float(-20 * np.log10(best_ramp(product)[1] / sizes))


@cache
def stream(seed: int, count: int, snr_db: float = 15.0, noise_power: float = 1.0) -> tuple[Fields, NDArray[Any]]:
    """Frames of simulated hardware, and its kappa; not to be written to."""
    symbols = jig.run(OfdmSource(RADAR, seed=seed), items=count)[0]["symbols"]
    channel = ImpairedChannel(RADAR, Scene(snr_db=snr_db), seed=seed, noise_power=noise_power)
    made = jig.run(channel, {"symbols": symbols})[0]["frame"]
    return made, channel.kappa


def run(receiver: Receiver, frames: Fields, spoil: Spoil | None = None, seed: int = 0) -> None:
    """All frames through the receiver, spoiled message by message."""
    rng = np.random.default_rng(seed)
    for first in range(0, len(frames["x"]), MESSAGE):
        part = {name: array[first : first + MESSAGE].copy() for name, array in frames.items()}
        if spoil is not None:
            spoil(part, rng)
        receiver.take(part)


# What happens to frames


def broken_samples(frames: Fields, rng: np.random.Generator) -> None:
    """One frame in five has a sample that is not a number, or too large for one, on some antenna."""
    for f in np.flatnonzero(rng.random(len(frames["x"])) < 0.2):
        bad = rng.choice(np.array([np.nan, np.inf, -np.inf, 1e30, 1j * np.nan, 3e38 + 3e38j], np.complex64))
        frames["y"][f, rng.integers(RADAR.antennas), rng.integers(RADAR.subcarriers)] = bad


def broken_frames(frames: Fields, rng: np.random.Generator) -> None:
    """One frame in five is silent, full of NaN, without symbols, or in a sector that is none."""
    for f in np.flatnonzero(rng.random(len(frames["x"])) < 0.2):
        kind = rng.integers(6)
        if kind < 2:
            frames["y"][f] = (0.0, np.nan)[kind]
        elif kind < 4:
            frames["x"][f, 3 if kind == 2 else slice(None)] = (np.nan, 0.0)[kind - 2]
        else:
            frames[("theta_min", "tau_max")[kind - 4]][f] = (np.nan, np.inf)[kind - 4]


def interference(frames: Fields, rng: np.random.Generator) -> None:
    """One frame in ten is under a plane wave of white noise, 20 dB above N0 on every antenna."""
    for f in np.flatnonzero(rng.random(len(frames["x"])) < 0.1):
        shape = (2, RADAR.subcarriers)
        wave = np.array([1, 1j]) @ rng.standard_normal(shape) * np.sqrt(50.0)
        steps = np.exp(1j * np.pi * np.arange(RADAR.antennas) * np.sin(rng.uniform(-1.0, 1.0)))
        frames["y"][f] += (steps[:, None] * wave).astype(np.complex64)


def on(antenna: int, what: str) -> Spoil:
    """An antenna that is "dead", "nan", "loud" (30 dB of noise) or "clipped"."""

    def spoil(frames: Fields, rng: np.random.Generator) -> None:
        row = frames["y"][:, antenna]
        if what == "clipped":
            np.clip(row.view(np.float32), -0.8, 0.8, out=row.view(np.float32))
        elif what == "loud":
            row += (np.array([1, 1j]) @ rng.standard_normal((row.shape[0], 2, row.shape[1])) * np.sqrt(500)).astype(
                row.dtype
            )
        else:
            row[:] = {"dead": 0.0, "nan": np.nan}[what]

    return spoil


def _held(
    outcome: Outcome, name: str, receiver: Receiver, truth: NDArray[Any], limit: float, among: Any = slice(None)
) -> None:
    """Note what every case holds: kappa of numbers, and the loss over the antennas that are sound."""
    loss = receiver.loss_db(truth, among)
    outcome.figures[name + " dB"] = loss
    outcome.expect(receiver.numbers, f"{name}: a kappa that is not made of numbers, or not scaled, was sent")
    outcome.expect(loss < limit, f"{name}: loss of {loss:.3f} dB, expected below {limit}")


FRAMES = 640
LIMIT = 0.04  # dB; undisturbed streams of so many frames lose 0.003 to 0.013, a fifth of the frames less costs a quarter


def _samples(count: int) -> Outcome:
    outcome = Outcome()
    for seed in range(1, count + 1):
        frames, truth = stream(seed, FRAMES)
        for spoil in (broken_samples, broken_frames):
            receiver = Receiver()
            run(receiver, frames, spoil, seed)
            _held(outcome, f"{spoil.__name__} {seed}", receiver, truth, LIMIT)
            found = receiver.map.findings()
            counted = found["refused_antennas"] if spoil is broken_samples else found["refused"]
            outcome.expect(bool(counted), f"{spoil.__name__}: nothing was counted")
    return _worst(outcome)


def _antennas(count: int) -> Outcome:
    outcome = Outcome()
    names = {"dead": 1, "nan": 5, "loud": 5, "clipped": 2}
    for seed in range(1, count + 1):
        frames, truth = stream(seed, FRAMES)
        for what, code in names.items():
            receiver = Receiver()
            antenna = seed % RADAR.antennas
            run(receiver, frames, on(antenna, what), seed)
            _held(outcome, f"{what} {seed}", receiver, truth, LIMIT, np.delete(np.arange(RADAR.antennas), antenna))
            health = receiver.health[-1][-1]
            outcome.expect(health[antenna] == code, f"{what}: antenna {antenna} has code {health[antenna]}, not {code}")
            outcome.expect(np.count_nonzero(health) == 1, f"{what}: other antennas are named too: {health.tolist()}")
    return _worst(outcome)


def _noise(count: int) -> Outcome:
    outcome = Outcome()
    for seed in range(1, count + 1):
        for snr_db in (-20.0, 15.0, 30.0, 60.0):
            frames, truth = stream(seed, FRAMES, snr_db)
            receiver = Receiver()
            run(receiver, frames, None, seed)
            if snr_db > 0:
                _held(outcome, f"SNR {snr_db:+g} dB {seed}", receiver, truth, LIMIT)
                continue
            outcome.expect(receiver.numbers, f"SNR {snr_db} dB: a kappa that is not made of numbers was sent")
            outcome.expect(bool(receiver.health[-1][-1].all()), f"SNR {snr_db} dB: an antenna is called good")
        frames, truth = stream(seed, FRAMES)
        receiver = Receiver()
        run(receiver, frames, interference, seed)
        _held(outcome, f"interference {seed}", receiver, truth, LIMIT)
        burst = receiver.map.findings()["refused"].get("interference", 0)
        outcome.expect(40 <= burst <= 95, f"interference: {burst} frames were refused, of about 64")
        for name, factor in (("20 dB up", 100.0), ("20 dB down", 0.01)):
            _other_noise(outcome, f"N0 {name} {seed}", Receiver(), stepped(frames, factor), truth, factor)
            told = Receiver(told=Scene())
            _other_noise(outcome, f"told, N0 {name} {seed}", told, stepped(frames, factor, 0.0), truth, factor)
            for block in (told.detector, told.calibrator):
                flagged = block.noise_wrong
                outcome.expect(flagged == FRAMES - RUN + 1, f"{block.label} flagged {flagged} frames of a noise told {name}")
    return _worst(outcome)


def _other_noise(outcome: Outcome, name: str, receiver: Receiver, frames: Fields, truth: NDArray[Any], noise: float) -> None:
    """Frames whose N0 is not what was told, or not what it was."""
    run(receiver, frames)
    _held(outcome, name, receiver, truth, LIMIT)
    believed = receiver.calibrator.findings()["noise_power"]
    outcome.expect(abs(believed / noise - 1) < 0.1, f"{name}: N0 is taken for {believed:.3g}, not {noise:g}")


def stepped(frames: Fields, factor: float, at: float = 0.5) -> Fields:
    """The stream, with all of the receiver's samples sqrt(factor) times as large from its middle on, or another part."""
    y = frames["y"].copy()
    y[int(at * len(y)) :] *= np.float32(np.sqrt(factor))
    return frames | {"y": y}


def _worst(outcome: Outcome) -> Outcome:
    """Of every kind's losses the largest."""
    worst: dict[str, float | str] = {}
    for name, value in outcome.figures.items():
        kind = " ".join(word for k, word in enumerate(name.split()) if k != len(name.split()) - 2)
        worst[kind] = max(float(value), float(worst.get(kind, -np.inf)))
    outcome.figures = worst
    return outcome


CASES = (
    Case(
        "samples",
        "samples and frames that are not numbers are refused and counted, kappa is learned as ever",
        _samples,
        2,
        50,
    ),
    Case("antennas", "dead, broken, loud and clipped antennas are named, the others calibrated as ever", _antennas, 2, 50),
    Case("noise", "SNR -20 to 60 dB, N0 off by 20 dB, told or not, bursts: kappa is never poisoned", _noise, 2, 50),
)
