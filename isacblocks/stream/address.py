"""Addresses of sockets that others may reach, and which of them only this machine can."""

from __future__ import annotations

import ipaddress
import re


class AccessError(ValueError):
    """An address that may not be bound or is none, a token or a key that cannot be used."""


def parse_address(text: str, default_port: int) -> tuple[str, int]:
    """HOST:PORT, PORT or HOST to (host, port); an empty text is loopback at the default port. Raises AccessError."""
    match = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::(\d+))?|([^\[\]:]*):(\d+)|(\d+)|([^\[\]:]*)", text)
    if match is None:
        raise AccessError(f"{text!r}: expected HOST:PORT, PORT or HOST, say 127.0.0.1:{default_port}")
    host, port = match[1] or match[3] or match[6], match[2] or match[4] or match[5] or default_port
    if int(port) > 65535:
        raise AccessError(f"{text!r}: expected a port up to 65535, got {port}")
    return host or "127.0.0.1", int(port)


def is_loopback(host: str) -> bool:
    """Whether nothing but this machine can reach a server bound there. Names other than localhost are not looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
