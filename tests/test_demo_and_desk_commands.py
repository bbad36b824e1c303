"""isacblocks demo with every scenario; top, set and do at a flowgraph that runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import programs
import pytest
from conftest import ROOT
from programs import Done
from screen import Terminal
from stream_blocks import Collect, Counter

from isacblocks.cli import desk
from isacblocks.cli.demo import SCENARIOS, frames_of, options_of, work
from isacblocks.cli.main import main
from isacblocks.stream import Flowgraph, Status
from isacblocks.stream.control import BlockStatus
from isacblocks.stream.link import EdgeCount
from isacblocks.view import client
from isacblocks.view.desk import Desk
from isacblocks.view.table import Table, sparkline

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def isacblocks(*arguments: str, where: Path) -> Done:
    return programs.isacblocks(*arguments, status=None, where=where)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_says_what_will_be_seen_and_what_was(name: str, tmp_path: Path) -> None:
    done = isacblocks("demo", "--scenario", name, "--frames", "22000", "--no-view", where=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == SCENARIOS[name].before(22000)
    assert lines[0].count(". ") == 1  # two sentences
    report = json.loads((tmp_path / "online_calibration.report.json").read_text())
    assert lines[-1] == SCENARIOS[name].after(report)
    if name == "dead-antenna":
        assert "silent: 5, 41" in lines[-1]
    if name == "step":
        assert report["receiver"]["health"] in ({}, {"restarted": [3, 17, 40, 63]})
    loss = report["kappa_error"][-1]["loss_db"]
    assert loss < {"drift": 0.03, "low-snr": 0.03, "step": 0.1}.get(name, 0.004)


def test_a_demo_that_nobody_watches_is_not_slowed_down() -> None:
    assert "--rate" not in options_of("static", [], watched=False)
    assert {"--rate", "--hold", "--view"} <= {*options_of("static", [], watched=True)}
    assert "--view" not in options_of("static", ["--no-view"], watched=False)
    assert options_of("static", ["--frames", "7"], watched=False)[-2:] == ["--frames", "7"]


def test_what_happens_in_a_demo_happens_within_its_frames() -> None:
    for given, event in (([], 20000), (["--frames", "3000"], 1000), (["--frames=600", "--seed", "2"], 200)):
        assert f"{event}:3,17,40,63:90" in options_of("step", given, watched=False)
        assert SCENARIOS["dead-antenna"].before(frames_of(given)).startswith(f"At frame {event} ")
    assert frames_of(["--frames", "many"]) == 60000  # the script says that it is no number


WATCHED = ("--desk", "--json", "--rate", "500", "--frames", "1000000")


def test_of_a_demo_that_was_stopped_nothing_is_said_that_it_did_not_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    receiver = {"frames": 7, "receiver": {"health": {}}, "kappa_error": [], "detection": {}, "phase": "stopped"}
    report = Path("online_calibration.report.json")

    def stopped(_: list[str]) -> int:
        report.write_text(json.dumps(receiver))
        return 0

    for run in (lambda _: 0, stopped, lambda _: 0):  # no report, one of a stopped run, and the same again, an old one
        assert work("step", ["--no-view"], run) == 0
        assert capsys.readouterr().out == f"{SCENARIOS['step'].before(60000)}\n"


def test_a_run_that_is_stopped_at_once_has_nothing_to_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start = Flowgraph.start

    def stopped(flowgraph: Flowgraph, *arguments: Any, **options: Any) -> None:
        start(flowgraph, *arguments, **options)
        flowgraph.stop()

    monkeypatch.setattr(Flowgraph, "start", stopped)
    report = tmp_path / "report.json"
    for graph in ("online_calibration", "online_calibration.toml"):
        options = ["--placement", "processes", "--frames", "1000000", "--no-view", "--report", str(report)]
        assert main(["run", graph, *options]) == 0
        said = capsys.readouterr()
        assert said.err.endswith("online_calibration: stopped before anything came; nothing to report\n")
        assert said.out == ""
    assert not report.exists()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[str]:
    """The endpoint of the desk of a flowgraph that runs; what it says is in the file lines.json."""
    said = (tmp_path / "lines.json").open("wb")
    sockets = tempfile.TemporaryDirectory(prefix="ib")  # short: the path of a socket has 107 characters at most
    program = subprocess.Popen(
        [sys.executable, "-m", "isacblocks", "run", "online_calibration", *WATCHED],
        cwd=tmp_path,
        env={**ENVIRONMENT, "TMPDIR": sockets.name},
        stdout=said,
        stderr=subprocess.DEVNULL,
    )
    try:
        limit = time.monotonic() + 200
        while True:
            found = list(Path(sockets.name).glob("isacblocks-*desk-*/desk"))
            if found and json.loads(isacblocks("top", f"ipc://{found[0]}", "--once", "--json", where=tmp_path).stdout)[
                "phase"
            ] in ("running", "stopped"):
                break
            assert program.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.1)
        yield f"ipc://{found[0]}"
        program.wait(60)  # the test has stopped it
        assert program.returncode == 0
    finally:
        program.kill()
        program.wait()
        said.close()
        sockets.cleanup()


def test_a_running_flowgraph_is_looked_at_and_turned_from_another_shell(running: str, tmp_path: Path) -> None:
    shown = isacblocks("top", running, "--once", where=tmp_path).stdout
    for word in (
        "online_calibration: running",
        "kappa_calibrator",
        "items/s",
        "ofdm_source.symbols -> impaired_channel.symbols",
    ):
        assert word in shown
    assert isacblocks("do", "--at", running, "kick", "antenna=7", "degrees=90", where=tmp_path).returncode == 0
    _the_table_stays_in_its_place(running, tmp_path)
    _who_looks_is_told_of_a_pause(running, tmp_path)
    listed = isacblocks("set", "--at", running, where=tmp_path).stdout
    assert "maprt_detector.p_fa = 0.01" in listed
    assert (
        isacblocks(
            "set", "--at", running, "maprt_detector.p_fa=0.001", "impaired_channel.snr_db=9", where=tmp_path
        ).returncode
        == 0
    )
    listed = isacblocks("set", "--at", running, where=tmp_path).stdout
    assert "maprt_detector.p_fa = 0.001" in listed
    assert "impaired_channel.snr_db = 9.0" in listed
    for wrong, said in (
        (["set", "--at", running, "a.b=1"], "no such setting"),
        (["set", "--at", running, "p_fa=0.1"], "p_fa: expected BLOCK.SETTING=VALUE, say maprt_detector.p_fa=0.1"),
        (["do", "--at", running, "fly"], "no such action"),
        (["do", "--at", running, "kick", "antenna=x", "degrees=1"], "expected antenna=NUMBER degrees=NUMBER, got antenna=x"),
        (["do", "--at", running, "kick", "antenna=99", "degrees=1"], "expected an antenna from 0 to 63"),
    ):
        done = isacblocks(*wrong, where=tmp_path)
        assert done.returncode == 2
        assert said in done.stderr
    assert isacblocks("set", "--at", running, "nonsense", where=tmp_path).returncode == 2
    assert isacblocks("do", "--at", running, where=tmp_path).stdout.split()[:2] == ["kick", "mute"]
    assert isacblocks("do", "--at", running, "stop", where=tmp_path).returncode == 0


def _the_table_stays_in_its_place(running: str, where: Path) -> None:
    """isacblocks top on a terminal shows what the run itself would, until Ctrl-C."""
    command = [sys.executable, "-m", "isacblocks", "top", running, "--interval", "0.2"]
    with Terminal(command, where, 90, 30, PYTHONPATH=str(ROOT)) as terminal:
        terminal.until(lambda: "kappa  " in terminal.text and "target  " in terminal.text, "the figures")
        head = terminal.lines[0]
        assert head.startswith("online_calibration  running")
        terminal.until(lambda: terminal.lines[0] != head, "the head to move")
        assert "kappa_calibrator.kappa > maprt_detector (lag 2)" in terminal.text
        assert sum(line.startswith("kappa  ") for line in terminal.lines) == 1
        assert not terminal.screen.history.top
        terminal.press(b"\x03")
        assert terminal.wait() == 130
        assert not terminal.screen.cursor.hidden


def _who_looks_is_told_of_a_pause(running: str, where: Path) -> None:
    """By isacblocks top, in lines and as JSON, and by the run itself."""

    def told() -> bool:
        lines = (where / "lines.json").read_text().splitlines(keepends=True)
        return bool(json.loads([line for line in lines if line.endswith("\n")][-1])["paused"])

    for deed, paused in (("pause", True), ("resume", False)):
        assert isacblocks("do", "--at", running, deed, where=where).returncode == 0
        shown = isacblocks("top", running, "--once", where=where).stdout
        assert shown.startswith(f"online_calibration: {'paused' if paused else 'running'}, ")
        assert json.loads(isacblocks("top", running, "--once", "--json", where=where).stdout)["paused"] is paused
        limit = time.monotonic() + 60
        while told() is not paused:
            assert time.monotonic() < limit
            time.sleep(0.1)


def test_without_a_flowgraph_the_commands_say_so(tmp_path: Path) -> None:
    done = isacblocks("top", f"ipc://{tmp_path}/nobody", "--once", where=tmp_path)
    assert done.returncode == 1
    assert "is it still starting, or has the flowgraph ended?" in done.stderr
    assert isacblocks("top", "tcp://127.0.0.1:1", where=tmp_path).returncode == 2


def test_who_comes_too_early_waits_and_of_several_each_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    graphs = [Flowgraph("one"), Flowgraph("other")]
    for fg in graphs:
        fg.connect(Counter(), Collect())
    with Desk(graphs[0]) as one, Desk(graphs[1]) as other:
        answers = iter([[], [], [one.endpoint]])
        monkeypatch.setattr(client, "running_desks", lambda: next(answers))
        assert main(["top", "--once"]) == 0
        said = capsys.readouterr()
        assert said.out.startswith("one: not started, ")
        assert said.err == "no flowgraph with a desk is running yet; waiting 5 s for one\n"
        gone = f"{one.endpoint}.gone"
        monkeypatch.setattr(client, "running_desks", lambda: [one.endpoint, other.endpoint, gone])
        assert main(["set", "counter.rate=5"]) == 2
        both = f"{one.endpoint} (one, not started), {other.endpoint} (other, not started), {gone} (does not answer)"
        assert capsys.readouterr().err.endswith(f"several are running; name the endpoint of one: {both}\n")
    monkeypatch.setattr(client, "running_desks", list)
    monkeypatch.setattr(desk, "_PATIENCE", 0.2)
    assert main(["top", "--once"]) == 2
    assert "no flowgraph of yours with a desk is running; start one with --view or --desk" in capsys.readouterr().err


def test_a_single_look_at_a_flowgraph_that_is_starting_waits_for_something_to_be_seen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fg = Flowgraph("slow")
    fg.connect(Counter(), Collect())
    phases = iter(["starting", "starting", "running"])
    monkeypatch.setattr(Flowgraph, "status", property(lambda _: Status(next(phases, "running"), 1.0, {})))
    with Desk(fg) as one:
        assert main(["top", one.endpoint, "--once"]) == 0
    assert capsys.readouterr().out.startswith("slow: running, ")


def test_the_table_has_rates_and_losses_but_nobody_who_looks_on() -> None:
    edge = EdgeCount("a.x", "b.x", produced=100, committed=90, in_flight=2, dropped={"overflow": 8})
    tap = EdgeCount("a.x", "view_x.items", produced=100, committed=1, dropped={"overflow": 99})
    table = Table()
    for seconds, items in ((1.0, 100), (2.0, 300)):
        blocks = {
            "a": BlockStatus(phase="running", items_out=items, edges=[edge, tap], readings={"loss_db": 0.25}),
            "view_x": BlockStatus(),
        }
        lines = table.lines("fg", Status("running", seconds, blocks))
    assert lines[0].startswith("fg: running, 2.0 s, 200 items/s")
    assert lines[3].split()[:4] == ["a", "running", "300", "200"]
    assert "loss_db=0.25" in lines[3]
    assert lines[-1].split() == ["a.x", "->", "b.x", "100", "90", "2", "8", "overflow", "8"]
    assert not any("view_x" in line for line in lines)
    assert sparkline([0.0, 1.0, 2.0]) == "▁▅█"
