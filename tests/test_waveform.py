"""Waveforms in TOML files, simulated samples of them, and the way from raw samples to kappa in one command."""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from isacblocks import kappa_error
from isacblocks.blocks.calibration_file import load_calibration
from isacblocks.blocks.recording import Recording
from isacblocks.cli.find import find_waveform
from isacblocks.cli.script import UsageError
from isacblocks.frontends import SigmfSink, SimulatedIq, SoapySource, read_waveform
from isacblocks.frontends.named import add_options, front_end
from isacblocks.frontends.waveform_file import WaveformError
from isacblocks.kernels.scene import draw_scene
from isacblocks.kernels.steering import steering_vectors
from isacblocks.radar import Scene
from isacblocks.stream import Flowgraph, jig
from isacblocks.stream.block import create

FILE = ROOT / "flowgraphs" / "ofdm_waveform.toml"
SMALL = "antennas = 8\nsubcarriers = 32\nqpsk = 4\nprefix = 8\nsize = 64\nfirst_bin = -16\nclutter = 32\n"


def written(where: Path, text: str = SMALL) -> Path:
    path = where / "wave.toml"
    path.write_text(text)
    return path


def script(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "isacblocks", *name.split(), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"antennas": "0"}, "wave.toml: antennas: expected int >= 1, got 0"),
        (
            {"antennas": None},
            "antennas: expected this key; a waveform needs antennas, subcarriers, prefix, and either symbols",
        ),
        (
            {"timing": '"clock"'},
            'timing: expected "preamble", "prefix", or the number of the first sample of symbol 0, got ',
        ),
        ({"antenas": "1"}, "antenas: unknown key; did you mean antennas? Known: antennas, subcarriers,"),
        ({"sector": "[30, -30]"}, "the lower limit first"),
        ({"size": "16"}, "a DFT of at least 32 points"),
        ({"prefix": "64"}, "more than the prefix's 64"),
        ({"qpsk": None}, "either symbols"),
        ({"data": "8", "order": "8"}, "order: expected 4, 16, 64 or 256, got 8"),
        ({"symbols": '"gone.npy"', "qpsk": None}, "gone.npy"),
        ({"symbols": '"real.npy"', "qpsk": None}, "expected complex numbers (P, 32), got float64 (4, 32)"),
        ({"antennas": "= ="}, "wave.toml"),
    ],
)
def test_what_is_no_waveform_is_named(change: dict[str, str | None], words: str, tmp_path: Path) -> None:
    np.save(tmp_path / "real.npy", np.ones((4, 32)))
    lines = dict(line.split(" = ") for line in SMALL.splitlines()) | change
    path = written(tmp_path, "".join(f"{key} = {value}\n" for key, value in lines.items() if value is not None))
    with pytest.raises(WaveformError) as caught:
        read_waveform(path).sent(tmp_path)
    assert words in str(caught.value)


def test_symbols_of_a_file_are_those_that_are_sent(tmp_path: Path) -> None:
    symbols = np.exp(1j * np.arange(64).reshape(2, 32)).astype(np.complex64)
    np.save(tmp_path / "mine.npy", symbols)
    wave = read_waveform(written(tmp_path, SMALL.replace("qpsk = 4", 'symbols = "mine.npy"')))
    np.testing.assert_array_equal(wave.receiver(tmp_path, 100).symbols, symbols)


@pytest.mark.parametrize("antennas", [8, 64])
def test_simulated_samples_become_the_frames_of_the_equation(tmp_path: Path, antennas: int) -> None:
    """Eq. (8) with the direct path as well, to the rounding: no noise to speak of, the trigger shared."""
    text = SMALL.replace("clutter = 32", "timing = 0\nnoise_power = 1e-12").replace("antennas = 8", f"antennas = {antennas}")
    wave = read_waveform(written(tmp_path, text))
    scene = Scene(range_min=1.0, target_probability=0.7)
    source = SimulatedIq(wave, length=150, scene=scene, leakage=0.5, seed=3)
    iq, _ = jig.run(source, items=40)
    frame = jig.run(wave.receiver(tmp_path, 150), {"iq": iq["iq"]})[0]["frame"]
    count = 40 * 150 // wave.period
    truth, radar = draw_scene(3, 0, count, wave.radar(), scene), wave.radar()
    delays = np.exp(-2j * np.pi * truth.tau[:, None] * np.arange(32) * wave.subcarrier_spacing)
    echo = truth.gamma[:, None, None] * steering_vectors(truth.theta, radar)[:, :, None] * delays[:, None, :]
    direct = 0.5 * steering_vectors(np.zeros(1), radar)[0][None, :, None]
    sent = source.symbols[np.arange(count) % 4]
    np.testing.assert_array_equal(frame["x"], sent)
    wanted = 1e6 * source.kappa[:, None] * (echo + direct) * sent[:, None, :]
    np.testing.assert_allclose(frame["y"], wanted, atol=1e-5 * np.abs(wanted).max())
    assert 0 < truth.present.sum() < count


def test_simulated_samples_are_the_same_in_any_portions(tmp_path: Path) -> None:
    wave = read_waveform(written(tmp_path))
    jig.check(lambda: SimulatedIq(wave, length=100, offset=0.2, seed=5), items=24)
    again = create(SimulatedIq(wave, tmp_path, length=100, seed=5).describe())  # as another process makes it
    assert isinstance(again, SimulatedIq)
    assert again.wave == wave


