"""isacblocks calibrate: one command from a recording to a calibration file, a report and a picture."""

from __future__ import annotations

import base64
import json
import math
import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from numpy.typing import NDArray
from programs import Done, isacblocks

from isacblocks import OfdmRadar, kappa_error
from isacblocks.blocks import ImpairedChannel, OfdmSource, Recorder
from isacblocks.blocks.calibration_file import load_calibration
from isacblocks.frontends import SigmfSink
from isacblocks.stream import Flowgraph
from isacblocks.study.calibration_page import page_of

RADAR = OfdmRadar(8, 32)
KINDS = {"isac": "rec.isac", "interleaved": "rec.sigmf-meta", "collection": "rec.sigmf-collection"}


def record(where: Path, kind: str) -> NDArray[Any]:
    """Frames; returns the true kappa."""
    if kind != "isac":
        pytest.importorskip("sigmf", reason="the library sigmf is not installed (extra sigmf)")
    sigmf_sink = kind != "isac" and SigmfSink(where / "rec", radar=RADAR, collection=kind == "collection")
    fg, channel = Flowgraph(), ImpairedChannel(RADAR, seed=4)
    fg.connect(OfdmSource(RADAR, seed=4), channel)
    fg.connect(channel.frame, sigmf_sink or Recorder(where / "rec.isac", radar=RADAR))
    fg.run(items=1200)
    return channel.kappa


def run(*arguments: str) -> Done:
    return isacblocks("calibrate", *arguments, status=None)


@pytest.mark.parametrize("kind", KINDS)
def test_from_a_recording_to_a_calibration_in_one_command(tmp_path: Path, kind: str) -> None:
    kappa = record(tmp_path, kind)
    out = tmp_path / "out"
    out.mkdir()
    extra = ["--annotate"] if kind != "isac" else []
    done = run(str(tmp_path / KINDS[kind]), "--out", str(out), *extra)
    assert done.returncode == 0, done.stderr
    learned = load_calibration(out / "rec.kappa.json", RADAR).vector
    assert kappa_error(np.ones(8), kappa, RADAR).loss_db > 0.5
    assert kappa_error(learned, kappa, RADAR).loss_db < 0.1
    report = json.loads((out / "rec.report.json").read_text())
    assert report["frames"] == 1200
    assert report["gain_db"] > 0
    assert (out / "rec.png").read_bytes()[:4] == b"\x89PNG"
    page = (out / "rec.html").read_text()
    assert base64.b64decode(re.findall(r'src="data:image/png;base64,([^"]+)"', page)[0]) == (out / "rec.png").read_bytes()
    assert f"{report['gain_db']:+.2f} dB" in page
    assert len(re.findall(r"<tr><td>\d+</td><td>[+-]\d+\.\d\d</td><td>[+-]\d+\.\d\d</td>", page)) == 8
    if kind != "isac":
        name = "rec-000.sigmf-meta" if kind == "collection" else "rec.sigmf-meta"
        notes = json.loads((tmp_path / name).read_text())["annotations"]
        assert [note["core:label"] for note in notes] == ["calibration"]
        assert run(str(tmp_path / KINDS[kind]), "--out", str(out)).returncode == 0  # it is still whole


def test_a_script_writes_the_calibration_into_the_recording(tmp_path: Path) -> None:
    """flowgraphs/from_sigmf.py; what it refuses is said by its reason."""
    kappa = record(tmp_path, "interleaved")
    isacblocks("run", "from_sigmf", "rec.sigmf-meta", "--calibration", "found.json", where=tmp_path)
    assert kappa_error(load_calibration(tmp_path / "found.json", RADAR).vector, kappa, RADAR).loss_db < 0.1
    note = json.loads((tmp_path / "rec.sigmf-meta").read_text())["annotations"][0]
    told = np.array(note["isacblocks:gain_db"]), np.radians(note["isacblocks:phase_deg"])
    assert kappa_error(10 ** (told[0] / 20) * np.exp(1j * told[1]), kappa, RADAR).loss_db < 0.1
    data = tmp_path / "rec.sigmf-data"
    data.write_bytes(data.read_bytes()[:-8])
    assert "is it cut off" in isacblocks("run", "from_sigmf", "rec.sigmf-meta", where=tmp_path, status=2).stderr


def test_a_page_says_what_is_not_known_and_believes_no_name() -> None:
    report = {"recording": "<b>", "frames": 2, "learned_from": 1, "judged_by": 1, "snr_db": 1.0, "target_probability": 0.5}
    report |= {"efficiency_before": {"mean": 0.1, "median": 0.1}, "efficiency_after": {"mean": 0.2, "median": 0.2}}
    ill = {"antenna": 1, "gain_db": -math.inf, "phase_deg": 0.0, "sigma_deg": None, "health": "dead"}
    page = page_of(report | {"gain_db": 3.0}, [ill], None)
    assert "<b>" not in page
    assert "matplotlib is not installed" in page
    assert '<tr class="ill"><td>1</td><td>-inf</td><td>+0.00</td><td>-</td><td>dead</td></tr>' in page


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("gone.isac",), "there is no such file"),
        (("README.md", "--out", "nowhere"), "is not a directory; create it first"),
        (("README.md",), "not an isacblocks recording"),
    ],
)
def test_what_cannot_be_calibrated_is_named(arguments: tuple[str, ...], text: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert text in done.stderr


def test_log_names_a_block_of_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that no block of it has is refused before anything is read; every one that has been drawn is taken."""
    done = run("README.md", "--log", "ofdm_reciever=debug")
    assert done.returncode == 2
    assert "--log: there is no block ofdm_reciever; there are replay, " in done.stderr
    record(tmp_path, "isac")
    drawn: set[str] = set()
    start = Flowgraph.start

    def watched(fg: Flowgraph, *arguments: Any, **named: Any) -> None:
        drawn.update(fg.blocks)
        start(fg, *arguments, **named)

    monkeypatch.setattr(Flowgraph, "start", watched)
    script = runpy.run_path(str(ROOT / "flowgraphs" / "replay_recording.py"))
    assert script["main"]([str(tmp_path / "rec.isac"), "--log", "kappa_calibrator=warning"]) == 0
    assert {"replay", "angle_delay_map_2", "kappa_calibrator"} <= drawn <= {*script["BLOCKS"]}
    made = {"SigmfFrames", "FmcwFile", "SigmfSource", "OfdmReceiver", "Recorder"}
    assert {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower() for name in made} | drawn == {*script["BLOCKS"]}
