"""The world outside: recordings of other instruments, radios, other programs. Each front end gives frames, or raw samples,
as a block. Loaded when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isacblocks._lazy import lazy

if TYPE_CHECKING:
    from isacblocks.frontends.fmcw import FmcwFile
    from isacblocks.frontends.framing import Framing
    from isacblocks.frontends.gnuradio import GnuRadioMessages, GnuRadioSink, GnuRadioSource
    from isacblocks.frontends.heimdall import HeimdallSource
    from isacblocks.frontends.ofdm_decisions import DataSymbols
    from isacblocks.frontends.ofdm_receiver import OfdmReceiver
    from isacblocks.frontends.sigmf_sink import SigmfSink
    from isacblocks.frontends.sigmf_source import SigmfFrames, SigmfSource
    from isacblocks.frontends.simulated_iq import SimulatedIq
    from isacblocks.frontends.soapy import SoapySource
    from isacblocks.frontends.waveform_file import Waveform, read_waveform

_HOMES = {
    "DataSymbols": "ofdm_decisions",
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
    "SimulatedIq": "simulated_iq",
    "SoapySource": "soapy",
    "Waveform": "waveform_file",
    "read_waveform": "waveform_file",
}

__all__ = [
    "DataSymbols",
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
    "SimulatedIq",
    "SoapySource",
    "Waveform",
    "read_waveform",
]

__getattr__, __dir__ = lazy(__name__, _HOMES)
