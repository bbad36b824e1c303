"""The machine and the libraries that figures were measured with; without them a figure says nothing."""

from __future__ import annotations

import ctypes
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pinned import THREADS

_PACKAGES = ("numpy", "scipy", "numba", "llvmlite", "pyzmq", "msgspec", "torch")
_CPUINFO = Path("/proc/cpuinfo")
QUIET = 0.3  # load average of a machine that does nothing else


def cpu() -> tuple[str, list[str]]:
    """The processor's name and its features, where the system tells."""
    found: dict[str, str] = {}
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text().splitlines():
            name, _, value = line.partition(":")
            found.setdefault(name.strip(), value.strip())
    return found.get("model name", platform.processor() or platform.machine()), found.get("flags", "").split()


def wide() -> bool:
    """Whether there are vector registers of 16 floats."""
    return "avx512f" in cpu()[1]


def openblas_core() -> str:
    """For which processor numpy's OpenBLAS has chosen its kernels, "unknown" where numpy has another BLAS."""
    beside = Path(np.__file__).parents[1] / "numpy.libs"
    for library in sorted(beside.glob("*openblas*")):
        loaded = ctypes.CDLL(str(library))
        for name in ("scipy_openblas_get_corename64_", "openblas_get_corename64_", "openblas_get_corename"):
            if hasattr(loaded, name):
                function = getattr(loaded, name)
                function.restype = ctypes.c_char_p
                return str(function().decode())
    return "unknown"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"


def description() -> dict[str, Any]:
    """Processor, cores, versions, BLAS."""
    model, flags = cpu()
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "cpu": model,
        "features": [flag for flag in flags if flag.startswith(("avx", "fma", "amx", "asimd", "sve"))],
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {package: _version(package) for package in _PACKAGES},
        "blas": {
            "name": blas.get("name", "unknown"),
            "configuration": blas.get("openblas configuration", blas.get("version", "")),
            "core": openblas_core(),
            "threads": {name: os.environ.get(name, "") for name in THREADS},
        },
    }


def load() -> list[float]:
    """Load averages over 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]
