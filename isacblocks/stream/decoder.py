"""Reading bytes that anybody may have written: a bounded size, a declared type, and one named error for everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# What a reader of hostile bytes can raise: wrong types and values, numbers beyond the machine's, nesting without end, claims
# of more memory than there is
UNREADABLE = (ValueError, TypeError, IndexError, OverflowError, RecursionError, MemoryError)


class Decoder(Generic[T]):
    """Reads a `what` of at most `largest` bytes by `read`; whatever is wrong with it becomes the error that `refuse` makes.

    `read` is made once, when its module is imported: what msgspec knows of a type is collected when the first decoder of it
    is made, and threads that do so at the same time can crash the interpreter.
    """

    def __init__(self, read: Callable[[Any], T], what: str, largest: int, refuse: Callable[[str], Exception]) -> None:
        self._read = read
        self._what = what
        self._largest = largest
        self._refuse = refuse

    def __call__(self, data: bytes | bytearray | memoryview) -> T:
        """The value. Raises what `refuse` makes of a sentence."""
        if len(data) > self._largest:
            raise self._refuse(f"{self._what} has at most {self._largest} bytes, got {len(data)}")
        try:
            return self._read(data)
        except UNREADABLE as error:
            raise self._refuse(f"not {self._what}: {error}") from error
