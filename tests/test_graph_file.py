"""A flowgraph from a file: the same bits as the script, what is wrong with a file by its key, blocks of one's own."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from conftest import ROOT
from programs import Done, isacblocks

from isacblocks import OfdmRadar
from isacblocks.blocks import KappaCalibrator
from isacblocks.blocks.calibration_file import load_calibration
from isacblocks.cli.graph_build import build, values_of
from isacblocks.cli.graph_file import GraphError, graph_of
from isacblocks.cli.main import main
from isacblocks.stream import Flowgraph

SAME = ("frames", "seed", "method", "kappa_error", "detection", "receiver", "edges", "radar", "scene")
FILE = ROOT / "flowgraphs" / "online_calibration.toml"


def raw() -> dict[str, Any]:
    return dict(msgspec.toml.decode(FILE.read_bytes()))


def drawn(said: dict[str, Any]) -> Flowgraph:
    graph = graph_of(said)
    return build(graph, values_of(graph, graph.seed, None))


def call(where: Path, *arguments: object) -> Done:
    return isacblocks(*arguments, status=None, where=where)


def test_the_file_gives_the_bits_of_the_script(tmp_path: Path) -> None:
    """Kappa to the last bit, errors, detections, what the receiver thinks, and the books of every edge."""
    reports, kappas = [], []
    for name, placement in (("online_calibration", "threads"), ("online_calibration.toml", "processes")):
        at = tmp_path / name
        at.mkdir()
        options = ["--frames", 400, "--seed", 5, "--placement", placement, "--no-view"]
        done = call(at, "run", name, *options, "--report", "r.json", "--calibration", "k.json")
        assert done.returncode == 0, done.stderr
        reports.append(json.loads((at / "r.json").read_text()))
        kappas.append(load_calibration(at / "k.json", OfdmRadar()).vector)
    for key in SAME:
        assert reports[0][key] == reports[1][key], key
    assert kappas[0].tobytes() == kappas[1].tobytes()
    assert np.abs(kappas[0] - 1).max() > 0.1
    # the next one starts from what this one left
    graph = graph_of(raw())
    fg = build(graph, values_of(graph, graph.seed, tmp_path / "online_calibration" / "k.json"))
    calibrator: Any = fg.blocks["kappa_calibrator"]
    assert calibrator.confidence > 10
    np.testing.assert_allclose(calibrator.initial, kappas[0], rtol=1e-12)


def test_it_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", str(FILE)]) == 0
    lines = capsys.readouterr().out
    assert main(["graph", "online_calibration", "--no-view"]) == 0
    assert capsys.readouterr().out == lines
    assert main(["graph", str(FILE), "--svg", str(tmp_path / "a.svg")]) == 0
    assert main(["graph", "online_calibration", "--svg", str(tmp_path / "b.svg"), "--no-view"]) == 0
    assert (tmp_path / "a.svg").read_text() == (tmp_path / "b.svg").read_text()


OWN = """
import msgspec
import numpy as np
from isacblocks.stream import Block, Field, In, Out, Reading, Record, Setting, Source, State
R = Record("r", (Field("v", "float64"),))
class Ramp(Source):
    out = Out(R)
    def __init__(self, slope: float, window: "tuple[int, int] | None" = None) -> None:
        self.slope, self.window = slope, window
    def produce(self, first, count):
        return self.out.items(v=self.slope * np.arange(first, first + count))
class Total(Block):
    v = In(R)
    factor = Setting(float, initial=1.0, maximum=10.0)
    total = State("float64")
    sum = Reading()
    def process(self, v):
        self.total += self.factor * float(v.v.sum())
        self.sum = self.total
class NoBlock:
    pass
