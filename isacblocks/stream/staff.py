"""The workers of a flowgraph, wherever they are: the threads of a crew, or the processes of a nursery."""

from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path

import zmq

from isacblocks.stream.block import MAIN, Block
from isacblocks.stream.control import WorkerSpec
from isacblocks.stream.crew import Crew
from isacblocks.stream.errors import PlacementError
from isacblocks.stream.hand import Hand
from isacblocks.stream.nursery import Nursery
from isacblocks.stream.nursery_messages import Death, Setup


def _log_levels() -> dict[str, int]:
    """What is to be logged, for other processes: the root's level as "", and those of our loggers that have their own."""
    known = [name for name in logging.root.manager.loggerDict if name.startswith("isacblocks.")]
    own = {name: level for name in known if (level := logging.getLogger(name).level) != logging.NOTSET}
    return {"": logging.getLogger().getEffectiveLevel()} | own


def _setup(blocks: dict[str, Block], directory: Path) -> Setup:
    """What the nursery of these blocks has to know. Raises PlacementError where their classes cannot be found elsewhere."""
    kinds = sorted({(type(b).__module__, type(b).__qualname__) for b in blocks.values()})
    in_main = any(module == "__main__" for module, _ in kinds)
    classes = [(MAIN if module == "__main__" else module, name) for module, name in kinds]
    main = getattr(sys.modules["__main__"], "__file__", None) if in_main else None
    if in_main and main is None:
        raise PlacementError("blocks defined at a prompt cannot be made in another process; run with placement='threads'")
    return Setup(classes, main, sys.path, str(directory), _log_levels())


class Staff:
    """One worker for each of `blocks`."""

    def __init__(self, blocks: dict[str, Block]) -> None:
        self._blocks = blocks
        self._threads: dict[str, threading.Thread] = {}
        self._hands: dict[str, Hand] = {}
        self._crew: Crew | None = None
        self._nursery: Nursery | None = None
        self._dead: set[str] = set()  # blocks whose processes have ended, and "" for the nursery

    @property
    def elsewhere(self) -> bool:
        """Whether they are in processes of their own, and may be killed."""
        return self._nursery is not None

    # Beginning

    def start_threads(self, specs: dict[str, WorkerSpec], context: zmq.Context[zmq.Socket[bytes]]) -> None:
        """Start them in this process."""
        self._crew = crew = Crew()
        for name, spec in specs.items():
            hand = self._hands[name] = Hand(self._blocks[name], spec, context, crew)
            self._threads[name] = threading.Thread(target=hand.run, name=f"isacblocks {name}", daemon=True)
        for thread in self._threads.values():
            thread.start()

    def start_processes(self, specs: dict[str, WorkerSpec], directory: Path) -> None:
        """Start them in processes. directory: of their sockets. Raises PlacementError where that cannot be."""
        descriptions = {name: block.describe() for name, block in self._blocks.items()}
        self._nursery = nursery = Nursery(_setup(self._blocks, directory))
        for name, spec in specs.items():
            nursery.bear(spec, descriptions[name])

    def replace(self, spec: WorkerSpec) -> None:
        """Make another process for a block whose own has died."""
        self._dead.discard(spec.name)
        if self._nursery is not None:
            self._nursery.bear(spec, self._blocks[spec.name].describe())

    # Watching

    def deaths(self) -> list[Death]:
        """The processes that have ended since the last call; never waits."""
        found = [] if self._nursery is None else self._nursery.deaths()
        self._dead.update(death.block for death in found)
        return found

    def left(self) -> set[str]:
        """Those that could still end by themselves."""
        if self._nursery is None:
            return {name for name, thread in self._threads.items() if thread.is_alive()}
        self.deaths()
        return set() if "" in self._dead else self._blocks.keys() - self._dead

    def hanging(self) -> list[str]:
        """Blocks that are not over though their threads cannot be ended."""
        return [name for name, thread in self._threads.items() if thread.is_alive() and not self._hands[name].over]

    # Ending

    def hurry(self) -> None:
        """Tell busy threads to stop without waiting for their orders. From any thread."""
        if self._crew is not None:
            self._crew.over = True

    def end(self, at_once: bool) -> list[threading.Thread]:
        """Kill the processes that are left; the threads that are, of which nobody can. at_once: nothing has begun yet."""
        if self._nursery is not None:
            self._nursery.end(at_once)
        return [thread for thread in self._threads.values() if thread.is_alive()]

    def disown(self) -> None:
        """In a forked child: its threads are the parent's."""
        self._threads = {}
