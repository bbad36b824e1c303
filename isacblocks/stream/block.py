"""A block: ports, settings, state and one function from items to items. It knows nothing of queues, threads or sockets.

    class Scale(Block):
        \"\"\"y = factor x.\"\"\"

        x = In(SAMPLE)
        y = Out(SAMPLE)
        factor = Setting(float, initial=1.0)

        def process(self, x):
            return self.y.items(value=self.factor * x.value)

The runtime calls start(), then process() once per message with the items of every input port (None where an optional input
has nothing), then finish(). Every message that comes in leads to exactly one message on every connected output port, empty
where process() returned nothing for it: the number of the message is the flowgraph's clock. Inputs are read-only; arrays
that process() returns belong to the runtime and must not be written to afterwards.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from isacblocks.stream import codec
from isacblocks.stream.declare import Reading, Setting, State
from isacblocks.stream.errors import CheckpointError, PlacementError
from isacblocks.stream.ports import In, Out, Port, PortSpec

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")
MAIN = "__isacblocks_main__"  # the name under which another process imports the script that was run


class Block:
    """Base of all blocks; see the module."""

    onlooker = False  # True: there only to look on; a checkpoint leaves it out, and one without it can be gone on from
    name: str | None = None  # set it before connecting, or let the flowgraph choose
    remote: Callable[[str, Any], None] | None = None  # while running: where a change of a setting goes instead
    # While running: to be called at least every 100 ms by process() or finish() while it waits for the world outside. Takes
    # in orders and reports; raises where the flowgraph is being stopped, which is to be let through.
    attend: Callable[[], None] | None = None

    # What __new__ makes for every block
    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    ports: dict[str, Port]
    setting_values: dict[str, Any]
    state_values: dict[str, Any]
    reading_values: dict[str, float]
    state_shapes: dict[str, tuple[int, ...]]  # of arrays, since the last start

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:  # noqa: D102
        block = super().__new__(cls)
        block.arguments = (args, kwargs)
        block.ports = {name: Port(block, name, spec) for name, spec in cls._declared(PortSpec).items()}
        block.setting_values = {}
        block.state_values = {}
        block.reading_values = {}
        block.state_shapes = {}
        return block

    @classmethod
    def _declared(cls, kind: type[T]) -> dict[str, T]:
        found: dict[str, T] = {}
        for base in reversed(cls.__mro__):
            found.update({name: value for name, value in vars(base).items() if isinstance(value, kind)})
        return found

    @classmethod
    def inputs(cls) -> dict[str, In]:
        """The input ports in the order of their declaration."""
        return cls._declared(In)

    @classmethod
    def outputs(cls) -> dict[str, Out]:
        """The output ports in the order of their declaration."""
        return cls._declared(Out)

    @classmethod
    def settings(cls) -> dict[str, Setting[Any]]:
        """The settings by name."""
        return cls._declared(Setting)

    @classmethod
    def states(cls) -> dict[str, State]:
        """The declared state by name."""
        return cls._declared(State)

    @classmethod
    def readings(cls) -> dict[str, Reading]:
        """The readings by name."""
        return cls._declared(Reading)

    @property
    def label(self) -> str:
        """The block's name for messages: the one it was given, or its class."""
        return self.name or type(self).__name__

    def dimensions(self) -> Mapping[str, int]:
        """Sizes of the dimensions that the block's ports and state name."""
        return {}

    @classmethod
    def prepare(cls) -> None:
        """Load what is slow to load, compiled kernels say; called once in a process before blocks of this class start."""

    def start(self) -> None:
        """Prepare tables and set the state to its beginning; calling it twice is the same as once. Extend with super()."""
        for name, state in self.states().items():
            self.state_values[name] = state.fresh(self)

    def process(self, *args: Any, **inputs: Any) -> Any:
        """Items of every input port, by name, to the items of the output ports: None, one Items or a tuple of them."""
        raise TypeError(f"{self.label} has no process()")

    def finish(self) -> None:
        """The stream has ended, all of it has been processed: close files. Also called when the flowgraph is stopped."""

    def interval_wanted(self) -> float | None:
        """Of a block that only looks on: the newest message in so many seconds is enough; 0: all are wanted; None: as its
        edges say. Asked after every message, and now and then while none comes."""
        return None

    def save(self) -> dict[str, Any]:
        """The state, for a checkpoint."""
        return dict(self.state_values)

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continue from a saved state; start() has been called. Raises CheckpointError where it does not fit."""
        if saved.keys() != self.states().keys():
            raise CheckpointError(
                f"{self.label}: the saved state has {', '.join(saved) or 'nothing'}, "
                f"expected {', '.join(self.states()) or 'nothing'}; was it saved by another version?"
            )
        for name, value in saved.items():
            setattr(self, name, value)

    # How another process makes the same block

    def describe(self) -> bytes:
        """Class, arguments, name and settings, enough for :func:`create`. Raises PlacementError where that is impossible."""
        kind = type(self)
        module = MAIN if kind.__module__ == "__main__" else kind.__module__
        if "<locals>" in kind.__qualname__:
            raise PlacementError(
                f"{self.label}: the class {kind.__qualname__} is defined inside a function and cannot be made in another "
                "process; define it at the top of a module or run with placement='threads'"
            )
        args, kwargs = self.arguments
        try:
            return codec.encode([module, kind.__qualname__, list(args), kwargs, self.name, self.setting_values])
        except Exception as error:
            raise PlacementError(
                f"{self.label}: its arguments cannot be sent to another process ({error}); run with placement='threads'"
            ) from error


class Source(Block):
    """A block without inputs: produce() is called for the next items until it returns None or the limit is reached."""

    replayable = True  # the same items again for the same numbers; False: a live front end, nothing can be asked for twice
    batch = Setting(int, initial=0, unit="items", minimum=0, doc="items per message; 0: as suits the records and the place")
    paused = Setting(bool, initial=False, doc="make nothing until it is False again")
    rate = Setting(float, initial=math.inf, unit="items/s", minimum=1e-3, doc="at most so many; inf: as fast as it goes")

    def produce(self, first: int, count: int) -> Any:
        """At most `count` items from number `first` on; no items where none is there yet, None when all is over."""
        raise TypeError(f"{self.label} has no produce()")


def load_class(module: str, qualname: str) -> type[Block]:
    """A block's class by its module and name."""
    kind: Any = sys.modules[MAIN] if module == MAIN else importlib.import_module(module)
    for part in qualname.split("."):
        kind = getattr(kind, part)
    if not (isinstance(kind, type) and issubclass(kind, Block)):
        raise PlacementError(f"{module}:{qualname} is not a block")
    return kind


def create(description: bytes) -> Block:
    """The block that :meth:`Block.describe` described, not yet started."""
    module, qualname, args, kwargs, name, settings = codec.decode(description, trusted=True)
    block: Block = load_class(module, qualname)(*args, **kwargs)
    block.name = name
    block.setting_values.update(settings)
    return block
