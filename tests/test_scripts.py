"""The flowgraph scripts and the command line, as they are called from outside: options, reports, statuses, errors."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from isacblocks import OfdmRadar
from isacblocks.blocks.calibration_file import calibration_of, save_calibration
from isacblocks.blocks.recording import Recording

ONLINE = ROOT / "flowgraphs" / "online_calibration.py"
REPLAY = ROOT / "flowgraphs" / "replay_recording.py"


def call(*command: Any, where: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *(str(part) for part in command)],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
        cwd=where or ROOT,
        env={**os.environ, **environment},
    )


def report_apart(tmp_path: Path, *options: Any) -> dict[str, Any]:
    """The report of the online calibration with these options, in a process of its own."""
    path = tmp_path / "report.json"
    done = call(ONLINE, "--no-view", "--report", path, *options)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@cache
def online() -> Callable[[list[str]], int]:
    """The script's main."""
    main: Callable[[list[str]], int] = runpy.run_path(str(ONLINE))["main"]
    return main


def report_of(tmp_path: Path, *options: Any) -> dict[str, Any]:
    """The same of a run in here: where figures are looked at, starting Python takes longer than what is looked at."""
    path = tmp_path / "report.json"
    path.unlink(missing_ok=True)
    assert online()(["--no-view", "--report", str(path), *map(str, options)]) == 0
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_the_report_has_everything_it_promises(placement: str, tmp_path: Path) -> None:
    report = report_apart(tmp_path, "--frames", 600, "--seed", 5, "--placement", placement)
    assert (report["frames"], report["seed"], report["placement"]) == (600, 5, placement)
    assert report["frames_per_second"] == pytest.approx(600 / report["seconds"])
    rows = report["kappa_error"]
    assert {"frames", "phase_db", "ramp_db", "slope_deg", "loss_db"} <= rows[0].keys()
    assert [row["frames"] for row in rows] == sorted({row["frames"] for row in rows})
    assert {400, 600} <= {row["frames"] for row in rows}
    assert rows[-1]["frames"] == 600
    assert rows[-1]["loss_db"] < 0.1 < rows[0]["loss_db"]
    assert rows[-1]["ramp_db"] <= rows[-1]["phase_db"] + 1e-9
    detection = report["detection"]
    promised = {"p_fa_nominal", "p_fa", "p_d", "position_rmse_m", "position_median_m", "outlier_rate"}
    assert promised <= detection.keys()
    assert detection["p_fa_nominal"] == 0.01
    assert 0.5 < detection["p_d"] < 0.85
    assert 0.1 < detection["position_median_m"] < 0.25
    receiver = report["receiver"]
    assert receiver["snr_db"] == pytest.approx(15, abs=1.5)
    assert receiver["target_probability"] == pytest.approx(0.5, abs=0.15)
    assert receiver["noise_power"] == pytest.approx(1, abs=0.01)
    assert 0.02 < receiver["sigma_rad"] < 0.2
    assert receiver["health"] == {}
    assert len(report["edges"]) == 9
    for edge in report["edges"]:
        assert {"from", "to", "produced", "committed", "in_flight", "dropped"} <= edge.keys()
        assert edge["produced"] == edge["committed"] + edge["in_flight"] + edge["dropped"]
        assert edge["in_flight"] == edge["dropped"] == 0
        assert edge["produced"] == (75 if edge["from"] == "kappa_calibrator.kappa" else 600)


def test_frames_drawn_whole_are_compressed_and_tell_the_same(tmp_path: Path) -> None:
    report = report_of(tmp_path, "--frames", 600, "--seed", 5, "--full-frames")
    ends = {(edge["from"], edge["to"]) for edge in report["edges"]}
    assert {
        ("impaired_channel.frame", "delay_compressor.frame"),
        ("delay_compressor.compressed", "angle_delay_map.compressed"),
    } <= ends
    assert report["kappa_error"][-1]["loss_db"] < 0.1
    assert 0.5 < report["detection"]["p_d"] < 0.85
    assert report["receiver"]["noise_power"] == pytest.approx(1, abs=0.01)