def test_from_raw_samples_to_kappa_in_one_command(tmp_path: Path) -> None:
    """While they come, from a recording of them, and by `calibrate`: each time kappa is what the simulation knows."""
    pytest.importorskip("sigmf", reason="the library sigmf is not installed (extra sigmf)")
    text = FILE.read_text() + "data = 8\norder = 16 # half of the symbols are not known and have to be decided\n"
    path = written(tmp_path, text)
    wave = read_waveform(path)
    source = SimulatedIq(wave, tmp_path, leakage=3.0)
    done = script(
        "run raw_iq simulated", path, "--frames", 700, "--calibration", tmp_path / "a.json", "--record", tmp_path / "a.isac"
    )
    assert done.returncode == 0, done.stderr
    assert len(Recording(tmp_path / "a.isac")) >= 690
    fg = Flowgraph()
    fg.connect(source, SigmfSink(tmp_path / "raw"))
    fg.run(items=700 * wave.period // 1024)
    recording = tmp_path / "raw.sigmf-meta"
    assert script("run raw_iq", recording, path, "--calibration", tmp_path / "b.json").returncode == 0
    done = script("calibrate", recording, "--waveform", path)
    assert done.returncode == 0, done.stderr
    radar = wave.radar()
    assert kappa_error(np.ones(16), source.kappa, radar).loss_db > 3
    for name in ("a.json", "b.json", "raw.kappa.json"):
        assert kappa_error(load_calibration(tmp_path / name, radar).vector, source.kappa, radar).loss_db < 0.3
    done = script("calibrate", recording)
    assert done.returncode == 2
    assert "--waveform" in done.stderr
    done = script("calibrate", recording, "--waveform", "small_array")  # a campaign
    assert done.returncode == 2
    assert "small_array: expected the path of a waveform, NAME.toml, or one of ofdm_waveform; to make one" in done.stderr


def test_a_receiver_without_an_end_is_stopped_and_what_it_learned_is_kept(tmp_path: Path) -> None:
    wave = read_waveform(FILE)
    frames, kappa = tmp_path / "a.isac", tmp_path / "a.json"
    command = [sys.executable, "-m", "isacblocks", "run", "raw_iq", "simulated", str(FILE)]
    child = subprocess.Popen(
        [*command, "--record", str(frames), "--calibration", str(kappa)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until = time.monotonic() + 240
        while not frames.exists() or frames.stat().st_size < 500 * 8 * wave.antennas * wave.subcarriers:
            assert child.poll() is None, child.communicate()
            assert time.monotonic() < until
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        out, errors = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 130, errors
    assert f"calibration: {kappa}" in out
    radar, truth = wave.radar(), SimulatedIq(wave, leakage=3.0).kappa
    assert kappa_error(load_calibration(kappa, radar).vector, truth, radar).loss_db < 0.5


def test_samples_that_are_not_of_the_waveform_leave_no_calibration(tmp_path: Path) -> None:
    """Noise; another number of channels, another rate: each time it is said, and nothing is written."""
    pytest.importorskip("sigmf", reason="the library sigmf is not installed (extra sigmf)")
    wave, path = read_waveform(written(tmp_path)), tmp_path / "wave.toml"
    fg = Flowgraph()
    fg.connect(SimulatedIq(wave, length=1024, scene=Scene(target_probability=0.0), leakage=0.0), SigmfSink(tmp_path / "raw"))
    fg.run(items=40)
    recording, kappa = tmp_path / "raw.sigmf-meta", tmp_path / "kappa.json"
    for command in ("run raw_iq {} {}", "calibrate {} --waveform {}"):
        done = script(command.format(recording, path), "--calibration", kappa)
        assert done.returncode in (1, 2), done.stderr
        assert "no symbol begins in the samples" in done.stderr
        assert "raw.sigmf-meta: no frame came of its samples, so that nothing is learned" in done.stderr
        other = tmp_path / "other.toml"
        other.write_text(SMALL.replace("antennas = 8", "antennas = 4"))
        done = script(command.format(recording, other), "--calibration", kappa)
        assert done.returncode == 2
        assert "raw.sigmf-meta: expected 4 channels, as many as the waveform has antennas, got 8; say so" in done.stderr
        assert not kappa.exists()
    done = script("run raw_iq soapy:driver=lime", path, "--rate", "20e6", "--calibration", kappa)
    assert done.returncode == 2
    assert "rate: expected 15360000 Hz within 0.1%, the waveform's 64 x 240000 Hz, got 20000000" in done.stderr


def test_what_the_waveform_says_need_not_be_said_again(tmp_path: Path) -> None:
    wave, parser = read_waveform(written(tmp_path)), argparse.ArgumentParser()
    add_options(parser, simulated=True)
    source = front_end(parser.parse_args(["soapy:driver=lime"]), 100, wave)
    assert isinstance(source, SoapySource)
    assert (source.channels, source.rate) == (tuple(range(8)), wave.rate)
    for kind, channels in (("kraken:", 5), ("soapy:", 2), ("gnuradio:ipc:///tmp/x", 2)):
        assert front_end(parser.parse_args([kind]), 100).dimensions()["C"] == channels
        with pytest.raises(WaveformError, match=r"expected 8 channels, .* got 3"):
            front_end(parser.parse_args([kind, "--channels", "3"]), 100, wave)


def test_what_it_does_not_know_is_named(tmp_path: Path) -> None:
    done: Any = script("run raw_iq radio:x", written(tmp_path))
    assert done.returncode == 2
    assert "expected simulated, soapy:DEVICE, kraken:HOST:PORT" in done.stderr


def test_a_waveform_is_found_by_name_and_by_path(tmp_path: Path) -> None:
    assert find_waveform("ofdm_waveform") == FILE
    assert find_waveform(str(written(tmp_path))) == tmp_path / "wave.toml"
    for name in ("online_calibration", str(tmp_path / "gone.toml"), str(tmp_path / "wave.npy")):
        with pytest.raises(UsageError, match=re.escape(f"; to make one, copy {FILE} and change it")):
            find_waveform(name)
