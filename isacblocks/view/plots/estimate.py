"""The newest estimate as it is drawn: beside the truth where there is one, less what nobody can see."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.errors import best_ramp
from isacblocks.view.feed import Feed


class Newest(NamedTuple):
    """fields: of the kappa items; kappa: the last one's, turned; truth: the true one, None where nobody knows it."""

    fields: dict[str, NDArray[Any]]
    kappa: NDArray[np.complex128]
    truth: NDArray[np.complex128] | None


def newest(feed: Feed) -> Newest | None:
    """The last estimate that has come, None before the first."""
    if "kappa" not in feed.seen:
        return None
    fields = feed.seen["kappa"]["fields"]
    truth = _truth(feed)
    return Newest(fields, _turned(fields["kappa"][-1], truth, feed.radar.uniform_linear), truth)


class Renewed:
    """The newest estimate, once each."""

    def __init__(self) -> None:
        self._number = -1

    def take(self, feed: Feed) -> Newest | None:
        """The last estimate that has come, None where it was taken before."""
        estimate = newest(feed)
        if estimate is None or feed.numbers.get("kappa", -1) == self._number:
            return None
        self._number = feed.numbers["kappa"]
        return estimate


def _turned(learned: NDArray[np.complex128], truth: NDArray[np.complex128] | None, linear: bool) -> NDArray[np.complex128]:
    """The estimate (N,) in the gauge of the truth (N,), or with a real mean. linear: a uniform linear array."""
    if truth is None:
        return np.asarray(learned * np.exp(-1j * np.angle(learned.sum())))
    slope = best_ramp(learned * truth.conj())[0] if linear else 0.0
    ramped = learned * np.exp(-1j * slope * np.arange(learned.size))
    return np.asarray(ramped * np.exp(-1j * np.angle(np.vdot(truth, ramped))))


def _truth(feed: Feed) -> NDArray[np.complex128] | None:
    """The true kappa of the newest frame, ||kappa||^2 = N, where there is one."""
    if "truth" not in feed.seen:
        return None
    found = feed.seen["truth"]["fields"]["kappa"][-1].astype(np.complex128)
    return np.asarray(found * math.sqrt(found.size) / max(float(np.linalg.norm(found)), 1e-30))
