"""isacblocks as a block of GNU Radio 3.10: needs GNU Radio alone, and talks to isacblocks in a Python of its own.

Put this directory on PYTHONPATH, and on GRC_BLOCKS_PATH for the companion; see docs/frontends.md.
"""

import atexit
import shlex
import subprocess

from gnuradio import gr, zeromq


class calibrator(gr.hier_block2):  # noqa: N801 - GNU Radio's blocks are named so
    """Frames in, kappa out (one vector of `antennas` complex numbers per update), detections as messages.

    A frame is a vector of (antennas + 1 + sectors) x subcarriers complex numbers: the antennas, the symbols, with sectors a
    row that begins with theta_min + j theta_max. at: how the endpoints begin, the same as flowgraphs/from_gnuradio.py has
    it; command: starts that script, "" where somebody else does ("isacblocks run from_gnuradio"); it ends with us.
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
        self.frames = zeromq.push_sink(8, size, at + "-frames", 100, True)
        self.kappa = zeromq.pull_source(8, antennas, at + "-kappa", 100, False)
        self.detections = zeromq.pull_msg_source(at + "-detections", 100, False)
        self.connect(self, self.frames)
        self.connect(self.kappa, self)
        self.msg_connect(self.detections, "out", self, "detections")
        if command:
            options = ["--at", at, "--antennas", str(antennas), "--subcarriers", str(subcarriers)]
            process = subprocess.Popen(shlex.split(command) + options + ["--sectors"] * bool(sectors))
            atexit.register(process.terminate)
