"""Checks at the door: what the public functions accept, and the one form in which kernels get it.

Kernels take their inputs read-only and write only to ``out`` arrays. That is what makes them pure, and it also keeps
numba from compiling each of them twice: a read-only array is another type to it than a writeable one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Complex = NDArray[np.complexfloating[Any, Any]]
Float = NDArray[np.float64]

_LINE = 64  # bytes


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """A C-contiguous, aligned, read-only view of `array` (a copy only where it is not contiguous or aligned).

    An array that is all of that already is returned as it is.
    """
    flags = array.flags
    if not (flags.c_contiguous and flags.aligned):
        array = np.require(array, requirements=("C", "A"))
    elif not flags.writeable:
        return array
    view: NDArray[Any] = array.view()
    view.flags.writeable = False
    return view


def real_view(array: Complex) -> NDArray[Any]:
    """The same numbers as pairs of reals: complex (..., S) -> real (..., 2 S), read-only."""
    flat = frozen(array)
    return flat.view(np.float32 if flat.dtype == np.complex64 else np.float64)  # read-only as what it is a view of


def require_finite(name: str, array: NDArray[Any]) -> None:
    """Raise ValueError naming the argument where a value is NaN or infinite."""
    # The sum is finite exactly where all terms are (up to overflow of the sum itself, checked the long way).
    if not np.isfinite(array.sum()) and not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))
        raise ValueError(
            f"{name}: all values must be finite, {len(bad)} of {array.size} are NaN or infinite, "
            f"the first at index {tuple(int(i) for i in bad[0])}"
        )


def complex_array(name: str, value: ArrayLike, shape: tuple[int | str, ...], finite: bool = True) -> Complex:
    """`value` as complex64 (kept) or complex128 (everything else), checked to be finite, not empty and of `shape`.

    A string in `shape` stands for any size of at least one. finite: False leaves :func:`require_finite` to the caller.
    Raises ValueError naming the argument.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "cfiu" or array.dtype.itemsize > 16:
        raise ValueError(f"{name}: expected complex64 or complex128, got {array.dtype}")
    if array.dtype not in (np.complex64, np.complex128):
        array = array.astype(np.complex64 if array.dtype == np.float32 else np.complex128)
    _shape(name, array, shape)
    if finite:
        require_finite(name, array)
    return array


def real_array(name: str, value: ArrayLike, shape: tuple[int | str, ...]) -> Float:
    """`value` as float64, checked to be finite, not empty and of `shape`. Raises ValueError naming the argument."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name}: expected real numbers, got {array.dtype}")
    array = array.astype(np.float64)
    _shape(name, array, shape)
    require_finite(name, array)
    return array


def empty_lines(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An uninitialised array that begins with a cache line: a vector across two lines costs two loads."""
    kind = np.dtype(dtype)
    room = np.empty(math.prod(shape) * kind.itemsize + _LINE, np.uint8)
    start = -room.__array_interface__["data"][0] % _LINE
    return room[start : start + room.size - _LINE].view(kind).reshape(shape)


def output_array(name: str, value: NDArray[Any] | None, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """`value` itself where it can be filled as an array of `shape` and `dtype`, a new array where it is None.

    Raises ValueError naming the argument for any other.
    """
    if value is None:
        return empty_lines(shape, dtype)
    if value.shape != shape or value.dtype != dtype or not (value.flags.c_contiguous and value.flags.writeable):
        raise ValueError(
            f"{name}: expected a writeable, C-contiguous array of shape {shape} and type {np.dtype(dtype)}, "
            f"got {value.dtype} of shape {value.shape}"
        )
    return value


def grid(name: str, value: ArrayLike, frames: int) -> Float:
    """A grid of angles or delays: (n,) shared by all frames or (F, n), returned as float64 (1, n) or (F, n)."""
    array = np.asarray(value)
    if array.ndim == 2 and array.shape[0] not in (1, frames):
        raise ValueError(f"{name}: expected shape (n,) for all frames or ({frames}, n) for each of them, got {array.shape}")
    if array.ndim not in (1, 2):
        raise ValueError(f"{name}: expected shape (n,) or ({frames}, n), got {array.shape}")
    checked = real_array(name, array, ("n",) if array.ndim == 1 else ("F", "n"))
    return checked[None, :] if checked.ndim == 1 else checked


def _shape(name: str, array: NDArray[Any], shape: tuple[int | str, ...]) -> None:
    fits = array.ndim == len(shape) and all(
        have == want if isinstance(want, int) else have > 0 for have, want in zip(array.shape, shape, strict=True)
    )
    if fits and array.size > 0:
        return
    wanted = "(" + ", ".join(str(s) for s in shape) + ("," if len(shape) == 1 else "") + ")"
    if array.size == 0:
        raise ValueError(f"{name}: must not be empty, expected shape {wanted}, got {array.shape}")
    raise ValueError(f"{name}: expected shape {wanted}, got {array.shape}")
