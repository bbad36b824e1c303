"""File descriptors: whether there are enough before anything is begun that would fail half-way."""

from __future__ import annotations

import contextlib
import os
import resource

from isacblocks.stream.errors import PlacementError

_MOST = 65536  # no process of ours asks for more
CONTEXT = 10  # of a ZeroMQ context with its threads, and some to spare


def left() -> int | None:
    """How many more this process may open; None where the system does not tell."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    try:
        return max(0, limit - len(os.listdir("/proc/self/fd")))
    except FileNotFoundError:
        return None
    except OSError:  # none for the directory itself
        return 0


def expect(needed: int, what: str) -> None:
    """See that `needed` of them are left. what: that needs them. Raises PlacementError."""
    have = left()
    if have is not None and have < needed:
        raise PlacementError(
            f"{what} needs about {needed} file descriptors, {have} are left; close files, or raise the limit (ulimit -n)"
        )


def raise_limit() -> None:
    """Allow this process, and those that it forks, as many as it may allow itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
