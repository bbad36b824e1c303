"""Records the raw samples of a receiver with several channels as SigMF.

    SoapySource, HeimdallSource or GnuRadioSource --iq--> SigmfSink

FROM: soapy:DEVICE ("soapy:driver=lime"), kraken:HOST:PORT, or gnuradio:ENDPOINT (vectors of one complex number per channel
from a ZMQ PUSH Sink with pass_tags).
"""

import argparse
import sys

from isacblocks.cli.script import STATUSES, add_common, check_log, execute, positive, start_logging, usage
from isacblocks.frontends import SigmfSink
from isacblocks.frontends.named import add_options, front_end
from isacblocks.stream import Flowgraph

GROUP = 1024  # samples per item


def work(o: argparse.Namespace) -> None:
    """Record until there is enough."""
    start_logging(o.log)
    fg = Flowgraph("record_iq")
    with usage():
        fg.connect(front_end(o, GROUP), SigmfSink(o.recording, collection=o.collection))
        check_log(o.log, fg.blocks)
    fg.run(-(-o.samples // GROUP))


if __name__ == "__main__":
    parser = argparse.ArgumentParser("record_iq", description=__doc__.split("\n\n")[0], epilog=STATUSES)
    add_options(parser)
    parser.add_argument("recording", metavar="RECORDING", help="its name, without a suffix")
    parser.add_argument("--samples", type=positive, default=1 << 20, help="of every channel (default: %(default)s)")
    parser.add_argument("--collection", action="store_true", help="one file per channel")
    add_common(parser)
    sys.exit(execute("record_iq", lambda: work(parser.parse_args())))
