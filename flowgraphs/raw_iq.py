"""Calibrates from the raw samples of a receiver with several channels, while they come.

    FROM --iq--> OfdmReceiver --frame--> AngleDelayMap --> MaprtDetector --> KappaCalibrator --kappa--> AngleDelayMap
                      +--changes--> KappaCalibrator       +--frame--> Recorder

FROM: soapy:DEVICE, kraken:HOST:PORT, gnuradio:ENDPOINT, a SigMF recording, or "simulated". WAVEFORM: a TOML file that
says what is sent (docs/formats.md), or ofdm_waveform, which comes with isacblocks.
"""

import argparse
import sys

from isacblocks.blocks import AngleDelayMap, KappaCalibrator, MaprtDetector, Recorder
from isacblocks.cli.find import find_waveform
from isacblocks.cli.outcome import leaving_calibration
from isacblocks.cli.script import STATUSES, add_common, check_log, compile_kernels, execute, positive, start_logging, usage
from isacblocks.frontends import read_waveform
from isacblocks.frontends.named import add_options, front_end
from isacblocks.stream import Flowgraph

GROUP = 1024  # samples per item


def work(o: argparse.Namespace) -> None:
    """Calibrate until the samples end, or there have been enough, or Ctrl-C."""
    start_logging(o.log)
    with usage():
        path = find_waveform(o.waveform)
        wave, beside = read_waveform(path), path.parent
        source = front_end(o, GROUP, wave, beside)
        receiver, radar, scene = wave.receiver(beside, GROUP), wave.radar(), wave.scene()
        image = AngleDelayMap(radar, window=scene.delay_window(radar), refine=True)
        detector, calibrator = MaprtDetector(radar, noise="estimated"), KappaCalibrator(radar, window=scene)

        fg = Flowgraph("raw_iq")
        fg.connect(source, receiver, image, detector, calibrator)
        fg.feedback(calibrator.kappa, image.kappa, lag=2)
        fg.connect(receiver.changes, calibrator.changes)
        if o.record:
            fg.connect(receiver, Recorder(o.record, radar=radar))
        check_log(o.log, fg.blocks)
    compile_kernels()
    with leaving_calibration(o.calibration, fg, calibrator, f"raw_iq {o.source}"):
        status = fg.run(o.frames and -(-o.frames * wave.period // GROUP))
    wave.check_frames(status.blocks[calibrator.label].items_in, o.source)


if __name__ == "__main__":
    parser = argparse.ArgumentParser("raw_iq", description=__doc__.split("\n\n")[0], epilog=STATUSES)
    add_options(parser, simulated=True)
    parser.add_argument("waveform", metavar="WAVEFORM", help="a path, NAME.toml, or ofdm_waveform; see docs/formats.md")
    parser.add_argument("--frames", type=positive, help="end after so many (default: where the samples end)")
    parser.add_argument("--record", metavar="FILE.isac", help="record the frames, too")
    parser.add_argument("--calibration", metavar="FILE.json", default="raw_iq.kappa.json", help="default: %(default)s")
    add_common(parser)
    sys.exit(execute("raw_iq", lambda: work(parser.parse_args())))
