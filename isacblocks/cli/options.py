"""Options that several scripts share, and the values that they stand for."""

from __future__ import annotations

import argparse
import math
import re

from isacblocks.blocks.impaired_channel import PhaseStep
from isacblocks.blocks.methods.choice import METHODS as CALIBRATORS
from isacblocks.cli.script import add_common, picture, positive
from isacblocks.kernels.adam import SECOND_MOMENTS
from isacblocks.kernels.impairments import LAWS
from isacblocks.radar import OfdmRadar, Scene
from isacblocks.stream import Restart
from isacblocks.stream.plan import PLACEMENTS
from isacblocks.study.simulation import matched_memory
from isacblocks.view.live import PORT as VIEW_PORT
from isacblocks.view.metrics import PORT as METRICS_PORT

METHODS = (*CALIBRATORS, "known", "none")


def _seed(text: str) -> int:
    if not text.strip().isdecimal() or int(text) >= 2**64:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to 2^64 - 1, got {text}")
    return int(text)


def _celsius(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not -273.15 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"expected degrees Celsius, got {text}")
    return value


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Where to run, and what to leave behind."""
    group = _add_place(parser)
    group.add_argument("--plot", type=picture, metavar="FILE.png", help="draw a picture (or .pdf, .svg, .jpg, .webp)")


def _add_place(parser: argparse.ArgumentParser, said: bool = False) -> argparse._ArgumentGroup:
    """Where to run; said: a file says what is not given."""
    group = parser.add_argument_group("run")
    group.add_argument(
        "--placement",
        choices=PLACEMENTS,
        default=None if said else "threads",
        help="threads, processes (ipc) or processes over tcp on loopback; the result is the same"
        + ("" if said else " (default: threads)"),
    )
    group.add_argument("--report", metavar="FILE", help="write a report as JSON")
    group.add_argument(
        "--calibration",
        metavar="FILE",
        help="start from the kappa in FILE if it exists, save what was learned to it at the end, also where isacblocks do "
        "stop or Ctrl-C made it",
    )
    group.add_argument(
        "--temperature", type=_celsius, metavar="C", help="of the hardware, where it is known: it is noted in that file"
    )
    add_common(parser)
    return group


def add_run(parser: argparse.ArgumentParser, frames: int) -> None:
    """How much, and how to watch it."""
    add_outputs(parser)
    group = parser.add_argument_group("stream")
    group.add_argument("--frames", type=positive, default=frames, help=f"how many frames (default: {frames})")
    group.add_argument("--seed", type=_seed, default=1, help="of everything random (default: 1)")
    _add_stream(group)
    group.add_argument("--record", metavar="FILE", help="record all frames (FILE is replaced)")


def add_file_run(parser: argparse.ArgumentParser) -> None:
    """The same for a flowgraph from a file, which says what is not given here."""
    _add_place(parser, said=True)
    group = parser.add_argument_group("stream")
    group.add_argument("--frames", type=positive, help="how many frames every source makes")
    group.add_argument("--seed", type=_seed, help="what $seed stands for")
    _add_stream(group)
    parser.set_defaults(port=None)


def _add_stream(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--port", type=int, default=0, help="first TCP port with --placement tcp (default: free ones)")
    group.add_argument("--batch", type=positive, help="frames per message (default: as suits the size of what is sent)")
    group.add_argument(
        "--checkpoint", metavar="DIR", help="save checkpoints there, and go on from the last one if there is one"
    )
    group.add_argument(
        "--restart",
        nargs="?",
        type=positive,
        const=5,
        metavar="N",
        help="replace the processes of blocks that die and lose nothing; give up when one dies more than N times in a row "
        "without getting on (default: 5); not with --placement threads",
    )
    group.add_argument(
        "--metrics",
        nargs="?",
        const="",
        metavar="[HOST:]PORT",
        help=f"serve all counters for Prometheus over HTTP (default: 127.0.0.1:{METRICS_PORT}); elsewhere with a token only",
    )
    group.add_argument(
        "--view",
        nargs="?",
        const="",
        metavar="[HOST:]PORT",
        help=f"serve a live view for browsers (default: 127.0.0.1:{VIEW_PORT}; port 0: a free one)",
    )
    group.add_argument(
        "--hold", action="store_true", help="keep the live view up after the end, until Enter is pressed, on a terminal"
    )
    group.add_argument(
        "--desk",
        action="store_true",
        help="let isacblocks top, set and do come to it; --view and a table on a terminal do that too",
    )
    group.add_argument("--token-file", metavar="FILE", help="the token that views and metrics ask for, mode 600")
    group.add_argument(
        "--rate", type=float, metavar="N", help="at most so many frames per second (default: as fast as it goes)"
    )
    group.add_argument("--no-view", action="store_true", help="no table, no live line, no picture unless --plot asks for it")
    said = group.add_mutually_exclusive_group()
    said.add_argument("--quiet", action="store_true", help="say nothing but errors; files only where they are asked for")
    said.add_argument(
        "--json",
        action="store_true",
        help="lines of JSON on the standard output: an object every second, then one with the report as its result",
    )


def add_scene(parser: argparse.ArgumentParser) -> None:
    """What is simulated."""
    group = parser.add_argument_group("simulation (Table I by default)")
    group.add_argument(
        "--full-frames",
        action="store_true",
        help="draw every sample and compress the frames then (default: draw them compressed, by the same law, in less time)",
    )
    group.add_argument("--snr", type=float, default=15.0, metavar="DB", help="mean SNR sigma^2 N S / N0 (default: 15)")
    group.add_argument("--range-min", type=float, default=10.0, metavar="M", help="nearest target (default: 10)")
    group.add_argument("--range-max", type=float, metavar="M", help="farthest target (default: the cyclic prefix)")
    group.add_argument(
        "--impairments", choices=LAWS, default="table1", help="law of the array's gains and phases (default: table1)"
    )
    group.add_argument(
        "--drift",
        type=float,
        default=0.0,
        metavar="DEG",
        help="random walk of every antenna's phase, degrees per sqrt(1000 frames) (default: 0)",
    )
    group.add_argument(
        "--step",
        action="append",
        default=[],
        metavar="FRAME:ANTENNAS:DEG[:GAIN]",
        help="phase jump of antennas, say 2000:3,17,40:90, and a gain from then on, 0: dead; may be given several times",
    )


def add_calibration(parser: argparse.ArgumentParser) -> None:
    """How it is calibrated."""
    group = parser.add_argument_group("calibration and detection")
    group.add_argument(
        "--method",
        choices=METHODS,
        default=CALIBRATORS[0],
        help="tracker: one pass at the bound, also of hardware that drifts and jumps; online: of hardware that stays put; "
        "em: the whole map in place of its maximum; adam-max, adam-reconstruction: the paper's losses (14), (15); known: "
        "the true kappa, none: kappa = 1, for comparison (default: tracker)",
    )
    group.add_argument(
        "--second-moment", choices=SECOND_MOMENTS, default="modulus", help="of Adam, per antenna or per component"
    )
    group.add_argument(
        "--memory", type=float, metavar="FRAMES", help="of online and em (default: from --drift and --step, else infinite)"
    )
    group.add_argument(
        "--told", action="store_true", help="tell the receiver SNR, P(t = 1) and N0 instead of letting it estimate them"
    )
    group.add_argument(
        "--full-circle", action="store_true", help="the phases may be anywhere: start from nothing instead of from kappa = 1"
    )
    group.add_argument("--refine", action="store_true", help="move peaks off the search grid")
    group.add_argument("--p-fa", type=float, default=1e-2, help="false-alarm probability (default: 0.01)")


def scene_of(options: argparse.Namespace) -> Scene:
    """The scene that the options describe. Raises ValueError for what cannot be."""
    scene = Scene(snr_db=options.snr, range_min=options.range_min, range_max=options.range_max)
    scene.delay_window(OfdmRadar())
    if not math.isfinite(options.drift) or options.drift < 0:
        raise ValueError(f"--drift: expected at least 0 degrees, got {options.drift:g}")
    check_stream(options)
    return scene


def check_stream(options: argparse.Namespace) -> None:
    """Raises ValueError for a rate or a port that cannot be."""
    if options.rate is not None and not options.rate >= 1e-3:
        raise ValueError(f"--rate: expected at least 0.001 frames per second, got {options.rate:g}")
    if not 1 <= options.port <= 65535 and options.port != 0:
        raise ValueError(f"--port: expected 1 to 65535, got {options.port}")


def restart_of(options: argparse.Namespace) -> Restart | None:
    """The policy that was asked for. Raises ValueError where blocks cannot be replaced."""
    if options.restart is None:
        return None
    if options.placement == "threads":
        raise ValueError("--restart: blocks in threads die with the program; add --placement processes or tcp")
    return Restart(limit=options.restart)


def step_of(text: str) -> PhaseStep:
    """FRAME:ANTENNAS:DEG. Raises ValueError for anything else."""
    match = re.fullmatch(r"(\d+):(\d+(?:,\d+)*):([-+]?\d+(?:\.\d*)?)(?::(\d+(?:\.\d*)?))?", text)
    if match is None:
        raise ValueError(f"--step: expected FRAME:ANTENNAS:DEG, say 2000:3,17,40:90, got {text!r}")
    antennas = tuple(int(n) for n in match[2].split(","))
    return PhaseStep(int(match[1]), antennas, float(match[3]), 1.0 if match[4] is None else float(match[4]))


def steps_of(options: argparse.Namespace) -> list[PhaseStep]:
    """What --step asks for. Raises ValueError for one that is none, or that would come after the last frame."""
    steps = [step_of(text) for text in options.step]
    for text, step in zip(options.step, steps, strict=True):
        if step.frame >= options.frames:
            raise ValueError(f"--step {text}: there is no frame {step.frame} in a run of {options.frames}; see --frames")
    return steps


def memory_of(options: argparse.Namespace, radar: OfdmRadar, scene: Scene) -> float:
    """The memory in frames: what was asked for, else what suits the drift and the steps that were asked for."""
    if options.memory is not None:
        if not options.memory >= 1:
            raise ValueError(f"--memory: expected at least 1 frame, got {options.memory:g}")
        return float(options.memory)
    return matched_memory(radar, scene, options.drift, bool(options.step))
