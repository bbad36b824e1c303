"""isacblocks run GRAPH.toml: run the flowgraph that a file describes, with the options that scripts have."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from isacblocks.blocks import KappaCalibrator, MaprtDetector
from isacblocks.cli import options as shared
from isacblocks.cli.graph_build import build, values_of
from isacblocks.cli.graph_file import GraphError, GraphFile, load_graph
from isacblocks.cli.outcome import leave_calibration, say_result
from isacblocks.cli.script import STATUSES, compile_kernels, start_logging, usage, writable
from isacblocks.cli.watched_run import WatchedRun
from isacblocks.stream import Flowgraph, Source, Status
from isacblocks.study.evaluation import Evaluation
from isacblocks.study.report import calibration_report, flowgraph_report
from isacblocks.view.shown import only


def parse(path: Path, arguments: list[str]) -> argparse.Namespace:
    """The command line; --help says what each option does."""
    about = "Run the flowgraph in this file. Options win over what the file says under [run] and [output]."
    parser = argparse.ArgumentParser(f"isacblocks run {path}", description=about, epilog=STATUSES)
    shared.add_file_run(parser)
    return parser.parse_args(arguments)


def settle(options: argparse.Namespace, graph: GraphFile) -> None:
    """What no option says is as the file says. Raises ValueError for a combination that cannot be."""
    for said in (graph.run, graph.output):
        for name in said.__struct_fields__:
            if getattr(options, name) is None:
                setattr(options, name, getattr(said, name))
    options.seed = graph.seed if options.seed is None else options.seed
    shared.check_stream(options)
    for path in (options.report, options.calibration):
        writable(path)


def work(path: Path, arguments: list[str]) -> int:
    """Run the flowgraph, then report."""
    options = parse(path, arguments)
    start_logging(options.log)
    sys.path.insert(0, str(path.resolve().parent))  # modules beside the file, as for a script
    with usage():
        graph = load_graph(path)
        settle(options, graph)
        values = values_of(graph, options.seed, options.calibration)
        try:
            fg = build(graph, values)
        except GraphError as error:
            raise GraphError(f"{path}: {error}") from error
        sources = [block for block in fg.blocks.values() if isinstance(block, Source)]
        for source in sources:
            source.batch = options.batch or source.batch
            source.rate = options.rate or source.rate
        detector = only(fg, MaprtDetector)
        options.told = detector is not None and not detector.estimated
        watched = WatchedRun(options, fg, graph.radar, graph.scene)
    if any(type(block).__module__.startswith("isacblocks.") for block in fg.blocks.values()):
        compile_kernels()
    watched.run(_counted(fg), lambda status: tell(options, status, fg, graph))
    return 0


def _counted(fg: Flowgraph) -> str:
    """The block whose items say how far it is: the judge, or the first block that leads nowhere."""
    judge = only(fg, Evaluation)
    senders = {edge.sender.partition(".")[0] for edge in fg.edges()}
    ends = [name for name in fg.blocks if name not in senders]
    return str(judge.name) if judge is not None else ends[0] if ends else next(iter(fg.blocks))


def tell(options: argparse.Namespace, status: Status, fg: Flowgraph, graph: GraphFile) -> None:
    """Report what came out, and leave what was asked for."""
    judge, detector, calibrator = only(fg, Evaluation), only(fg, MaprtDetector), only(fg, KappaCalibrator)
    known: dict[str, object] = {"flowgraph": fg.name, "placement": options.placement, "seed": options.seed}
    if isinstance(calibrator, KappaCalibrator):
        memory = calibrator.memory
        known |= {"method": calibrator.method, "memory": memory if math.isfinite(memory) else None}
        known["receiver"] = calibrator.findings()
    if judge is not None and detector is not None:
        report = calibration_report(status, judge, graph.radar, graph.scene, detector.p_fa, **known)
    else:
        report = flowgraph_report(status, graph.radar, graph.scene, **known)
    say_result(options, report)
    if isinstance(calibrator, KappaCalibrator):
        leave_calibration(options, calibrator, f"{fg.name}, seed {options.seed}")
    elif options.calibration is not None:
        print(f"no calibration: {fg.name} has not just one KappaCalibrator", file=sys.stderr)
