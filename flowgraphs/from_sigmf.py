"""Calibrates from a SigMF recording of frames, and writes the calibration into it.

    SigmfFrames --frame--> AngleDelayMap --> MaprtDetector --> KappaCalibrator --kappa--> AngleDelayMap

RECORDING: .sigmf-meta or .sigmf-collection, frames as SigmfSink writes them. Of raw samples, see raw_iq.
"""

import argparse
import sys

import numpy as np

from isacblocks.blocks import AngleDelayMap, KappaCalibrator, MaprtDetector
from isacblocks.blocks.calibration_file import save_calibration
from isacblocks.cli.script import STATUSES, add_common, check_log, compile_kernels, execute, start_logging, usage
from isacblocks.frontends import SigmfFrames
from isacblocks.frontends.sigmf_calibration import annotate_calibration
from isacblocks.stream import Flowgraph


def work(o: argparse.Namespace) -> None:
    """One pass over the recording."""
    start_logging(o.log)
    with usage():
        source = SigmfFrames(o.recording)
    radar = source.radar
    image, detector, calibrator = AngleDelayMap(radar), MaprtDetector(radar, noise="estimated"), KappaCalibrator(radar)

    fg = Flowgraph("from_sigmf")
    fg.connect(source, image, detector, calibrator)
    fg.feedback(calibrator.kappa, image.kappa, lag=2)
    with usage():
        check_log(o.log, fg.blocks)
    compile_kernels()
    fg.run()
    found = calibrator.calibration(provenance=f"from_sigmf {o.recording}")
    save_calibration(o.calibration, found)
    sigma = None if found.sigma_rad is None else np.array(found.sigma_rad)
    annotate_calibration(o.recording, found.vector, sigma, method=found.method, frames=found.frames)
    print(f"{found.frames} frames; calibration: {o.calibration}, and in {o.recording}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser("from_sigmf", description=__doc__.split("\n\n")[0], epilog=STATUSES)
    parser.add_argument("recording", metavar="RECORDING")
    parser.add_argument("--calibration", metavar="FILE.json", default="from_sigmf.kappa.json", help="default: %(default)s")
    add_common(parser)
    sys.exit(execute("from_sigmf", lambda: work(parser.parse_args())))
