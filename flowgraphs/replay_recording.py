"""Calibration from a recording: learn kappa on one half of the frames, measure on the other half what it is worth.

    learn:  recording -> AngleDelayMap -> KappaCalibrator        judge:  recording -+-> AngleDelayMap, kappa = 1  -> Probe
                              ^-- kappa ---+                                        +-> AngleDelayMap, learned    -> Probe

A recording has no truth to compare with, so the honest check is generalisation: the coherent combining efficiency
|kappa^H u|^2 / (||kappa||^2 ||u||^2) on frames that were not used for learning, before and after. RECORDING is a .npy file
of raw FMCW samples (chirps, antennas, samples), or a recording of frames made by Recorder or SigmfSink, or, with --waveform,
of raw samples of an OFDM receiver (SigMF), which are made into frames first.
"""

from __future__ import annotations

import argparse
import math
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

if (Path(__file__).resolve().parents[1] / "isacblocks").is_dir():  # run from a checkout, installed or not
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from isacblocks import OfdmRadar, Scene, angle_delay_map
from isacblocks.blocks import AngleDelayMap, KappaCalibrator, Probe, Recorder, Replay
from isacblocks.blocks.angle_delay_map import sector_grid
from isacblocks.blocks.calibration_file import save_calibration
from isacblocks.blocks.records import FRAME
from isacblocks.cli import options as shared
from isacblocks.cli.calibration import rows
from isacblocks.cli.find import find_waveform
from isacblocks.cli.outcome import write_report
from isacblocks.cli.script import STATUSES, check_log, compile_kernels, execute, start_logging, usage, writable
from isacblocks.frontends import SigmfFrames, SigmfSource, read_waveform
from isacblocks.frontends.fmcw import FmcwFile, load_chirps
from isacblocks.frontends.sigmf_calibration import annotate_calibration
from isacblocks.frontends.sigmf_format import SUFFIXES
from isacblocks.stream import Flowgraph, Source
from isacblocks.stream.files import write_atomically
from isacblocks.study.calibration_page import page_of
from isacblocks.study.efficiency import (
    Levels,
    clear_peaks,
    efficiencies,
    efficiency_in_words,
    efficiency_report,
    levels_of,
)
from isacblocks.study.pictures import NoPlotsError, draw_efficiency

NAME = "replay_recording"
GRID = 100, 200  # points over angle and delay
GROUP = 1024  # raw samples per item
# Of whatever flowgraph: a source of frames, and what makes frames of raw samples; those that learn, those that judge
BLOCKS = (
    *("replay", "sigmf_frames", "fmcw_file", "sigmf_source", "ofdm_receiver", "recorder"),
    *("angle_delay_map", "kappa_calibrator", "probe", "angle_delay_map_2", "probe_2"),
)


def opener(options: argparse.Namespace) -> tuple[OfdmRadar, int, Any]:
    """The radar, the number of frames, and a function (start, stop, step) -> source block."""
    path = Path(options.recording)
    if options.annotate and path.suffix not in SUFFIXES:
        raise ValueError(f"--annotate: only SigMF recordings have annotations, not {path}")
    if options.waveform is not None:
        path = received(path, find_waveform(options.waveform), options)
    elif path.suffix in SUFFIXES:
        frames = SigmfFrames(path)
        return frames.radar, len(frames.numbers), partial(SigmfFrames, path, verify=False)
    if path.suffix != ".npy":
        replay = Replay(path)
        radar = replay.recording.radar()
        if radar is None or replay.recording.layout.record != FRAME.name:
            raise ValueError(f"{path}: expected a recording of frames with the radar's parameters, as --record makes it")
        return radar, len(replay.recording), partial(Replay, path)
    chirps, antennas, samples = load_chirps(path).shape
    radar = OfdmRadar(antennas, samples, options.sample_step, options.carrier, options.element_spacing, 1 - 1 / samples)
    if options.window is None and samples < 9:
        raise ValueError(f"{path}: expected at least 9 samples in a chirp, or a --window of delays, got {samples}")
    low, high = options.window or (4.0, samples - 4.0)
    sector = (-math.radians(options.sector), math.radians(options.sector))
    still = halves(options, chirps)[0]  # what is still is learned where kappa is learned: the judge's frames stay unseen
    make = partial(FmcwFile, path, radar, still=still, delay=(low, high), sector=sector, conjugate=not options.beat_falls)
    return radar, chirps, make


