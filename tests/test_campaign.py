"""Campaigns: what a file may say, rows, the state's file, tables, the summary, the command."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import campaign_cells
import msgspec
import numpy as np
import pytest
from conftest import ROOT

from isacblocks import OfdmRadar, Scene
from isacblocks.blocks.impaired_channel import PhaseStep
from isacblocks.cli.main import main
from isacblocks.kernels.bounds import loss_bound_db
from isacblocks.study.campaign import AXES, Campaign, CampaignError, campaign_of, load_campaign
from isacblocks.study.cell import Outcome, attempt, cell_row, code_digest, columns
from isacblocks.study.evaluation import LEARNED
from isacblocks.study.results import BusyError, State, StateError
from isacblocks.study.simulation import matched_memory, simulate
from isacblocks.study.summary import summary
from isacblocks.study.tables import csv_bytes, parquet_bytes

TINY = {"antennas": 8, "subcarriers": 16, "frames": 300, "marks": [200, 300]}


def small(**keys: Any) -> Campaign:
    return campaign_of({**TINY, "seed": {"from": 1, "to": 4}, **keys})


def in_file(path: Path, **keys: Any) -> Path:
    lines = [f"{key} = {json.dumps(value)}" for key, value in {**TINY, "seed": [1, 2, 3, 4], **keys}.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


# What a file may say


def test_the_grid_is_all_combinations_in_order() -> None:
    campaign = campaign_of(
        {"snr_db": [5, 15], "method": ["none", "known"], "seed": {"from": 7, "to": 11, "step": 2}, "frames": 100}
    )
    cells = list(campaign.cells())
    assert campaign.size == len(cells) == 12
    assert [cell.number for cell in cells] == list(range(12))
    assert [cell.seed for cell in cells[:6]] == [7, 9, 11, 7, 9, 11]
    assert [cell.method for cell in cells[:6]] == ["none"] * 3 + ["known"] * 3
    assert [cell.snr_db for cell in cells] == [5.0] * 6 + [15.0] * 6
    assert {cell.antennas for cell in cells} == {64}
    assert campaign.marks == (100,)


def test_ranges_include_their_end_and_are_what_they_look_like() -> None:
    assert campaign_of({"drift": {"from": 0, "to": 0.3, "step": 0.1}}).drift == (0.0, 0.1, 0.2, 0.3)
    assert campaign_of({"snr_db": {"from": -10, "to": 10, "step": 5}}).snr_db == (-10.0, -5.0, 0.0, 5.0, 10.0)
    assert campaign_of({"seed": {"from": 3, "to": 3}}).seed == (3,)


def test_the_digest_knows_cells_not_spelling() -> None:
    first = campaign_of({"snr_db": 15, "seed": [1, 2, 3], "frames": 500, "marks": [500, 200]})
    again = campaign_of({"marks": [200, 500, 200], "seed": {"from": 1, "to": 3}, "snr_db": [15.0], "frames": [500]})
    assert first.digest == again.digest
    for change in ({"seed": [1, 2]}, {"seed": [3, 2, 1]}, {"p_fa": 0.1}, {"drift": 1}, {"marks": [200]}):
        assert campaign_of({"seed": [1, 2, 3], "frames": 500, "marks": [200, 500], **change}).digest != first.digest


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"seeds": [1]}, r"seeds: unknown key; did you mean seed\? Known: snr_db, antennas, .*steps"),
        ({"zzz": 1}, r"zzz: unknown key; Known: snr_db"),
        ({"antennas": [8, 1]}, r"antennas\[1\]: expected integers of at least 2, got 1"),
        ({"antennas": "many"}, r"antennas\[0\]: expected integers of at least 2, got 'many'"),
        ({"antennas": True}, r"antennas\[0\]: expected integers of at least 2, got True"),
        ({"antennas": 8.5}, r"antennas\[0\]: expected integers of at least 2, got 8.5"),
        ({"snr_db": [10, "loud"]}, r"snr_db\[1\]: expected numbers of decibels from -60 to 120, got 'loud'"),
        ({"snr_db": 1e9}, r"snr_db\[0\]: expected numbers of decibels from -60 to 120, got 1000000000.0"),
        ({"snr_db": float("nan")}, r"snr_db\[0\]: expected numbers of decibels from -60 to 120, got nan"),
        ({"drift": float("inf")}, r"drift: expected finite numbers"),
        ({"drift": -1}, r"drift\[0\]: expected numbers of at least 0, degrees per sqrt\(1000 frames\), got -1"),
        (
            {"method": "onlin"},
            r"method: expected names of methods, got 'onlin'; did you mean online\? Known: tracker, online, em, adam",
        ),
        ({"impairments": ["table1", "tabel"]}, r"impairments: .*got 'tabel'; did you mean table1\?"),
        ({"method": {"from": 1, "to": 2}}, r"method\[0\]: expected names of methods, got \{'from': 1, 'to': 2\}"),
        ({"seed": []}, r"seed: expected at least one value, got an empty list"),
        ({"seed": [1, 2, 1]}, r"seed: expected every value once, got 1 twice"),
        ({"seed": {"first": 1}}, r"seed: expected a range \{from, to, step\}, step being 1 unless given, got"),
        ({"seed": {"from": 1, "to": 2.5}}, r"seed: expected a range of integers from 0 to 2\^63 - 1, got"),
        ({"seed": {"from": 5, "to": 1}}, r"seed: expected a range that ends after it begins and a step above 0"),
        ({"seed": {"from": 0, "to": 10**400}}, r"seed: expected a range of integers"),
        ({"seed": {"from": 1, "to": 10**7}}, r"seed: expected at most 1000000 values, got 10000000"),
        ({"seed": -1}, r"seed\[0\]: expected integers from 0 to 2\^63 - 1, got -1"),
        ({"seed": 10**400}, r"seed\[0\]: expected integers from 0"),
        ({"seed": {"from": 1, "to": 10**6}, "snr_db": [1, 2]}, r"the grid: expected at most 1000000 cells, got 2000000"),
        ({"marks": [200, 301]}, r"marks: expected none beyond frames, at most 300, got 301"),
        ({"p_fa": 0.9}, r"p_fa: expected a number from 1e-12 to 0.4, got 0.9"),
        ({"steps": [{"frame": 1, "antennas": [8], "degrees": 90}]}, r"steps: expected .*antennas from 0 to 7, got"),
        ({"steps": [{"frame": 1, "antenna": [3], "degrees": 90}]}, r"steps\[0\]: expected tables .*unknown: antenna"),
        ({"steps": [{"frame": 1, "antennas": [3]}]}, r"steps\[0\]: expected tables \{frame = integer"),
        ({"steps": 4}, r"steps: expected tables"),
    ],
)
def test_errors_name_the_key_what_was_expected_and_what_came(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(CampaignError, match="^" + message):
        campaign_of({**TINY, **keys})


def test_a_file_that_is_no_campaign(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sweep.toml"
    for content, message in (
        (b"snr_db = [1, 2", "not TOML"),
        (b"\xff\xfe", "not TOML"),
        (b"seeds = 4\n", "seeds: unknown key; did you mean seed?"),
    ):
        path.write_bytes(content)
        assert main(["campaign", str(path), "--out", str(tmp_path / "out")]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"isacblocks: error: {path}: ")
        assert message in said
        assert said.count("\n") == 1
    assert main(["campaign", str(tmp_path / "none.toml")]) == 2
    assert "there is no such file; by name there are small_array" in capsys.readouterr().err
    assert main(["campaign", "none"]) == 2
    assert "none: expected the path of a campaign, NAME.toml, or one of small_array" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# Rows


def test_a_row_has_the_columns_and_the_figures_of_the_run() -> None:
    campaign = small(frames=[1200, 300], marks=[200, 1200], drift=2, seed=4)
    long, short = (cell_row(cell) for cell in campaign.cells())
    assert list(long) == list(short) == [column.name for column in columns(campaign)]
    kinds = {"int": int, "float": float, "str": str}
    for column in columns(campaign):
        for row in (long, short):
            assert row[column.name] is None or type(row[column.name]) is kinds[column.kind], column.name
    assert short["loss_db_1200"] is short["p_d_after_1000"] is None
    radar = OfdmRadar(antennas=8, subcarriers=16)
    run = simulate(1200, 4, radar=radar, drift=2.0, compressed=True)
    at = {row["frames"]: row for row in run.judge.kappa_errors()}
    for mark in (200, 1200):
        for name in ("phase_db", "ramp_db", "slope_deg", "loss_db"):
            assert long[f"{name}_{mark}"] == at[mark][name]
    figures = run.judge.detection_figures(0.01)
    assert long["p_d"] == figures["p_d"]
    assert long["p_fa_after_1000"] == figures["after_1000"]["p_fa"]
    assert long["targets"] == figures["targets"] > long["detections"]
    assert cell_row(next(campaign.cells())) == long


def test_marks_between_updates_see_the_estimate_in_hand() -> None:
    """adam-max updates after 128 frames: at 127 there is the start, at 128 to 255 the first update, however they came."""
    radar = OfdmRadar(antennas=8, subcarriers=16)
    run = simulate(300, 3, "adam-max", radar=radar, marks=(1, 127, 128, 200, 255, 256))
    assert run.marks is not None
    found = run.marks.errors()
    start = simulate(300, 3, "none", radar=radar, marks=(1, 127)).marks
    assert start is not None
    assert found[1] == found[127] == start.errors()[1] == start.errors()[127]
    assert found[127] != found[128] == found[200] == found[255] != found[256]


def test_known_kappa_is_known_where_it_moves() -> None:
    radar = OfdmRadar(antennas=8, subcarriers=16)
    steps = [PhaseStep(160, (2, 3), 90.0)]
    for moving in ({"drift": 30.0}, {"steps": steps}):
        marks = (160, 320, 1600)
        known = simulate(1600, 1, "known", radar=radar, marks=marks, **moving)
        ignored = simulate(1600, 1, "none", radar=radar, marks=marks, **moving)
        assert known.marks is not None
        assert all(error.phase_db < -100 for error in known.marks.errors().values())
        rates = [run.judge.detection_figures(0.01)["p_d"] for run in (known, ignored)]
        assert rates[0] > rates[1] + 0.05
    still = simulate(1600, 1, "known", radar=radar)
    assert rates[0] == pytest.approx(still.judge.detection_figures(0.01)["p_d"], abs=0.02)


def test_position_figures_after_the_first_thousand_frames() -> None:
    radar = OfdmRadar(antennas=8, subcarriers=16)
    judge = simulate(1600, 5, "known", radar=radar).judge
    everything = judge.detection_figures(0.01)
    late = everything["after_1000"]
    count = late["detections"]
    assert count < everything["detections"]
    kept = judge.errors[: everything["detections"]]
    assert late["position_median_m"] == np.median(kept[-count:, 0])
    inside = kept[-count:][kept[-count:, 1] == 0, 0]
    assert late["position_inlier_rmse_m"] == np.sqrt(np.mean(inside**2))
    only = simulate(LEARNED, 5, "known", radar=radar).judge.detection_figures(0.01)
    assert only["after_1000"]["position_median_m"] is only["after_1000"]["p_d"] is None


def test_the_memory_is_matched_to_the_drift() -> None:
    radar, scene = OfdmRadar(), Scene()
    memory = matched_memory(radar, scene, 3.0, False)
    noise = 64 * (1 + scene.snr) / (2 * scene.snr**2 * 0.5)
    walk = np.radians(3.0) ** 2 / 1000

    def error(m: float) -> float:
        return float(noise / (2 * m) + walk * m / 2)

    assert error(memory) < min(error(0.9 * memory), error(1.1 * memory))
    assert matched_memory(radar, scene, 0.0, True) == 1000
    assert matched_memory(radar, scene, 0.0, False) == np.inf


# The state


def outcome(cell: int, **changes: Any) -> Outcome:
    given: dict[str, Any] = {"row": {"figure": cell / 3}, "error": None, "seconds": 0.1, "worker": "here:1"}
    return Outcome(cell=cell, code=code_digest(), **{**given, **changes})


def test_the_state_goes_on_and_cuts_off_what_was_torn(tmp_path: Path) -> None:
    campaign = small()
    with State(tmp_path, campaign) as state:
        state.append(outcome(2))
        state.append(outcome(0, row=None, error="ValueError: no"))
    whole = state.path.read_bytes()
    line = msgspec.json.encode(outcome(1)) + b"\n"
    for cut in (1, 20, len(line) - 1):
        state.path.write_bytes(whole + line[:cut])
        with State(tmp_path, campaign) as state:
            assert set(state.outcomes) == {0, 2}
            assert state.path.read_bytes() == whole
    with State(tmp_path, campaign) as state:
        assert state.failed() == {0: "ValueError: no"}
        state.append(outcome(0))
        state.append(outcome(2, row={"figure": 9.0}))  # a row stays
    with State(tmp_path, campaign) as state:
        assert list(state.rows()) == [(0, {"figure": 0.0}), (2, {"figure": 2 / 3})]
        assert not state.failed()
    assert state.path.read_bytes().count(b"\n") == 4
    first = whole[: whole.index(b"\n") + 1]
    for cut in range(0, len(first), 40):  # not even the first line was finished
        state.path.write_bytes(first[:cut])
        with State(tmp_path, campaign) as state:
            assert not state.outcomes
        assert state.path.read_bytes().count(b"\n") == 1


def test_figures_keep_their_bits_in_the_state(tmp_path: Path) -> None:
    values = np.random.default_rng(1).standard_normal(200) * 10.0 ** np.arange(-100, 100)
    row = {f"f{k}": float(v) for k, v in enumerate(values)} | {"whole": 3.0, "count": 3, "none": None, "name": "a,\n\u00e9"}
    with State(tmp_path, small()) as state:
        state.append(outcome(0, row=row))
    with State(tmp_path, small()) as state:
        again = dict(state.rows())[0]
    assert again == row
    assert [type(v) for v in again.values()] == [type(v) for v in row.values()]


def test_a_state_that_is_not_ours_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = small()
    with State(tmp_path, campaign) as state:
        state.append(outcome(1))
        with pytest.raises(BusyError, match="another process is running this campaign"):
            State(tmp_path, campaign)
        with pytest.raises(StateError, match=r"cell 2 was run by another version .*install the same isacblocks"):
            state.append(msgspec.structs.replace(outcome(2), code="elsewhere"))
    whole = state.path.read_bytes()
    with pytest.raises(
        StateError, match=r"belongs to another campaign .*undo the change .*or begin anew with another --out"
    ):
        State(tmp_path, small(p_fa=0.1))
    for old, new, message in (
        (b'"version":1', b'"version":7', "expected 'isacblocks campaign' version 1, got 'isacblocks campaign' 7"),
        (b'"format":"isac', b'"format":"', "expected 'isacblocks campaign' version 1"),
        (b"{", b"{{", "not the state of a campaign; remove it, or take another directory with --out"),
        (b'"cell":1', b'"cell":"1"', "line 2 is damaged .*remove that line and its cell is run again"),
        (b'"cell":1', b'"cell":99', "line 2 is damaged .cell 99 of 4"),
        (b'"error":null', b'"error":"both"', "line 2 is damaged"),
    ):
        state.path.write_bytes(whole.replace(old, new, 1))
        with pytest.raises(StateError, match=message):
            State(tmp_path, campaign)
        assert state.path.read_bytes() == whole.replace(old, new, 1)
    state.path.write_bytes(whole)
    monkeypatch.setattr("isacblocks.study.results.code_digest", lambda: "other")
    with pytest.raises(StateError, match=r"begun by another version of the program .*finish it with that one"):
        State(tmp_path, campaign)
    assert len(State(tmp_path, campaign, read_only=True).outcomes) == 1


def test_an_attempt_that_fails_is_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = list(small().cells())[2]
    monkeypatch.setenv("ISACBLOCKS_TEST_BROKEN", str(ROOT))
    failed = attempt(campaign_cells.unlucky, cell)
    assert (failed.cell, failed.row, failed.error) == (2, None, "ValueError: seed 3 is unlucky")
    impossible = attempt(cell_row, msgspec.structs.replace(cell, p_fa=0.9))
    assert impossible.error is not None
    assert "p_fa" in impossible.error


# Tables and the summary


def test_the_tables_say_the_same(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    campaign = small(seed=[1, 2], frames=[300, 200])
    layout = columns(campaign)
    rows = [cell_row(cell) for cell in campaign.cells()]
    (tmp_path / "t.csv").write_bytes(csv_bytes(layout, rows))
    (tmp_path / "t.parquet").write_bytes(parquet_bytes(layout, rows))
    read = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text(), newline="")))
    table = parquet.read_table(tmp_path / "t.parquet")
    assert table.to_pylist() == rows
    assert table.schema.field("slope_deg_200").metadata == {b"unit": b"deg"}
    kinds: dict[str, Any] = {"int": int, "float": float, "str": str}
    for row, text in zip(rows, read, strict=True):
        assert {c.name: kinds[c.kind](text[c.name]) if text[c.name] else None for c in layout} == row
    assert rows[2]["loss_db_300"] is None


def test_the_summary_is_numpy_s() -> None:
    campaign = small(method=["online", "none"], seed={"from": 1, "to": 5})
    rows = [cell_row(cell) for cell in campaign.cells()][:-1]  # the last seed is not there yet
    text = summary(campaign, rows)
    losses = [float(row["loss_db_300"] or 0) for row in rows[:5]]
    slopes = [float(row["slope_deg_300"] or 0) for row in rows[:5]]
    bound = float(loss_bound_db(300, 8, 10**1.5, 0.5))
    lines = text.splitlines()
    assert lines[0] == (
        "all: snr_db 15 dB, antennas 8, subcarriers 16, drift 0 deg/sqrt(1000 frames), impairments table1, frames 300"
    )
    assert lines[1] == "method online: 5 of 5 seeds"
    assert " ".join(lines[2].split()) == "frames median loss mean 9 of 10 worst bound median/bound slope rms"
    expected = [np.median(losses), np.mean(losses), np.quantile(losses, 0.9), max(losses), bound]
    expected += [np.median(losses) / bound, np.sqrt(np.mean(np.square(slopes)))]
    assert [float(v) for v in lines[4].split()] == pytest.approx([300, *expected], abs=0.006)
    assert [v[:6] for v in lines[4].split()[1:6]] == [f"{v:.4f}" for v in expected[:5]]
    pooled = sum(int(row["detections"] or 0) for row in rows[:5]) / sum(int(row["targets"] or 0) for row in rows[:5])
    assert f"all frames: P_d {pooled:.4f}, P_fa 0." in lines[5]
    assert "method none: 4 of 5 seeds" in text
    assert lines[-2].split()[5:7] == ["-", "-"]
    assert "frames  median" not in summary(campaign, [])


def test_every_axis_has_words_and_columns() -> None:
    assert [column.name for column in columns(small())][: len(AXES)] == list(AXES)


def test_the_example_is_what_the_readme_shows() -> None:
    path = ROOT / "flowgraphs" / "small_array.toml"
    assert load_campaign(path).size == 36
    shown = (ROOT / "README.md").read_text().split("```toml\n")[1].split("```")[0]
    assert path.read_text().endswith(shown)


# The command


def test_the_command_fails_retries_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    monkeypatch.setenv("ISACBLOCKS_TEST_BROKEN", str(broken))
    monkeypatch.setattr("isacblocks.study.cell.cell_row", campaign_cells.unlucky)
    file, out = in_file(tmp_path / "sweep.toml"), tmp_path / "out"
    command = ["campaign", str(file), "--out", str(out), "--workers", "1"]
    assert main(command) == 1
    said = capsys.readouterr()
    line = "isacblocks: 1 of 4 cells failed, first cell 2: ValueError: seed 3 is unlucky; --retry runs them again"
    assert said.err.splitlines()[-1] == line
    assert said.out.startswith(f"3 rows: {out}/table.csv, {out}/provenance.json, {out}/table.parquet")
    assert json.loads((out / "provenance.json").read_text())["failed"] == {"2": "ValueError: seed 3 is unlucky"}
    broken.unlink()
    assert main(command) == 1, "without --retry what failed stays so"
    capsys.readouterr()
    assert main([*command, "--retry", "--summary"]) == 0
    said = capsys.readouterr()
    assert "4/4 cells  0 failed" in said.err
    assert "the configuration: 4 of 4 seeds" in said.out
    expected = [cell_row(cell) for cell in load_campaign(file).cells()]
    assert (out / "table.csv").read_bytes() == csv_bytes(columns(load_campaign(file)), expected)
    source = json.loads((out / "provenance.json").read_text())
    assert source["failed"] == {}
    assert source["campaign"]["seed"] == [1, 2, 3, 4]
    assert source["digest"] == load_campaign(file).digest
    assert source["software"].keys() == {"isacblocks", "python", "numpy", "scipy", "numba", "llvmlite"}
    assert [c["name"] for c in source["columns"]] == [c.name for c in columns(load_campaign(file))]


def test_another_campaign_in_the_same_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = in_file(tmp_path / "sweep.toml"), tmp_path / "out"
    with State(out, load_campaign(file)) as state:
        for cell in range(3):
            state.append(outcome(cell, row=cell_row(list(state.campaign.cells())[cell])))
        assert main(["campaign", str(file), "--out", str(out)]) == 1
        assert "another process is running this campaign" in capsys.readouterr().err
        assert main(["campaign", str(file), "--out", str(out), "--summary"]) == 0
        assert "3 of 4 seeds" in capsys.readouterr().out
    in_file(file, seed=[1, 2])
    assert main(["campaign", str(file), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "belongs to another campaign" in said
    assert said.count("\n") == 1


def test_without_the_extras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = in_file(tmp_path / "sweep.toml"), tmp_path / "out"
    with State(out, load_campaign(file)) as state:
        for cell in state.campaign.cells():
            state.append(outcome(cell.number, row=cell_row(cell)))
    (out / "table.parquet").write_bytes(b"older")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main(["campaign", str(file), "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert said.err == "isacblocks: no Parquet file: pyarrow is not installed; pip install 'isacblocks[table]'\n"
    assert said.out == f"4 rows: {out}/table.csv, {out}/provenance.json\n"
    assert not (out / "table.parquet").exists()
    assert main(["campaign", str(file), "--out", str(tmp_path / "new"), "--scheduler", "tcp://127.0.0.1:1"]) == 1
    assert "a Dask cluster needs the package distributed; pip install 'isacblocks[dist]'" in capsys.readouterr().err
    assert main(["campaign", str(file), "--out", str(tmp_path / "new"), "--scheduler", "x", "--workers", "2"]) == 2
