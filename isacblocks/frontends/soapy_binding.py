"""SoapySDR's Python binding: where it is, and which devices it knows.

It comes with the system's packages, for the system's Python, and not by pip. It is looked for where Python looks, and then
where Debian puts it; one that was built for another Python is named and not loaded.
"""

from __future__ import annotations

import contextlib
import sys
import sysconfig
from pathlib import Path
from typing import Any

_DEBIAN = "/usr/lib/python3/dist-packages"


class SoapyError(RuntimeError):
    """SoapySDR is not there, knows no such device, or the device failed; the message says which."""


def binding() -> Any:
    """The module SoapySDR. Raises SoapyError saying what to install."""
    with contextlib.suppress(ImportError):
        import SoapySDR

        return SoapySDR
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    built = sorted(Path(_DEBIAN).glob("_SoapySDR*.so"))
    if any(path.name == f"_SoapySDR{suffix}" for path in built):
        sys.path.append(_DEBIAN)  # behind everything else, for as long as it takes: nothing else is to be found there
        try:
            import SoapySDR

            return SoapySDR
        finally:
            sys.path.remove(_DEBIAN)
    if built:
        raise SoapyError(f"{built[0]} is for another Python than this one ({suffix}): make the environment with that one")
    raise SoapyError("SoapySDR's Python binding is not installed: apt install python3-soapysdr, and a module for the device")


def open_device(soapy: Any, words: str) -> Any:
    """The device of these words. Raises SoapyError saying which there are."""
    try:
        return soapy.Device(words)
    except (RuntimeError, ValueError) as error:
        raise SoapyError(f"{words}: {error}; {_there(soapy)}") from error


def _there(soapy: Any) -> str:
    found = [dict(one) for one in soapy.Device.enumerate()]
    if not found:
        return "no device is there at all: is one plugged in, and its module for SoapySDR installed (SoapySDRUtil --find)?"
    told = ("driver", "label", "serial")
    return "devices that are there: " + "; ".join(",".join(f"{n}={one[n]}" for n in told if n in one) for one in found)
