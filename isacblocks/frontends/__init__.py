"""The world outside: recordings of other instruments, radios, other programs. Each front end gives frames, or raw samples,
as a block. Loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isacblocks.frontends.fmcw import FmcwFile
    from isacblocks.frontends.framing import Framing
    from isacblocks.frontends.gnuradio import GnuRadioMessages, GnuRadioSink, GnuRadioSource
    from isacblocks.frontends.heimdall import HeimdallSource
    from isacblocks.frontends.ofdm_receiver import OfdmReceiver
    from isacblocks.frontends.sigmf_sink import SigmfSink
    from isacblocks.frontends.sigmf_source import SigmfFrames, SigmfSource
    from isacblocks.frontends.soapy import SoapySource

_HOMES = {
    "FmcwFile": "fmcw",
    "Framing": "framing",
    "GnuRadioMessages": "gnuradio",
    "GnuRadioSink": "gnuradio",
    "GnuRadioSource": "gnuradio",
    "HeimdallSource": "heimdall",
    "OfdmReceiver": "ofdm_receiver",
    "SigmfFrames": "sigmf_source",
    "SigmfSink": "sigmf_sink",
    "SigmfSource": "sigmf_source",
    "SoapySource": "soapy",
}

__all__ = [
    "FmcwFile",
    "Framing",
    "GnuRadioMessages",
    "GnuRadioSink",
    "GnuRadioSource",
    "HeimdallSource",
    "OfdmReceiver",
    "SigmfFrames",
    "SigmfSink",
    "SigmfSource",
    "SoapySource",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
