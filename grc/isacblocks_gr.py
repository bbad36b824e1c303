"""isacblocks as blocks of GNU Radio 3.10: they need GNU Radio alone, and talk to isacblocks in a Python of its own.

Put this directory on PYTHONPATH, and on GRC_BLOCKS_PATH for the companion; see docs/frontends.md.
"""

import atexit
import shlex
import subprocess

import numpy as np
from gnuradio import blocks, gr, zeromq


def endpoints(at):
    """Of frames, kappa and detections, as isacblocks has them: `at` and their names, or three TCP ports from there on."""
    names = "frames", "kappa", "detections"
    host, _, port = at.rpartition(":")
    if at.startswith("tcp://") and port.isdecimal():
        return [f"{host}:{int(port) + k}" for k in range(len(names))]
    return [f"{at}-{name}" for name in names]


class calibrator(gr.hier_block2):  # noqa: N801 - GNU Radio's blocks are named so
    """Frames in, kappa out (one vector of `antennas` complex numbers per update), detections as messages.

    A frame is a vector of (antennas + 1 + sectors) x subcarriers complex numbers: the antennas, the symbols, with sectors a
    row that begins with theta_min + j theta_max. at: how the endpoints begin, the same as flowgraphs/from_gnuradio.py has
    it, ipc://PATH, or tcp://HOST:PORT for three ports from there on; command: starts that script, "" where somebody else
    does ("isacblocks run from_gnuradio"); it ends with us.
    """

    def __init__(self, antennas=64, subcarriers=256, sectors=False, at="ipc:///tmp/isacblocks", command=""):
        size = (antennas + 1 + bool(sectors)) * subcarriers
        gr.hier_block2.__init__(
            self,
            "isacblocks calibrator",
            gr.io_signature(1, 1, 8 * size),
            gr.io_signature(1, 1, 8 * antennas),
        )
        self.message_port_register_hier_out("detections")
        frames, kappa, detections = endpoints(at)
        self.frames = zeromq.push_sink(8, size, frames, 100, True)
        self.kappa = zeromq.pull_source(8, antennas, kappa, 100, False)
        self.detections = zeromq.pull_msg_source(detections, 100, False)
        self.connect(self, self.frames)
        self.connect(self.kappa, self)
        self.msg_connect(self.detections, "out", self, "detections")
        if command:
            options = ["--at", at, "--antennas", str(antennas), "--subcarriers", str(subcarriers)]
            options += ["--sectors"] * bool(sectors)
            try:
                process = subprocess.Popen(shlex.split(command) + options)
            except OSError as error:
                raise RuntimeError(
                    f"isacblocks calibrator: {command!r} cannot be started: {error.strerror}; give the path of a command "
                    "(.venv/bin/isacblocks run from_gnuradio, where it was set up), or none, and start by hand: "
                    f"isacblocks run from_gnuradio {shlex.join(options)}"
                ) from error
            atexit.register(process.terminate)


class corrector(gr.basic_block):  # noqa: N801
    """Frames (input 0) with every antenna's row divided by the newest kappa (input 1) that has come, 1 before the first.

    Frames are those of the calibrator; what is behind the antennas' rows passes as it is. No frame waits for kappa.
    """

    def __init__(self, antennas=64, subcarriers=256, sectors=False):
        frame = np.complex64, (antennas + 1 + bool(sectors)) * subcarriers
        gr.basic_block.__init__(self, "isacblocks corrector", [frame, (np.complex64, antennas)], [frame])
        self.subcarriers = subcarriers
        self.weights = np.ones(antennas, np.complex64)

    def forecast(self, noutput_items, ninputs):
        """A frame for a frame, and whatever there is of kappa."""
        return [noutput_items, 0]

    def general_work(self, input_items, output_items):
        """All frames that fit."""
        frames, kappas = input_items
        if len(kappas):
            self.weights = (1 / kappas[-1]).astype(np.complex64)
            self.consume(1, len(kappas))
        count = min(len(frames), len(output_items[0]))
        made = output_items[0][:count]
        made[:] = frames[:count]
        rows = made.reshape(count, -1, self.subcarriers)
        rows[:, : self.weights.size] *= self.weights[:, None]
        self.consume(0, count)
        return count


class samples(gr.hier_block2):  # noqa: N801
    """The channels of a coherent receiver, one input each, to "isacblocks run raw_iq gnuradio:AT WAVEFORM --channels N"."""

    def __init__(self, channels=4, at="ipc:///tmp/isacblocks-samples"):
        gr.hier_block2.__init__(self, "isacblocks samples", gr.io_signature(channels, channels, 8), gr.io_signature(0, 0, 0))
        self.together = blocks.streams_to_vector(8, channels)
        self.sink = zeromq.push_sink(8, channels, at, 100, True)
        for channel in range(channels):
            self.connect((self, channel), (self.together, channel))
        self.connect(self.together, self.sink)