def received(path: Path, waveform: Path, options: argparse.Namespace) -> Path:
    """The frames of a recording of raw samples, recorded beside what else is written."""
    wave = read_waveform(waveform)
    out = Path(options.calibration or options.report or path.name).parent / f"{path.stem}.frames.isac"
    source, receiver, recorder = (
        SigmfSource(path, GROUP),
        wave.receiver(waveform.parent, GROUP),
        Recorder(out, radar=wave.radar()),
    )
    wave.check_channels(source.recording.channels, str(path))
    fg = Flowgraph(NAME)
    fg.connect(source, receiver, recorder)
    status = fg.run(placement=options.placement)
    wave.check_frames(status.blocks["recorder"].items_in, str(path))
    print(f"frames: {out}")
    return out


def halves(options: argparse.Namespace, frames: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """(start, stop, step) of the frames to learn from and of the frames to judge by."""
    if frames < 2:
        raise ValueError(f"{options.recording}: has {frames} frames, expected at least 2")
    if options.split == "interleaved":
        return (0, frames, 2), (1, frames, 2)
    return (0, frames // 2, 1), (frames // 2, frames, 1)


def window_of(source: Source) -> tuple[float, float] | None:
    """The delay window that the first frame of a source carries: that of all of them, if no one mixed recordings."""
    first = source.produce(0, 1)
    return None if first is None else (float(first.tau_min[0]), float(first.tau_max[0]))


def look(source: Source, radar: OfdmRadar, placement: str, **kappas: np.ndarray[Any, Any]) -> dict[str, Any]:
    """The peaks of a source's frames under every kappa, as seen by a probe."""
    fg = Flowgraph(NAME)
    probes = {}
    for name, kappa in kappas.items():
        probes[name] = Probe()
        image = AngleDelayMap(radar, *GRID, kappa=kappa, refine=True, window=window_of(source))
        fg.connect(source, image, probes[name])
    fg.run(placement=placement)
    return {name: probe.values for name, probe in probes.items()}


def learn(source: Source, radar: OfdmRadar, levels: Levels, placement: str) -> KappaCalibrator:
    """One pass of the calibrator over a source's frames."""
    scene = Scene(snr_db=levels.snr_db, target_probability=levels.target_probability)

    # Blocks
    image = AngleDelayMap(radar, *GRID, refine=True, window=window_of(source))
    calibrator = KappaCalibrator(radar, scene, "online", batch=4)  # hardware does not change within a recording

    # Connections
    fg = Flowgraph(NAME)
    fg.connect(source, image, calibrator)
    fg.feedback(calibrator.kappa, image.kappa, lag=1)
    fg.run(placement=placement)
    return calibrator


def work(options: argparse.Namespace) -> int:
    """Learn, judge, report."""
    start_logging(options.log)
    with usage():
        check_log(options.log, BLOCKS)
        for path in (options.report, options.plot, options.calibration, options.page):
            writable(path)
        radar, frames, make = opener(options)
        first, second = halves(options, frames)
        seen, unseen = (make(start=start, stop=stop, step=step) for start, stop, step in (first, second))
        seen.batch = unseen.batch = 4
    compile_kernels()
    ones = np.ones(radar.antennas)
    levels = levels_of(look(seen, radar, options.placement, ones=ones)["ones"], radar)
    calibrator = learn(seen, radar, levels, options.placement)
    learned = calibrator.estimate
    peaks = look(unseen, radar, options.placement, before=ones, after=learned)
    shown = clear_peaks(peaks["before"], radar) | clear_peaks(peaks["after"], radar)  # frames without a target say nothing
    if not shown.any():
        raise ValueError(f"{options.recording}: no frame to judge by shows a target")
    before, after = (efficiencies(peaks[name])[shown] for name in ("before", "after"))
    report = efficiency_report(options.recording, frames, len(range(*first)), options.split, levels, before, after, learned)
    print(efficiency_in_words(report))
    if options.plot is not None:
        draw(options.plot, unseen, radar, learned, before, after)
    leave(options, report, calibrator)
    return 0


def leave(options: argparse.Namespace, report: dict[str, Any], calibrator: KappaCalibrator) -> None:
    """Write what was asked for."""
    made = calibrator.calibration(f"{NAME} {options.recording}", options.temperature)
    if options.report is not None:
        write_report(options.report, report)
        print(f"report: {options.report}")
    if options.calibration is not None:
        save_calibration(options.calibration, made)
        print(f"calibration: {options.calibration}")
    if options.annotate:
        sigma = None if made.sigma_rad is None else np.array(made.sigma_rad)
        annotate_calibration(options.recording, calibrator.estimate, sigma, method=made.method, frames=made.frames)
        print(f"annotated: {options.recording}")
    if options.page is not None:
        picture = None if options.plot is None else Path(options.plot)
        page = page_of(report, rows(made), picture if picture is not None and picture.is_file() else None)
        write_atomically(Path(options.page), page.encode())
        print(f"page: {options.page}")


def draw(path: str, source: Source, radar: OfdmRadar, learned: Any, before: Any, after: Any) -> None:
    """The picture; without matplotlib a line that says so."""
    frame = source.produce(0, 1)
    theta = sector_grid(frame.theta_min, frame.theta_max, GRID[0])
    tau = sector_grid(frame.tau_min, frame.tau_max, GRID[1])
    maps = {
        name: angle_delay_map(frame.y, frame.x, kappa, theta, tau, radar)[0]
        for name, kappa in (("kappa = 1", np.ones(radar.antennas)), ("learned kappa", learned))
    }
    bins = tau[0, [0, -1]] * radar.bandwidth
    try:
        draw_efficiency(path, before, after, learned, maps, (*bins, *np.degrees(theta[0, [0, -1]])))
        print(f"picture: {path}")
    except NoPlotsError as error:
        print(error)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line; --help says what each option does."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(NAME, description=__doc__, epilog=STATUSES, formatter_class=raw)
    parser.add_argument("recording", metavar="RECORDING", help=".npy of raw FMCW samples, or .isac, or SigMF")
    parser.add_argument(
        "--split",
        choices=("halves", "interleaved"),
        default="halves",
        help="which frames to learn from (default: the first half)",
    )
    parser.add_argument("--waveform", metavar="WAVEFORM", help="RECORDING holds raw samples of this: NAME.toml or a name")
    parser.add_argument("--annotate", action="store_true", help="write what was learned into the SigMF recording, too")
    parser.add_argument("--page", metavar="FILE.html", help="write the report, the picture and all antennas as one page")
    shared.add_outputs(parser)
    group = parser.add_argument_group("raw FMCW samples (.npy)")
    group.add_argument("--window", type=float, nargs=2, metavar=("LOW", "HIGH"), help="delays to search, in range bins")
    group.add_argument("--sector", type=float, default=60.0, metavar="DEG", help="angles to search, +- (default: 60)")
    group.add_argument("--carrier", type=float, default=77e9, metavar="HZ", help="carrier frequency (default: 77e9)")
    group.add_argument(
        "--sample-step", type=float, default=1e6, metavar="HZ", help="chirp slope times sampling interval (default: 1e6)"
    )
    group.add_argument("--element-spacing", type=float, default=0.5, help="in wavelengths (default: 0.5)")
    group.add_argument("--beat-falls", action="store_true", help="the beat frequency falls with the delay")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """The script; returns the exit status."""
    options = parse(arguments)
    return execute(NAME, lambda: work(options))


if __name__ == "__main__":
    sys.exit(main())
