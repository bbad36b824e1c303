"""`isacblocks calibrate RECORDING`: from a recording to a calibration file, a report and a picture."""

from __future__ import annotations

import argparse
from pathlib import Path

from isacblocks.cli.script import UsageError

_ABOUT = """From a recording of frames to a calibration file, and a report with a picture: kappa is learned on one half of
the frames, and judged on the other half by how much better the antennas add up. RECORDING is .isac (Recorder), SigMF
(.sigmf-meta or .sigmf-collection, frames by SigmfSink), .npy of raw FMCW samples (chirps, antennas, samples), or SigMF of
raw samples of an OFDM receiver with --waveform, which says what was sent and how it is received: a file NAME.toml
(docs/formats.md says what is in it), or ofdm_waveform, which comes with isacblocks and is made to be copied.

Written beside the recording, or into --out: NAME.kappa.json, NAME.report.json, NAME.png, and
NAME.html with all of it to look at."""
_EPILOG = "further options go to the script: isacblocks run replay_recording --help"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's options."""
    parser = commands.add_parser(
        "calibrate",
        help="from a recording to a calibration file and a report with a picture",
        description=_ABOUT,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recording", metavar="RECORDING", help="a file; see above")
    parser.add_argument("--waveform", metavar="WAVEFORM", help="the recording holds raw samples of this waveform")
    parser.add_argument("--out", metavar="DIR", help="where to write (default: beside the recording)")


def arguments_of(options: argparse.Namespace, rest: list[str]) -> list[str]:
    """The arguments of the script that does it. Raises UsageError where there is no such recording or directory."""
    recording = Path(options.recording)
    if not recording.is_file():
        raise UsageError(f"{recording}: there is no such file")
    out = Path(options.out) if options.out is not None else recording.parent
    if not out.is_dir():
        raise UsageError(f"--out: {out} is not a directory; create it first")
    base = out / recording.stem
    made = ["--calibration", f"{base}.kappa.json", "--report", f"{base}.report.json", "--plot", f"{base}.png"]
    made += ["--page", f"{base}.html"]
    wave = [] if options.waveform is None else ["--waveform", options.waveform]
    return [str(recording), *made, *wave, *rest]
