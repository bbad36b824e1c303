"""Arrays of .npy files, which come from outside: never unpickled, and whatever is wrong with one is a ValueError."""

from __future__ import annotations

import tokenize
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.stream.decoder import UNREADABLE

# numpy reads the header with Python's own parser, and a file of another kind with whatever its first bytes look like
_BROKEN = (*UNREADABLE, EOFError, SyntaxError, tokenize.TokenError, zipfile.BadZipFile)


def read_npy(path: str | Path) -> NDArray[Any]:
    """The array of a .npy file, mapped read-only: one whose header claims more than there is is refused before memory is
    taken. Raises ValueError for a file of another kind, OSError where it cannot be opened.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except _BROKEN as error:
        raise ValueError(f"{path}: not a .npy file of numbers, or broken; numpy.save() makes one") from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path}: expected one array (.npy), got {type(array).__name__}")
    return array
