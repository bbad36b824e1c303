"""isacblocks demo: online calibration of a simulated array under a scenario that teaches something."""

from __future__ import annotations

import argparse
import json
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FRAMES = 60_000
_WATCHED = 2000  # frames per second where somebody looks on
_WHEN = 3  # what happens in the midst of a run happens after one of so many parts


@dataclass(frozen=True)
class Scenario:
    """script: its options; about: what is about to be seen, {event} being the frame at which something happens; after: from
    the report, what was seen."""

    script: tuple[str, ...]
    about: str
    after: Callable[[dict[str, Any]], str]

    def options(self, frames: int) -> list[str]:
        """Of a run of so many frames."""
        return [one.format(event=frames // _WHEN) for one in self.script]

    def before(self, frames: int) -> str:
        """What is about to be seen in it."""
        return self.about.format(event=frames // _WHEN)


def _loss(report: dict[str, Any]) -> str:
    from isacblocks.view.words import decibels

    rows = report["kappa_error"]
    return decibels(rows[-1]["loss_db"]) if rows else "nothing that was measured"


def _bound(report: dict[str, Any]) -> str:
    from isacblocks.view.words import decibels

    rows = report["kappa_error"]
    return f", at a bound of {decibels(rows[-1]['bound_db'])}" if rows else ""


def _detected(report: dict[str, Any]) -> str:
    found = report["detection"]["p_d"]
    return "No target was there" if found is None else f"P_d was {found:.3f}"


def _named(report: dict[str, Any]) -> str:
    from isacblocks.view.words import named

    ill = {name: antennas for name, antennas in report["receiver"]["health"].items() if antennas}
    return "; ".join(f"{name}: {named(antennas)}" for name, antennas in ill.items()) or "none"


def _static(report: dict[str, Any]) -> str:
    return (
        f"After {report['frames']} frames the loss of gain is {_loss(report)}{_bound(report)}. {_detected(report)}; at "
        "15 dB it is 0.73 where kappa is known and 0.48 where it is ignored."
    )


SCENARIOS = {
    "static": Scenario(
        (),
        "An array of 64 antennas whose gains and phases nobody knows learns them from the echoes that it detects. The map "
        "comes into focus within a second, and the loss of array gain follows the Cramer-Rao bound down.",
        _static,
    ),
    "drift": Scenario(
        ("--drift", "3"),
        "Every antenna's phase walks by 3 degrees per sqrt(1000 frames), which nobody tells the calibrator. It finds out "
        "how fast they walk and forgets at the pace that suits it: the loss falls, then stays where both balance.",
        lambda r: (
            f"After {r['frames']} frames of drift the loss is {_loss(r)}, where an estimate that never forgets would grow "
            f"worse. {_detected(r)}."
        ),
    ),
    "step": Scenario(
        ("--step", "{event}:3,17,40,63:90"),
        "At frame {event} the phases of antennas 3, 17, 40 and 63 jump by 90 degrees. Look at their health: they are "
        "named and learned anew within about a hundred frames, and the others keep what they know.",
        lambda r: f"The loss at the end is {_loss(r)}: the jump is forgotten. {_detected(r)} over the whole run.",
    ),
    "dead-antenna": Scenario(
        ("--step", "{event}:5,41:0:0"),
        "At frame {event} antennas 5 and 41 stop hearing echoes. Their gains fall to zero and they are named silent, so "
        "that they add no noise to the sum of the others.",
        lambda r: (
            f"Antennas that are not well at the end, by name: {_named(r)}. {_detected(r)} over the whole run, two thirds of "
            "it with the other antennas alone."
        ),
    ),
    "full-circle": Scenario(
        ("--impairments", "full-circle", "--full-circle"),
        "The phases may be anywhere on the circle, so that at the start the array points nowhere. The calibrator starts "
        "from the covariance of the first frames, has its start tried on frames held back, and goes on from there.",
        lambda r: f"From nothing, the loss after {r['frames']} frames is {_loss(r)}. {_detected(r)} over the whole run.",
    ),
    "low-snr": Scenario(
        ("--snr", "5"),
        "Echoes are ten times weaker than in the other scenarios, so that few single ones can be believed. Every frame "
        "counts by the probability that it has a target, and the loss falls later and less far than the bound.",
        lambda r: (
            f"After {r['frames']} frames the loss is {_loss(r)}{_bound(r)}. {_detected(r)}; at 5 dB it is 0.09 where kappa "
            "is known."
        ),
    ),
}


def add_parser(commands: Any) -> None:
    """The command and its options; what it does not know goes to the script."""
    names = "\n".join(f"  {name:14s}{scenario.before(_FRAMES).split('. ')[0]}." for name, scenario in SCENARIOS.items())
    parser = commands.add_parser(
        "demo",
        help="calibrate a simulated array online, with a live view, a table and a picture at the end",
        description=f"Run online_calibration with {_FRAMES} frames and --view; its other options may follow.",
        epilog=f"scenarios:\n{names}\n\nOptions of online_calibration:",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    parser.add_argument(
        "--scenario", choices=SCENARIOS, default="static", help="what happens to the array (default: static)"
    )


def _view_port() -> str:
    """The usual port where it is free, else any."""
    from isacblocks.view.live import PORT

    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", PORT))
        except OSError:
            return "0"
    return str(PORT)


def frames_of(given: list[str]) -> int:
    """How many frames the script will make of these options; what is no number it says itself."""
    parser = argparse.ArgumentParser("online_calibration", add_help=False)
    parser.add_argument("--frames", default=str(_FRAMES))
    frames = parser.parse_known_args(given)[0].frames
    return int(frames) if frames.isdecimal() else _FRAMES


def options_of(name: str, given: list[str], watched: bool) -> list[str]:
    """The script's options: those of the scenario, then those that were given, which win. watched: by somebody who waits."""
    made = ["--frames", str(_FRAMES), *SCENARIOS[name].options(frames_of(given))]
    if "--no-view" not in given:
        made += ["--view", _view_port()]
    if watched:
        made += ["--rate", str(_WATCHED), "--hold"]
    return [*made, *given]


def work(name: str, given: list[str], run: Callable[[list[str]], int]) -> int:
    """Say what is about to be seen, run the script, say what was. run: the script, with its options."""
    if {"-h", "--help"} & {*given}:
        commands = argparse.ArgumentParser("isacblocks").add_subparsers()
        add_parser(commands)
        print(commands.choices["demo"].format_help(), flush=True)
        return run(given)
    if {"--quiet", "--json"} & {*given}:
        return run(options_of(name, given, watched=False))
    scenario = SCENARIOS[name]
    print(scenario.before(frames_of(given)), flush=True)
    report = Path("online_calibration.report.json")
    own = [] if any(one.split("=")[0] == "--report" for one in given) else ["--report", str(report)]
    before = _made(report)
    status = run([*options_of(name, given, sys.stdin.isatty() and sys.stderr.isatty()), *own])
    if status == 0 and own and _made(report) != before:
        found = json.loads(report.read_text())
        if found.get("receiver") is not None and found["phase"] == "finished":  # else it may not have come to what it shows
            print(scenario.after(found))
    return status


def _made(path: Path) -> int | None:
    """When a file was written last; None where there is none."""
    return path.stat().st_mtime_ns if path.is_file() else None
