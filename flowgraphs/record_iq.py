"""Records the raw samples of a receiver with several channels as SigMF.

    SoapySource, HeimdallSource or GnuRadioSource --iq--> SigmfSink

FROM: soapy:DEVICE ("soapy:driver=lime"), kraken:HOST:PORT, or gnuradio:ENDPOINT (vectors of one complex number per channel
from a ZMQ PUSH Sink with pass_tags).
"""

import argparse
import sys

from isacblocks.cli.script import execute, positive, usage
from isacblocks.frontends import GnuRadioSource, HeimdallSource, SigmfSink, SoapySource
from isacblocks.stream import Flowgraph, Source

GROUP = 1024  # samples per item


def source_of(o: argparse.Namespace) -> Source:
    """The front end that FROM names."""
    kind, _, where = o.source.partition(":")
    if kind == "soapy":
        return SoapySource(where, tuple(range(o.channels)), GROUP, o.rate, o.frequency, o.gains)
    if kind == "kraken":
        host, _, port = where.partition(":")
        return HeimdallSource(host or "127.0.0.1", int(port or 5000), o.channels, GROUP)
    if kind == "gnuradio":
        return GnuRadioSource(where, (o.channels,), pattern="pull", tags=True, group=GROUP, axis=1, field="iq")
    raise ValueError(f"expected soapy:DEVICE, kraken:HOST:PORT or gnuradio:ENDPOINT, got {o.source!r}")


def work(o: argparse.Namespace) -> None:
    """Record until there is enough."""
    fg = Flowgraph("record_iq")
    with usage():
        fg.connect(source_of(o), SigmfSink(o.recording, collection=o.collection))
    fg.run(-(-o.samples // GROUP))


if __name__ == "__main__":
    parser = argparse.ArgumentParser("record_iq", description=__doc__.split("\n\n")[0])
    parser.add_argument("source", metavar="FROM", help="soapy:DEVICE, kraken:HOST:PORT or gnuradio:ENDPOINT")
    parser.add_argument("recording", metavar="RECORDING", help="its name, without a suffix")
    parser.add_argument("--samples", type=positive, default=1 << 20, help="of every channel (default: %(default)s)")
    parser.add_argument("--channels", type=positive, default=2)
    parser.add_argument("--collection", action="store_true", help="one file per channel")
    parser.add_argument("--rate", type=float, default=1e6, help="Hz, SoapySDR")
    parser.add_argument("--frequency", type=float, default=100e6, help="Hz, SoapySDR")
    parser.add_argument("--gains", default="", help="dB, one for all channels or one each, comma-separated; SoapySDR")
    sys.exit(execute("record_iq", lambda: work(parser.parse_args())))
