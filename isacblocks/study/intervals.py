"""Confidence intervals of 95 %: of a proportion, and of a ratio of sums over realisations."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

LEVEL = 0.95


def proportion_interval(hits: int, trials: int) -> tuple[float, float]:
    """The exact interval of a proportion (C. J. Clopper and E. S. Pearson, Biometrika 26, 1934); (0, 1) without a trial."""
    tail = (1 - LEVEL) / 2
    low = float(stats.beta.ppf(tail, hits, trials - hits + 1)) if hits > 0 else 0.0
    high = float(stats.beta.ppf(1 - tail, hits + 1, trials - hits)) if hits < trials else 1.0
    return low, high


def ratio_interval(numerators: ArrayLike, denominators: ArrayLike) -> tuple[float, float, float]:
    """sum a / sum b over R realisations, and its interval by the variation between them; nan limits for R = 1.

    The ratio's variance to first order is R / (R - 1) sum (a_r - q b_r)^2 / (sum b)^2, with Student's t of R - 1 degrees
    of freedom: it contains the spread over realisations and the one inside them. All nan where sum b = 0.
    """
    a, b = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    count, total = a.size, float(b.sum())
    if total == 0:
        return math.nan, math.nan, math.nan
    ratio = float(a.sum()) / total
    if count < 2:
        return ratio, math.nan, math.nan
    error = math.sqrt(count / (count - 1) * float(np.square(a - ratio * b).sum())) / total
    reach = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * error
    return ratio, ratio - reach, ratio + reach


def root_interval(numerators: ArrayLike, denominators: ArrayLike) -> tuple[float, float, float]:
    """The square root of :func:`ratio_interval`: of mean squares, an RMS value. A lower limit below zero is zero."""
    value, low, high = ratio_interval(numerators, denominators)
    return math.sqrt(value), math.sqrt(max(low, 0.0)) if not math.isnan(low) else low, math.sqrt(high)
