"""All that kernels say to the compiler in its own language: vectors of 16 floats, tiles of sums in registers, one `fma`.

The search is made of products

    out[r, c] = sum_k a[r, k] b[k, c]

of small real matrices: frames onto the delay basis, antennas onto the angle basis, both expanded to the grid. LLVM does not
keep a block of sums in registers by itself, and then every term costs a load and a store. A *tile* is a loop over k with
the sums of R rows and 16 C columns in registers: per k it loads C vectors of b and R numbers of a that are spread over all
lanes; R C fused products follow. products.py covers a matrix with tiles. What happens to the numbers between the
products is written with the vectors themselves: :func:`load`, :func:`store`, arithmetic, and the orders of complex data in
memory.

A vector is 16 floats in the program text; LLVM divides it among the registers there are: one with AVX-512, two with AVX2,
four on Arm. What changes is how many sums fit, and so the shape of the tiles. Every sum is one chain of fused operations in
the order of k, whatever the shape: the results have the same bits on all machines that fuse.

:func:`fma` is the same fused operation for single numbers: ``jit`` lets the compiler fuse a product with a sum where it can,
so that bits depend on the machine, and ``jit_exact`` forbids it, which costs a third of the speed of a polynomial. Loops
that contain it are vectorised, and a machine without the instruction computes the same bits more slowly.

With NUMBA_DISABLE_JIT=1 vectors are numpy arrays and a tile is the loop it says it is. No index is ever checked.
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

Floats = NDArray[np.float32]
Pointer = Any  # to float32: a C pointer, without the counting of references that an array costs at every call
Tile = Callable[..., None]

LANES = 16  # columns come in multiples of this
_TILE_ARGUMENTS = 11

_FLOAT, _INDEX, _LANE = ir.FloatType(), ir.IntType(64), ir.IntType(32)
_VECTOR, _MASK = ir.VectorType(_FLOAT, LANES), ir.VectorType(_LANE, LANES)
_BYTE = ir.IntType(8).as_pointer()
_ANY = ir.Constant(_VECTOR, ir.Undefined)


class _VectorType(types.Type):  # type: ignore[misc]
    """Numba's name for 16 floats."""

    def __init__(self) -> None:
        super().__init__(name="float32x16")


@register_model(_VectorType)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


_V, _P = _VectorType(), types.CPointer(types.float32)


