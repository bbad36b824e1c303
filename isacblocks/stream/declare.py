"""Settings, state and readings: plain descriptors that a block's class declares."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import numpy as np

from isacblocks.stream.errors import CheckpointError

if TYPE_CHECKING:
    from isacblocks.stream.block import Block

T = TypeVar("T")
_WORDS: dict[type, str] = {float: "a number", int: "a whole number", bool: "true or false", str: "a text"}


class Setting(Generic[T]):
    """A value that may be changed while the flowgraph runs; the change takes effect between two messages.

    kind: type of the value; initial: value until set; unit; minimum, maximum (inclusive), choices: what is allowed; doc:
    what it does, for people.
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
        """The value in its type; block: whose setting it is, for the message. Raises ValueError saying what is allowed."""
        where = f"{block.label}.{self.name}"
        if self.kind is float and isinstance(value, int | np.integer | np.floating) and not isinstance(value, bool):
            value = float(value)
        if self.kind is int and isinstance(value, np.integer):
            value = int(value)
        if not isinstance(value, self.kind) or (self.kind is not bool and isinstance(value, bool)):
            raise ValueError(f"{where}: expected {_WORDS.get(self.kind, self.kind.__name__)}, got {value!r}")
        if self.choices is not None and value not in self.choices:
            raise ValueError(f"{where}: expected one of {', '.join(map(str, self.choices))}, got {value!r}")
        if isinstance(value, int | float):
            low, high = self.minimum, self.maximum
            outside = (low is not None and value < low) or (high is not None and value > high)
            if math.isnan(value) or outside:
                limits = f"from {'-inf' if low is None else low} to {'inf' if high is None else high}"
                unit = "" if self.unit == "1" else f" {self.unit}"
                raise ValueError(f"{where}: expected a value {limits}{unit}, got {value!r}")
        return value


_PLAIN: dict[str, type] = {"int64": int, "float64": float}  # dtypes whose single numbers are Python's own


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
        block.state_shapes.pop(self.name, None)
        return self.check(block, np.full(self._shape(block), self.initial, dtype=self.dtype))

    def _shape(self, block: Block) -> tuple[int, ...]:
        if not self.dims:
            return ()
        shape = block.state_shapes.get(self.name)
        if shape is None:
            sizes = block.dimensions()
            shape = block.state_shapes[self.name] = tuple(d if isinstance(d, int) else sizes[d] for d in self.dims)
        return shape

    def check(self, block: Block, value: Any) -> Any:
        """The value as it is kept: a copy in the declared dtype and shape. Raises CheckpointError where it cannot be."""
        where = f"{block.label}.{self.name}"
        if isinstance(self.dtype, type):
            if not isinstance(value, self.dtype):
                raise CheckpointError(f"{where}: expected a {self.dtype.__name__}, got {type(value).__name__}")
            return value
        if not self.dims and type(value) is _PLAIN.get(self.dtype):
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
    """A number that a block shows while it runs: on the live view, in status reports. Not part of its state.

    unit: "1" for a pure number; doc: what it is, for people.
    """

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
