"""Looks at a live view as a browser does, but draws nothing: takes every update and confirms it, or stalls and reads none.

python viewer.py reads|stalls ADDRESS FIGURES... says "ready" once it looks on, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading

import msgspec
from tornado.websocket import websocket_connect

_SEEN = 5  # updates after which what had to be loaded has been


class _Number(msgspec.Struct):
    number: int


async def look(manner: str, address: str, figures: list[str]) -> None:
    """Until it is ended."""
    socket = await websocket_connect(address.replace("http:", "ws:") + "updates", max_message_size=1 << 26)
    decode = msgspec.json.Decoder(_Number).decode
    number = 0
    while True:
        await socket.write_message(msgspec.json.encode({"number": number, "visible": figures}))
        update = await socket.read_message()
        if update is None:
            return
        number = decode(update).number
        if number == (_SEEN if manner == "reads" else 1):
            print("ready", flush=True)
        if manner == "stalls":
            threading.Event().wait()  # not even what has come is read


def _end_with_the_starter() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    asyncio.run(look(sys.argv[1], sys.argv[2], sys.argv[3:]))
