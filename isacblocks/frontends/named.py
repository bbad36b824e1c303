"""Front ends by a name on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from isacblocks.stream import Source

if TYPE_CHECKING:
    import argparse

    from isacblocks.frontends.waveform_file import Waveform

SIMULATED = "simulated, "
NAMES = "soapy:DEVICE, kraken:HOST:PORT, gnuradio:ENDPOINT or RECORDING.sigmf-meta"


def add_options(parser: argparse.ArgumentParser, simulated: bool = False) -> None:
    """FROM, and the options that the radios have. simulated: FROM may be that, too."""
    parser.add_argument("source", metavar="FROM", help=SIMULATED + NAMES if simulated else NAMES)
    parser.add_argument("--channels", type=int, help="of the radio (default: the waveform's antennas; else 2, kraken 5)")
    parser.add_argument("--rate", type=float, help="Hz, SoapySDR (default: the waveform's; else 1e6)")
    parser.add_argument("--frequency", type=float, default=100e6, help="Hz, SoapySDR")
    parser.add_argument("--gains", default="", help="dB, one for all channels or one each, comma-separated; SoapySDR")


def front_end(options: argparse.Namespace, group: int, wave: Waveform | None = None, beside: Path | None = None) -> Source:
    """The source of raw samples that FROM names, `group` samples per item.

    wave: what they have to be samples of, and what "simulated" is; beside: the directory of its symbols. Raises ValueError,
    also for samples that cannot be the waveform's.
    """
    from isacblocks.frontends import GnuRadioSource, HeimdallSource, SigmfSource, SimulatedIq, SoapySource
    from isacblocks.frontends.sigmf_format import SUFFIXES

    kind, _, where = options.source.partition(":")
    count = options.channels if options.channels is not None else wave.antennas if wave else 5 if kind == "kraken" else 2
    made: Source
    if wave and kind == "simulated":
        made = SimulatedIq(wave, beside or Path(), group, leakage=3.0)
    elif options.source.endswith(tuple(SUFFIXES)):
        made = SigmfSource(options.source, group)
    elif kind == "soapy":
        rate = options.rate if options.rate is not None else wave.rate if wave else 1e6
        if wave:
            wave.check_rate(rate)
        made = SoapySource(where, tuple(range(count)), group, rate, options.frequency, options.gains)
    elif kind == "kraken":
        host, _, port = where.partition(":")
        if not (port or "5000").isdecimal():
            raise ValueError(f"FROM: expected kraken:HOST:PORT with a number for PORT, got {options.source!r}")
        made = HeimdallSource(host or "127.0.0.1", int(port or 5000), count, group)
    elif kind == "gnuradio":
        made = GnuRadioSource(where, (count,), pattern="pull", tags=True, group=group, axis=1, field="iq")
    else:
        raise ValueError(f"FROM: expected {SIMULATED * bool(wave)}{NAMES}, got {options.source!r}")
    if wave:
        wave.check_channels(made.dimensions()["C"], options.source)
    return made
