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
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isacblocks.stream import codec
from isacblocks.stream.errors import CheckpointError, PlacementError, WiringError
from isacblocks.stream.spec import Items, Layout, Record, resolve

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")
MAIN = "__isacblocks_main__"  # the name under which another process imports the script that was run


def _converted(array: NDArray[Any], dtype: str, where: str) -> NDArray[Any]:
    """The array in the dtype of its field, where no kind of information is lost: no fractions, signs or imaginary parts."""
    integers = array.dtype.kind in "bui" and np.dtype(dtype).kind in "ui"
    if integers and array.size and array.dtype.kind != "b":
        limits = np.iinfo(dtype)
        integers = bool(array.min() >= limits.min and array.max() <= limits.max)
    if not integers and not np.can_cast(array.dtype, dtype, "same_kind"):
        raise WiringError(f"{where}: expected {dtype}, got {array.dtype}")
    return array.astype(dtype)


class Port:
    """One block's port. ``layout`` is what it sends or takes; ``connected`` says whether anybody is at the other end."""

    def __init__(self, block: Block, name: str, spec: _PortSpec) -> None:
        self.block = block
        self.name = name
        self.spec = spec
        self.connected = False
        self._layout: Layout | None = None

    @property
    def layout(self) -> Layout:
        """The record with the block's dimensions filled in."""
        if self._layout is None:
            self._layout = resolve(self.spec.record, self.block.dimensions(), f"{self.block.label}.{self.name}")
        return self._layout

    def adopt(self, layout: Layout) -> None:
        """Take the sender's layout: its further fields are carried along, and ANY becomes what is sent."""
        self._layout = layout

    def items(self, **fields: ArrayLike) -> Items:
        """Items to return from process(): one array per field, items on the leading axis.

        Raises WiringError where a field is missing, unknown or does not fit the port's dtype and shape.
        """
        layout = self.layout
        if fields.keys() != layout.by_name.keys():
            missing = ", ".join(layout.by_name.keys() - fields.keys()) or "none"
            extra = ", ".join(fields.keys() - layout.by_name.keys()) or "none"
            raise WiringError(f"{self.block.label}.{self.name}: missing fields: {missing}; unknown fields: {extra}")
        arrays: dict[str, NDArray[Any]] = {}
        count = -1
        for field in layout.fields:
            array = np.asarray(fields[field.name])
            if array.dtype != field.dtype:
                array = _converted(array, field.dtype, f"{self.block.label}.{self.name}.{field.name}")
            count = array.shape[0] if count < 0 and array.ndim else count
            if array.shape != (count, *field.shape):
                raise WiringError(
                    f"{self.block.label}.{self.name}.{field.name}: expected shape {(count, *field.shape)}, got {array.shape}"
                )
            arrays[field.name] = array
        return Items(layout, arrays, max(count, 0), port=self.name)

    def __repr__(self) -> str:
        return f"{self.block.label}.{self.name}"


class _PortSpec:
    def __init__(self, record: Record) -> None:
        self.record = record
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, block: None, owner: type) -> Self: ...

    @overload
    def __get__(self, block: Block, owner: type) -> Port: ...

    def __get__(self, block: Block | None, owner: type) -> Self | Port:
        return self if block is None else block.ports[self.name]


class In(_PortSpec):
    """An input port. optional: may stay unconnected, and is the only kind a feedback may lead to."""

    def __init__(self, record: Record, *, optional: bool = False) -> None:
        super().__init__(record)
        self.optional = optional


class Out(_PortSpec):
    """An output port. aligned: one item for every item of the block's inputs, with the same sequence number."""

    def __init__(self, record: Record, *, aligned: bool = True) -> None:
        super().__init__(record)
        self.aligned = aligned


