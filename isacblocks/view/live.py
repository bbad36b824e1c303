"""The live view of a flowgraph in a browser, served by a process of its own while the flowgraph runs.

with LiveView(fg, radar, scene) as view:
    print(view.url)
    fg.run()

What is shown comes over lossy edges and from the flowgraph's status: a browser that stalls, and a server that dies, cost the
flowgraph nothing. A server that dies is started again.
"""

from __future__ import annotations

import itertools
import json
import logging
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from isacblocks.blocks.calibration_file import calibration_of, save_calibration
from isacblocks.blocks.impaired_channel import ImpairedChannel
from isacblocks.blocks.records import DETECTION
from isacblocks.radar import OfdmRadar, Scene
from isacblocks.stream import Flowgraph, Port, codec
from isacblocks.view.access import AccessError, is_loopback, require_token
from isacblocks.view.desk import Desk, DeskError
from isacblocks.view.reel import BUDGET, DEPTH, Reel

PORT = 5006
_TRIES = 5  # servers that may die one after the other, within a minute each
_SHOWN = ("present", "position", "range", "theta", "theta_min", "theta_max", "tau_min", "tau_max", "valid")
_FRAMES = 4  # of a message, for the map: enough that mostly one of them has a target


class NoViewError(RuntimeError):
    """The library is not installed."""


class LiveView:
    """See the module. host, port: where to listen, port 0 for a free one; token: needed beyond loopback.

    calibration: where `save` writes; recording: where `record` does, by default the flowgraph's name with .isac;
    noise_known: N0 = 1, else it is estimated from every frame.
    Raises AccessError for an address that may not be or cannot be bound, NoViewError without Bokeh.
    """

    def __init__(
        self,
        flowgraph: Flowgraph,
        radar: OfdmRadar,
        scene: Scene,
        *,
        host: str = "127.0.0.1",
        port: int = PORT,
        token: str | None = None,
        calibration: str | Path = "calibration.json",
        noise_known: bool = False,
        recording: str | Path | None = None,
    ) -> None:
        require_token(host, token)
        if find_spec("bokeh") is None:
            raise NoViewError("the live view needs Bokeh; pip install 'isacblocks[view]', or leave it out")
        self.radar = radar
        self.token = token
        self.path = Path(calibration).absolute()
        self._log = logging.getLogger("isacblocks.view.live")
        self._listener = self._listen(host, port)
        self.host, self.port = host, int(self._listener.getsockname()[1])
        facts = {"radar": asdict(radar), "scene": asdict(scene), "noise": "known" if noise_known else "estimated"}
        self.desk = Desk(flowgraph, facts)
        self._server: subprocess.Popen[bytes] | None = None
        self._closing = threading.Event()
        self._nurse = threading.Thread(target=self._keep_serving, name="isacblocks live view", daemon=True)
        self._channel: ImpairedChannel | None = None
        self._take = 1  # the present or last recording, else the first one
        self._reel = Reel(str(Path(recording or f"{flowgraph.name.replace('/', '_')}.isac").absolute()), radar)

    @staticmethod
    def _listen(host: str, port: int) -> socket.socket:
        """The socket, held for as long as the view: an address stays though its server is replaced."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(64)
        except OSError as error:
            listener.close()
            raise AccessError(
                f"{host}:{port}: cannot be listened on: {error.strerror}; choose another port, 0 for a free one"
            ) from error
        return listener

    @property
    def url(self) -> str:
        """What to open, the token included."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/" + ("" if self.token is None else f"?token={self.token}")

    # What is shown, and what may be done

    def watch(
        self,
        compressed: Port | None = None,
        detection: Port | None = None,
        kappa: Port | None = None,
        truth: Port | None = None,
    ) -> None:
        """Show these streams; before the flowgraph runs."""
        if compressed is not None:
            self.desk.watch("compressed", compressed, newest=_FRAMES)
            self.desk.flowgraph.connect(compressed, self._reel, policy="drop-oldest", depth=DEPTH, budget=BUDGET)
            self.desk.actions["record"] = self.record
        if detection is not None:
            assert all(any(f.name == name for f in DETECTION.fields) for name in _SHOWN)
            self.desk.watch("detection", detection, list(_SHOWN), newest=64)
        if kappa is not None:
            self.desk.watch("kappa", kappa)
            self.desk.actions["save"] = self.save
        if truth is not None:
            self.desk.watch("truth", truth, ["kappa"])

    def control(self, channel: ImpairedChannel) -> None:
        """Let viewers kick and mute the antennas of a simulated channel."""
        self._channel = channel
        self.desk.actions["kick"] = channel.kick
        self.desk.actions["mute"] = channel.mute

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
        number, data = self.desk.seen.get("kappa", (0, b""))
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
            "provenance": f"{self.desk.flowgraph.name}, saved while it ran",
        }
        save_calibration(path, calibration_of(self.radar, newest["kappa"], **known))
        return Path(path)

    # The server

    def _start_server(self) -> subprocess.Popen[bytes]:
        descriptor = self._listener.fileno()
        server = subprocess.Popen(
            [sys.executable, "-m", "isacblocks.view.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[descriptor],
        )
        origins = [f"{name}:{self.port}" for name in ("127.0.0.1", "localhost", "[::1]", self.host)]
        if not is_loopback(self.host):
            origins = ["*"]  # it goes by other names elsewhere, and the token's cookie is not sent from other sites
        told = {"endpoint": self.desk.endpoint, "fd": descriptor, "origins": origins, "token": self.token}
        assert server.stdin is not None
        server.stdin.write(json.dumps(told).encode() + b"\n")
        server.stdin.flush()
        return server

    def _keep_serving(self) -> None:
        """Start another server where one dies, but not for ever."""
        died = 0
        while not self._closing.wait(0.2):
            server = self._server
            if server is None or server.poll() is None:
                continue
            died += 1
            if died > _TRIES:
                self._log.warning(
                    "the live view's server died %d times and is left alone; the flowgraph goes on without it, and "
                    "isacblocks top still shows it; what the server said last is above",
                    died,
                )
                return
            self._log.warning(
                "the live view's server ended with status %d (%d of at most %d times); starting another one; the flowgraph "
                "does not notice, viewers connect again by themselves",
                server.returncode,
                died,
                _TRIES,
            )
            if server.stdin is not None:
                server.stdin.close()
            self._server = self._start_server()

    @property
    def server_pid(self) -> int | None:
        """The process id of the present server."""
        return None if self._server is None else self._server.pid

    def __enter__(self) -> LiveView:
        self.desk.__enter__()
        self._server = self._start_server()
        self._nurse.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closing.set()
        self._nurse.join(2.0)
        if self._server is not None:
            assert self._server.stdin is not None
            self._server.stdin.close()  # its sign to end
            try:
                self._server.wait(2.0)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
        self._listener.close()
        self.desk.__exit__(kind, error, trace)