"""
GRAPH = """
name = "own"
[run]
frames = 100
[output]
report = "own.json"
[blocks.ramp]
type = "own_blocks:Ramp"
slope = 2
[blocks.total]
type = "own_blocks:Total"
settings = { factor = 0.5 }
[[edges]]
chain = ["ramp", "total"]
policy = "drop-oldest"
depth = 1000
"""


def test_blocks_of_ones_own_and_what_options_change(tmp_path: Path) -> None:
    (tmp_path / "own_blocks.py").write_text(OWN)
    (tmp_path / "own.toml").write_text(GRAPH)
    (tmp_path / "needs_more.py").write_text("import not_here\n")
    done = call(tmp_path, "run", "own.toml", "--no-view", "--placement", "processes")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "own.json").read_text())
    assert (report["frames"], report["placement"], report["seed"]) == (100, "processes", 1)
    assert report["readings"]["total"]["sum"] == 4950.0
    done = call(tmp_path, "run", "own.toml", "--no-view", "--frames", 10, "--report", "ten.json")
    assert json.loads((tmp_path / "ten.json").read_text())["readings"]["total"]["sum"] == 45.0
    assert "compiling" not in done.stderr
    for before, after, word in (
        ("own_blocks:Ramp", "own_blocks:NoBlock", r"blocks\.ramp\.type: .*NoBlock is not a block"),
        ("own_blocks:Ramp", "own_blocks:Rump", r"blocks\.ramp\.type: 'own_blocks:Rump' cannot be used"),
        (
            "own_blocks:Ramp",
            "no_such_module:Ramp",
            r"blocks\.ramp\.type: there is no module no_such_module; install it, or put no_such_module\.py beside",
        ),
        ("own_blocks:Ramp", "needs_more:Ramp", r"needs_more cannot be imported: it needs not_here, which is not installed"),
        ("own_blocks:Ramp", "Waveform", r"blocks\.ramp\.type: expected the name of a block"),
        ("slope = 2", "slope = 'steep'", r"blocks\.ramp\.slope: expected float, got 'steep'"),
        ("slope = 2", "", r"blocks\.ramp\.slope: expected this key, Ramp cannot do without it"),
        ("factor = 0.5", "factor = 50", r"blocks\.total\.settings: total\.factor: expected a value from -inf to 10"),
        ("factor", "factr", r"blocks\.total\.settings\.factr: unknown key; did you mean factor\?"),
        ("frames = 100", "frames = [", "own.toml: not TOML"),
    ):
        (tmp_path / "own.toml").write_text(GRAPH.replace(before, after, 1))
        if before == "frames = 100":
            done = call(tmp_path, "run", "own.toml", "--no-view")
            assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
            assert word in done.stderr
            continue
        sys.path.insert(0, str(tmp_path))
        try:
            with pytest.raises(GraphError, match=word):
                drawn(msgspec.toml.decode((tmp_path / "own.toml").read_bytes()))
        finally:
            sys.path.remove(str(tmp_path))


def changed(path: str, value: Any) -> dict[str, Any]:
    """The shipped file with another value at a key; None takes it out."""
    said = raw()
    at: Any = said
    *parents, last = re.findall(r"\w+", path)
    for name in parents:
        at = at[int(name)] if name.isdigit() else at.setdefault(name, {})
    key = int(last) if last.isdigit() else last
    if value is None:
        del at[key]
    else:
        at[key] = value
    return said


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("name", None, "name: expected this key; a letter"),
        ("name", "two words", "name: expected a letter, then letters, digits and underscores, got 'two words'"),
        ("nmae", 1, "nmae: unknown key; did you mean name?"),
        ("seed", -1, "seed: expected an integer from 0 to 2^63 - 1, got -1"),
        ("run.frames", "many", "run.frames: expected an integer of at least 1, got 'many'"),
        ("run.placement", "cloud", "run.placement: expected threads, processes or tcp, got 'cloud'"),
        ("run.port", 70000, "run.port: expected an integer from 0 to 65535, got 70000"),
        ("run.speed", 1, "run.speed: unknown key; "),
        ("radar.antenas", 8, "radar.antenas: unknown key; did you mean antennas?"),
        ("radar.antennas", 1, "radar: OfdmRadar: antennas must be an integer of at least 2, got 1"),
        ("radar.antennas", "all", "radar.antennas: expected int, got 'all'"),
        ("scene", 5, "scene: expected a table [scene] with snr_db"),
        ("blocks.evaluation", None, "edges[2].chain: there is no block 'evaluation'"),
        ("blocks.maprt_detector.type", "MaprtDetectr", "blocks.maprt_detector.type: expected the name of a block"),
        ("blocks.maprt_detector.type", "os:system", "blocks.maprt_detector.type: os:system is not a block"),
        ("blocks.maprt_detector.type", "os:__import__('os')", "blocks.maprt_detector.type: expected the name of a block"),
        (
            "blocks.maprt_detector.noise",
            "loud",
            "blocks.maprt_detector: noise: expected one of known, estimated",
        ),
        (
            "blocks.maprt_detector.radar",
            "radar",
            'blocks.maprt_detector.radar: expected a table, or a value such as "$radar"',
        ),
        ("blocks.maprt_detector.radar", "$rader", "blocks.maprt_detector.radar: expected one of $radar, $scene"),
        ("blocks.kappa_calibrator.kappa", [1, 2], "blocks.kappa_calibrator.kappa: "),
        ("blocks.kappa_calibrator.batch", 2.5, "blocks.kappa_calibrator.batch: expected int | null, got 2.5"),
        ("blocks.spare", {"type": "Probe"}, "blocks.spare: no edge leads to it or from it"),
        ("edges.0.chain", ["ofdm_source"], "edges[0].chain: expected a list of two or more of BLOCK or BLOCK.PORT"),
        ("edges.0.chain.1", "angle_delay_map", "edges[0]: cannot connect ofdm_source.symbols to angle_delay_map.frame"),
        (
            "edges.1.chain.0",
            "impaired_channel.compresed",
            "edges[1].chain: impaired_channel has no port 'compresed'",
        ),
        ("edges.0.policy", "maybe", "edges[0].policy: expected block, drop-oldest or latest, got 'maybe'"),
        ("edges.0.depth", 0, "edges[0].depth: expected an integer of at least 1, got 0"),
        ("edges.0.policy", "latest", "lies inside the loop"),
        ("feedback.0.lag", 0, 'feedback[0].lag: expected an integer of at least 1, in messages, or "latest", got 0'),
        ("feedback.0.to", "angle_delay_map", "feedback[0].to: expected BLOCK.PORT, got 'angle_delay_map'; ports in: frame"),
        ("feedback.0.to", "evaluation.detection", "feedback[0]: evaluation.detection"),
        ("feedback.0.form", "x", "feedback[0].form: unknown key"),
        ("edges", None, "edges: expected this key; a list of tables [[edges]]"),
    ],
)
def test_what_is_wrong_is_told_by_its_key(path: str, value: Any, said: str) -> None:
    if said.startswith("lies inside"):  # a lossy edge before the loop is none of it
        assert drawn(changed(path, value)).edges()[0].policy == "latest"
        with pytest.raises(GraphError, match=said):
            drawn(changed("edges.2.policy", value))
        return
    with pytest.raises(GraphError) as caught:
        drawn(changed(path, value))
    assert str(caught.value).startswith(said)


def test_files_of_other_kinds_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shipped = ROOT / "flowgraphs"
    assert main(["run", str(shipped / "ofdm_waveform.toml")]) == 2
    assert "got a waveform; run it by isacblocks run raw_iq FROM WAVEFORM\n" in capsys.readouterr().err
    assert main(["campaign", str(shipped / "online_calibration.toml")]) == 2
    assert "expected a campaign, got a flowgraph; run it by isacblocks run\n" in capsys.readouterr().err
    wrong = tmp_path / "wrong.toml"
    wrong.write_text((shipped / "online_calibration.toml").read_text().replace('["ofdm_source"', '["source"'))
    assert main(["run", str(wrong)]) == 2
    assert f"{wrong}: edges[0].chain: there is no block 'source'; did you mean ofdm_source?" in capsys.readouterr().err
    assert main(["run", str(ROOT / "flowgraphs" / "small_array.toml")]) == 2
    assert "expected a flowgraph, got a campaign; run it by isacblocks campaign" in capsys.readouterr().err
    assert main(["run", "nothing.toml"]) == 2
    assert "by name there are online_calibration.toml\n" in capsys.readouterr().err
    assert main(["campaign", "nothing"]) == 2
    assert "or one of small_array\n" in capsys.readouterr().err


def test_what_has_types_of_its_own_is_made_of_tables() -> None:
    said = changed("blocks.impaired_channel.steps", [{"frame": 20, "antennas": [1, 2], "degrees": 90}])
    said["feedback"][0]["lag"] = "latest"
    fg = drawn(said)
    channel: Any = fg.blocks["impaired_channel"]
    assert [(s.frame, tuple(s.antennas), s.degrees) for s in channel.steps] == [(20, (1, 2), 90.0)]
    assert [edge.lag for edge in fg.edges() if edge.feedback] == [None, 2]
    assert isinstance(fg.blocks["kappa_calibrator"], KappaCalibrator)