class Setting(Generic[T]):
    """A value that may be changed while the flowgraph runs; the change takes effect between two messages.

    kind: type of the value; initial: value until set; unit; minimum, maximum (inclusive), choices: what is allowed.
    """

    def __init__(
        self,
        kind: type[T],
        *,
        initial: T,
        unit: str = "1",
        minimum: float | None = None,
        maximum: float | None = None,
        choices: tuple[T, ...] | None = None,
        doc: str = "",
    ) -> None:
        self.kind = kind
        self.initial = initial
        self.unit = unit
        self.minimum = minimum
        self.maximum = maximum
        self.choices = choices
        self.doc = doc
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, block: None, owner: type) -> Setting[T]: ...

    @overload
    def __get__(self, block: Block, owner: type) -> T: ...

    def __get__(self, block: Block | None, owner: type) -> Setting[T] | T:
        if block is None:
            return self
        value: T = block.setting_values.get(self.name, self.initial)
        return value

    def __set__(self, block: Block, value: T) -> None:
        checked = self.check(block, value)
        if block.remote is not None:
            block.remote(self.name, checked)
        else:
            block.setting_values[self.name] = checked

    def check(self, block: Block, value: Any) -> T:
        """The value in its type. Raises ValueError saying what is allowed."""
        where = f"{block.label}.{self.name}"
        if self.kind is float and isinstance(value, int | np.integer | np.floating) and not isinstance(value, bool):
            value = float(value)
        if self.kind is int and isinstance(value, np.integer):
            value = int(value)
        if not isinstance(value, self.kind) or (self.kind is not bool and isinstance(value, bool)):
            raise ValueError(f"{where}: expected {self.kind.__name__}, got {value!r}")
        if self.choices is not None and value not in self.choices:
            raise ValueError(f"{where}: expected one of {', '.join(map(str, self.choices))}, got {value!r}")
        if isinstance(value, int | float):
            low, high = self.minimum, self.maximum
            outside = (low is not None and value < low) or (high is not None and value > high)
            if math.isnan(value) or outside:
                limits = f"from {'-inf' if low is None else low} to {'inf' if high is None else high}"
                raise ValueError(f"{where}: expected a value {limits} {self.unit}, got {value!r}")
        return value


class State:
    """What a block remembers from message to message, and all that a checkpoint keeps of it.

    dtype with dimension names (or numbers) makes an array, dtype alone a number, ``list`` or ``dict`` a container of plain
    values. start() sets it to `initial`.
    """

    def __init__(self, dtype: str | type, *dims: str | int, initial: Any = 0) -> None:
        self.dtype = dtype
        self.dims = dims
        self.initial = initial
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, block: Block | None, owner: type) -> Any:
        if block is None:
            return self
        try:
            return block.state_values[self.name]
        except KeyError:
            raise AttributeError(f"{block.label}.{self.name} is set by start(), which has not been called") from None

    def __set__(self, block: Block, value: Any) -> None:
        block.state_values[self.name] = self.check(block, value)

    def fresh(self, block: Block) -> Any:
        """The value at the start."""
        if isinstance(self.dtype, type):
            return self.dtype()
        return self.check(block, np.full(self._shape(block), self.initial, dtype=self.dtype))

    def _shape(self, block: Block) -> tuple[int, ...]:
        sizes = block.dimensions()
        return tuple(d if isinstance(d, int) else sizes[d] for d in self.dims)

    def check(self, block: Block, value: Any) -> Any:
        """The value as it is kept: a copy in the declared dtype and shape. Raises CheckpointError where it cannot be."""
        where = f"{block.label}.{self.name}"
        if isinstance(self.dtype, type):
            if not isinstance(value, self.dtype):
                raise CheckpointError(f"{where}: expected a {self.dtype.__name__}, got {type(value).__name__}")
            return value
        shape = self._shape(block)
        array = np.array(value)
        # a number arrives as one of Python's own types, for which numpy assumes the widest dtype
        number = shape == () == array.shape and array.dtype.kind in "iufcb"
        if not number and (array.shape != shape or not np.can_cast(array.dtype, self.dtype, "same_kind")):
            raise CheckpointError(f"{where}: expected {self.dtype} {shape}, got {array.dtype} {array.shape}")
        array = array.astype(self.dtype)
        return array if shape else array.item()


class Reading:
    """A number that a block shows while it runs: on the live view, in status reports. Not part of its state."""

    def __init__(self, unit: str = "1", doc: str = "") -> None:
        self.unit = unit
        self.doc = doc
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, block: None, owner: type) -> Reading: ...

    @overload
    def __get__(self, block: Block, owner: type) -> float: ...

    def __get__(self, block: Block | None, owner: type) -> Reading | float:
        if block is None:
            return self
        return block.reading_values.get(self.name, math.nan)

    def __set__(self, block: Block, value: float) -> None:
        block.reading_values[self.name] = float(value)


class Block:
    """Base of all blocks; see the module."""

    name: str | None = None  # set it before connecting, or let the flowgraph choose
    remote: Callable[[str, Any], None] | None = None  # while running: where a change of a setting goes instead

    # What __new__ makes for every block
    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    ports: dict[str, Port]
    setting_values: dict[str, Any]
    state_values: dict[str, Any]
    reading_values: dict[str, float]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: D102
        block = super().__new__(cls)
        block.arguments = (args, kwargs)
        block.ports = {name: Port(block, name, spec) for name, spec in cls._declared(_PortSpec).items()}
        block.setting_values = {}
        block.state_values = {}
        block.reading_values = {}
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

    batch = Setting(int, initial=16, unit="items", minimum=1, doc="items per message")

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
