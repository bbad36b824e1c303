"""Calibrates while GNU Radio sends frames: kappa goes back as a stream, what is detected as messages.

GNU Radio: frames --> ZMQ PUSH Sink    ZMQ PULL Source --> kappa    ZMQ PULL Message Source --> detections
            AT-frames |                     ^ AT-kappa                    ^ AT-detections
                      GnuRadioSource --> Framing --> AngleDelayMap --> MaprtDetector --> KappaCalibrator
                                            +--changes (tags rx_freq, gain)--> KappaCalibrator

AT is how the endpoints begin, or tcp://HOST:PORT, which is that of frames; the next two ports are the others'. A frame is a
vector of rows of subcarriers complex numbers: the antennas, the symbols, with --sectors one that begins with
theta_min + j theta_max. GNU Radio's sockets wait for each other: all three must be there.
With --newest no frame waits: those that come while others are being worked on are left out and counted.
"""

import argparse
import math
import sys

from isacblocks import OfdmRadar
from isacblocks.blocks import AngleDelayMap, KappaCalibrator, MaprtDetector
from isacblocks.cli.script import STATUSES, add_common, check_log, compile_kernels, execute, positive, start_logging, usage
from isacblocks.frontends import Framing, GnuRadioMessages, GnuRadioSink, GnuRadioSource
from isacblocks.frontends.gnuradio.line import endpoints
from isacblocks.stream import Flowgraph


def work(o: argparse.Namespace) -> None:
    """Run until it is stopped, or no frame has come for a while."""
    start_logging(o.log)
    radar = OfdmRadar(o.antennas, o.subcarriers)
    about = {"channels": o.antennas, "end_after": o.end_after, "newest": o.newest}
    frames = GnuRadioSource(o.at[0], (o.antennas + 1 + o.sectors, o.subcarriers), pattern="pull", tags=True, **about)
    frames.rate = float(o.rate or math.inf)
    framing = Framing(radar, sectors=o.sectors)
    image, detector, calibrator = AngleDelayMap(radar), MaprtDetector(radar, noise="estimated"), KappaCalibrator(radar)

    fg = Flowgraph("from_gnuradio")
    fg.connect(frames, framing)
    fg.connect(framing.compressed, image.compressed)  # samples are read where they came to lie, and go no further
    fg.connect(image, detector, calibrator)
    fg.connect(framing.changes, calibrator.changes)
    fg.feedback(calibrator.kappa, image.kappa, lag=2)
    fg.connect(calibrator.kappa, GnuRadioSink(o.at[1], dtype="complex64"))
    fg.connect(detector, GnuRadioMessages(o.at[2], fields=("present", "probability", "theta", "range")))
    with usage():
        check_log(o.log, fg.blocks)
    compile_kernels()
    fg.run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser("from_gnuradio", description=__doc__.split("\n\n")[0], epilog=STATUSES)
    parser.add_argument(
        "--at",
        default="ipc:///tmp/isacblocks",
        type=endpoints,
        help="how endpoints begin (default: %(default)s), or tcp://HOST:PORT",
    )
    parser.add_argument("--antennas", type=positive, default=64)
    parser.add_argument("--subcarriers", type=positive, default=256)
    parser.add_argument("--sectors", action="store_true", help="frames tell in which sector a target may be")
    parser.add_argument("--end-after", type=float, metavar="S", help="end when nothing has come for S seconds")
    parser.add_argument("--newest", type=positive, default=0, metavar="K", help="never let the sender wait: keep K frames")
    parser.add_argument("--rate", type=positive, metavar="R", help="frames/s that are calibrated at most")
    add_common(parser)
    sys.exit(execute("from_gnuradio", lambda: work(parser.parse_args())))
