"""The table for a terminal: what it says of a feed, and that it fits whatever the terminal's size is."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rich", reason="rich is not installed (extra terminal)")

from isacblocks.kernels.bounds import kappa_bound
from isacblocks.radar import OfdmRadar, Scene
from isacblocks.stream import Status
from isacblocks.stream.control import BlockStatus
from isacblocks.stream.link import EdgeCount
from isacblocks.view import terminal
from isacblocks.view.feed import Feed
from isacblocks.view.panel import Panel
from isacblocks.view.table import sparkline
from isacblocks.view.words import decibels, falling, rows


def status(seconds: float = 2.0, lost: int = 3, phase: str = "running", used: float = 987.0) -> Status:
    edge = EdgeCount("a.frame", "b.frame", produced=1000, committed=990 - lost, in_flight=10, dropped={"overflow": lost})
    tap = EdgeCount("a.frame", "view_x.items", produced=1000, committed=1, dropped={"overflow": 999})
    back = EdgeCount("c.kappa", "b.kappa", produced=500, committed=436, in_flight=64)
    readings = {"loss_db": 0.0124, "used": used, "p_d": 0.71, "p_fa": 0.0102, "slope_deg": -0.0214}
    blocks = {
        "a": BlockStatus("running", items_out=1000, edges=[edge, tap], wall_seconds=2.0, work_seconds=0.5),
        "b": BlockStatus("running", items_in=987, wall_seconds=2.0, work_seconds=1.0),
        "c": BlockStatus("running", items_in=980, edges=[back], readings=readings),
        "view_x": BlockStatus("running"),
    }
    return Status(phase, seconds, blocks)


class Asked:
    """What answers a feed."""

    def ask(self, **_request: Any) -> dict[str, Any]:
        facts = {"radar": asdict(OfdmRadar(antennas=4, subcarriers=16)), "scene": asdict(Scene())}
        known = {"settings": [], "actions": [], "blocks": {}, "edges": [], "facts": facts}
        return {"name": "shown", "paused": False, "status": Status("starting", 0.0, {}), **known}


def fed() -> Feed:
    """A feed that has seen antennas 1 and 3 of 4 go silent, and a target."""
    feed = Feed(Asked())  # type: ignore[arg-type]
    feed.refresh()
    feed.drawing["edges"] = [{"sender": "c.kappa", "receiver": "b.kappa", "feedback": True, "lag": 2}]
    feed.settings = {"b.p_fa": {"block": "b", "setting": "p_fa", "value": 0.01}}
    kappa = {"kappa": np.ones((1, 4), complex), "sigma": np.full((1, 4), 0.02), "gain_sigma": np.full((1, 4), 0.02)}
    detection: dict[str, Any] = {"present": np.array([[1], [0]], np.uint8)}
    detection |= {"theta": np.array([[0.5], [0.1]]), "tau": np.array([[2e-7], [0.0]]), "range": np.array([[30.0], [0.0]])}
    feed.seen = {
        "kappa": {"fields": {**kappa, "health": np.array([[0, 1, 0, 1]], np.uint8)}, "first": 0, "sent": 0.0},
        "detection": {"fields": detection, "first": 0, "sent": 0.0},
    }
    for seconds in (1.0, 2.0):
        feed._take({"name": "shown", "paused": False, "status": status(seconds)})
    return feed


def test_the_words_say_what_was_seen() -> None:
    said = {row.label: row for row in rows(fed())}
    assert [*said] == ["kappa", "boresight", "antennas", "detection", "target", "speed"]
    assert said["kappa"].words.startswith("loss 0.0124 dB, bound 0.0")
    assert said["boresight"].words == "-0.021 deg off"
    assert said["antennas"].words == "2 of 4 good; silent: 1, 3; phases known to 1.15 deg"
    assert said["antennas"].ill
    assert said["detection"].words == "P_d 0.710, P_fa 0.0102, set to P_fa 0.01"
    assert said["target"].words == "+28.65 deg, 30.00 m, 200.0 ns; 1 in the newest 2 frames"


def test_antennas_that_are_well_again_are_named_for_a_while() -> None:
    feed = fed()
    feed.lately = {"silent": [1], "restarted": [0, 2]}  # 1 is silent still
    assert "antennas   2 of 4 good; silent: 1, 3; just now restarted: 0, 2; phases" in str(
        Panel(feed, 1000, "b").drawn(120, 30)
    )


LOSSES = {0.0124: "0.0124 dB", 3.6e-5: "0.00004 dB", 0.00012: "0.0001 dB", 0.0: "0.0000 dB", 2.7: "2.7000 dB"}


@pytest.mark.parametrize(("loss", "said"), LOSSES.items())
def test_a_loss_that_is_not_zero_is_not_said_to_be(loss: float, said: str) -> None:
    assert decibels(loss) == said


def test_a_bound_for_hardware_at_rest_is_called_so_where_it_moves() -> None:
    feed = fed()
    feed.settings = {"c.drift": {"block": "c", "setting": "drift", "value": 3.0}}
    assert next(iter(rows(feed))).words.startswith("loss 0.0124 dB, bound at rest 0.0")


def test_the_bound_counts_every_frame_at_the_snr_that_was_set_for_it() -> None:
    """What frames tell of kappa adds up."""
    feed = Feed(Asked())  # type: ignore[arg-type]
    feed.refresh()
    told = 0.0
    for used, snr_db in ((1000.0, 15.0), (3000.0, 5.0), (3000.0, 25.0), (3500.0, 20.0)):
        feed.settings = {"c.snr_db": {"block": "c", "setting": "snr_db", "value": snr_db}}
        before = feed._used
        feed._take({"name": "shown", "paused": False, "status": status(1e-3 * used + snr_db, used=used)})
        if used > before:
            told += 1 / float(kappa_bound(used - before, 4, 10 ** (snr_db / 10), Scene().target_probability))
        error = 10 ** (-feed.history.points[-1]["bound_db"] / 20)
        assert 2 * (1 - error) == pytest.approx(1 / told)
    assert len(feed.history.points) == 4


def test_where_nobody_knows_the_truth_the_calibrator_says_what_it_expects() -> None:
    feed = fed()
    for point in feed.history.points:
        del point["loss_db"]
    assert next(iter(rows(feed))).words.startswith("expected loss 0.0035 dB, bound 0.0")


@pytest.mark.parametrize("apart", [None, 0.01])
def test_a_run_that_ends_before_a_second_look_was_as_fast_as_all_of_it(apart: float | None) -> None:
    feed = Feed(Asked())  # type: ignore[arg-type]
    if apart is not None:
        feed._take({"name": "shown", "paused": False, "status": status(2.0 - apart)})
        assert "speed" not in {row.label for row in rows(feed)}
    feed._take({"name": "shown", "paused": False, "status": status(2.0, phase="finished")})
    assert {row.label: row.words for row in rows(feed)}["speed"] == f"{987 / 2.0:,.0f} items/s"


def test_a_pause_is_said_in_the_table_and_in_lines() -> None:
    feed = fed()
    assert Panel(feed, None, "b").drawn(80, 24).plain.startswith("shown  running  2.0 s")
    feed._take({"name": "shown", "paused": True, "status": status(3.0)})
    assert Panel(feed, None, "b").drawn(80, 24).plain.startswith("shown  paused  3.0 s")
    view = terminal.TerminalView(2000, "b", paused=lambda: True)
    view.line(status(2.0))
    assert view.line(status(3.0)).startswith("paused   987/2000 frames")
    assert "to go" not in view.line(status(4.0))
    assert view.line(status(5.0, phase="finished")).startswith("finished 987/2000 frames")


def test_a_curve_is_drawn_over_the_logarithm_of_the_frames() -> None:
    heights = falling([1, 10, 100, 1000], [1.0, 0.1, 0.01, 0.001], 7)
    np.testing.assert_allclose(heights, np.linspace(1, 0, 7), atol=1e-12)
    assert falling([5], [1.0]) == falling([5, 5], [1.0, 1.0]) == falling([1, 2], [0.0, float("nan")]) == []
    assert sparkline(heights) == "█▇▆▅▃▂▁"
    assert sparkline(heights, ascii_only=True) == "#*+=-._"


@pytest.mark.parametrize("height", [1, 2, 5, 9, 12, 14, 23, 60])
@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
def test_it_fits_into_every_terminal(width: int, height: int) -> None:
    panel = Panel(fed(), 5000, "b", "http://127.0.0.1:5006/")
    lines = panel.drawn(width, height).plain.split("\n")
    assert len(lines) <= height
    assert all(len(line) <= width for line in lines)
    assert lines[0].startswith("shown  running"[:width])
    text = "\n".join(lines)
    if height >= 9:
        assert lines[3].startswith("antennas   2 of 4")
    if height >= 23 and width >= 60:
        assert "a.frame > b" in text
        assert "c.kappa > b (lag 2)" in text
        assert "view_x" not in text
        edge = next(line for line in lines if line.startswith("a.frame")).split()
        assert edge[3:] == [*(["1000"] if width >= 70 else []), "10", "3", *(["overflow", "3"] if width >= 90 else [])]
        assert "987 of 5,000 frames" in lines[0]
    if width == 120:
        assert lines[0].endswith("http://127.0.0.1:5006/")


def test_what_does_not_fit_is_counted_and_what_matters_most_stays() -> None:
    lines = Panel(fed(), None, None).drawn(80, 15).plain.split("\n")
    assert lines[-3].startswith("block ")
    assert lines[-2].startswith("b ")  # the busiest
    assert lines[-2].split()[2:4] == ["50", "%"]
    assert lines[-1] == "and 2 more"


def test_who_lacks_rich_is_told_once_and_a_pipe_or_a_dumb_terminal_gets_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not terminal.takes_a_table()  # the tests' outputs are no terminals
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    assert not terminal.takes_a_table()
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("TERM", "xterm")
    assert terminal.takes_a_table()
    monkeypatch.setattr(terminal, "find_spec", lambda _name: None)
    assert not terminal.takes_a_table()
    assert capsys.readouterr().err == "for a table in place of a line: pip install 'isacblocks[terminal]'\n"
