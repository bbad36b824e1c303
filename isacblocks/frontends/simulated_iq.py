"""A receiver with several channels that is simulated: raw samples to try a waveform with, before there is a radio."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from isacblocks.frontends.ofdm_sync import waveform
from isacblocks.frontends.samples import IQ
from isacblocks.frontends.waveform_file import Waveform
from isacblocks.kernels.impairments import draw_impairments
from isacblocks.kernels.random import check_seed
from isacblocks.kernels.scene import draw_scene
from isacblocks.kernels.simulation import draw_symbols
from isacblocks.kernels.steering import steering_vectors
from isacblocks.kernels.warmup import load
from isacblocks.radar import Scene
from isacblocks.stream import Out, Source
from isacblocks.stream.spec import Items

_NOISE = 0x49510001  # beside the seed: what the noise of items is drawn by


class SimulatedIq(Source):
    """The samples of eq. (1)'s wave behind its echoes, eq. (2), N channels, `length` of each per item: the record "iq".

    A target by the laws of `scene` is before every symbol; leakage: amplitude of the direct path, from the broadside, whose
    symbols are what timing finds; offset: of the carrier, subcarriers. Noise has the waveform's noise power. Every symbol's
    echo is cyclic: the end of the one before, which falls into its prefix and is cut off with it, is left out. Where the
    waveform leaves symbols open (`data`) they are drawn, and ``sent`` tells them.
    wave: a Waveform, or its keys; beside: the directory of its symbols; impairments: the law of kappa, as ImpairedChannel's,
    and ``kappa`` is the truth. Item k depends on the seed and k alone. Raises ValueError for what cannot be.
    """

    iq = Out(IQ)

    def __init__(
        self,
        wave: Waveform | dict[str, Any],
        beside: str | Path = ".",
        length: int = 1024,
        scene: Scene | None = None,
        impairments: str = "table1",
        leakage: float = 1.0,
        offset: float = 0.0,
        seed: int = 0,
    ) -> None:
        if length < 1:
            raise ValueError(f"length: expected at least 1 sample, got {length!r}")
        wave = wave if isinstance(wave, Waveform) else msgspec.convert(wave, Waveform)
        self.arguments = ((msgspec.to_builtins(wave), str(beside), length, scene, impairments, leakage, offset, seed), {})
        self.wave, self.length, self.seed = wave, length, check_seed(seed)
        self.radar = wave.radar()
        self.scene = scene or wave.scene()
        self.scene.delay_window(self.radar)  # refuses ranges beyond the prefix here, not in the middle of a run
        self.symbols = wave.sent(Path(beside))
        self.kappa = draw_impairments(impairments, wave.antennas, seed)
        self.leakage, self.offset = leakage, offset
        self.places = np.arange(wave.subcarriers) * wave.subcarrier_spacing

    def dimensions(self) -> Mapping[str, int]:
        """C, T."""
        return {"C": self.wave.antennas, "T": self.length}

    @classmethod
    def prepare(cls) -> None:
        """Load the compiled kernels."""
        load("simulation")

    def produce(self, first: int, count: int) -> Items:
        """Items first .. first + count - 1."""
        fields = self.iq.allocate(count)
        starts = np.arange(first, first + count, dtype=np.uint64) * np.uint64(self.length)
        for k, start in enumerate(starts):
            fields["iq"][k] = self._samples(int(start)) + self._noise(first + k)
        seconds, fraction = np.divmod(starts.astype(float) / self.wave.rate, 1.0)
        fields["start"][:], fields["seconds"][:], fields["fraction"][:] = starts, seconds, fraction
        for name in ("gap", "lost", "changed", "gain"):
            fields[name][:] = 0
        fields["rate"][:], fields["frequency"][:] = self.wave.rate, self.wave.carrier_frequency
        return self.iq.items(**fields)

    def _samples(self, start: int) -> NDArray[np.complex128]:
        """Samples start .. start + length - 1 without noise, (N, length)."""
        period, end = self.wave.period, start + self.length
        numbers = np.arange(start // period, -(-end // period))
        whole = np.concatenate([self._symbol(int(number)) for number in numbers], axis=1)
        begin = start - int(numbers[0]) * period
        turns = self.offset / self.wave.dft * np.arange(start, end)
        return np.asarray(whole[:, begin : begin + self.length] * np.exp(2j * np.pi * turns))

    def _symbol(self, number: int) -> NDArray[np.complex128]:
        """What symbol `number` of the stream arrives as, (N, period)."""
        wave = self.wave
        truth = draw_scene(self.seed, number, 1, self.radar, self.scene)
        x = self.sent(number)
        delayed = x * np.exp(-2j * np.pi * self.places * truth.tau[0])
        a = steering_vectors(np.array([truth.theta[0], 0.0]), self.radar)
        echo, direct = (waveform(row, wave.bins, wave.dft, wave.prefix) for row in (delayed, x))
        received = np.outer(truth.gamma[0] * a[0], echo) + np.outer(self.leakage * a[1], direct)
        return np.asarray(self.kappa[:, None] * received)

    def sent(self, number: int) -> NDArray[np.complex64]:
        """Symbol `number` of the stream, (S,): one of those that are known, or drawn."""
        place = number % (len(self.symbols) + self.wave.data)
        if place < len(self.symbols):
            return np.asarray(self.symbols[place])
        return np.asarray(draw_symbols(self.seed, number, 1, self.radar, self.wave.order)[0])

    def _noise(self, item: int) -> NDArray[np.complex128]:
        rng = np.random.Generator(np.random.Philox(key=[self.seed, _NOISE], counter=[0, 0, item, 0]))
        scale = math.sqrt(self.wave.noise_power / 2)
        pairs = rng.standard_normal((self.wave.antennas, self.length, 2)) * scale
        return np.asarray(pairs.view(np.complex128)[..., 0])
