"""The desk of a running flowgraph: who comes to it is told how everything is getting on, and may turn its knobs.

with Desk(fg) as desk:
    desk.watch("kappa", calibrator.kappa)
    fg.run()

It listens on a socket in a directory of mode 0700: whoever runs as the same user on this machine may come, nobody else. A
client asks and gets an answer; one that does not ask costs nothing. Requests and answers are MessagePack maps:

    {"ask": "status"}                              {"ok": true, "name": ..., "status": ..., "settings": [...], ...}
    {"ask": "seen", "after": {kind: number}}       {"ok": true, "status": ..., "seen": {kind: [number, bytes]}}
    {"ask": "set", "block": ..., "setting": ..., "value": ...}
    {"ask": "do", "action": ..., "arguments": {...}}

One that cannot be met is answered {"ok": false, "error": why, "wrong": whether it should have been asked otherwise}.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import math
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import msgspec
import zmq

from isacblocks._toml import nearest
from isacblocks.stream import Flowgraph, Port, Source
from isacblocks.stream.directory import SocketDirectory
from isacblocks.view.tap import Tap, looks_on

DIRECTORY = "desk"  # the kind of directory that desks are found by
_LARGEST = 1 << 24  # bytes of a message
_OFTEN = 0.5  # seconds: who asks more often for what is seen looks on, and is shown more than one message a second
_KINDS = (bool, int, float, str)  # of settings that may be set from outside


# In one call, where the codec of streams would look at every value: the flowgraph waits for the interpreter meanwhile
_packed = msgspec.msgpack.Encoder(enc_hook=lambda value: value.tolist()).encode  # numbers and arrays of numpy


class DeskError(RuntimeError):
    """A request that cannot be met; the message says why."""


class RequestError(DeskError):
    """It names what is not there, or a value that may not be; the message says what is expected."""


_WORDS = {"int": "NUMBER", "float": "NUMBER", "bool": "true|false"}  # what an action's arguments look like, by annotation
_TYPES: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,)}


def _expect(name: str, action: Callable[..., Any], arguments: dict[str, Any]) -> None:
    """See whether an action takes these arguments. Raises RequestError."""
    takes = inspect.signature(action).parameters
    fit = {*arguments} <= {*takes} and all(p.default is not p.empty or n in arguments for n, p in takes.items())
    for argument, value in arguments.items() if fit else ():
        kinds = _TYPES.get(takes[argument].annotation, (object,))
        fit = fit and isinstance(value, kinds) and not (isinstance(value, bool) and int in kinds)
    if not fit:
        words = {n: f"{n}={_WORDS.get(p.annotation, 'VALUE')}" for n, p in takes.items()}
        expected = " ".join(
            word if takes[n].default is inspect.Parameter.empty else f"[{word}]" for n, word in words.items()
        )
        got = " ".join(f"{n}={value}" for n, value in arguments.items())
        raise RequestError(f"{name}: expected {expected or 'no arguments'}, got {got or 'none'}")


class Desk:
    """Serves a flowgraph while the ``with`` lasts. endpoint: where clients come; actions: what they may have done, by name.

    facts: anything about the flowgraph that a viewer needs to know, in values that MessagePack knows.
    """

    def __init__(self, flowgraph: Flowgraph, facts: dict[str, Any] | None = None) -> None:
        self.flowgraph = flowgraph
        self.facts = facts or {}
        self.actions: dict[str, Callable[..., Any]] = {"pause": self.pause, "resume": self.resume, "stop": flowgraph.stop}
        self.seen: dict[str, tuple[int, bytes]] = {}  # the newest of every tap and its number
        self._log = logging.getLogger("isacblocks.view.desk")
        self._place = SocketDirectory(DIRECTORY)
        self.directory = self._place.path
        self.endpoint = self._place.endpoint("desk")
        self._taps = self._place.endpoint("taps")
        self._tapping: list[Tap] = []
        self._watched, self._looked = False, -math.inf  # whether anybody looks on; when what is seen was last asked for
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="isacblocks desk", daemon=True)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._asked = self._bound(zmq.ROUTER, self.endpoint)
        self._shown = self._bound(zmq.PULL, self._taps)

    def _bound(self, kind: int, endpoint: str) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.linger = 0
        socket.maxmsgsize = _LARGEST
        socket.bind(endpoint)
        return socket

    def watch(self, kind: str, port: Port, fields: list[str] | None = None, **more: Any) -> None:
        """Show the newest items of an output port under the name `kind`; before the flowgraph runs. See :class:`Tap`."""
        tap = Tap(kind, self._taps, fields, **more)
        self._tapping.append(tap)
        self.flowgraph.connect(port, tap.ports["items"], policy="latest")

    # What may be done

    def set(self, block: str, setting: str, value: Any) -> None:
        """Change a setting by names. Raises RequestError for unknown names, ValueError for values that may not be."""
        found = None if looks_on(block) else self.flowgraph.blocks.get(block)
        if found is None or setting not in found.settings():
            known = sorted(f"{one['block']}.{one['setting']}" for one in self.settings())
            raise RequestError(f"{block}.{setting}: there is no such setting; {nearest(f'{block}.{setting}', known)}")
        if found.settings()[setting].kind not in _KINDS:
            raise RequestError(f"{block}.{setting}: cannot be set from outside; is there an action for it?")
        setattr(found, setting, value)

    def pause(self) -> None:
        """Let the sources make nothing more until :meth:`resume`."""
        for source in self._sources():
            source.paused = True

    def resume(self) -> None:
        """Let them go on."""
        for source in self._sources():
            source.paused = False

    def _sources(self) -> list[Source]:
        return [block for block in self.flowgraph.blocks.values() if isinstance(block, Source)]

    def settings(self) -> list[dict[str, Any]]:
        """Every setting that can be set from outside, with its present value and what is allowed."""
        return [
            {
                "block": name,
                "setting": setting,
                "value": getattr(block, setting),
                "unit": spec.unit,
                "minimum": spec.minimum,
                "maximum": spec.maximum,
                "kind": spec.kind.__name__,
                "doc": spec.doc,
            }
            for name, block in self.flowgraph.blocks.items()
            for setting, spec in block.settings().items()
            if spec.kind in _KINDS and not looks_on(name)
        ]

    # The service

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._asked, zmq.POLLIN)
        poller.register(self._shown, zmq.POLLIN)
        while not self._stop.is_set():
            if self._watched and time.monotonic() - self._looked > _OFTEN:
                self._tell_taps(False)
            for socket, _ in poller.poll(100):
                with contextlib.suppress(zmq.ZMQError):
                    (self._answer if socket is self._asked else self._note)()

    def _tell_taps(self, watched: bool) -> None:
        if watched != self._watched:
            self._watched = watched
            for tap in self._tapping:
                tap.watched = watched

    def _note(self) -> None:
        """What a tap shows takes the place of what it showed before."""
        parts = self._shown.recv_multipart(zmq.NOBLOCK)
        if len(parts) == 2:
            kind, data = parts[0].decode(errors="replace"), parts[1]
            self.seen[kind] = self.seen.get(kind, (0, b""))[0] + 1, data
            self.noted(kind, data)

    def noted(self, kind: str, data: bytes) -> None:
        """For desks that remember more than the newest of what is shown; in the desk's thread."""

    def _answer(self) -> None:
        client, *rest = self._asked.recv_multipart(zmq.NOBLOCK)
        try:
            request = msgspec.msgpack.decode(rest[-1], type=dict[str, Any])
            answer = _packed({"ok": True, **self.met(request)})
        except Exception as error:  # a client's mistake is the client's
            self._log.debug("a request failed", exc_info=True)
            said = " ".join(str(error).split()) or type(error).__name__
            answer = _packed({"ok": False, "error": said, "wrong": isinstance(error, RequestError | ValueError)})
        self._asked.send_multipart([client, *rest[:-1], answer], zmq.NOBLOCK)

    def met(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request. Raises DeskError for one that cannot be met."""
        ask = request.get("ask")
        if ask == "status":
            return {**self._standing(), "settings": self.settings(), "actions": sorted(self.actions), **self._drawing()}
        if ask == "seen":
            now = time.monotonic()
            self._tell_taps(now - self._looked < _OFTEN)
            self._looked = now
            after = request.get("after", {})
            return {**self._standing(), "seen": {k: list(v) for k, v in self.seen.items() if v[0] != after.get(k)}}
        if ask == "set":
            self.set(request.get("block", ""), request.get("setting", ""), request.get("value"))
            return {}
        if ask == "do":
            name, arguments = request.get("action", ""), request.get("arguments", {})
            if name not in self.actions:
                raise RequestError(f"{name}: there is no such action; there are {', '.join(sorted(self.actions))}")
            _expect(name, self.actions[name], arguments)
            return {"result": self.actions[name](**arguments)}
        raise RequestError(f"{ask!r}: expected one of status, seen, set, do")

    def _standing(self) -> dict[str, Any]:
        graph = self.flowgraph
        return {"name": graph.name, "status": graph.status, "paused": self.paused, "lately": self.lately()}

    def lately(self) -> dict[str, list[int]]:
        """What happened a moment ago and is over, for all who look less often than it happens: numbers by a word."""
        return {}

    def _drawing(self) -> dict[str, Any]:
        """How the flowgraph is drawn, without those that look on; and the facts."""
        edges = [
            {"sender": e.sender, "receiver": e.receiver, "policy": e.policy, "feedback": e.feedback, "lag": e.lag}
            for e in self.flowgraph.edges()
            if not looks_on(e.receiver)
        ]
        blocks = {name: type(block).__name__ for name, block in self.flowgraph.blocks.items() if not looks_on(name)}
        return {"blocks": blocks, "edges": edges, "facts": self.facts}

    @property
    def paused(self) -> bool:
        """Whether the sources have been told to pause."""
        return any(source.paused for source in self._sources())

    def __enter__(self) -> Desk:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(2.0)
        for socket in (self._asked, self._shown):
            socket.close(0)
        self._context.term()
        self._place.remove()
