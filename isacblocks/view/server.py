"""The process that serves the live view: python -m isacblocks.view.server, started and fed by :mod:`isacblocks.view.live`.

It is told everything on its standard input, as one line of JSON, and ends when that is closed: with the program that started
it. The listening socket is inherited, so that the address stays while a server is replaced.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from isacblocks.view.access import admits

_FORGET = 5000  # ms after which the page of a browser that went away is dropped
_LONGEST_WORD = 4096  # bytes of what a browser says of an update


def _guarded(token: str | None, applications: dict[str, Any], **options: Any) -> Any:
    """Bokeh's server, for those who bring the token: in the header, in a cookie, or once in the address. None: for anybody.

    Nothing of Bokeh's is asked before that, and the address that is left in the browser has no token.
    """
    from bokeh.server.auth_provider import NullAuth
    from bokeh.server.tornado import BokehTornado
    from tornado.web import RequestHandler

    class Denied(RequestHandler):  # type: ignore[misc]
        def prepare(self) -> None:
            self.set_status(403)
            self.finish("This view needs its token: open the address that was printed, which ends in ?token=...")

    class Welcome(RequestHandler):  # type: ignore[misc]
        def get(self) -> None:
            self.set_cookie(_cookie(self.request), str(token), httponly=True, samesite="Strict")
            rest = {name: values for name, values in self.request.query_arguments.items() if name != "token"}
            self.redirect(self.request.path + ("?" + urlencode(rest, doseq=True) if rest else ""))

    class Guarded(BokehTornado):  # type: ignore[misc]
        def find_handler(self, request: Any, **kwargs: Any) -> Any:
            kept = request.cookies.get(_cookie(request))
            if admits(token, request.headers.get("Authorization"), None if kept is None else kept.value):
                return super().find_handler(request, **kwargs)
            brought = request.query_arguments.get("token", [b""])[-1].decode(errors="replace")
            welcome = request.method == "GET" and admits(token, None, brought)
            return self.get_handler_delegate(request, Welcome if welcome else Denied)

    return Guarded(applications, auth_provider=NullAuth(), **options)


def _watching(hub: Any, origins: list[str]) -> Any:
    """The handler of the websocket by which pages get their updates, see :mod:`isacblocks.view.hub`."""
    import msgspec
    from tornado.websocket import WebSocketClosedError, WebSocketHandler

    from isacblocks.view.hub import Drawn

    words = msgspec.json.Decoder(Drawn)

    class Watching(WebSocketHandler):  # type: ignore[misc]
        def check_origin(self, origin: str) -> bool:
            return origin.partition("://")[2] in origins or ("*" in origins and super().check_origin(origin))

        def open(self) -> None:
            self.set_nodelay(True)
            self.watcher = hub.join(self._send)

        def _send(self, update: bytes) -> None:
            try:
                self.write_message(update.decode())
            except WebSocketClosedError:
                self.on_close()

        def on_message(self, message: str | bytes) -> None:
            if len(message) > _LONGEST_WORD:
                self.close(1009)
                return
            try:
                hub.hear(self.watcher, words.decode(message))
            except msgspec.MsgspecError:
                self.close(1007)

        def on_close(self) -> None:
            hub.leave(self.watcher)

    return Watching


def _called(loop: Any, work: Callable[[], None]) -> Callable[[], None]:
    """Has `work` done by the loop, from any thread; once, however often it is asked for before that."""
    asked = threading.Event()

    def do() -> None:
        asked.clear()
        work()

    def ask() -> None:
        if not asked.is_set():
            asked.set()
            loop.add_callback(do)

    return ask


def _cookie(request: Any) -> str:
    """The name of the cookie: browsers tell hosts apart, not ports."""
    return f"isacblocks-token-{request.host.rpartition(':')[2]}"


def _end_with_the_starter(loop: Any) -> None:
    """Wait for the end of the standard input, then end."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        loop.add_callback(loop.stop)

    threading.Thread(target=wait, daemon=True).start()


def serve(told: dict[str, Any]) -> None:
    """Serve until the starter ends. told: endpoint of the desk, fd of the socket, origins, token or None."""
    import numpy as np
    from bokeh.application import Application
    from bokeh.application.handlers.function import FunctionHandler
    from bokeh.document import Document
    from bokeh.server.server import BaseServer
    from tornado.httpserver import HTTPServer
    from tornado.ioloop import IOLoop

    from isacblocks.kernels.warmup import load
    from isacblocks.view.client import DeskClient
    from isacblocks.view.feed import Feed
    from isacblocks.view.hub import Hub
    from isacblocks.view.page import Page, painters_of

    logging.getLogger("bokeh").setLevel(logging.ERROR)  # browsers come and go; that is nothing to be told
    np.seterr(all="ignore")  # what a curve cannot show it does not show
    for kernels in ("peak search", "detection", "evaluation"):
        load(kernels)
    feed = Feed(DeskClient(told["endpoint"]))
    feed.start()

    def open_page(document: Document) -> None:
        request = document.session_context.request if document.session_context is not None else None
        theme = (request.arguments.get("theme") or [b""])[0] if request is not None else b""
        Page(document, feed, dark=theme == b"dark")

    loop = IOLoop.current()
    hub = Hub(feed, painters_of(feed), time.time)
    feed.renewed = _called(loop, hub.publish)
    application = _guarded(
        told["token"],
        {"/": Application(FunctionHandler(open_page))},
        extra_websocket_origins=told["origins"],
        unused_session_lifetime_milliseconds=_FORGET,
        check_unused_sessions_milliseconds=_FORGET,
        use_index=False,
        extra_patterns=[("/updates", _watching(hub, told["origins"]))],
    )
    http = HTTPServer(application)
    listener = socket.socket(fileno=told["fd"])
    listener.setblocking(False)
    http.add_socket(listener)
    server = BaseServer(loop, application, http)
    server.start()
    _end_with_the_starter(loop)
    loop.start()
    feed.close()


if __name__ == "__main__":
    with open(0, "rb", buffering=0, closefd=False) as told:  # unbuffered: nothing is read ahead
        serve(json.loads(told.readline()))