def test_metrics_beyond_this_machine_need_a_token(tmp_path: Path) -> None:
    done = call(ONLINE, "--frames", 16, "--no-view", "--metrics", "0.0.0.0:0")
    assert done.returncode == 2
    assert "it needs a token" in done.stderr
    token = tmp_path / "token"
    token.write_text("a-token-that-is-long-enough")
    token.chmod(0o600)
    done = call(ONLINE, "--frames", 16, "--no-view", "--metrics", "0.0.0.0:0", "--token-file", token)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^metrics: http://0\.0\.0\.0:\d+/metrics$", done.stderr, re.MULTILINE)


@pytest.mark.parametrize("method", ["online", "em", "adam-max", "adam-reconstruction", "known", "none"])
def test_every_method_runs(tmp_path: Path, method: str) -> None:
    report = report_of(tmp_path, "--frames", 400, "--method", method)
    assert report["method"] == method
    assert bool(report["kappa_error"]) == (method not in ("known", "none"))
    if method in ("online", "em"):
        assert report["kappa_error"][-1]["loss_db"] < 0.1


@pytest.mark.parametrize("option", ["--told", "--refine", "--full-circle"])
def test_the_receiver_can_be_told_refine_and_start_from_nothing(tmp_path: Path, option: str) -> None:
    law = "full-circle" if option == "--full-circle" else "table1"
    report = report_of(tmp_path, "--frames", 600, option, "--impairments", law)
    assert report["kappa_error"][-1]["loss_db"] < 0.05
    receiver = report["receiver"]
    assert (receiver["snr_db"] == 15) == (option == "--told")
    assert (receiver["acceptance"] or 0) > 7 or option != "--full-circle"


def test_an_antenna_that_jumps_is_named_while_it_is_learned_anew(tmp_path: Path) -> None:
    report = report_of(tmp_path, "--frames", 1600, "--step", "1530:3,40:90")
    assert report["receiver"]["health"].keys() == {"restarted"}
    assert set(report["receiver"]["health"]["restarted"]) <= {3, 40}
    late = report_of(tmp_path, "--frames", 2400, "--step", "1000:3,40:90")
    assert late["receiver"]["health"] == {}
    assert late["kappa_error"][-1]["loss_db"] < 0.015


def test_scene_options_do_what_they_say(tmp_path: Path) -> None:
    base = report_of(tmp_path, "--frames", 800, "--seed", 2)
    weak = report_of(tmp_path, "--frames", 800, "--seed", 2, "--snr", 8)
    assert weak["detection"]["p_d"] < base["detection"]["p_d"] - 0.2
    near = report_of(tmp_path, "--frames", 300, "--range-min", 20, "--range-max", 30)
    assert near["scene"]["range_max"] == 30
    published = report_of(tmp_path, "--frames", 800, "--seed", 2, "--impairments", "published", "--method", "none")
    plain = report_of(tmp_path, "--frames", 800, "--seed", 2, "--method", "none")
    assert published["detection"]["p_d"] < plain["detection"]["p_d"] - 0.05
    assert report_of(tmp_path, "--frames", 100, "--p-fa", 0.1)["detection"]["p_fa_nominal"] == 0.1


def test_steps_and_drift_are_followed_without_being_told(tmp_path: Path) -> None:
    stepped = report_of(tmp_path, "--frames", 2000, "--step", "1000:3,17,40,63:90", "--seed", 4)
    losses = {row["frames"]: row["loss_db"] for row in stepped["kappa_error"]}
    assert stepped["memory"] is None
    assert losses[1200] < 0.05
    assert losses[2000] < losses[1000]
    followed, fixed = [], []
    for seed in (3, 4):
        drift = ("--frames", 3000, "--drift", 10, "--seed", seed)
        followed.append(report_of(tmp_path, *drift)["kappa_error"][-1]["loss_db"])
        remembered = report_of(tmp_path, *drift, "--method", "online", "--memory", 1e9)
        fixed.append(remembered["kappa_error"][-1]["loss_db"])
    assert max(followed) < 0.07
    assert sum(followed) < 0.5 * sum(fixed)


