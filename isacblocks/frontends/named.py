"""Front ends by a name on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isacblocks.stream import Source

if TYPE_CHECKING:
    import argparse

NAMES = "soapy:DEVICE, kraken:HOST:PORT, gnuradio:ENDPOINT or RECORDING.sigmf-meta"


def add_options(parser: argparse.ArgumentParser, *more: str) -> None:
    """FROM, and the options that the radios have. more: what FROM may be besides."""
    parser.add_argument("source", metavar="FROM", help=", ".join([*more, NAMES]))
    parser.add_argument("--channels", type=int, default=2, help="of the radio (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=1e6, help="Hz, SoapySDR")
    parser.add_argument("--frequency", type=float, default=100e6, help="Hz, SoapySDR")
    parser.add_argument("--gains", default="", help="dB, one for all channels or one each, comma-separated; SoapySDR")


def front_end(options: argparse.Namespace, group: int, *more: str) -> Source:
    """The source of raw samples that FROM names, `group` samples per item; more: as for add_options(). Raises ValueError."""
    from isacblocks.frontends import GnuRadioSource, HeimdallSource, SigmfSource, SoapySource
    from isacblocks.frontends.sigmf_format import SUFFIXES

    kind, _, where = options.source.partition(":")
    if options.source.endswith(tuple(SUFFIXES)):
        return SigmfSource(options.source, group)
    if kind == "soapy":
        channels = tuple(range(options.channels))
        return SoapySource(where, channels, group, options.rate, options.frequency, options.gains)
    if kind == "kraken":
        host, _, port = where.partition(":")
        if not (port or "5000").isdecimal():
            raise ValueError(f"FROM: expected kraken:HOST:PORT with a number for PORT, got {options.source!r}")
        return HeimdallSource(host or "127.0.0.1", int(port or 5000), options.channels, group)
    if kind == "gnuradio":
        return GnuRadioSource(where, (options.channels,), pattern="pull", tags=True, group=group, axis=1, field="iq")
    raise ValueError(f"FROM: expected {', '.join([*more, NAMES])}, got {options.source!r}")
