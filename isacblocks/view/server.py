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
from typing import Any

from isacblocks.view.access import admits

_COOKIE = "isacblocks-token"
_FORGET = 5000  # ms after which the page of a browser that went away is dropped


def _provider(token: str | None) -> Any:
    """Who brings the token, in the address, the header or a cookie, may see everything; others nothing. None: anybody."""
    from bokeh.server.auth_provider import AuthProvider, NullAuth
    from tornado.web import RequestHandler

    if token is None:
        return NullAuth()

    class Denied(RequestHandler):  # type: ignore[misc]
        def get(self) -> None:
            self.set_status(403)
            self.finish("This view needs its token: open the address that was printed, which ends in ?token=...")

    def user(handler: Any) -> str | None:
        asked = handler.get_query_argument("token", None)
        if admits(token, handler.request.headers.get("Authorization"), asked):
            if asked is not None and not handler.request.headers.get("Upgrade"):
                handler.set_cookie(_COOKIE, token, httponly=True, samesite="Strict")
            return "viewer"
        return "viewer" if admits(token, None, handler.get_cookie(_COOKIE, "")) else None

    class Token(AuthProvider):  # type: ignore[misc]
        @property
        def get_user(self) -> Any:
            return user

        @property
        def login_url(self) -> str:
            return "/denied"

        @property
        def login_handler(self) -> Any:
            return Denied

    return Token()


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
    from bokeh.server.tornado import BokehTornado
    from tornado.httpserver import HTTPServer
    from tornado.ioloop import IOLoop

    from isacblocks.kernels.warmup import load
    from isacblocks.view.feed import Feed
    from isacblocks.view.page import Page

    logging.getLogger("bokeh").setLevel(logging.ERROR)  # browsers come and go; that is nothing to be told
    np.seterr(all="ignore")  # what a curve cannot show it does not show
    for kernels in ("peak search", "detection", "evaluation"):
        load(kernels)
    feed = Feed(told["endpoint"])
    feed.start()

    def open_page(document: Document) -> None:
        request = document.session_context.request if document.session_context is not None else None
        theme = (request.arguments.get("theme") or [b""])[0] if request is not None else b""
        Page(document, feed, dark=theme == b"dark")

    loop = IOLoop.current()
    application = BokehTornado(
        {"/": Application(FunctionHandler(open_page))},
        extra_websocket_origins=told["origins"],
        auth_provider=_provider(told["token"]),
        unused_session_lifetime_milliseconds=_FORGET,
        check_unused_sessions_milliseconds=_FORGET,
        use_index=False,
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
