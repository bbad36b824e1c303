"""Asks the desk of a running flowgraph, from this process or from another one of the same user."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import msgspec
import zmq

from isacblocks.stream import Status, codec
from isacblocks.stream.directory import existing, in_use
from isacblocks.view.desk import DIRECTORY, Desk, DeskError, RequestError

_PATIENCE = 2000  # ms


class AwayError(DeskError):
    """Nobody answers at the desk: the flowgraph has ended, or never ran there."""


def running_desks() -> list[str]:
    """The endpoints of all desks of this user on this machine whose programs are alive."""
    return [f"ipc://{path}/desk" for path in existing(DIRECTORY) if in_use(path) and (path / "desk").exists()]


class DeskClient:
    """A line to a desk. patience: ms to wait for an answer. Calls raise AwayError where none comes, DeskError where the
    desk says no, RequestError where it should have been asked otherwise."""

    def __init__(self, endpoint: str, patience: int = _PATIENCE) -> None:
        if not endpoint.startswith("ipc://"):
            raise RequestError(
                f"{endpoint!r}: expected the endpoint of a desk, ipc://...; leave it out, and the one that is running is "
                "taken, or they are named"
            )
        self.endpoint = endpoint
        self.patience = patience
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None

    def ask(self, **request: Any) -> dict[str, Any]:
        """Ask and return the answer."""
        if self._socket is None:
            self._socket = self._context.socket(zmq.REQ)
            self._socket.linger = 0
            self._socket.connect(self.endpoint)
        self._socket.send(msgspec.msgpack.encode(request))
        if not self._socket.poll(self.patience):
            self._socket.close(0)  # a question without an answer spoils the line
            self._socket = None
            silence = f"no answer within {self.patience / 1000:g} s"
            raise AwayError(f"{self.endpoint}: {silence}; is it still starting, or has the flowgraph ended?")
        answer: dict[str, Any] = codec.decode(self._socket.recv())
        if not answer.pop("ok"):
            raise (RequestError if answer.get("wrong") else DeskError)(answer["error"])
        return answer

    def set(self, block: str, setting: str, value: float | bool | str) -> None:
        """Change a setting."""
        self.ask(ask="set", block=block, setting=setting, value=value)

    def do(self, action: str, **arguments: Any) -> Any:
        """Have something done; returns what the action returns."""
        return self.ask(ask="do", action=action, arguments=arguments)["result"]

    def close(self) -> None:
        """End the line."""
        if self._socket is not None:
            self._socket.close(0)
            self._socket = None
        self._context.term()

    def __enter__(self) -> DeskClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class NearClient:
    """The same for a desk of this very program: nothing is sent, nothing is waited for."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def ask(self, **request: Any) -> dict[str, Any]:
        """Ask and return the answer. Raises DeskError."""
        return self.desk.met(request)

    def close(self) -> None:
        """Nothing is open."""


def status_of(answer: dict[str, Any]) -> Status:
    """The status in an answer, as Flowgraph.status gives it."""
    status = answer["status"]
    return status if isinstance(status, Status) else msgspec.convert(status, Status)
