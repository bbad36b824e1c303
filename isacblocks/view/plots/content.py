"""What is in a picture, as it goes to browsers: columns of data sources and titles of figures, by their names."""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from isacblocks.view.feed import Feed


class Content(msgspec.Struct):
    """One picture's. data: columns by source; of an image its bytes, see :func:`image`. titles: by figure."""

    data: dict[str, dict[str, list[Any]]]
    titles: dict[str, str] = {}


class Painter(Protocol):
    """Says what is in some figures."""

    @property
    def figures(self) -> tuple[str, ...]:
        """Their names."""
        ...

    @property
    def every(self) -> int:
        """It is asked for the newest with every so many updates."""
        ...

    def update(self, feed: Feed) -> Content | None:
        """The newest, None where nothing has changed since it was asked before."""
        ...


def short(columns: dict[str, Any]) -> dict[str, list[Any]]:
    """Columns of numbers as lists to six digits behind the point; what is not a number is null there."""
    return {name: np.round(column, 6).tolist() for name, column in columns.items()}


def image(pixels: NDArray[np.uint8]) -> list[dict[str, str]]:
    """A column of one image; the browser knows its shape from the one that is there."""
    return [{"bytes": b64encode(pixels.tobytes()).decode()}]
