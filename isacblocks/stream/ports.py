"""Ports: what a block sends and takes, declared on its class and checked whenever items are made."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isacblocks.stream.errors import WiringError
from isacblocks.stream.memory import Lease, Pool
from isacblocks.stream.spec import LARGE, Items, Layout, Record, resolve

if TYPE_CHECKING:
    from typing_extensions import Self

    from isacblocks.stream.block import Block


def _converted(array: NDArray[Any], dtype: np.dtype[Any], where: str) -> NDArray[Any]:
    """The array in the dtype of its field, where no kind of information is lost: no fractions, signs or imaginary parts."""
    integers = array.dtype.kind in "bui" and dtype.kind in "ui"
    if integers and array.size and array.dtype.kind != "b":
        limits = np.iinfo(dtype)
        integers = bool(array.min() >= limits.min and array.max() <= limits.max)
    if not integers and not np.can_cast(array.dtype, dtype, "same_kind"):
        raise WiringError(f"{where}: expected {dtype}, got {array.dtype}")
    return array.astype(dtype)


def _given_away(array: NDArray[Any]) -> NDArray[Any]:
    """The array, or a copy of it, that nobody can write to any more.

    A small view is copied even if it is read-only: it would keep all of the memory that it shows a part of.
    """
    writeable = array.flags.writeable
    if array.nbytes <= LARGE:
        if not writeable and array.base is None:
            return array
        array = array.copy()
    elif not writeable:
        return array
    elif not _alone(array):
        array = array.copy()
    array.setflags(write=False)
    return array


def _alone(array: NDArray[Any]) -> bool:
    """Whether an array owns its memory, or is the only one that refers to the array that does.

    Of a reshaped array that was just made only the view is left, and copying it would be for nothing.
    """
    owner = array.base
    return owner is None or (type(owner) is np.ndarray and owner.base is None and sys.getrefcount(owner) <= _ALONE)


def _references_of_a_temporary() -> int:
    view = np.empty((2, 1)).reshape(2)
    owner = view.base
    return sys.getrefcount(owner)


_ALONE = _references_of_a_temporary()  # it differs between interpreters


def _filled(lease: Lease, arrays: dict[str, NDArray[Any]]) -> bool:
    """Whether `arrays` are in their places in the leased memory, at least one of them, and none in another's place."""
    inside = [name for name, array in arrays.items() if array.base is lease.memory]
    return bool(inside) and all(arrays[name] is lease.fields.get(name) for name in inside)


class Port:
    """One block's port, made by the block from its class's declaration.

    ``block`` and ``name`` say whose and which it is, ``spec`` is the declaration (In or Out), ``layout`` what it sends or
    takes; ``connected`` says whether anybody is at the other end.
    """

    def __init__(self, block: Block, name: str, spec: PortSpec) -> None:
        self.block = block
        self.name = name
        self.spec = spec
        self.connected = False
        self.pool: Pool | None = None  # while running: where large fields of an output are to lie
        self._layout: Layout | None = None
        self._allocated: Lease | None = None

    @property
    def layout(self) -> Layout:
        """The record with the block's dimensions filled in."""
        if self._layout is None:
            self._layout = resolve(self.spec.record, self.block.dimensions(), f"{self.block.label}.{self.name}")
        return self._layout

    def adopt(self, layout: Layout) -> None:
        """Take the sender's layout: its further fields are carried along, and ANY becomes what is sent."""
        self._layout = layout

    def allocate(self, count: int) -> dict[str, NDArray[Any]]:
        """Uninitialised arrays for `count` items, to be filled and given to :meth:`items`: the large ones lie where they are
        sent from, so that they are never copied. They are the block's to write to until then, and until the next call.
        """
        fields = self.layout.empty(0) if count == 0 else {}
        self._allocated = self._lease(count)
        if self._allocated is not None:
            fields = dict(self._allocated.fields)
        for field in self.layout.fields if count else ():
            if field.name not in fields:
                fields[field.name] = np.empty((count, *field.shape), field.dtype)
        return fields

    def _lease(self, count: int) -> Lease | None:
        """Memory of the link's own for the large fields, where there are any and the link has some."""
        if self.pool is None or not self.layout.placing(count).large:
            return None
        try:
            return self.pool.take(self.layout, count)
        except OSError as error:
            logging.getLogger("isacblocks.stream.link").warning(
                "%r: no shared memory, frames go through the socket: %s; the same items, slower; free some memory, or "
                "raise the limit on files, and start again",
                self,
                error.strerror,
            )
            self.pool = Pool(shared=False)
            return None

    def items(self, **fields: ArrayLike) -> Items:
        """Items to return from process(): one array per field, items on the leading axis.

        What is given is given away: small arrays are copied, larger ones (more than 32 KiB) may be taken as they are and
        then become read-only, because a link may hand them over by reference and keep them. Arrays of :meth:`allocate`
        are never copied. Raises WiringError where a field is missing, unknown or does not fit the port's dtype and shape.
        """
        layout = self.layout
        if fields.keys() != layout.by_name.keys():
            missing = ", ".join(layout.by_name.keys() - fields.keys()) or "none"
            extra = ", ".join(fields.keys() - layout.by_name.keys()) or "none"
            raise WiringError(f"{self!r}: missing fields: {missing}; unknown fields: {extra}")
        arrays = {name: np.asarray(fields[name]) for name in layout.names}
        count = next((array.shape[0] for array in arrays.values() if array.ndim), 0)
        for (name, array), dtype, shape in zip(arrays.items(), layout.dtypes, layout.placing(count).shapes, strict=True):
            if array.dtype is not dtype and array.dtype != dtype:
                arrays[name] = _converted(array, dtype, f"{self!r}.{name}")
            if array.shape != shape:
                raise WiringError(f"{self!r}.{name}: expected shape {shape}, got {array.shape}")
        return self._give_away(layout, arrays, count)

    def _give_away(self, layout: Layout, arrays: dict[str, NDArray[Any]], count: int) -> Items:
        """The items, with arrays that nobody writes to any more, the large ones in the link's memory where it is shared."""
        lease, self._allocated = self._allocated, None
        if lease is not None and not _filled(lease, arrays):
            lease = None
        if lease is None and self.pool is not None and self.pool.shared:
            lease = self._lease(count)
        if lease is None:
            for name, array in arrays.items():
                arrays[name] = _given_away(array)
            return Items(layout, arrays, count, port=self.name)
        places = lease.fields
        for name, array in arrays.items():
            place = places.get(name)
            if place is None:
                arrays[name] = _given_away(array)
                continue
            if place is not array:
                np.copyto(place, array)
                arrays[name] = place
            place.flags.writeable = False
        items = Items(layout, arrays, count, port=self.name)
        items.lease = lease
        return items

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
    """An input port.

    record: the items that it takes; optional: may stay unconnected, and is the only kind a feedback may lead to.
    """

    def __init__(self, record: Record, *, optional: bool = False) -> None:
        super().__init__(record)
        self.optional = optional


class Out(PortSpec):
    """An output port.

    record: the items that it sends; aligned: one item for every item of the block's inputs, with the same sequence number.
    """

    def __init__(self, record: Record, *, aligned: bool = True) -> None:
        super().__init__(record)
        self.aligned = aligned