def test_the_memory_of_the_online_method_is_matched_to_steps_and_drift(tmp_path: Path) -> None:
    online = ("--method", "online", "--seed", 4)
    stepped = report_of(tmp_path, "--frames", 4000, "--step", "1000:3,17,40,63:90", *online)
    assert stepped["memory"] == 1000
    losses = {row["frames"]: row["loss_db"] for row in stepped["kappa_error"]}
    assert losses[1200] > 3 * losses[1000]
    assert losses[4000] < losses[1200] / 2
    drifting = report_of(tmp_path, "--frames", 3000, "--drift", 10, *online)
    assert 50 < drifting["memory"] < 1000
    fixed = report_of(tmp_path, "--frames", 3000, "--drift", 10, *online, "--memory", 1e9)
    assert drifting["kappa_error"][-1]["loss_db"] < 0.7 * fixed["kappa_error"][-1]["loss_db"]


def test_a_calibration_is_saved_used_again_and_refused_where_it_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "kappa.json"
    first = report_of(tmp_path, "--frames", 800, "--calibration", path)
    saved = json.loads(path.read_text())
    assert len(saved["kappa"]) == 64
    assert saved["frames"] == 800
    assert saved["radar"]["antennas"] == 64
    assert first["kappa_error"][-1]["loss_db"] < 0.03
    second = report_of(tmp_path, "--frames", 16, "--calibration", path)
    fresh = report_of(tmp_path, "--frames", 16)
    assert second["kappa_error"][0]["loss_db"] < fresh["kappa_error"][0]["loss_db"] / 20
    save_calibration(path, calibration_of(OfdmRadar(antennas=32), np.ones(32)))
    done = call(ONLINE, "--no-view", "--frames", 16, "--calibration", path)
    assert done.returncode == 2
    assert re.fullmatch(
        r"online_calibration: error: .*was made for antennas 32, this array has 64; recalibrate\n", done.stderr
    )


