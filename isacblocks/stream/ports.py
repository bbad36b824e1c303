"""Ports: what a block sends and takes, declared on its class and checked whenever items are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isacblocks.stream.errors import WiringError
from isacblocks.stream.spec import Items, Layout, Record, resolve

if TYPE_CHECKING:
    from typing_extensions import Self

    from isacblocks.stream.block import Block

_SMALL = 1 << 16  # bytes


def _converted(array: NDArray[Any], dtype: str, where: str) -> NDArray[Any]:
    """The array in the dtype of its field, where no kind of information is lost: no fractions, signs or imaginary parts."""
    integers = array.dtype.kind in "bui" and np.dtype(dtype).kind in "ui"
    if integers and array.size and array.dtype.kind != "b":
        limits = np.iinfo(dtype)
        integers = bool(array.min() >= limits.min and array.max() <= limits.max)
    if not integers and not np.can_cast(array.dtype, dtype, "same_kind"):
        raise WiringError(f"{where}: expected {dtype}, got {array.dtype}")
    return array.astype(dtype)


def _given_away(array: NDArray[Any]) -> NDArray[Any]:
    """A writeable array, or a copy of it, that nobody can write to any more."""
    if array.nbytes <= _SMALL or array.base is not None:
        array = array.copy()
    array.flags.writeable = False
    return array


class Port:
    """One block's port. ``layout`` is what it sends or takes; ``connected`` says whether anybody is at the other end."""

    def __init__(self, block: Block, name: str, spec: PortSpec) -> None:
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

        What is given is given away: arrays of up to 64 KiB are copied, larger ones are taken as they are and become
        read-only, because a link may hand them over by reference and keep them. Raises WiringError where a field is missing,
        unknown or does not fit the port's dtype and shape.
        """
        layout = self.layout
        if fields.keys() != layout.by_name.keys():
            missing = ", ".join(layout.by_name.keys() - fields.keys()) or "none"
            extra = ", ".join(fields.keys() - layout.by_name.keys()) or "none"
            raise WiringError(f"{self.block.label}.{self.name}: missing fields: {missing}; unknown fields: {extra}")
        arrays: dict[str, NDArray[Any]] = {}
        count = -1
        for field, dtype in zip(layout.fields, layout.dtypes, strict=True):
            given = fields[field.name]
            array = given if isinstance(given, np.ndarray) else np.asarray(given)
            if array.dtype != dtype:
                array = _converted(array, field.dtype, f"{self.block.label}.{self.name}.{field.name}")
            shape = array.shape
            count = shape[0] if count < 0 and shape else count
            if shape[:1] != (count,) or shape[1:] != field.shape:
                raise WiringError(
                    f"{self.block.label}.{self.name}.{field.name}: expected shape {(count, *field.shape)}, got {array.shape}"
                )
            arrays[field.name] = _given_away(array) if array.flags.writeable else array
        return Items(layout, arrays, max(count, 0), port=self.name)

    def __repr__(self) -> str:
        return f"{self.block.label}.{self.name}"


class PortSpec:
    """A port as its class declares it; ``block.name`` is then that block's own :class:`Port`."""

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


class In(PortSpec):
    """An input port. optional: may stay unconnected, and is the only kind a feedback may lead to."""

    def __init__(self, record: Record, *, optional: bool = False) -> None:
        super().__init__(record)
        self.optional = optional


class Out(PortSpec):
    """An output port. aligned: one item for every item of the block's inputs, with the same sequence number."""

    def __init__(self, record: Record, *, aligned: bool = True) -> None:
        super().__init__(record)
        self.aligned = aligned
