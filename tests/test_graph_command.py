"""A script's flowgraph drawn without being run: edges in words, the picture's blocks and lines."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from stream_blocks import Collect, Counter, Scale

from isacblocks.cli.main import main
from isacblocks.stream import Flowgraph
from isacblocks.view.layout import arrange, lines_of
from isacblocks.view.svg import flowgraph_svg

SVG = "{http://www.w3.org/2000/svg}"


def test_the_edges_of_the_main_flowgraph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "online_calibration", "--no-view"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "ofdm_source.symbols -> impaired_channel.symbols" in lines
    assert "kappa_calibrator.kappa -> angle_delay_map.kappa  feedback, lag 2" in lines
    assert len(lines) == 9
    out = tmp_path / "graph.svg"
    assert main(["graph", "online_calibration", "--svg", str(out), "--no-view", "--full-frames"]) == 0
    picture = ElementTree.fromstring(out.read_text())
    words = [text.text for text in picture.iter(f"{SVG}text")]
    assert {"delay_compressor", "DelayCompressor", "kappa, lag 2"} <= {*words}
    assert len([p for p in picture.iter(f"{SVG}path") if p.get("marker-end")]) == 10
    fg = Flowgraph("again")  # and flowgraphs start as before
    fg.connect(Counter(), Collect())
    assert fg.run(10).phase == "finished"


def test_a_script_without_a_flowgraph_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "nothing.py"
    script.write_text("print('hello')\n")
    assert main(["graph", str(script)]) == 2
    assert "without starting a flowgraph" in capsys.readouterr().err


def test_what_cannot_be_drawn_or_written_is_told_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "words"
    script.write_text("these are words\n")
    assert main(["graph", str(script)]) == 2
    assert f"{script}: expected a Python script; line 1: invalid syntax" in capsys.readouterr().err
    assert main(["graph", "online_calibration", "--svg", str(tmp_path / "none" / "graph.svg")]) == 2
    assert "there is no directory" in capsys.readouterr().err


def test_blocks_stand_behind_those_that_feed_them_and_do_not_overlap() -> None:
    edges = [("a.x", "b.x"), ("b.x", "c.x"), ("a.x", "c.y"), ("a.x", "d.x")]
    lines = lines_of({"sender": s, "receiver": r, "policy": "block", "feedback": False, "lag": None} for s, r in edges)
    places = arrange(["a", "b", "c", "d"], lines)
    assert [places[name][0] for name in "abcd"] == [0, 1, 2, 1]
    assert len(set(places.values())) == 4
    assert places["b"][1] != places["a"][1] or places["b"][1] != places["c"][1]  # not on the line from a to c


def test_names_are_escaped_and_boxes_inside_the_picture() -> None:
    fg, scale = Flowgraph("a < b"), Scale()
    scale.name = "x<y"
    fg.connect(Counter(), scale, Collect())
    text = flowgraph_svg(fg)
    picture = ElementTree.fromstring(text)
    assert picture.findtext(f"{SVG}title") == "a < b"
    width, height = float(picture.attrib["width"]), float(picture.attrib["height"])
    for box in picture.iter(f"{SVG}rect"):
        x, y, w, h = (float(box.attrib[name]) for name in ("x", "y", "width", "height"))
        assert 0 <= x <= x + w <= width
        assert 0 <= y <= y + h <= height
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
