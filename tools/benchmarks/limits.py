"""What the machine can do at most: multiply-adds, memory, matrix products. A kernel is judged against these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from benchmarks.machine import wide
from benchmarks.measure import Case, case

_LANES = 16 if wide() else 8
_CHAINS = 12  # independent sums: more than latency times throughput of every present core, fewer than it has registers
_MATRIX = 512
_FRAME = 64 * 256 * 2  # floats


def _fma_chains(_context: Any, count: Any, factor: Any) -> Any:
    """`count` times: each of the chains becomes chain * factor + factor; returns the sum of all. float32(int64, float32)."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.FloatType(), _LANES)
        number, scalar = arguments
        constant = ir.Constant(vector, ir.Undefined)
        for lane in range(_LANES):
            constant = builder.insert_element(constant, scalar, ir.Constant(ir.IntType(32), lane))
        chains, start = [], constant
        for _ in range(_CHAINS):  # different from each other, or the compiler makes one of all
            start = builder.fadd(start, constant)
            chains.append(cgutils.alloca_once_value(builder, start))
        name = f"llvm.fma.v{_LANES}f32"
        fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), name)
        with cgutils.for_range(builder, number):
            for chain in chains:
                builder.store(builder.call(fma, [builder.load(chain), constant, constant]), chain)
        total = ir.Constant(ir.FloatType(), 0.0)
        for chain in chains:
            for lane in range(_LANES):
                value = builder.extract_element(builder.load(chain), ir.Constant(ir.IntType(32), lane))
                total = builder.fadd(total, value)
        return total

    return types.float32(types.int64, types.float32), generate


_chains = intrinsic(_fma_chains)


def _read(values: NDArray[np.float32]) -> float:
    """The sum of all values: every cache line is read once."""
    total = np.float32(0)
    for k in range(values.shape[0]):
        total += values[k]
    return float(total)


def fma_case() -> Case:
    """Single-precision multiply-adds out of registers."""
    kernel = numba.njit(nogil=True)(lambda count, factor: _chains(count, np.float32(factor)))
    count = 200_000
    flops = 2.0 * count * _CHAINS * _LANES

    def run() -> float:
        kernel(count, 0.5)
        return flops

    return case("FMA peak", f"multiply-adds on {_LANES} floats out of registers", run, unit="flop")


def matrix_product() -> Callable[[], float]:
    """numpy's sgemm; the returned function says how many operations it took."""
    a, b = np.random.default_rng(0).standard_normal((2, _MATRIX, _MATRIX)).astype(np.float32)
    out = np.empty_like(a)

    def run() -> float:
        np.matmul(a, b, out=out)
        return 2.0 * _MATRIX**3

    return run


def memory_cases(frames: int) -> list[Case]:
    """Reading and copying more frames than the cache holds, once each."""
    source = np.ones(frames * _FRAME, np.float32)
    target = np.zeros_like(source)
    read = numba.njit(nogil=True, fastmath=True)(_read)

    def reading() -> float:
        read(source)
        return frames

    def copying() -> float:
        np.copyto(target, source)
        return frames

    return [
        case("read Y", f"{frames} frames of 131 kB from memory, once", reading),
        case("memcpy Y", f"{frames} frames of 131 kB copied in memory", copying),
    ]


def cases(frames: int) -> list[Case]:
    """The machine's limits, per core."""
    gemm = case("sgemm", f"numpy, {_MATRIX} x {_MATRIX}, OpenBLAS as installed", matrix_product(), unit="flop")
    return [gemm, fma_case(), *memory_cases(frames)]
