"""What a process forked from the user's program does with what it inherits of a running flowgraph: it lets go of it.

A copy of a socket or of a lock that stays open in a child keeps alive what should end with the program; and a child that
comes to the end of a ``with`` must not end the flowgraph of its parent.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Owner(Protocol):
    """Something that belongs to one process."""

    def disown(self) -> None:
        """Called in a child: close the copies of what it inherited, touch nothing else."""


_owners: weakref.WeakSet[Owner] = weakref.WeakSet()


def disown_in_children(owner: Owner) -> None:
    """Have `owner` disowned in every process that is forked from now on."""
    _owners.add(owner)


def _disown_all() -> None:
    for owner in list(_owners):
        owner.disown()
    _owners.clear()


os.register_at_fork(after_in_child=_disown_all)
