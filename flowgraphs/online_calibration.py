"""An antenna array calibrates itself while it senses: no target, no labels, no downtime.

    OfdmSource -> ImpairedChannel -> AngleDelayMap -> MaprtDetector -> KappaCalibrator
                                          ^                ^                 |
                                          +----------------+-- kappa, lag 2 -+

A simulated OFDM radar (Table I of the paper) senses with an array whose gains and phases nobody knows; the calibrator learns
them from the echoes, and the map uses what has been learned two messages ago. Beside the receiver a judge, who knows the
truth, keeps the score.

The channel draws the frames as a DelayCompressor leaves them: the same law, a tenth of the bytes. With --full-frames, or
when they are recorded, it draws every sample and a DelayCompressor follows, as behind a radio.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

if (Path(__file__).resolve().parents[1] / "isacblocks").is_dir():  # run from a checkout, installed or not
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from isacblocks import OfdmRadar, Scene
from isacblocks.blocks import (
    AngleDelayMap,
    DelayCompressor,
    ImpairedChannel,
    KappaCalibrator,
    MaprtDetector,
    OfdmSource,
    Recorder,
)
from isacblocks.blocks.calibration_file import load_calibration
from isacblocks.cli import options as shared
from isacblocks.cli.outcome import leave_calibration, say, say_result
from isacblocks.cli.script import STATUSES, compile_kernels, execute, start_logging, usage, writable
from isacblocks.cli.watched_run import WatchedRun
from isacblocks.stream import Flowgraph, Status
from isacblocks.study.evaluation import Evaluation
from isacblocks.study.pictures import NoPlotsError, draw_calibration
from isacblocks.study.report import calibration_report

NAME = "online_calibration"
LAG = 2  # messages until a new kappa is in force


def build(options: argparse.Namespace, radar: OfdmRadar, scene: Scene) -> tuple[Flowgraph, dict[str, object]]:
    """The flowgraph, and the blocks that are asked for their results afterwards."""
    start, confidence = None, 1.0
    if options.calibration is not None and Path(options.calibration).exists():
        loaded = load_calibration(options.calibration, radar)
        start, confidence = loaded.vector, min(1.0 + loaded.targets, 50.0)

    points = 0 if options.refine else 100  # of the search grid; none off the grid

    # Blocks
    source = OfdmSource(radar, seed=options.seed)
    source.batch = options.batch or 0
    source.rate = options.rate or math.inf
    channel = ImpairedChannel(radar, scene, options.impairments, options.seed, options.drift, options.steps)
    assumed = channel.kappa if options.method == "known" else start
    image = AngleDelayMap(radar, kappa=assumed, refine=options.refine, scene=scene)
    noise = "known" if options.told else "estimated"
    told = scene if options.told else None
    detector = MaprtDetector(radar, told, p_fa=options.p_fa, refine=options.refine, noise=noise)
    judge = Evaluation(radar)
    blocks: dict[str, object] = {"channel": channel, "judge": judge, "detector": detector}

    # Connections
    fg = Flowgraph(NAME)
    fg.connect(source, channel)
    compressed = channel.compressed
    if options.full_frames or options.record is not None:
        compressor = DelayCompressor(radar, scene)
        fg.connect(channel.frame, compressor)
        compressed = compressor.compressed
    fg.connect(compressed, image.compressed)
    fg.connect(image, detector, judge.detection)
    fg.connect(channel.truth, judge.truth)
    if options.method not in ("known", "none"):
        calibrator = KappaCalibrator(
            radar,
            told,
            options.method,
            kappa=start,
            confidence=confidence,
            second_moment=options.second_moment,
            n_theta=points,
            n_tau=points,
            full_circle=options.full_circle,
            window=scene,
        )
        calibrator.memory = options.memory
        if calibrator.needs_frames:
            fg.connect(compressed, calibrator.compressed)
        fg.connect(detector, calibrator, judge.kappa)
        fg.feedback(calibrator.kappa, image.kappa, lag=LAG)
        if not options.told:
            fg.feedback(calibrator.kappa, detector.kappa, lag=LAG)
        blocks["calibrator"] = calibrator
    if options.record is not None:
        fg.connect(channel.frame, Recorder(options.record, "replace", radar, {"seed": options.seed}))
    return fg, blocks


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line; --help says what each option does."""
    parser = argparse.ArgumentParser(NAME, description=__doc__.split("\n\n")[0], epilog=STATUSES)
    shared.add_run(parser, frames=4000)
    shared.add_scene(parser)
    shared.add_calibration(parser)
    return parser.parse_args(arguments)


def work(options: argparse.Namespace) -> int:
    """Run the flowgraph, then report."""
    start_logging(options.log)
    with usage():
        radar = OfdmRadar()
        scene = shared.scene_of(options)
        options.steps = shared.steps_of(options)
        forgets = options.method in ("online", "em")  # the others remember everything, or find out by themselves
        options.memory = shared.memory_of(options, radar, scene) if forgets or options.memory is not None else math.inf
        options.picture = options.plot
        if options.plot is None and not (options.no_view or options.quiet or options.json):
            options.picture = f"{NAME}.png"
        for path in (options.report, options.picture, options.calibration, options.record):
            writable(path)
        fg, blocks = build(options, radar, scene)
        watched = WatchedRun(options, fg, radar, scene)
    compile_kernels()
    watched.run("evaluation", lambda status: tell(options, status, blocks, radar, scene))
    return 0


def tell(options: argparse.Namespace, status: Status, blocks: dict[str, object], radar: OfdmRadar, scene: Scene) -> None:
    """Report what came out, and leave what was asked for."""
    judge, channel, calibrator = blocks["judge"], blocks["channel"], blocks.get("calibrator")
    assert isinstance(judge, Evaluation)
    assert isinstance(channel, ImpairedChannel)
    known: dict[str, object] = {
        "placement": options.placement,
        "seed": options.seed,
        "method": options.method,
        "impairments": options.impairments,
        "memory": options.memory if math.isfinite(options.memory) else None,
    }
    if isinstance(calibrator, KappaCalibrator):
        known["receiver"] = calibrator.findings()
    report = calibration_report(status, judge, radar, scene, options.p_fa, **known)
    say_result(options, report)
    if isinstance(calibrator, KappaCalibrator):
        leave_calibration(options, calibrator, f"{NAME}, simulated, seed {options.seed}")
        picture = options.picture if status.phase == "finished" else options.plot  # who stops it need not wait
        if picture is not None:
            try:
                learned, truth = calibrator.estimate, judge.final_truth
                draw_calibration(picture, radar, scene, truth, learned, judge.kappa_errors(), options.seed)
                say(options, f"picture: {picture}")
            except NoPlotsError as error:
                print(error)


def main(arguments: list[str] | None = None) -> int:
    """The script; returns the exit status."""
    options = parse(arguments)
    return execute(NAME, lambda: work(options))


if __name__ == "__main__":
    sys.exit(main())
