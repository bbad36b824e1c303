"""What a viewer knows: it asks the desk a few times a second and keeps what has to be kept over time.

One feed serves all who look at the same flowgraph. It knows nothing of how things are drawn.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from isacblocks.kernels.bounds import kappa_bound, loss_bound_db
from isacblocks.radar import OfdmRadar, Scene
from isacblocks.stream import Status, codec
from isacblocks.view.client import AwayError, DeskClient, NearClient, status_of
from isacblocks.view.desk import DeskError

INTERVAL = 0.09  # seconds between two questions, while anybody looks on
_ALONE = 1.0  # the same while nobody does
_RARELY = 1.0  # seconds between two questions for everything
_KEPT = 600  # points of a curve
_READINGS = ("loss_db", "slope_deg", "p_d", "p_fa", "snr_db", "used")


class History:
    """Points over time, at most `kept`: where there are more, every second one of the older half goes."""

    def __init__(self, kept: int = _KEPT) -> None:
        self.kept = kept
        self.points: list[dict[str, float]] = []

    def add(self, point: dict[str, float]) -> None:
        """One more point, a number by name."""
        self.points.append(point)
        if len(self.points) > self.kept:
            half = len(self.points) // 2
            self.points = self.points[:half:2] + self.points[half:]

    def columns(self, *names: str) -> dict[str, list[float]]:
        """The points as columns; nan where a point has no such number."""
        return {name: [point.get(name, math.nan) for point in self.points] for name in names}


class Feed:
    """Follows a desk, in a thread of its own from :meth:`start` on, else whenever :meth:`look` is called. Its fields are
    replaced, never changed in place."""

    def __init__(self, client: DeskClient | NearClient) -> None:
        self.client = client
        self.name = ""
        self.status = Status("connecting", 0.0, {})
        self.paused = False
        self.lately: dict[str, list[int]] = {}  # antennas that were not well a moment ago, by what they had
        self.drawing: dict[str, Any] = {"blocks": {}, "edges": []}
        self.settings: dict[str, dict[str, Any]] = {}  # by "block.setting"
        self.actions: list[str] = []
        self.facts: dict[str, Any] = {}
        self.seen: dict[str, dict[str, Any]] = {}  # the newest items by kind
        self.numbers: dict[str, int] = {}  # how often each of them has been replaced
        self.history = History()
        self.gone = False  # the flowgraph's program has ended
        self.came = 0.0  # time.time() of the newest answer
        self.renewed: Callable[[], None] = lambda: None  # called in the feed's thread when there is something new
        self._watched = threading.Event()
        self._asked = 0.0  # when it asked for everything
        self._rates: list[tuple[float, int]] = []
        self._used, self._worth = 0.0, 0.0  # frames that kappa has been learned from; what they inform
        self._orders = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="isacblocks feed", daemon=True)

    @cached_property
    def radar(self) -> OfdmRadar:
        """The radar that the flowgraph said it has."""
        return msgspec.convert(self.facts["radar"], OfdmRadar)

    @cached_property
    def scene(self) -> Scene:
        """The scene that it said it looks at."""
        return msgspec.convert(self.facts["scene"], Scene)

    def start(self) -> None:
        """Ask for everything once, then follow. Raises DeskError where nobody answers."""
        self.refresh()
        self._thread.start()

    def close(self) -> None:
        """Follow no more."""
        self._stop.set()
        self._watched.set()  # wakes it
        if self._thread.ident is not None:
            self._thread.join(3.0)
        self.client.close()

    def request(self, **request: Any) -> dict[str, Any]:
        """A question of one's own, from any thread. Raises DeskError."""
        with self._orders:
            return self.client.ask(**request)

    def refresh(self) -> None:
        """Ask for what changes rarely: settings, drawing, facts."""
        answer = self.request(ask="status")
        self.settings = {f"{one['block']}.{one['setting']}": one for one in answer["settings"]}
        self.drawing = {"blocks": answer["blocks"], "edges": answer["edges"]}
        self.actions, self.facts = answer["actions"], answer["facts"]
        self._take(answer)

    def find(self, setting: str) -> dict[str, Any] | None:
        """The first setting of that name, of whatever block."""
        return next((one for one in self.settings.values() if one["setting"] == setting), None)

    def watch(self, watched: bool) -> None:
        """Whether anybody looks on and keeps up."""
        (self._watched.set if watched else self._watched.clear)()

    def _follow(self) -> None:
        due = time.monotonic()
        while not self.gone:
            if self._watched.wait(_ALONE):
                due = max(due + INTERVAL, time.monotonic())
                self._stop.wait(due - time.monotonic())
            if self._stop.is_set():
                return
            self.look()

    def look(self) -> None:
        """Ask once, for everything where that is long ago."""
        try:
            if time.monotonic() - self._asked > _RARELY:
                self._asked = time.monotonic()
                self.refresh()
            self._look()
        except AwayError:
            self.gone = True
        except DeskError:
            return  # it said no; that is nothing to stop for
        self.renewed()

    def _look(self) -> None:
        answer = self.request(ask="seen", after=self.numbers)
        for kind, (number, data) in answer["seen"].items():
            self.seen = {**self.seen, kind: codec.decode(data)}
            self.numbers[kind] = number
        self.came = time.time()
        self._take(answer)

    def _take(self, answer: dict[str, Any]) -> None:
        self.name, self.paused, self.lately = answer["name"], answer["paused"], answer.get("lately", {})
        before, self.status = self.status, status_of(answer)
        if self.status.seconds == before.seconds or self.status.phase not in ("running", "finished"):
            return
        point = {name: value for b in self.status.blocks.values() for name, value in b.readings.items() if name in _READINGS}
        point |= self._bound(point.get("used", math.nan)) | self._expected()
        self.history.add({"seconds": self.status.seconds, "rate": self._rate(), **point})

    def _bound(self, used: float) -> dict[str, float]:
        """What the bound of the loss is after so many frames, in dB. They inform by the SNR at which they were drawn, which
        may have been changed on the way; those before the first look count as if at the SNR of that moment."""
        if "scene" not in self.facts or not used > 0:
            return {}
        antennas, scene, knob = self.radar.antennas, self.scene, self.find("snr_db")
        snr = scene.snr if knob is None else float(10 ** (knob["value"] / 10))
        worth = float(kappa_bound(1, antennas, scene.snr, 1) / kappa_bound(1, antennas, snr, 1))
        self._worth += max(0.0, used - self._used) * worth  # in frames at the SNR that the scene began with
        self._used = used
        return {"bound_db": float(loss_bound_db(self._worth, antennas, scene.snr, scene.target_probability))}

    def _expected(self) -> dict[str, float]:
        """The loss that the calibrator itself expects from its standard deviations, in dB."""
        if "kappa" not in self.seen:
            return {}
        fields = self.seen["kappa"]["fields"]
        variance = np.abs(fields["kappa"][-1]) ** 2 * fields["sigma"][-1] ** 2 + fields["gain_sigma"][-1] ** 2
        return {"expected_db": float(-20 * np.log10(max(1 - 0.5 * float(variance.mean()), 1e-6)))}

    def _rate(self) -> float:
        """Items per second over the last second or two, at the block of which most have come in; of a run that has finished
        before two looks at it were far enough apart, over all of it."""
        items = max((block.items_in for block in self.status.blocks.values()), default=0)
        now = self.status.seconds
        self._rates = [(then, count) for then, count in self._rates if now - then < 1.5 * _ALONE] + [(now, items)]
        (then, count), (here, total) = self._rates[0], self._rates[-1]
        if here - then > 0.5 * INTERVAL:  # of less it says nothing
            return (total - count) / (here - then)
        return total / here if self.status.phase == "finished" and here > 0 else math.nan
