"""Symbols that the receiver does not know, decided: for echoes of somebody else's transmission, or of one's own whose data
stays with the modem.

Model: Y_ns = H_ns x_s + W_ns, W of noise power N0 = 1, H what known symbols show, and trusted decisions after them. All
antennas decide together, by maximum ratio combining,

    z_s = sum_n conj(H_ns) Y_ns / sum_n |H_ns|^2 = x_s + CN(0, 1 / g_s),   g_s = sum_n |H_ns|^2,

and x_s is the point of the square constellation that is nearest to z_s. With H known, of M points of mean energy 1,

    P(wrong) = 1 - (1 - p)^2,   p = 2 (1 - 1 / sqrt(M)) Q(sqrt(3 g_s / (M - 1))).

A decision is doubtful where z_s is farther from its point than d / 4, half of the way to the border, d = sqrt(6 / (M - 1))
the distance of neighbours: while they are right that has the probability exp(-g_s d^2 / 16). A symbol is trusted while the
share of doubtful decisions on its subcarriers is at most a limit; at 1/4 one decision in 570 is wrong or fewer, where all
subcarriers are alike. Noise, an old channel and a wrong phase all make decisions doubtful; a channel that has turned by 90
degrees since it was learned does not, only the next known symbols show it.

A frame keeps its Y, and the decided symbols are its x: the map multiplies by conj(x_s) and does not divide. Where |x_s|
differs from subcarrier to subcarrier Y_ns / x_s has noise of power N0 / |x_s|^2, no longer white; Y_ns conj(x_s) has
N0 |x_s|^2, which the matched filter weighs as it should: T = |s|^2 / (N ||x||^2 N0) is exponential still where there is
no target, so the detector is told N0 and ||x||^2 and nothing else. Dividing would cost E[1 / |x|^2] in noise, 2.8 dB with
16 points, 4.3 dB with 64; not dividing leaves sidelobes over all delays, of power var(|x|^2) / S of the peak's (0.32 / S
with 16 points, 0.38 / S with 64). A wrong decision is nearly always a neighbour: with QPSK it takes its subcarrier out of
the sum, with more points less of it; a share e of them costs about (1 - e)^2 of an echo's T.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.simulation import QAM_ORDERS, qam_constellation

Complex = NDArray[Any]


@dataclass(frozen=True)
class DataSymbols:
    """Symbols that nobody knows: `count` of them behind the known ones, on a square constellation of `order` points.

    doubtful: share of doubtful decisions up to which a symbol is trusted; memory: symbols over which the channel is
    averaged, at least 1, which is the last trusted one alone. Raises ValueError.
    """

    count: int
    order: int = 4
    doubtful: float = 0.25
    memory: float = 16.0

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 0:
            raise ValueError(f"count: expected a number of symbols, got {self.count!r}")
        if self.order not in QAM_ORDERS:
            raise ValueError(
                f"order: expected one of {', '.join(map(str, QAM_ORDERS))}, got {self.order!r}; symbols on constellations "
                "that are not square (BPSK, 8-PSK, 32 QAM) are not decided, tell them as known ones"
            )
        if not 0 <= self.doubtful <= 1:
            raise ValueError(f"doubtful: expected a share from 0 to 1, got {self.doubtful!r}")
        if not self.memory >= 1:
            raise ValueError(f"memory: expected at least 1 symbol, got {self.memory!r}")

    @property
    def distance(self) -> float:
        """Of neighbouring points."""
        return math.sqrt(6 / (self.order - 1))


def nearest(z: Complex, order: int) -> Complex:
    """The points of the square constellation that are nearest to z (S,), the very numbers of qam_constellation: (S,)."""
    side = math.isqrt(order)
    step = math.sqrt(6 / (order - 1))
    places = [np.clip(np.rint(part / step + (side - 1) / 2), 0, side - 1).astype(np.int64) for part in (z.real, z.imag)]
    return np.asarray(qam_constellation(order).astype(np.complex64)[places[0] * side + places[1]])


def combined(y: Complex, channel: Complex) -> tuple[Complex, NDArray[Any]]:
    """z (S,) of y and channel (N, S), and g (S,); z is 0 where the channel is."""
    gain = np.square(np.abs(channel)).sum(axis=0)
    return np.asarray((channel.conj() * y).sum(axis=0) / np.maximum(gain, 1e-30)), gain


class Decisions:
    """The channel of a stream of symbols, kept in the `state` of a block; see :func:`no_channel`.

    The common phase of a symbol, what is left of the carrier's offset, is followed from symbol to symbol.
    """

    def __init__(self, data: DataSymbols, state: dict[str, Any]) -> None:
        self.data, self.state = data, state

    def forget(self) -> None:
        """The channel is another one."""
        state = self.state
        state["sum"], state["weight"], state["phase"] = np.zeros_like(state["sum"]), np.zeros_like(state["weight"]), 0.0

    def known(self, y: Complex, x: Complex) -> None:
        """Learn from a symbol y (N, S) that was known, x (S,)."""
        if self.state["weight"].any():
            self._turn(y, x)
        self._learn(y, x)

    def decide(self, y: Complex) -> tuple[Complex, bool]:
        """The symbols of y (N, S), complex64 (S,), zeros where no channel is known; and whether they are to be trusted."""
        state = self.state
        if not state["weight"].any():
            state["refused"] += 1
            return np.zeros(y.shape[1], np.complex64), False
        z, _ = combined(y, self.channel)
        for _ in range(2):  # the second time with this symbol's own phase
            level = z * np.exp(-1j * state["phase"])
            x = nearest(level, self.data.order)
            self._turn(y, x)
        level = z * np.exp(-1j * state["phase"])
        x = nearest(level, self.data.order)
        doubtful = int(np.count_nonzero(np.abs(level - x) > self.data.distance / 4))
        state["decisions"] += x.size
        state["doubtful"] += doubtful
        trusted = doubtful <= self.data.doubtful * x.size
        if trusted:
            self._learn(y, x)
        state["refused"] += not trusted
        return x, trusted

    @property
    def channel(self) -> Complex:
        """H (N, S), at the phase of the first symbol."""
        return np.asarray(self.state["sum"] / np.maximum(self.state["weight"], 1e-30))

    def _turn(self, y: Complex, x: Complex) -> None:
        """The common phase of a symbol against the channel's, by its symbols."""
        match = np.vdot(self.channel * x, y)
        if match:
            self.state["phase"] = float(np.angle(match))

    def _learn(self, y: Complex, x: Complex) -> None:
        """The least squares over the memory: sum Y conj(x) / sum |x|^2 on every subcarrier."""
        keep, state = 1 - 1 / self.data.memory, self.state
        turned = y * (x.conj() * np.exp(-1j * state["phase"]))
        state["sum"] = keep * state["sum"] + turned
        state["weight"] = keep * state["weight"] + np.square(np.abs(x.astype(np.complex128)))


def no_channel(antennas: int, subcarriers: int) -> dict[str, Any]:
    """The state of :class:`Decisions` at the start, arrays and numbers."""
    return {
        "sum": np.zeros((antennas, subcarriers), np.complex128),
        "weight": np.zeros(subcarriers),
        "phase": 0.0,  # radians, of the last symbol against the channel
        "decisions": 0,
        "doubtful": 0,
        "refused": 0,  # symbols that are not to be trusted
    }
