"""What a script says and leaves when its flowgraph has run, as its options ask."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from isacblocks.blocks import KappaCalibrator
from isacblocks.blocks.calibration_file import save_calibration
from isacblocks.stream import Flowgraph
from isacblocks.stream.files import write_atomically
from isacblocks.study.report import in_words


def say(options: argparse.Namespace, text: str) -> None:
    """Print what people read."""
    if not (options.quiet or options.json):
        print(text)


def say_result(options: argparse.Namespace, report: dict[str, Any]) -> None:
    """Print the report, as it was asked for, and write it where --report says."""
    if options.json:
        print(json.dumps({"result": report}, allow_nan=False), flush=True)
    say(options, in_words(report))
    if options.report is not None:
        write_report(options.report, report)
        say(options, f"report: {options.report}")


def write_report(path: str | Path, report: dict[str, Any]) -> None:
    """Write a report as JSON."""
    write_atomically(Path(path), json.dumps(report, indent=1, allow_nan=False).encode() + b"\n")


def leave_calibration(options: argparse.Namespace, calibrator: KappaCalibrator, provenance: str) -> None:
    """Save what was learned where --calibration says. provenance: how the frames were made, in words."""
    if options.calibration is not None:
        save_calibration(options.calibration, calibrator.calibration(provenance, options.temperature))
        say(options, f"calibration: {options.calibration}")


@contextlib.contextmanager
def leaving_calibration(path: str, flowgraph: Flowgraph, calibrator: KappaCalibrator, provenance: str) -> Iterator[None]:
    """Around the run of receivers that have no end but Ctrl-C, or their own failure: what was learned by then is saved, too.

    Where nothing has come nothing is.
    """
    try:
        yield
    finally:
        status = flowgraph.status.blocks.get(calibrator.label)
        if status is not None and status.items_in:
            save_calibration(path, calibrator.calibration(provenance=provenance))
            print(f"{status.items_in} frames; calibration: {path}", flush=True)
