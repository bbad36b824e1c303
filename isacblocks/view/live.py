"""The live view of a flowgraph in a browser, served by a process of its own while the flowgraph runs.

with LiveView(fg, radar, scene) as view:
    print(view.url)
    fg.run()

What is shown comes over lossy edges and from the flowgraph's status: a browser that stalls, and a server that dies, cost the
flowgraph nothing. A server that dies is started again.
"""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

from isacblocks.blocks.impaired_channel import ImpairedChannel
from isacblocks.radar import OfdmRadar, Scene
from isacblocks.stream import Flowgraph, Port
from isacblocks.view.access import AccessError, is_loopback, require_token
from isacblocks.view.radar_desk import RadarDesk

PORT = 5006
_TRIES = 5  # servers that may die one after the other, within a minute each


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
        self.token = token
        self._log = logging.getLogger("isacblocks.view.live")
        self._listener = self._listen(host, port)
        self.host, self.port = host, int(self._listener.getsockname()[1])
        files = {"calibration": calibration, "recording": recording}
        self.desk = RadarDesk(flowgraph, radar, scene, noise_known=noise_known, **files)
        self._server: subprocess.Popen[bytes] | None = None
        self._closing = threading.Event()
        self._nurse = threading.Thread(target=self._keep_serving, name="isacblocks live view", daemon=True)

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

    # What is shown, and what may be done: see RadarDesk

    def watch(
        self,
        compressed: Port | None = None,
        detection: Port | None = None,
        kappa: Port | None = None,
        truth: Port | None = None,
    ) -> None:
        """Show these streams; before the flowgraph runs."""
        self.desk.show(compressed, detection, kappa, truth)

    def control(self, channel: ImpairedChannel) -> None:
        """Let viewers kick and mute the antennas of a simulated channel."""
        self.desk.control(channel)

    def record(self, active: bool = True) -> str:
        """As :meth:`RadarDesk.record`."""
        return self.desk.record(active)

    def save(self) -> str:
        """As :meth:`RadarDesk.save`."""
        return self.desk.save()

    def save_calibration(self, path: str | Path) -> Path:
        """As :meth:`RadarDesk.save_calibration`."""
        return self.desk.save_calibration(path)

    @property
    def path(self) -> Path:
        """Where `save` writes."""
        return self.desk.path

    # The server

    def _start_server(self) -> subprocess.Popen[bytes]:
        descriptor = self._listener.fileno()
        server = subprocess.Popen(
            [sys.executable, "-m", "isacblocks.view.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[descriptor],
            start_new_session=True,  # a Ctrl-C in the terminal is the program's business; it ends with the program
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
