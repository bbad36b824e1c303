"""The compiler's decorator for every kernel, and the cache that keeps its results.

Flags, explained once:

- ``nogil``: kernels run beside each other in threads; none touches a Python object.
- ``error_model="numpy"``: a division by zero gives inf or nan as in numpy, without a branch in every loop.
- ``fastmath``: sums may be reassociated (that is what lets LLVM use vector registers), products and sums fused, signed
  zeros ignored. NaN and infinity keep their meaning: kernels must be able to recognise a broken sample. ``jit_exact`` does
  without: a loop over items then gives every item the same bits, wherever in the loop it stands, so that a stream does not
  depend on how it is divided into messages. Loops over antennas, subcarriers and grid points have the same length always.
- ``forceinline``: a kernel that another one calls becomes part of it. It is faster, and it is what makes results repeat:
  left as functions of their own, two compilations of the same kernel can meet in one process, and which of them is called
  (and how it rounds) then depends on whether the caller was compiled just now or loaded from the cache.
- ``cache``: on disk, in a directory whose name is a digest of the sources of all kernels and of the compiler's versions.
  Numba's own key knows only the file of the function itself, so that an edit in a kernel called from another file would
  leave a stale, wrong result behind; the digest makes that impossible.

Numba has functions of its own, of which the product of two complex numbers is one. It compiles such a function once in a
process, with the flags of the kernel that happens to be compiled first, and takes it for all kernels: whether an exact
kernel fuses products then depends on what was compiled before it, and so do its last bits. Here they are kept by flags.

Set ISACBLOCKS_CACHE to move the cache. With NUMBA_DISABLE_JIT=1 the kernels are plain Python functions.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite
import numba
from numba import config
from numba.core.registry import cpu_target
from numba.core.targetconfig import ConfigStack


class _ByFlags(dict[Any, Any]):
    """Numba's own functions that have been compiled, apart for callers with other floating-point flags."""

    @staticmethod
    def _key(key: Any) -> Any:
        flags = ConfigStack.top_or_none()
        return (key, None if flags is None else frozenset(flags.fastmath.flags))

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(self._key(key), default)

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(self._key(key))

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(self._key(key), value)


cpu_target.target_context.cached_internal_func = _ByFlags()  # none of them outlives its kernel: compiled again where needed

F = TypeVar("F", bound=Callable[..., object])

_FASTMATH = {"reassoc", "contract", "nsz", "arcp"}
_KEPT_VERSIONS = 8  # compiled versions kept side by side: old checkouts stay quick, the disk does not fill


@cache
def source_digest() -> str:
    """Digest of every kernel source, where it lies, this Python and the compiler: equal digests mean equal machine code."""
    digest = hashlib.sha256(str(Path(__file__).resolve().parent).encode())  # numba keeps the path in its own key
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    for text in (numba.__version__, llvmlite.__version__, platform.python_version(), platform.machine()):
        digest.update(text.encode())
    return digest.hexdigest()[:16]


def _private_directory(path: Path) -> bool:
    """Create `path` for this user alone and say whether files can be written there."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.stat().st_uid != os.getuid():
            return False
        with tempfile.TemporaryFile(dir=path):
            return True
    except OSError:
        return False


def _prune(root: Path, keep: Path) -> None:
    """Remove the oldest compiled versions; another process may be doing the same."""
    try:
        versions = [p for p in root.iterdir() if p.is_dir() and p != keep]
        versions.sort(key=lambda p: p.stat().st_mtime, reverse=True)
    except OSError:
        return
    for old in versions[_KEPT_VERSIONS - 1 :]:
        shutil.rmtree(old, ignore_errors=True)


@cache
def cache_directory() -> Path:
    """The directory that holds this version's machine code, created on first use with mode 0700.

    The first writable one of $ISACBLOCKS_CACHE, the user's cache directory and a private directory under the system's
    temporary one. Numba's cache files are loaded as code, so a directory that belongs to someone else is refused.
    """
    roots = []
    if os.environ.get("ISACBLOCKS_CACHE"):
        roots.append(Path(os.environ["ISACBLOCKS_CACHE"]))
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    roots += [Path(home) / "isacblocks", Path(tempfile.gettempdir()) / f"isacblocks-{os.getuid()}"]
    for root in roots:
        path = root / source_digest()
        if _private_directory(root) and _private_directory(path):
            os.utime(path)  # in use now: the others are pruned before it
            _prune(root, path)
            return path
    raise OSError(
        "no directory for compiled kernels: tried "
        + ", ".join(str(r) for r in roots)
        + "; set ISACBLOCKS_CACHE to a writable directory of your own"
    )


def _compiled(function: F, fastmath: set[str] | bool, inline: bool = True) -> F:
    if config.DISABLE_JIT:
        return function
    elsewhere = config.CACHE_DIR
    config.CACHE_DIR = str(cache_directory())  # read by numba while it decorates, and only then
    try:
        options = {"nogil": True, "cache": True, "error_model": "numpy", "forceinline": inline}
        compiled = numba.njit(fastmath=fastmath, **options)(function)
    finally:
        config.CACHE_DIR = elsewhere
    return cast(F, compiled)


def jit(function: F) -> F:
    """Compile a pure function on arrays; see the module's docstring for what the flags mean."""
    return _compiled(function, _FASTMATH)


def jit_exact(function: F) -> F:
    """Compile a pure function whose loops run over items; see the module's docstring."""
    return _compiled(function, False)


def jit_apart(function: F) -> F:
    """Compile a function that stays one where it is called; for those whose results have the same bits however compiled."""
    return _compiled(function, False, inline=False)


def jit_within(function: F) -> F:
    """Compile a part of one kernel, shared with no other, as lines of that kernel: every level of calls takes its time."""
    return function if config.DISABLE_JIT else cast(F, numba.njit(inline="always", error_model="numpy")(function))


def _stamp() -> Path:
    return cache_directory() / "warm"


def is_warm() -> bool:
    """True where a finished warm-up of exactly this version is on disk, so that nothing has to be compiled."""
    return bool(config.DISABLE_JIT) or _stamp().exists()


def mark_warm() -> None:
    """Note that every kernel of this version is on disk."""
    if not config.DISABLE_JIT:
        _stamp().touch()
