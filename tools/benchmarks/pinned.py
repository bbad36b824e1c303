"""One thread for every library: imported before numpy, which reads this once, when it is loaded."""

from __future__ import annotations

import os

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def pin() -> None:
    """Set it for this process and its children."""
    os.environ.update(dict.fromkeys(THREADS, "1"))
