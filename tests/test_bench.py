"""The bench runs, what it writes is whole, and programs that disagree are not compared. No time is asserted."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import operations, ours, page, registry, report
from benchmarks.agreement import Answer, DisagreementError, Oracle
from benchmarks.flowgraph_run import BLOCKS, FULL
from benchmarks.measure import THREAD, Case, Result, case, measure, ratio
from benchmarks.targets import TARGETS, ratios
from benchmarks.workload import Workload, draw
from conftest import ROOT
from programs import Done, python
from reference.model import Setup, angle_delay_map

from isacblocks import OfdmRadar, Scene

BENCH = ROOT / "tools" / "bench.py"


def bench(*arguments: Any) -> Done:
    return python(BENCH, *arguments, status=None, limit=900)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("bench") / "bench.json"
    groups = ("limits", "numpy", "wide", "torch", "literal", "kernels", "blocks", "made", "training", "streams")
    done = bench("--quick", "--rounds", 3, "--json", path, "--only", *groups)
    assert done.returncode == 0, done.stderr
    assert "numpy dense" in done.stdout
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


@pytest.fixture(scope="module")
def work() -> Workload:
    return draw(4, OfdmRadar(antennas=8, subcarriers=32), points=(20, 30))


def test_the_json_says_what_was_measured_on_what(found: dict[str, Any]) -> None:
    machine = found["machine"]
    assert machine["versions"]["numpy"] == np.__version__
    assert set(machine["blas"]["threads"].values()) == {"1"}
    assert machine["blas"]["core"]
    assert machine["cores"] >= 1
    assert len(found["load"]["before"]) == len(found["load"]["after"]) == 3
    assert found["quiet"] == (found["load"]["before"][0] <= 0.3)
    assert found["rounds"] == 3
    names = [row["name"] for row in found["cases"]]
    assert len(names) == len(set(names)) > 25
    for row in found["cases"]:
        assert len(row["samples"]) == 3
        assert all(seconds > 0 for seconds in row["samples"])
        rate = "gflops" if row["unit"] == "flop" else "per_second"
        scale = 1e-9 if row["unit"] == "flop" else 1
        assert row[rate] == pytest.approx(scale / np.median(row["samples"]), rel=1e-4)
        clocks = {"torch": "process", "training": "process", "streams": "wall"}
        assert row["clock"] == clocks.get(row["group"], "thread")
    for row in found["ratios"]:
        assert row["low"] <= row["median"] <= row["high"]
        assert row["met"] == (None if row["target"] is None else row["median"] >= row["target"])
    assert found["agreement"]["detector"] > 0.9
    assert 0 < found["map_errors"]["map stored"] < 1e-5
    assert set(found["skipped"]) <= {"wide", "torch", "literal"}


def test_every_name_in_a_target_is_a_case(found: dict[str, Any]) -> None:
    names = {row["name"] for row in found["cases"]}
    elsewhere = ("torch", "numpy dense, wide", "literal ")  # may be skipped
    for target in TARGETS:
        for name in (target.case, target.yardstick) if target.rate is None else (target.case,):
            assert name in names or name.startswith(elsewhere), name
    assert set(BLOCKS.values()) <= names
    assert {"map stored", "detector", "detector, compressed", "compressor"} == {*operations.METHODS} & names - {
        "literal map"
    }


def test_a_rate_known_from_elsewhere_is_a_yardstick() -> None:
    one = case("streams: ours shared, 16", "", lambda: 0)
    (row,) = ratios({one.name: Result(one, [1e-5, 2e-5, 1e-5])})
    assert row["median"] == pytest.approx(1e5 / 25e3)
    assert row["met"]


def test_streams_are_measured_in_every_placement(tmp_path: Path) -> None:
    done = bench("--quick", "--only", "runs", "--json", tmp_path / "bench.json")
    assert done.returncode == 0, done.stderr
    runs = json.loads((tmp_path / "bench.json").read_text())["runs"]
    assert list(runs) == ["threads", "processes", "tcp"]
    for run in runs.values():
        assert 0 < run["latency_p50"] <= run["latency_p99"]
        assert 0 < run["age_median"] <= run["age_largest"]
        assert list(run["own"]) == ["frames", "work", "taken"]
        assert run["share"] > 0
    assert "| threads |" in page.runs({"runs": runs})


def test_a_view_s_cost_is_measured_read_stalled_and_as_a_table(tmp_path: Path) -> None:
    done = bench("--quick", "--only", "viewing", "--json", tmp_path / "bench.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "bench.json").read_text())["viewing"]
    assert list(found["frames_per_second"]) == ["alone", "reads", "stalls", "table"]
    assert all(speed > 0 for speed in found["frames_per_second"].values())
    for manner in ("reads", "stalls", "table"):
        assert found["rounds"][manner] == [
            pytest.approx(found["frames_per_second"][manner] / found["frames_per_second"]["alone"])
        ]
    assert found["server"]["reads"] > 0
    assert "of those alone" in done.stdout


def test_a_wrong_place_or_gradient_is_refused(work: Workload) -> None:
    oracle, right = Oracle(work), ours.detector(work)()
    assert oracle.check("ours", right) == 1.0
    moved = right.index.copy()
    moved[2, 1] = (moved[2, 1] + 7) % 30
    with pytest.raises(DisagreementError, match="other: frame 2"):
        oracle.check("other", Answer(moved, oracle.gradient(moved)))
    with pytest.raises(DisagreementError, match=r"gradient is off by 0\.001"):
        oracle.check("other", Answer(right.index, 1.001 * right.gradient))
    with pytest.raises(DisagreementError, match="gradient is off by nan"):
        oracle.check("other", Answer(right.index, np.full_like(right.gradient, np.nan)))


def test_two_points_that_single_precision_cannot_tell_apart_are_both_right(work: Workload) -> None:
    oracle, right = Oracle(work), ours.detector(work)()
    i, j = right.index[1]
    beside = (int(i), int(j) - 1 if j > 0 else 1)
    oracle.maps[1][beside] = oracle.maps[1][i, j] * (1 + 1e-6)
    assert oracle.check("ours", right) == 0.75
    oracle.maps[1][beside] = oracle.maps[1][i, j] * (1 + 1e-4)
    with pytest.raises(DisagreementError):
        oracle.check("ours", right)


def test_a_wrong_map_is_refused(work: Workload) -> None:
    oracle, right = Oracle(work), ours.stored_maps(work)
    assert oracle.check_maps("ours", right) < 1e-5
    wrong = right.copy()
    wrong[3, 0, 0] += 2e-5 * wrong[3].max()
    with pytest.raises(DisagreementError, match="other: a map is off by"):
        oracle.check_maps("other", wrong)


@pytest.mark.parametrize("name", ["detector", "compressed_detector"])
def test_a_program_that_disagrees_ends_the_bench(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def wrong(work: Workload) -> Any:
        return lambda: Answer(np.zeros((work.frames, 2), np.int64), np.zeros(64, np.complex128))

    monkeypatch.setattr(ours, name, wrong)
    with pytest.raises(DisagreementError):
        registry.assemble(["kernels"], registry.QUICK)


def test_the_oracle_is_the_reference_s_map(work: Workload) -> None:
    setup, kappa = Setup(antennas=8, subcarriers=32), work.kappa.astype(np.complex128)
    for f, made in enumerate(Oracle(work).maps):
        literal = angle_delay_map(work.y[f], work.x[f], kappa, work.theta[f], work.tau[0], setup)
        np.testing.assert_allclose(made, literal, rtol=1e-9, atol=1e-9 * literal.max())


def test_what_is_not_there_is_left_out_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    made = registry.assemble(["torch"], registry.QUICK)
    assert made.cases == []
    assert "pip install 'isacblocks[bench]'" in made.skipped["torch"]


def test_torch_gives_the_same_answer_and_its_steps_run() -> None:
    pytest.importorskip("torch")
    made = registry.assemble(["torch"], registry.QUICK)
    assert made.agreement["torch dense, gradient"] > 0.9
    for one in made.cases:
        units, seconds = one.sample()
        assert units == (registry.QUICK.batch if "training" in one.name else registry.QUICK.frames)
        assert seconds > 0


def test_the_flowgraph_is_measured_as_a_whole(tmp_path: Path) -> None:
    done = bench("--quick", "--only", "flowgraph", "--json", tmp_path / "bench.json")
    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "bench.json").read_text())["flowgraph"]
    assert run["frames"] == 64
    full = json.loads((tmp_path / "bench.json").read_text())["flowgraph_full"]
    assert {*FULL, "ofdm_source", "evaluation"} == set(full["blocks_us_per_frame"])
    assert {*BLOCKS, "ofdm_source", "evaluation"} == set(run["blocks_us_per_frame"])
    work = {name: spent["work_seconds"] for name, spent in run["blocks_us_per_frame"].items()}
    assert run["slowest"] == max(work, key=work.__getitem__)
    assert run["of_slowest"] == pytest.approx(work[run["slowest"]] / run["us_per_frame"])


@pytest.mark.slow
def test_starts_are_measured_in_an_empty_cache(tmp_path: Path) -> None:
    done = bench("--quick", "--only", "start", "--json", tmp_path / "bench.json")
    assert done.returncode == 0, done.stderr
    start = json.loads((tmp_path / "bench.json").read_text())["start"]
    assert list(start["cold"]) == ["import", "compression", "detection"]
    assert start["cold_total"] == pytest.approx(sum(start["cold"].values()))
    assert start["warm_total"] == pytest.approx([sum(values[0] for values in start["warm"].values())])
    assert start["cache"]["kernels"] > 10
    assert len(start["first_16_frames"]) == len(start["help"]) == 1


def test_samples_last_and_ratios_are_taken_within_rounds() -> None:
    calls = []

    def run() -> float:
        calls.append(sum(range(1000)))
        return 2.0

    units, seconds = case("a", "", run, least=2e-3).sample()
    assert seconds >= 2e-3
    assert units == 2 * len(calls)
    slow, quick = iter([9.0, 4.0, 8.0, 12.0]), iter([9.0, 1.0, 4.0, 2.0])  # of each, the first warms up
    cases = [
        Case("slow", "", lambda: (1.0, next(slow)), "thread"),
        Case("quick", "", lambda: (1.0, next(quick)), "thread"),
    ]
    results = measure(cases, 3)
    assert results["slow"].seconds == [4.0, 8.0, 12.0]
    made = ratio(results, "quick", "slow")
    assert made.median == 4.0  # of 4, 2 and 6
    assert made.low < 4.0 < made.high
    assert ratios(results) == []
    assert case("a", "", run, clock=THREAD).clock == "thread"


def test_wrong_calls_are_told() -> None:
    done = bench("--quick", "--only", "nothing")
    assert done.returncode == 2
    assert "--only nothing: expected a case or some of limits, numpy" in done.stderr
    done = bench("page", "--quick")
    assert done.returncode == 2
    assert "figures come from a whole run" in done.stderr


def test_single_cases_can_be_chosen() -> None:
    made = registry.assemble(["detector", "blocks"], registry.QUICK)
    made.close()
    assert [one.name for one in made.cases if one.group != "blocks"] == ["detector"]
    assert {one.name for one in made.cases if one.group == "blocks"} >= set(BLOCKS.values())


def test_curves_are_drawn(tmp_path: Path) -> None:
    done = bench("curves", "--quick", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line for line in (tmp_path / "curves.csv").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "sweep,size,case,us,us_low,us_high,limit_us"
    assert {line.split(",")[0] for line in lines[1:]} == {"antennas", "subcarriers", "grid", "message", "threads"}
    for sweep in ("antennas", "subcarriers", "grid", "message", "threads"):
        assert (tmp_path / f"{sweep}.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_holds_the_json_s_numbers() -> None:
    done = bench("fill", "--check")
    assert done.returncode == 0, done.stderr
    kept = json.loads((ROOT / "docs" / "results" / "performance.json").read_text())
    text = (ROOT / "docs" / "performance.md").read_text()
    assert page.filled(text, kept) == text
    for row in kept["cases"]:
        row["us"] = 2.0 * row.get("us", 0.0)
    assert page.filled(text, kept) != text
    assert report.text(kept)


def test_the_counts_are_those_of_the_sizes() -> None:
    """Eq. (11) counted literally; the folded projection against its loops; the bound is the longer of two."""
    size = operations.Sizes(antennas=4, subcarriers=6, angles=3, delays=5, delay_rank=2, angle_rank=2)
    dense = {stage.name: stage.operations for stage in operations.dense(size)}
    assert dense["delay correlation"] == 4 * sum(1 for _ in np.ndindex(4, 6, 5))
    assert dense["beams"] == 4 * sum(1 for _ in np.ndindex(3, 4, 5))
    compress = {stage.name: stage.operations for stage in operations.compression(size)}
    assert compress["project on the delay basis"] == sum(1 for _ in np.ndindex(4, 6 // 2, 2, 2))  # n, s, d, re and im
    limits = operations.Limits(operations=100.0, bytes=10.0)
    stages = [operations.Stage("a", 200.0, 5.0), operations.Stage("b", 0.0, 40.0)]
    assert limits.seconds(stages[:1]) == 2.0
    assert limits.seconds(stages) == 4.5


def test_the_angle_rank_is_enough_for_the_widest_sector() -> None:
    """The best basis of A functions leaves a millionth of a steering vector, of A - 4 functions much more."""
    scene, radar = Scene(), OfdmRadar()
    rank = operations.sizes(radar, scene, 100, 100).angle_rank
    theta = np.linspace(-0.5, 0.5, 400) * scene.sector_width_max
    vectors = np.exp(-1j * np.pi * np.outer(np.arange(64), np.sin(theta)))
    left = np.linalg.svd(vectors)[0]

    def residual(count: int) -> float:
        rest = vectors - left[:, :count] @ (left[:, :count].conj().T @ vectors)
        return float(np.linalg.norm(rest, axis=0).max() / 8)

    assert residual(rank) < 2e-6
    assert residual(rank - 4) > 1e-4
