"""Vectors of 16 words of 32 bits beside the vectors of 16 floats of simd.py: what generators and bit patterns are made of.

The same rules hold: the vector is 16 words in the program text and LLVM divides it among the registers there are; integer
operations, conversions and square roots have one result, so that all machines make the same bits; no index is checked; with
NUMBA_DISABLE_JIT=1 vectors are numpy arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model
from numpy.typing import NDArray

from isacblocks.kernels.simd import _V, _VECTOR, LANES

Words = NDArray[np.uint32]

_WORD = ir.IntType(32)
_WORDS = ir.VectorType(_WORD, LANES)
_ANY = ir.Constant(_WORDS, ir.Undefined)


class _WordsType(types.Type):  # type: ignore[misc]
    """Numba's name for 16 words."""

    def __init__(self) -> None:
        super().__init__(name="uint32x16")


@register_model(_WordsType)
class _WordsModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _WORDS)


_W, _P = _WordsType(), types.CPointer(types.uint32)


def _operation(emit: Callable[[ir.IRBuilder, Any], ir.Value], plain: Callable[..., Any], result: Any, *given: Any) -> Any:
    """A function of vectors of the kinds `given`; `plain` does the same with numpy arrays."""
    if config.DISABLE_JIT:
        return plain

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
        return emit(builder, values)

    def one(typing: Any, x: Any) -> Any:
        return result(*given), generate

    def two(typing: Any, x: Any, y: Any) -> Any:
        return result(*given), generate

    return intrinsic((one, two)[len(given) - 1])


def _all_equal(value: int) -> ir.Constant:
    return ir.Constant(_WORDS, [value] * LANES)


def _called(builder: ir.IRBuilder, name: str, kind: ir.VectorType, values: Any) -> ir.Value:
    function = ir.FunctionType(kind, [kind] * len(values))
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), values)


def left(count: int) -> Any:
    """A function of vectors: x << count."""
    return _operation(lambda builder, v: builder.shl(v[0], _all_equal(count)), lambda x: x << np.uint32(count), _W, _W)


def right_signed(count: int) -> Any:
    """A function of vectors: x >> count of words that are signed numbers."""
    return _operation(
        lambda builder, v: builder.ashr(v[0], _all_equal(count)),
        lambda x: (x.view(np.int32) >> np.int32(count)).view(np.uint32),
        _W,
        _W,
    )


def rotated(count: int) -> Any:
    """A function of vectors: x rotated to the left by `count` bits."""
    return _operation(
        lambda builder, v: _called(builder, f"llvm.fshl.v{LANES}i32", _WORDS, [v[0], v[0], _all_equal(count)]),
        lambda x: (x << np.uint32(count)) | (x >> np.uint32(32 - count)),
        _W,
        _W,
    )


word_sum = _operation(lambda builder, v: builder.add(*v), lambda x, y: x + y, _W, _W, _W)  # modulo 2^32
word_difference = _operation(lambda builder, v: builder.sub(*v), lambda x, y: x - y, _W, _W, _W)
exclusive = _operation(lambda builder, v: builder.xor(*v), lambda x, y: x ^ y, _W, _W, _W)
common = _operation(lambda builder, v: builder.and_(*v), lambda x, y: x & y, _W, _W, _W)
# Words and floats: the same bits, or the same number rounded once
bits_of = _operation(lambda builder, v: builder.bitcast(v[0], _WORDS), lambda x: x.view(np.uint32), _W, _V)
float_of_bits = _operation(lambda builder, v: builder.bitcast(v[0], _VECTOR), lambda x: x.view(np.float32), _V, _W)
rounded = _operation(lambda builder, v: builder.uitofp(v[0], _VECTOR), lambda x: x.astype(np.float32), _V, _W)
rounded_signed = _operation(
    lambda builder, v: builder.sitofp(v[0], _VECTOR), lambda x: x.view(np.int32).astype(np.float32), _V, _W
)
root = _operation(lambda builder, v: _called(builder, f"llvm.sqrt.v{LANES}f32", _VECTOR, v), np.sqrt, _V, _V)


def _words_at(builder: ir.IRBuilder, data: ir.Value, index: ir.Value) -> ir.Value:
    return builder.bitcast(builder.gep(data, [index]), _WORDS.as_pointer())


def _pointer_of(typing: Any, a: Any) -> Any:
    """Where the words of a contiguous uint32 array begin; the array must outlive it."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
        return context.make_array(signature.args[0])(context, builder, values[0]).data

    return _P(a), generate


def _load_words(typing: Any, a: Any, at: Any) -> Any:
    """a[at : at + 16]."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
        made = builder.load(_words_at(builder, values[0], values[1]))
        made.align = 4
        return made

    return _W(_P, types.intp), generate


def _store_words(typing: Any, a: Any, at: Any, v: Any) -> Any:
    """a[at : at + 16] = v."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
        builder.store(values[2], _words_at(builder, values[0], values[1])).align = 4
        return context.get_dummy_value()

    return types.void(_P, types.intp, _W), generate


def _spread_word(typing: Any, x: Any) -> Any:
    """x in every lane."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
        first = builder.insert_element(_ANY, values[0], _WORD(0))
        return builder.shuffle_vector(first, _ANY, _all_equal(0))

    return _W(types.uint32), generate


def _load_plain(a: Words, at: int) -> Any:
    return a[at : at + LANES].copy()


def _store_plain(a: Words, at: int, v: Any) -> None:
    a[at : at + LANES] = v


def _spread_plain(x: int) -> Any:
    return np.full(LANES, x, np.uint32)


word_pointer: Any = np.ravel if config.DISABLE_JIT else intrinsic(_pointer_of)
load_words: Any = _load_plain if config.DISABLE_JIT else intrinsic(_load_words)
store_words: Any = _store_plain if config.DISABLE_JIT else intrinsic(_store_words)
spread_word: Any = _spread_plain if config.DISABLE_JIT else intrinsic(_spread_word)
