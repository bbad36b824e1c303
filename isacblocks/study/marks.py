"""Blocks beside a simulated receiver that know the truth: kappa's error at chosen frames, and the true kappa handed on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.records import GAUGE_START, KAPPA, TRUTH, radar_sizes
from isacblocks.kernels.errors import KappaError, kappa_error
from isacblocks.radar import OfdmRadar
from isacblocks.stream import Block, In, Out, State
from isacblocks.stream.spec import Items


class Marks(Block):
    """The error of the estimate in hand after m frames against the kappa of the m-th frame, for every mark m.

    radar: its parameters; marks: numbers of frames, from 1 on; kappa: the estimate before the first update, complex (N,), 1
    by default. Connect `truth`, and `kappa` where something calibrates. An update that was made of more than m frames is
    not in hand at m, whatever message it came with.
    """

    truth = In(TRUTH)
    kappa = In(KAPPA, optional=True)
    estimate = State("complex128", "N")
    found = State(list)  # pairs (mark, the four figures of KappaError)

    def __init__(self, radar: OfdmRadar, marks: Sequence[int], kappa: NDArray[Any] | None = None) -> None:
        self.radar = radar
        if any(isinstance(m, bool) or not isinstance(m, int) or m < 1 for m in marks):
            raise ValueError(f"marks: expected numbers of frames of at least 1, got {list(marks)!r}")
        self.marks = tuple(sorted(set(marks)))
        self.initial = np.ones(radar.antennas, np.complex128) if kappa is None else np.asarray(kappa, np.complex128)
        if self.initial.shape != (radar.antennas,):
            raise ValueError(f"kappa: expected shape ({radar.antennas},), got {self.initial.shape}")

    def dimensions(self) -> Mapping[str, int]:
        """N, S, K."""
        return radar_sizes(self.radar)

    def start(self) -> None:
        """Nothing has been estimated yet."""
        super().start()
        self.estimate = self.initial

    def process(self, truth: Items, kappa: Items | None) -> None:
        """See to the marks inside this message."""
        updates = 0 if kappa is None else len(kappa)
        used = 0
        for mark in self.marks:
            if not truth.first < mark <= truth.first + len(truth):
                continue
            while used < updates and kappa is not None and int(kappa.frames[used]) <= mark:
                self.estimate = kappa.kappa[used]
                used += 1
            error = kappa_error(self.estimate, truth.kappa[mark - 1 - truth.first], self.radar)
            self.found.append([mark, [error.phase_db, error.ramp_db, error.slope_deg, error.loss_db]])
        if kappa is not None and updates:
            self.estimate = kappa.kappa[-1]

    def errors(self) -> dict[int, KappaError]:
        """The figures at every mark that was reached."""
        return {mark: KappaError(*figures) for mark, figures in self.found}


class TrueKappa(Block):
    """What a perfect calibrator would say: for every message the true kappa of its last frame.

    radar: its parameters. Connect `truth` of the channel, and `kappa` forward to the map: kappa moves and is known.
    """

    truth = In(TRUTH)
    kappa = Out(KAPPA, aligned=False)

    def __init__(self, radar: OfdmRadar) -> None:
        self.radar = radar

    def dimensions(self) -> Mapping[str, int]:
        """N, S, K."""
        return radar_sizes(self.radar)

    def process(self, truth: Items) -> Items:
        """One kappa per message."""
        frames = truth.first + len(truth)
        return self.kappa.items(
            kappa=truth.kappa[-1:].astype(np.complex128),
            sigma=np.zeros((1, self.radar.antennas)),
            gain_sigma=np.zeros((1, self.radar.antennas)),
            health=np.zeros((1, self.radar.antennas), np.uint8),
            slope=np.zeros(1),
            slope_sigma=np.zeros(1),
            frames=np.array([frames], np.uint64),
            targets=np.array([np.nan]),  # it counts none
            **{name: np.array([np.nan]) for name in ("loss", "acceptance", "snr", "target_probability", "noise_power")},
            gauge=np.array([GAUGE_START], np.uint8),
        )
