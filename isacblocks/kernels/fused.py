"""The fused product and sum, which LLVM would otherwise place as it likes: with it a result has the same bits everywhere.

``jit`` lets the compiler fuse a product with a sum where the machine can, so that bits depend on the machine; ``jit_exact``
forbids it, which costs a third of the speed of a polynomial. `fma` says where it is wanted. It is LLVM's own operation:
loops that contain it are vectorised, and a machine without the instruction computes the same bits more slowly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import config

if TYPE_CHECKING:

    def fma(a: Any, b: Any, c: Any) -> Any:
        """a b + c, rounded once; three float32 or three float64."""

elif config.DISABLE_JIT:

    def fma(a, b, c):
        """a b + c; products of float32 are exact in double, so that only the rare second rounding can show."""
        return type(c)(np.float64(a) * np.float64(b) + np.float64(c))

else:
    from numba.extending import intrinsic

    @intrinsic
    def fma(typing_context, a, b, c):
        """a b + c, rounded once; three float32 or three float64."""

        def generate(context, builder, signature, arguments):
            return builder.fma(*arguments)

        return a(a, b, c), generate
