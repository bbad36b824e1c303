"""Who may look: on this machine anybody, from elsewhere whoever has the token.

A server that tells about a flowgraph binds loopback; to any other address only with a token, which every request must then
bring, as `Authorization: Bearer TOKEN` or as `?token=TOKEN`.
"""

from __future__ import annotations

import hmac
import os
import re
import stat
from pathlib import Path

from isacblocks.stream.address import AccessError, is_loopback, parse_address

__all__ = ["AccessError", "admits", "is_loopback", "parse_address", "read_token", "require_token"]

_LONGEST = 4096  # bytes of a token's file
_SHORTEST = 16  # characters of a token


def read_token(path: str | Path) -> str:
    """The token in a file that nobody else may read. Raises AccessError."""
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_LONGEST + 1)
    except OSError as error:
        raise AccessError(f"{path}: the token cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(mode) or mode & 0o077:
        raise AccessError(f"{path}: a token's file must be readable by its owner alone; chmod 600 {path}")
    try:
        token = data.decode().strip()
    except UnicodeDecodeError:
        token = ""
    if len(data) > _LONGEST or not re.fullmatch(rf"[\x21-\x7e]{{{_SHORTEST},}}", token):
        raise AccessError(f"{path}: expected a token of at least {_SHORTEST} printable characters without spaces")
    return token


def require_token(host: str, token: str | None) -> None:
    """Raise AccessError where a server may not be bound to `host` without a token."""
    if token is None and not is_loopback(host):
        raise AccessError(
            f"{host}: others can reach a server there, so it needs a token; put one into a file of mode 600 and name it "
            "with --token-file, or bind 127.0.0.1"
        )


def admits(token: str | None, authorization: str | None, query: str | None) -> bool:
    """Whether a request may see anything. authorization: the header's value; query: of the parameter `token`."""
    if token is None:
        return True
    scheme, _, given = (authorization or "").partition(" ")
    brought = [given] if scheme.lower() == "bearer" else []
    brought += [query] if query is not None else []
    return any(hmac.compare_digest(one.encode(), token.encode()) for one in brought)