def test_the_picture(tmp_path: Path) -> None:
    done = call(ONLINE, "--frames", 200, where=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "picture: online_calibration.png" in done.stdout
    data = (tmp_path / "online_calibration.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) > 50_000
    assert "frames/s" in done.stdout
    assert "finished" in done.stderr  # the live line, plain where it is not a terminal


def test_without_matplotlib_there_is_a_line_instead_of_a_picture(tmp_path: Path) -> None:
    (tmp_path / "matplotlib.py").write_text("raise ImportError('hidden for a test')\n")
    done = call(ONLINE, "--frames", 32, "--no-view", "--plot", tmp_path / "p.png", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0
    assert "no picture: matplotlib is not installed; pip install 'isacblocks[plot]'" in done.stdout


def test_a_run_resumes_from_its_checkpoint(tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    whole = report_apart(tmp_path, "--frames", 8192, "--seed", 3)
    report_apart(tmp_path, "--frames", 4096, "--seed", 3, "--checkpoint", cut)
    assert (cut / "manifest.json").exists()
    resumed = report_apart(tmp_path, "--frames", 8192, "--seed", 3, "--checkpoint", cut)
    assert resumed["kappa_error"] == whole["kappa_error"]
    assert resumed["detection"] == whole["detection"]


def test_recording_on_the_way_and_replaying_it(tmp_path: Path) -> None:
    path = tmp_path / "frames.isac"
    report_of(tmp_path, "--frames", 1200, "--record", path, "--seed", 6)
    recording = Recording(path)
    assert len(recording) == 1200
    assert recording.radar() == OfdmRadar()
    done = call(REPLAY, path, "--report", tmp_path / "r.json", "--calibration", tmp_path / "c.json")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["learned_from"] == 600
    assert report["efficiency_after"]["mean"] > 1.4 * report["efficiency_before"]["mean"]
    assert report["snr_db"] == pytest.approx(15, abs=2.5)
    assert len(json.loads((tmp_path / "c.json").read_text())["kappa"]) == 64


def test_a_real_recording_combines_better_after_than_before(chirps: Path, placement: str, tmp_path: Path) -> None:
    """64 chirps to learn from, the other 64 to judge by; nobody simulated these."""
    picture = tmp_path / "p.png"
    done = call(REPLAY, chirps, "--report", tmp_path / "r.json", "--plot", picture, "--placement", placement)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["frames"], report["learned_from"], report["judged_by"]) == (128, 64, 64)
    before, after = report["efficiency_before"], report["efficiency_after"]
    assert after["mean"] > before["mean"] + 0.01
    assert after["median"] > before["median"] + 0.01
    assert after["mean"] < 1
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "combining efficiency" in done.stdout


@pytest.mark.parametrize("options", [("--split", "interleaved"), ("--window", "40", "90")])
def test_a_real_recording_split_and_windowed_otherwise(chirps: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    done = call(REPLAY, chirps, "--report", tmp_path / "r.json", *options)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["efficiency_after"]["mean"] > report["efficiency_before"]["mean"] + 0.01


# Errors: one line, the right status


@pytest.mark.parametrize(
    ("options", "status", "word"),
    [
        (["--frames", "0"], 2, "expected a whole number of at least 1"),
        (["--frames", "many"], 2, "expected a whole number of at least 1, got many"),
        (["--seed", "-1"], 2, "expected a whole number from 0"),
        (["--placement", "cloud"], 2, "invalid choice"),
        (["--method", "magic"], 2, "invalid choice"),
        (["--impairments", "cauchy"], 2, "invalid choice"),
        (["--snr", "nan"], 2, "snr_db must be a finite number"),
        (["--range-max", "60"], 2, "later than the cyclic prefix"),
        (["--range-min", "0"], 2, "range_min must be a positive number"),
        (["--range-min", "43.8"], 2, "beyond the farthest range"),
        (["--drift", "-3"], 2, "--drift: expected at least 0"),
        (["--step", "10:64:90"], 2, "antennas 0 to 63"),
        (["--step", "ten"], 2, "--step: expected FRAME:ANTENNAS:DEG"),
        (["--step", "64:3:90"], 2, "there is no frame 64 in a run of 64"),
        (["--p-fa", "2"], 2, "p_fa: expected a value"),
        (["--memory", "0"], 2, "--memory: expected at least 1"),
        (["--port", "99999"], 2, "--port: expected 1 to 65535"),
        (["--report", "/no/such/place/r.json"], 2, "there is no directory"),
        (["--plot", "/"], 2, "is a directory"),
        (["--plot", "p.foo"], 2, "expected a name that ends in one of .png, .pdf, .svg, .jpg, .webp, got p.foo"),
        (["--record", "/no/such/place/f.isac"], 2, "there is no directory"),
        (["--calibration", "{noise}"], 2, "not a calibration file"),
        (["--checkpoint", "{noise}"], 1, "File exists"),
        (["--nonsense"], 2, "unrecognized arguments"),
    ],
)
def test_bad_options_are_one_clear_line(tmp_path: Path, options: list[str], status: int, word: str) -> None:
    noise = tmp_path / "noise"
    noise.write_bytes(b"\x00\xff nothing")
    done = call(ONLINE, "--no-view", "--frames", "64", *(o.format(noise=noise) for o in options))
    assert done.returncode == status, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert re.match(r"online_calibration: error: ", last), done.stderr
    assert word in last
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("make", "status", "word"),
    [
        (lambda p: None, 2, "No such file"),
        (lambda p: p.write_bytes(b"noise"), 2, "not a .npy file"),
        (lambda p: np.save(p, np.zeros((2, 3))), 2, "expected complex samples"),
        (lambda p: np.save(p, np.full((4, 2, 8), np.nan + 0j)), 2, "NaN or infinite"),
        (lambda p: np.save(p, np.array([{}], dtype=object), allow_pickle=True), 2, "not a .npy file"),
        (lambda p: np.save(p, np.ones((1, 2, 9), complex)), 2, "expected at least 2"),
        (lambda p: np.save(p, np.ones((4, 2, 8), complex)), 2, "expected at least 9 samples in a chirp"),
    ],
)
def test_bad_recordings_are_one_clear_line(tmp_path: Path, make: Any, status: int, word: str) -> None:
    path = tmp_path / "bad.npy"
    make(path)
    done = call(REPLAY, path)
    assert done.returncode == status, done.stderr
    assert re.match(r"replay_recording: error: .*bad\.npy", done.stderr.strip())
    assert word in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_recording_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.isac"
    path.write_bytes(b"noise")
    done = call(REPLAY, path)
    assert done.returncode == 2
    assert "not an isacblocks recording" in done.stderr


def test_a_port_in_use_is_one_clear_line() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = call(ONLINE, "--no-view", "--frames", 64, "--placement", "tcp", "--port", taken.getsockname()[1])
    assert done.returncode == 1
    assert "Address already in use; choose another port" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_place_where_nobody_may_write_is_found_before_anything_runs() -> None:
    """Not even root can make a file in /proc."""
    for option in ("--report", "--plot", "--record", "--calibration"):
        done = call(ONLINE, "--no-view", "--frames", 64, option, "/proc/out.png")
        assert done.returncode == 2
        assert "/proc/out.png: cannot be written to" in done.stderr
        assert "frames/s" not in done.stdout


# The console script


def isacblocks(*arguments: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    return call("-m", "isacblocks", *arguments, **options)


def test_help_says_what_there_is() -> None:
    done = isacblocks("--help")
    assert done.returncode == 0
    for word in ("run", "demo", "info", "warmup", "exit statuses"):
        assert word in done.stdout
    for command in ("run", "info", "warmup"):
        assert isacblocks(command, "--help").returncode == 0
    told = isacblocks("demo", "--help").stdout
    assert "--placement" in told
    assert "dead-antenna  At frame" in told
    assert "--drift" in isacblocks("run", "online_calibration", "--help").stdout
    assert isacblocks("--version").stdout.startswith("isacblocks ")
    assert isacblocks().returncode == 2


def test_info_and_warmup() -> None:
    done = isacblocks("info")
    assert done.returncode == 0
    for word in ("isacblocks", "numpy", "kernels:", "online_calibration", "KappaCalibrator", "compiled"):
        assert word in done.stdout
    assert "the kernels are" in isacblocks("warmup").stdout
    assert isacblocks("info", "more").returncode == 2


def test_run_by_name_by_path_and_not_at_all(tmp_path: Path) -> None:
    assert isacblocks("run", "online_calibration", "--frames", 32, "--no-view").returncode == 0
    mine = tmp_path / "mine.py"
    mine.write_text("import sys\nprint('arguments', sys.argv[1:], __name__)\nsys.exit(7)\n")
    done = isacblocks("run", mine, "--one", "two")
    assert done.stdout == "arguments ['--one', 'two'] __main__\n"
    assert done.returncode == 7
    for name, word in (
        ("nothing", "one of from_gnuradio, from_sigmf, online_calibration"),
        ("no/such.py", "there is no such file"),
        ("./setup.cfg", "expected a script, NAME.py, got .cfg"),
    ):
        done = isacblocks("run", name)
        assert done.returncode == 2
        assert word in done.stderr
    mine.write_text("import sys\nsys.exit('it went wrong')\n")
    done = isacblocks("run", mine)
    assert (done.returncode, done.stderr) == (1, "it went wrong\n")


def test_a_script_of_ones_own_with_blocks_of_its_own_in_every_placement(tmp_path: Path, placement: str) -> None:
    mine = tmp_path / "own.py"
    mine.write_text(
        "import numpy as np\n"
        "from isacblocks.stream import Block, Field, Flowgraph, In, Out, Record, Source, State\n"
        "R = Record('r', (Field('v', 'float64'),))\n"
        "class Ramp(Source):\n"
        "    out = Out(R)\n"
        "    def produce(self, first, count):\n"
        "        return self.out.items(v=np.arange(first, first + count))\n"
        "class Total(Block):\n"
        "    v = In(R)\n"
        "    total = State('float64')\n"
        "    def process(self, v):\n"
        "        self.total += float(v.v.sum())\n"
        "if __name__ == '__main__':\n"
        "    total = Total()\n"
        "    fg = Flowgraph('own')\n"
        "    fg.connect(Ramp(), total)\n"
        f"    fg.run(100, placement={placement!r})\n"
        "    print(total.total)\n"
    )
    for command in ((mine,), ("-m", "isacblocks", "run", mine)):
        done = call(*command, PYTHONPATH=str(ROOT))
        assert (done.returncode, done.stdout) == (0, "4950.0\n"), done.stderr


def test_demo(tmp_path: Path) -> None:
    done = isacblocks("demo", "--frames", 160, where=tmp_path, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "online_calibration.png").exists()
    assert "160 frames" in done.stdout
