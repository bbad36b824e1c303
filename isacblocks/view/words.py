"""What the figures of the live view say, in words: for terminals, and for whoever reads a screen aloud."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.health import GOOD, HEALTH
from isacblocks.view.feed import Feed


@dataclass(frozen=True)
class Row:
    """label and words of a line; curve: numbers of at least zero to be drawn behind them; ill: somebody should look."""

    label: str
    words: str
    curve: Sequence[float] = ()
    ill: bool = False


def rows(feed: Feed) -> list[Row]:
    """What is known by now, in the order in which it matters; nothing of what a flowgraph does not have."""
    found = [_loss(feed), _boresight(feed), _antennas(feed), _detection(feed), _target(feed), _speed(feed)]
    return [row for row in found if row is not None]


def _newest(feed: Feed, name: str) -> float:
    """A number of the newest point of the history, nan where there is none."""
    return feed.history.points[-1].get(name, math.nan) if feed.history.points else math.nan


def _loss(feed: Feed) -> Row | None:
    """The true loss where a judge knows it, else what the calibrator expects, with the bound."""
    points = [point for point in feed.history.points if point.get("used", 0.0) > 0]
    if "kappa" not in feed.seen or "radar" not in feed.facts:
        return None
    if not points:
        return Row("kappa", "nothing learned yet")
    known = math.isfinite(points[-1].get("loss_db", math.nan))
    name = "loss_db" if known else "expected_db"
    loss, bound = (points[-1].get(one, math.nan) for one in (name, "bound_db"))
    words = f"{'loss' if known else 'expected loss'} {decibels(loss)}, {bound_word(feed)} {decibels(bound)}"
    return Row("kappa", words, falling([point["used"] for point in points], [p.get(name, math.nan) for p in points]))


def decibels(loss: float) -> str:
    """A loss in dB, to four decimals; of a smaller one, to as many as it takes to see that it is not zero."""
    decimals = max(4, -math.floor(math.log10(loss))) if loss > 0 and math.isfinite(loss) else 4
    return f"{loss:.{decimals}f} dB"


def bound_word(feed: Feed) -> str:
    """What the bound is called: it is one for hardware at rest, which is said where it is known to move."""
    drift = feed.find("drift")
    return "bound" if drift is None or drift["value"] == 0 else "bound at rest"


def falling(frames: Sequence[float], losses: Sequence[float], points: int = 40) -> list[float]:
    """Losses as heights from 0 to 1, both axes logarithmic: `points` of them from the first frame to the last."""
    logs = [(math.log(f), math.log(loss)) for f, loss in zip(frames, losses, strict=True) if f > 0 and loss > 0]
    if len(logs) < 2 or logs[0][0] >= logs[-1][0]:
        return []
    at = np.linspace(logs[0][0], logs[-1][0], points)
    heights = np.interp(at, [x for x, _ in logs], [y for _, y in logs])
    span = float(np.ptp(heights))
    return [float(height) for height in (heights - heights.min()) / span] if span > 0 else []


def _boresight(feed: Feed) -> Row | None:
    slope = _newest(feed, "slope_deg")
    return Row("boresight", f"{slope:+.3f} deg off") if math.isfinite(slope) else None


def _antennas(feed: Feed) -> Row | None:
    """How many are well, and the others by name."""
    if "kappa" not in feed.seen:
        return None
    fields = feed.seen["kappa"]["fields"]
    health = np.asarray(fields["health"][-1])
    words = f"{np.count_nonzero(health == GOOD)} of {health.size} good"
    for code, name in enumerate(HEALTH):
        if code != GOOD and (health == code).any():
            words += f"; {name}: {named(np.flatnonzero(health == code).tolist())}"
    words += "".join(f"; just now {name}: {named(those)}" for name, those in well_again(feed, health).items())
    sigma = float(np.degrees(np.mean(fields["sigma"][-1])))
    if math.isfinite(sigma):
        words += f"; phases known to {sigma:.2f} deg"
    return Row("antennas", words, ill=bool((health != GOOD).any()))


def well_again(feed: Feed, health: NDArray[np.uint8]) -> dict[str, list[int]]:
    """Antennas that are good now and were not a moment ago, by what they had. health: (N,), as it is now."""
    kept = {name: [one for one in those if health[one] == GOOD] for name, those in feed.lately.items()}
    return {name: those for name, those in kept.items() if those}


def named(antennas: Sequence[int]) -> str:
    """Antennas by number, in rising order; three and more in a row as 5-9."""
    runs: list[list[int]] = []
    for antenna in antennas:
        if runs and antenna == runs[-1][-1] + 1:
            runs[-1].append(antenna)
        else:
            runs.append([antenna])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)


def _detection(feed: Feed) -> Row | None:
    p_d, p_fa, asked = _newest(feed, "p_d"), _newest(feed, "p_fa"), feed.find("p_fa")
    said = [f"P_d {p_d:.3f}"] if math.isfinite(p_d) else []
    said += [f"P_fa {p_fa:.4f}"] if math.isfinite(p_fa) else []
    if asked is not None:
        said.append(f"set to P_fa {asked['value']:g}")
    return Row("detection", ", ".join(said)) if said else None


def _target(feed: Feed) -> Row | None:
    """The newest detection."""
    if "detection" not in feed.seen:
        return None
    fields = feed.seen["detection"]["fields"]
    found = np.flatnonzero(fields["present"][:, 0])
    count = f"{found.size} in the newest {len(fields['present'])} frames"
    if not found.size:
        return Row("target", count)
    angle, delay, distance = (float(fields[name][found[-1], 0]) for name in ("theta", "tau", "range"))
    return Row("target", f"{math.degrees(angle):+.2f} deg, {distance:.2f} m, {1e9 * delay:.1f} ns; {count}")


def _speed(feed: Feed) -> Row | None:
    rates = [point["rate"] for point in feed.history.points if math.isfinite(point["rate"])]
    return Row("speed", f"{rates[-1]:,.0f} items/s", rates[-40:]) if rates else None
