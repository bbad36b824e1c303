"""The desk of a flowgraph of our blocks: what a radar has to show, and what may be done to it, for views of every kind."""

from __future__ import annotations

import itertools
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from isacblocks.blocks.calibration_file import calibration_of, save_calibration
from isacblocks.blocks.impaired_channel import ImpairedChannel
from isacblocks.blocks.records import DETECTION
from isacblocks.kernels.health import GOOD, HEALTH
from isacblocks.radar import OfdmRadar, Scene
from isacblocks.stream import Flowgraph, Port, codec
from isacblocks.view.desk import Desk, DeskError
from isacblocks.view.reel import BUDGET, DEPTH, Reel

_SHOWN = ("present", "position", "range", "theta", "tau", "theta_min", "theta_max", "tau_min", "tau_max", "valid")
LATELY = 3.0  # seconds for which it is told what an antenna had that is well again
_FRAMES = 4  # of a message, for the map: enough that mostly one of them has a target


class RadarDesk(Desk):
    """calibration: where `save` writes; recording: where `record` does, by default the flowgraph's name with .isac;
    noise_known: N0 = 1, else it is estimated from every frame.
    """

    def __init__(
        self,
        flowgraph: Flowgraph,
        radar: OfdmRadar,
        scene: Scene,
        *,
        calibration: str | Path | None = None,
        noise_known: bool = False,
        recording: str | Path | None = None,
    ) -> None:
        facts = {"radar": asdict(radar), "scene": asdict(scene), "noise": "known" if noise_known else "estimated"}
        super().__init__(flowgraph, facts)
        self.radar = radar
        self.path = Path(calibration or "calibration.json").absolute()
        self._take = 1  # the present or last recording, else the first one
        self._good: Any = np.zeros(radar.antennas, bool)  # which antennas have ever been good
        self._ill: dict[int, tuple[int, float]] = {}  # what good ones had last, and when
        self._reel = Reel(str(Path(recording or f"{flowgraph.name.replace('/', '_')}.isac").absolute()), radar)

    def show(
        self,
        compressed: Port | None = None,
        detection: Port | None = None,
        kappa: Port | None = None,
        truth: Port | None = None,
    ) -> None:
        """Show these streams; before the flowgraph runs."""
        if compressed is not None:
            self.watch("compressed", compressed, newest=_FRAMES)
            self.flowgraph.connect(compressed, self._reel, policy="drop-oldest", depth=DEPTH, budget=BUDGET)
            self.actions["record"] = self.record
        if detection is not None:
            assert all(any(f.name == name for f in DETECTION.fields) for name in _SHOWN)
            self.watch("detection", detection, list(_SHOWN), newest=64)
        if kappa is not None:
            self.watch("kappa", kappa, whole=("health",))
            self.actions["save"] = self.save
        if truth is not None:
            self.watch("truth", truth, ["kappa"])

    def control(self, channel: ImpairedChannel) -> None:
        """Let viewers kick and mute the antennas of a simulated channel."""
        self.actions["kick"] = channel.kick
        self.actions["mute"] = channel.mute

    def noted(self, kind: str, data: bytes) -> None:
        """Remember which antennas were not well; that may be over within a message."""
        if kind != "kappa":
            return
        for health in codec.decode(data)["fields"]["health"]:
            for antenna in np.flatnonzero(self._good & (health != GOOD)).tolist():
                self._ill[antenna] = int(health[antenna]), time.monotonic()
            self._good |= health == GOOD

    def lately(self) -> dict[str, list[int]]:
        """Antennas that were not well within the last seconds, by what they had, whether they are well now or not."""
        found: dict[str, list[int]] = {}
        for antenna, (code, then) in sorted(self._ill.copy().items()):
            if time.monotonic() - then < LATELY:
                found.setdefault(HEALTH[code], []).append(antenna)
        return found

    def record(self, active: bool = True) -> str:
        """Record the frames that pass into a file that does not exist yet, or end that; returns its path. Raises DeskError.

        What could not be written in time is missing in the recording, and counted: ``Recording.gaps()``.
        """
        if active and not self._reel.take:
            take = next(n for n in itertools.count(1) if not self._reel.path_of(n).exists())
            try:
                tempfile.TemporaryFile(dir=self._reel.path.parent).close()
            except OSError as error:
                raise DeskError(f"{self._reel.path}: cannot be recorded to: {error.strerror}") from error
            self._take, self._reel.take = take, take
        elif not active:
            self._reel.take = 0
        return str(self._reel.path_of(self._take))

    def save(self, path: str | None = None) -> str:
        """Write what has been learned up to now as a calibration file; returns its path. Raises DeskError."""
        if path is not None:
            raise DeskError("save: where it is written is said where the view is started, not by who looks at it")
        return str(self.save_calibration(self.path))

    def save_calibration(self, path: str | Path) -> Path:
        """Write the newest estimate to `path`. Raises DeskError where there is none, CalibrationError where it cannot be."""
        number, data = self.seen.get("kappa", (0, b""))
        if not number:
            raise DeskError("nothing has been learned yet")
        newest = {name: array[-1] for name, array in codec.decode(data)["fields"].items()}
        known: dict[str, Any] = {
            "sigma_rad": None if np.isnan(newest["sigma"]).any() else newest["sigma"].tolist(),
            "gain_sigma": None if np.isnan(newest["gain_sigma"]).any() else newest["gain_sigma"].tolist(),
            "acceptance": None if np.isnan(newest["acceptance"]) else float(newest["acceptance"]),
            "health": newest["health"].tolist(),
            "slope_rad": float(newest["slope"]),
            "slope_sigma_rad": None if np.isnan(newest["slope_sigma"]) else float(newest["slope_sigma"]),
            "frames": int(newest["frames"]),
            "targets": float(newest["targets"]),
            "snr_db": float(newest["snr"]),
            "provenance": f"{self.flowgraph.name}, saved while it ran",
        }
        save_calibration(path, calibration_of(self.radar, newest["kappa"], **known))
        return Path(path)