def _spread(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """All lanes of a vector equal to `value`."""
    first = builder.insert_element(_ANY, value, _LANE(0))
    return builder.shuffle_vector(first, _ANY, ir.Constant(_MASK, [0] * LANES))


def _vector_at(builder: ir.IRBuilder, data: ir.Value, index: ir.Value) -> ir.Value:
    """A pointer to the 16 floats from element `index` on."""
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


def _fused(builder: ir.IRBuilder, values: Any) -> ir.Value:
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32"), values)


def _absolute(builder: ir.IRBuilder, values: Any) -> ir.Value:
    kind = ir.FunctionType(_VECTOR, [_VECTOR])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fabs.v{LANES}f32"), values)


def _operation(arguments: int, emit: Callable[[ir.IRBuilder, Any], ir.Value], plain: Callable[..., Any]) -> Any:
    """A function of vectors to a vector; `plain` does the same with numpy arrays."""
    if config.DISABLE_JIT:
        return plain

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
        return emit(builder, values)

    def one(typing: Any, x: Any) -> Any:
        return _V(_V), generate

    def two(typing: Any, x: Any, y: Any) -> Any:
        return _V(_V, _V), generate

    def three(typing: Any, x: Any, y: Any, z: Any) -> Any:
        return _V(_V, _V, _V), generate

    return intrinsic((one, two, three)[arguments - 1])


def _order(mask: list[int]) -> Any:
    """The lanes `mask` of two vectors one after the other."""
    return _operation(
        2,
        lambda builder, values: builder.shuffle_vector(values[0], values[1], ir.Constant(_MASK, mask)),
        lambda x, y: np.concatenate([x, y])[mask],
    )


add = _operation(2, lambda builder, v: builder.fadd(*v), lambda x, y: x + y)
subtract = _operation(2, lambda builder, v: builder.fsub(*v), lambda x, y: x - y)
multiply = _operation(2, lambda builder, v: builder.fmul(*v), lambda x, y: x * y)
negative = _operation(1, lambda builder, v: builder.fneg(v[0]), lambda x: -x)
fused = _operation(3, _fused, lambda x, y, z: x * y + z)  # x y + z, rounded once
largest = _operation(  # lane by lane; a comparison with NaN is false, so y stands where either is NaN
    2,
    lambda builder, v: builder.select(builder.fcmp_ordered(">", v[0], v[1]), v[0], v[1]),
    lambda x, y: np.where(x > y, x, y),
)
magnitude = _operation(1, _absolute, np.abs)
backwards = _operation(
    1,
    lambda builder, v: builder.shuffle_vector(v[0], v[0], ir.Constant(_MASK, list(range(LANES))[::-1])),
    lambda x: x[::-1],
)
swapped = _operation(  # (re, im) -> (im, re)
    1,
    lambda builder, v: builder.shuffle_vector(v[0], v[0], ir.Constant(_MASK, [k ^ 1 for k in range(LANES)])),
    lambda x: x[[k ^ 1 for k in range(LANES)]],
)
# Two vectors of pairs (re, im) <-> a vector of real parts and one of imaginary parts
reals, imaginaries = _order(list(range(0, 2 * LANES, 2))), _order(list(range(1, 2 * LANES, 2)))
pairs_low = _order([c for k in range(LANES // 2) for c in (k, LANES + k)])
pairs_high = _order([c for k in range(LANES // 2, LANES) for c in (k, LANES + k)])
# Pairs from two vectors in turn
turns_low = _order([c for k in range(0, LANES // 2, 2) for c in (k, k + 1, LANES + k, LANES + k + 1)])
turns_high = _order([c for k in range(LANES // 2, LANES, 2) for c in (k, k + 1, LANES + k, LANES + k + 1)])

# Lanes that are to be added, of two vectors: a sum of all takes three such steps. Pairs come out in turns, which is one
# instruction where registers hold four pairs.
low_halves, high_halves = _order([*range(8), *range(16, 24)]), _order([*range(8, 16), *range(24, 32)])
low_quarters, high_quarters = (_order([k + q for k in (0, 8, 16, 24) for q in range(f, f + 4)]) for f in (0, 4))
low_pairs, high_pairs = (_order([k + q for c in range(f, 16, 4) for k in (0, 16) for q in (c, c + 1)]) for f in (0, 2))


def _load(a: Floats, at: int) -> Any:
    return a[at : at + LANES].copy()


def _store(a: Floats, at: int, v: Any) -> None:
    a[at : at + LANES] = v


def _repeat(a: Floats, at: int) -> Any:
    return np.full(LANES, a[at], np.float32)


def _offset(a: Floats, at: int) -> Any:
    return a[at:]


def _fill(x: float) -> Any:
    return np.full(LANES, x, np.float32)


def _pointer_of(typing: Any, a: Any) -> Any:
    """Where the numbers of a contiguous float32 array begin; the array must outlive it."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
        return context.make_array(signature.args[0])(context, builder, values[0]).data

    return _P(a), generate


def _offset_pointer(typing: Any, a: Any, at: Any) -> Any:
    """Where a[at] lies."""
    return _P(_P, types.intp), lambda context, builder, signature, values: builder.gep(values[0], [values[1]])


def _load_vector(typing: Any, a: Any, at: Any) -> Any:
    """a[at : at + 16]."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
        made = builder.load(_vector_at(builder, values[0], values[1]))
        made.align = 4
        return made

    return _V(_P, types.intp), generate


def _repeat_vector(typing: Any, a: Any, at: Any) -> Any:
    """a[at] in every lane."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
        return _spread(builder, builder.load(builder.gep(values[0], [values[1]])))

    return _V(_P, types.intp), generate


def _store_vector(typing: Any, a: Any, at: Any, v: Any) -> Any:
    """a[at : at + 16] = v."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
        place = _vector_at(builder, values[0], values[1])
        builder.store(values[2], place).align = 4
        return context.get_dummy_value()

    return types.void(_P, types.intp, _V), generate


def _fill_vector(typing: Any, x: Any) -> Any:
    """x in every lane."""
    return _V(types.float32), lambda context, builder, signature, values: _spread(builder, values[0])


def _reduced(builder: ir.IRBuilder, value: ir.Value, join: Callable[[ir.Value, ir.Value], ir.Value]) -> ir.Value:
    """All lanes in one: halves are joined until one is left, in the same order on every machine."""
    width = LANES // 2
    while width:
        upper = ir.Constant(_MASK, [(k + width) % LANES for k in range(LANES)])
        value = join(value, builder.shuffle_vector(value, _ANY, upper))
        width //= 2
    return builder.extract_element(value, _LANE(0))


def _total_vector(typing: Any, x: Any) -> Any:
    """The sum of the lanes."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
        return _reduced(builder, values[0], builder.fadd)

    return types.float32(_V), generate


def _total(x: Any) -> Any:
    while x.size > 1:
        x = x[: x.size // 2] + x[x.size // 2 :]
    return x[0]


def _top_vector(typing: Any, x: Any) -> Any:
    """The largest of the lanes, none of which is NaN."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
        return _reduced(builder, values[0], lambda x, y: builder.select(builder.fcmp_ordered(">", x, y), x, y))

    return types.float32(_V), generate


def _above_vector(typing: Any, x: Any, y: Any) -> Any:
    """Whether x > y in any lane; a comparison with NaN is false."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
        lanes = builder.bitcast(builder.fcmp_ordered(">", *values), ir.IntType(LANES))
        return builder.icmp_unsigned("!=", lanes, ir.IntType(LANES)(0))

    return types.boolean(_V, _V), generate


def _at_least_vector(typing: Any, x: Any, y: Any) -> Any:
    """In how many lanes x >= y; a comparison with NaN is false."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
        lanes = builder.bitcast(builder.fcmp_ordered(">=", *values), ir.IntType(LANES))
        return builder.zext(builder.ctpop(lanes), _INDEX)

    return types.intp(_V, _V), generate


def _at_least(x: Any, y: Any) -> int:
    return int((x >= y).sum())


def _above(x: Any, y: Any) -> bool:
    return bool((x > y).any())


def _fetch(builder: ir.IRBuilder, data: ir.Value, index: ir.Value) -> None:
    """Ask for the cache line of element `index`."""
    kind = ir.FunctionType(ir.VoidType(), [_BYTE, _LANE, _LANE, _LANE])
    place = builder.bitcast(builder.gep(data, [index]), _BYTE)
    emit = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(emit, [place, _LANE(0), _LANE(2), _LANE(1)])  # to read, second level, data


def _prefetch_line(typing: Any, a: Any, at: Any) -> Any:
    """Ask for the cache line of a[at], which may lie beyond the end."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
        _fetch(builder, values[0], values[1])
        return context.get_dummy_value()

    return types.void(_P, types.intp), generate


def _no_prefetch(a: Floats, at: int) -> None:
    pass


total: Any = _total if config.DISABLE_JIT else intrinsic(_total_vector)
top: Any = np.max if config.DISABLE_JIT else intrinsic(_top_vector)
at_least: Any = _at_least if config.DISABLE_JIT else intrinsic(_at_least_vector)
any_above: Any = _above if config.DISABLE_JIT else intrinsic(_above_vector)
prefetch: Any = _no_prefetch if config.DISABLE_JIT else intrinsic(_prefetch_line)
pointer: Any = np.ravel if config.DISABLE_JIT else intrinsic(_pointer_of)
offset: Any = _offset if config.DISABLE_JIT else intrinsic(_offset_pointer)
repeat: Any = _repeat if config.DISABLE_JIT else intrinsic(_repeat_vector)
load: Any = _load if config.DISABLE_JIT else intrinsic(_load_vector)
store: Any = _store if config.DISABLE_JIT else intrinsic(_store_vector)
spread: Any = _fill if config.DISABLE_JIT else intrinsic(_fill_vector)


def _fma_plain(a: Any, b: Any, c: Any) -> Any:
    """Products of float32 are exact in double, so that only the rare second rounding can show."""
    return type(c)(np.float64(a) * np.float64(b) + np.float64(c))


def _fma_emitted(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c, rounded once; three float32 or three float64."""
    return a(a, b, c), lambda context, builder, signature, values: builder.fma(*values)


fma: Any = _fma_plain if config.DISABLE_JIT else intrinsic(_fma_emitted)


def _emit(rows: int, columns: int, context: Any, builder: ir.IRBuilder, values: Any) -> ir.Value:
    """The loop of one tile; the arguments are those of the function that :func:`tile` makes.

    Two more are where the next data lie: the k-th line of them is asked for beside the k-th products.
    """
    a, b, out = values[0], values[4], values[8]
    a_at, a_row, a_step = values[1:4]
    b_at, b_step, depth = values[5:8]
    out_at, out_row = values[9:11]
    before = builder.block
    loop = builder.append_basic_block("tile")
    after = builder.append_basic_block("tiled")
    builder.cbranch(builder.icmp_signed(">", depth, _INDEX(0)), loop, after)

    zero = ir.Constant(_VECTOR, [0.0] * LANES)
    builder.position_at_end(loop)
    k, a_k, b_k = (builder.phi(_INDEX) for _ in range(3))
    sums = [builder.phi(_VECTOR) for _ in range(rows * columns)]
    right = []
    for c in range(columns):
        load = builder.load(_vector_at(builder, b, builder.add(b_k, _INDEX(LANES * c))))
        load.align = 4
        right.append(load)
    grown, place = [], a_k
    for r in range(rows):
        left = _spread(builder, builder.load(builder.gep(a, [place])))
        grown += [_fused(builder, [left, right[c], sums[r * columns + c]]) for c in range(columns)]
        place = builder.add(place, a_row)
    if len(values) > _TILE_ARGUMENTS:
        _fetch(builder, values[-2], builder.add(values[-1], builder.mul(k, _INDEX(LANES))))
    following = builder.add(k, _INDEX(1))
    for phi, start, then in [
        (k, _INDEX(0), following),
        (a_k, a_at, builder.add(a_k, a_step)),
        (b_k, b_at, builder.add(b_k, b_step)),
        *((phi, zero, then) for phi, then in zip(sums, grown, strict=True)),
    ]:
        phi.add_incoming(start, before)
        phi.add_incoming(then, loop)
    builder.cbranch(builder.icmp_signed("<", following, depth), loop, after)

    builder.position_at_end(after)
    results = []
    for then in grown:
        result = builder.phi(_VECTOR)
        result.add_incoming(zero, before)
        result.add_incoming(then, loop)
        results.append(result)
    place = out_at
    for r in range(rows):
        for c in range(columns):
            at = _vector_at(builder, out, builder.add(place, _INDEX(LANES * c)))
            builder.store(results[r * columns + c], at).align = 4
        place = builder.add(place, out_row)
    return context.get_dummy_value()


def _plain(rows: int, columns: int) -> Tile:
    def tile(
        a: Floats,
        a_at: int,
        a_row: int,
        a_step: int,
        b: Floats,
        b_at: int,
        b_step: int,
        depth: int,
        out: Floats,
        out_at: int,
        out_row: int,
        *following: Any,
    ) -> None:
        for r in range(rows):
            total = np.zeros(LANES * columns, np.float32)
            for k in range(depth):
                start = b_at + k * b_step
                total += a[a_at + r * a_row + k * a_step] * b[start : start + LANES * columns]
            out[out_at + r * out_row : out_at + r * out_row + LANES * columns] = total

    return tile


def _tile_signature() -> Any:
    steps = (types.intp, types.intp, types.intp)
    return (_P, *steps, _P, *steps, _P, types.intp, types.intp)


def tile(rows: int, columns: int) -> Tile:
    """The product of `rows` rows with 16 `columns` columns, as a function for kernels.

    (a, start, step from row to row, step from k to k, b, start, step from k to k, number of k, out, start, step from row to
    row), starts and steps in elements. Nothing is checked.
    """
    if config.DISABLE_JIT:
        return _plain(rows, columns)

    def tile(
        typing: Any, a: Any, a_at: Any, a_row: Any, a_step: Any, b: Any, b_at: Any, b_step: Any, depth: Any, out: Any,
        out_at: Any, out_row: Any,
    ) -> Any:  # fmt: skip
        return types.void(*_tile_signature()), lambda context, builder, sig, values: _emit(
            rows, columns, context, builder, values
        )

    made: Tile = intrinsic(tile)
    return made


def fetching_tile(rows: int, columns: int) -> Tile:
    """:func:`tile`, with two more arguments: an array and a start, from where on one cache line per k is brought near.

    Asked for all at once, lines that are far away hold up what comes next: a core waits for 10 or 20 of them at a time.
    """
    if config.DISABLE_JIT:
        return _plain(rows, columns)

    def tile(
        typing: Any, a: Any, a_at: Any, a_row: Any, a_step: Any, b: Any, b_at: Any, b_step: Any, depth: Any, out: Any,
        out_at: Any, out_row: Any, following: Any, following_at: Any,
    ) -> Any:  # fmt: skip
        return types.void(*_tile_signature(), _P, types.intp), lambda context, builder, sig, values: _emit(
            rows, columns, context, builder, values
        )

    made: Tile = intrinsic(tile)
    return made


def _has_wide_registers() -> bool:
    """Whether this machine has 32 registers of 16 floats."""
    if config.DISABLE_JIT:
        return True
    from numba.core.registry import cpu_target

    return "+avx512f" in cpu_target.target_context.codegen()._tm_features  # what numba compiles for, not what there is


WIDE = _has_wide_registers()  # 32 registers of 16 floats: more sums fit
