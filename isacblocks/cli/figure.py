"""isacblocks figure 2 | 3 | adam: the paper's figures, computed again, as CSV and PNG."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isacblocks.cli.script import UsageError, add_common, compile_kernels, start_logging, usage

if TYPE_CHECKING:
    from isacblocks.study.curves import Learning
    from isacblocks.study.kept import Kept
    from isacblocks.study.workers import Workers
    from isacblocks.view.eta import Eta

FIGURES = ("2", "3", "adam")
# The words of kernels.adam and study.training, which take a second to load; a test holds them equal.
SECOND_MOMENTS = ("modulus", "components")
UNITS = ("unit", "watts")
LAWS = ("table1", "published")
_EPILOG = """figures
  2      the angle-delay map of one frame under the true kappa, kappa = 1 and every learned one
  3      misdetection and position error against the false-alarm probability, averaged over realisations
  adam   the error of kappa against the frames: both losses, both second moments of Adam, in unit noise and in watts

Written to --out: figureF-LAW.csv and figureF-LAW.png, and tables beside them. Results are kept in --out/kept until you
remove it: a run that was stopped or killed goes on where it was, with the same result, and figures share what they can."""


@dataclass(frozen=True)
class Preset:
    """How much work: realisations and test frames of figure 3, iterations in unit noise and in watts, batch."""

    realisations: int
    test_frames: int
    iterations: int
    watts_iterations: int
    batch: int
    note: str


_PAPER = "the paper: 100 realisations, 10000 iterations, batch 1024"
_GIVEN = f"sizes as given, see settings; {_PAPER}"
QUICK = Preset(8, 8192, 500, 4000, 128, f"quick, scaled down, see settings; {_PAPER}")
FULL = Preset(100, 100_000, 10_000, 10_000, 1024, "full: Table I's 10000 iterations, batch 1024")


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {text}")
    return value


def add_parser(commands: Any) -> None:
    """The command and its options."""
    parser = commands.add_parser(
        "figure",
        help="compute the paper's figures again, as CSV and PNG",
        description="Compute a figure of the paper again.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("figure", choices=FIGURES, help="which one, see below")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", dest="full", action="store_false", help="some minutes on two cores (default)")
    size.add_argument(
        "--full", action="store_true", help="as many realisations and iterations as the paper: about 50 core hours for 3"
    )
    parser.set_defaults(full=False)
    parser.add_argument(
        "--law", choices=LAWS, default="table1", help="of the impairments: Table I's, or the published program's"
    )
    parser.add_argument(
        "--adam", choices=SECOND_MOMENTS, default="modulus", help="Adam's second moment (default: modulus, the authors')"
    )
    parser.add_argument(
        "--unit", choices=UNITS, default="unit", help="in which the losses see the noise: N0 = 1, or watts as published"
    )
    parser.add_argument("--seed", type=int, default=1, help="realisation r has the seed 1000 SEED + r (default: 1)")
    parser.add_argument("--out", metavar="DIR", default=".", help="where to write (default: here)")
    parser.add_argument("--workers", type=_count, default=os.cpu_count() or 1, help="threads (default: all cores)")
    parser.add_argument("--curves", metavar="NAMES", help="some of the curves, say known,online (default: all)")
    parts = parser.add_argument_group("parts of --quick and --full, one by one")
    parts.add_argument("--realisations", type=_count, metavar="R", help=f"{QUICK.realisations}, {FULL.realisations}")
    parts.add_argument("--iterations", type=_count, metavar="I", help="of Algorithm 1: 500 (watts: 4000), 10000")
    parts.add_argument("--watts-iterations", type=_count, metavar="I", help="of the curves in watts of figure adam")
    parts.add_argument("--batch", type=_count, metavar="B", help=f"frames per iteration: {QUICK.batch}, {FULL.batch}")
    parts.add_argument(
        "--test-frames", type=_count, metavar="F", help=f"per realisation and curve: {QUICK.test_frames}, {FULL.test_frames}"
    )
    parts.add_argument("--online-frames", type=_count, metavar="F", help="of the one pass: 1000 (figure adam: 2000)")
    add_common(parser)


def _size(options: argparse.Namespace) -> Preset:
    """The preset with what was given in its place; the note says so."""
    preset = FULL if options.full else QUICK
    unit_iterations = preset.watts_iterations if options.unit == "watts" and options.figure != "adam" else preset.iterations
    given = {name: getattr(options, name) for name in ("realisations", "test_frames", "batch")}
    found = {name: getattr(preset, name) if value is None else value for name, value in given.items()}
    iterations = options.iterations or unit_iterations
    watts = options.watts_iterations or preset.watts_iterations
    kept = (found["realisations"], found["test_frames"], iterations, watts, found["batch"])
    unchanged = kept == (preset.realisations, preset.test_frames, unit_iterations, preset.watts_iterations, preset.batch)
    return Preset(
        found["realisations"],
        found["test_frames"],
        iterations,
        watts,
        found["batch"],
        preset.note if unchanged else _GIVEN,
    )


def _learning(options: argparse.Namespace, size: Preset) -> Learning:
    from isacblocks.study.curves import Learning

    online = options.online_frames or Learning.online_frames
    return Learning(options.adam, options.unit, size.iterations, size.batch, online_frames=online)


def _curves(options: argparse.Namespace, names: tuple[str, ...]) -> tuple[str, ...]:
    """The curves that were asked for, once each in the order of the list; names that are not in it stay, to be refused."""
    if options.curves is None:
        return names
    given = options.curves.split(",")
    return (*(name for name in names if name in given), *(name for name in given if name not in names))


def work(options: argparse.Namespace) -> int:
    """Compute the figure; returns the exit status."""
    start_logging(options.log)
    with usage():
        if not 0 <= options.seed < 2**53:
            raise ValueError(f"--seed: expected a number from 0 to 2^53 - 1, got {options.seed}")
        out = Path(options.out)
        out.mkdir(parents=True, exist_ok=True)
        if not os.access(out, os.W_OK):
            raise UsageError(f"--out: {out} cannot be written to")
        job = {"2": _figure2, "3": _figure3, "adam": _figure_adam}[options.figure](options, _size(options))
    compile_kernels()
    from isacblocks.study.kept import Kept
    from isacblocks.study.pictures import NoPlotsError
    from isacblocks.study.workers import Workers
    from isacblocks.view.eta import Eta

    print(f"figure {options.figure}, {options.law}: {job.frames} frames to search, {_size(options).note}", file=sys.stderr)
    workers, eta = Workers(options.workers), Eta(job.frames)
    try:
        draw = job.run(out, workers, Kept(out / "kept"), eta)
    finally:
        workers.close()
    eta.end()
    try:
        draw()
    except NoPlotsError as error:
        print(f"isacblocks: {error}", file=sys.stderr)
    return 0


@dataclass(frozen=True)
class _Job:
    """frames: to be searched; run: writes the tables and returns what draws the picture."""

    frames: int
    run: Callable[[Path, Workers, Kept, Eta], Callable[[], None]]


def _say(path: Path) -> Path:
    print(path)
    return path


def _drawn(path: Path, draw: Callable[[Path], None]) -> None:
    draw(path)
    print(path)


def _figure2(options: argparse.Namespace, size: Preset) -> _Job:
    from isacblocks.study import figure2
    from isacblocks.study.curves import NAMES
    from isacblocks.study.provenance import stamp, write_table

    settings = figure2.Figure2(options.law, options.seed, _learning(options, size), _curves(options, NAMES))

    def run(out: Path, workers: Workers, kept: Kept, eta: Eta) -> Callable[[], None]:
        head, base = stamp("2", settings, size.note), f"figure2-{options.law}"
        found = figure2.compute(settings, workers, kept, eta)
        write_table(_say(out / f"{base}.csv"), head, figure2.COLUMNS, figure2.rows(settings, found))
        maps = figure2.map_columns(settings), figure2.map_rows(settings, found)
        write_table(_say(out / f"{base}-maps.csv"), head, *maps)
        return lambda: _drawn(out / f"{base}.png", lambda path: figure2.draw(path, head, settings, found))

    return _Job(settings.frames, run)


def _figure3(options: argparse.Namespace, size: Preset) -> _Job:
    from isacblocks.study import figure3
    from isacblocks.study.curves import NAMES
    from isacblocks.study.provenance import stamp, write_table

    settings = figure3.Figure3(
        options.law,
        options.seed,
        size.realisations,
        size.test_frames,
        _learning(options, size),
        curves=_curves(options, NAMES),
    )

    def run(out: Path, workers: Workers, kept: Kept, eta: Eta) -> Callable[[], None]:
        head, base = stamp("3", settings, size.note), f"figure3-{options.law}"
        found = figure3.compute(settings, workers, kept, eta)
        table = figure3.rows(settings, found)
        write_table(_say(out / f"{base}.csv"), head, figure3.COLUMNS, table)
        write_table(_say(out / f"{base}-kappa.csv"), head, figure3.KAPPA_COLUMNS, figure3.kappa_rows(settings, found))
        return lambda: _drawn(out / f"{base}.png", lambda path: figure3.draw(path, head, table))

    return _Job(settings.frames, run)


def _figure_adam(options: argparse.Namespace, size: Preset) -> _Job:
    from isacblocks.study import figure_adam
    from isacblocks.study.provenance import stamp, write_table

    settings = figure_adam.FigureAdam(
        options.law,
        options.seed,
        options.adam,
        size.iterations,
        size.watts_iterations,
        size.batch,
        online_frames=options.online_frames or figure_adam.FigureAdam.online_frames,
        curves=_curves(options, figure_adam.NAMES),
    )

    def run(out: Path, workers: Workers, kept: Kept, eta: Eta) -> Callable[[], None]:
        head, base = stamp("adam", settings, size.note), f"figure-adam-{options.law}"
        table = figure_adam.compute(settings, workers, kept, eta)
        write_table(_say(out / f"{base}.csv"), head, figure_adam.COLUMNS, table)
        reached = figure_adam.reached_rows(settings, table)
        write_table(_say(out / f"{base}-reached.csv"), head, figure_adam.REACHED_COLUMNS, reached)
        return lambda: _drawn(out / f"{base}.png", lambda path: figure_adam.draw(path, head, table))

    return _Job(settings.frames, run)
