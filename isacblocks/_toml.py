"""TOML files that people write: read, and what is wrong with them told in words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

LARGEST = 16 << 20  # bytes; what people write is far smaller


def read_toml(path: str | Path, refuse: type[ValueError], largest: int = LARGEST) -> dict[str, Any]:
    """What a file says.

    Raises `refuse` where it is not TOML, or larger than `largest` bytes, OSError where it cannot be read.
    """
    with open(path, "rb") as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise refuse(f"{path}: has more than {largest} bytes")
    try:
        found: dict[str, Any] = msgspec.toml.decode(data)
    except UnicodeDecodeError:
        raise refuse(f"{path}: not TOML: it is not UTF-8 text") from None
    except msgspec.DecodeError as error:
        raise refuse(f"{path}: not TOML: {error}") from None
    return found


def shown(value: Any) -> str:
    """A value as it is told, not all of a long one."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def nearest(name: str, known: Iterable[str]) -> str:
    """A guess what was meant, and what there is."""
    names = [*known]
    close = difflib.get_close_matches(name, names, 1, 0.5)
    return (f"did you mean {close[0]}? " if close else "") + f"Known: {', '.join(names) or 'none'}"


def value_at(values: Any, place: str) -> Any:
    """The value at a place in a file as msgspec names it, key[0].other."""
    for name, index in re.findall(r"([A-Za-z_]\w*)|\[(\d+)\]", place):
        values = values[int(index)] if index else values[name]
    return values


def parted(message: str) -> tuple[str, str]:
    """What msgspec says, "Expected ... - at `$.key[0]`", as the words, without what came, and the key."""
    found = re.search(r" - at `(?:key in )?\$\.?(.*)`$", message)
    said = message[: found.start()] if found else message
    said = re.sub(r", got `.*`$", "", said).replace("`", "")
    return said[:1].lower() + said[1:], found[1].replace("[...]", "") if found else ""
