"""GNU Radio Companion: our blocks in examples that grcc compiles, and that run."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from programs import run
from test_gnuradio_live import COUNT, PYTHON, RADAR, UPDATES, absence, simulated

from isacblocks import kappa_error
from isacblocks.blocks import Probe
from isacblocks.frontends import GnuRadioSource
from isacblocks.stream import Flowgraph

GRC = ROOT / "grc"


STATES = "states: {coordinate: [8, 8], rotation: 0, state: enabled}"


def drawn(text: str, where: Path, **words: object) -> Path:
    """A drawing with these words in the places of their names."""
    for name, word in {"STATES": STATES, **words}.items():
        text = text.replace(name, str(word))
    where.write_text(text)
    return where


def compiled(drawing: Path, where: Path) -> Path:
    """A drawing as a Python program."""
    if absence():
        pytest.skip(absence() or "")
    if shutil.which("grcc") is None:
        pytest.skip("grcc is not installed (it comes with gnuradio)")
    run("grcc", "-o", where, drawing, env={"GRC_BLOCKS_PATH": str(GRC), "PYTHONPATH": str(GRC)})
    return where / f"{drawing.stem}.py"


def test_the_example_compiles_and_calibrates(tmp_path: Path) -> None:
    """GNU Radio's Python starts ours by the command in the block, and gets kappa back."""
    made = compiled(GRC / "calibrated_array.grc", tmp_path)
    frames, truth = simulated(RADAR, COUNT)
    frames.tofile(tmp_path / "frames.c64")
    at, out = f"ipc://{tmp_path}/at", tmp_path / "kappa.c64"
    command = f"{sys.executable} {ROOT / 'flowgraphs' / 'from_gnuradio.py'}"
    options = {"a": at, "c": command, "f": tmp_path / "frames.c64", "r": out, "u": UPDATES, "n": 8, "s": 32}
    program = [PYTHON, str(made), *(word for name, value in options.items() for word in (f"-{name}", str(value)))]
    environment = {**os.environ, "PYTHONPATH": str(GRC)}
    child = subprocess.Popen(program, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        until = time.monotonic() + 180
        while not out.exists() or out.stat().st_size < 8 * 8 * UPDATES:
            assert child.poll() is None, child.communicate()[1]
            assert time.monotonic() < until
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)  # a flowgraph with a message source does not end by itself
        _, said = child.communicate(timeout=60)
        assert child.returncode == 0, said
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
    kappas = np.fromfile(out, np.complex64).reshape(-1, 8)
    assert len(kappas) == UPDATES
    assert kappa_error(np.ones(8), truth, RADAR).loss_db > 1.0
    assert kappa_error(kappas[-1].astype(np.complex128), truth, RADAR).loss_db < 0.05


SAMPLES = """
options: {parameters: {id: to_isacblocks, generate_options: no_gui, output_language: python, run_options: run}, STATES}
blocks:
- {name: first, id: blocks_vector_source_x, parameters: {repeat: 'False', vector: 'range(5000)'}, STATES}
- {name: second, id: blocks_vector_source_x, parameters: {repeat: 'False', vector: 'range(5000, 10000)'}, STATES}
- {name: samples, id: isacblocks_samples, parameters: {channels: '2', at: 'ENDPOINT'}, STATES}
connections:
- [first, '0', samples, '0']
- [second, '0', samples, '1']
metadata: {file_format: 1}
"""


def test_channels_come_sample_by_sample(tmp_path: Path) -> None:
    """As front_end() in isacblocks/frontends/named.py takes them for raw_iq and record_iq."""
    endpoint = f"ipc://{tmp_path}/samples"
    program = compiled(drawn(SAMPLES, tmp_path / "to_isacblocks.grc", ENDPOINT=endpoint), tmp_path)
    source = GnuRadioSource(endpoint, (2,), pattern="pull", tags=True, group=500, axis=1, field="iq", end_after=5.0)
    fg, probe = Flowgraph("from_channels"), Probe()
    fg.connect(source, probe)
    child = subprocess.Popen([PYTHON, str(program)], env={**os.environ, "PYTHONPATH": str(GRC)}, stdin=subprocess.DEVNULL)
    try:
        fg.run(items=10)
    finally:
        child.kill()
        child.wait()
    came = probe.values["iq"]
    np.testing.assert_array_equal(came.transpose(1, 0, 2).reshape(2, -1), np.arange(10_000).reshape(2, -1))


CORRECTOR = """
options: {parameters: {id: corrected, generate_options: no_gui, output_language: python, run_options: run}, STATES}
blocks:
- {name: frames, id: blocks_file_source, parameters: {vlen: '24', repeat: 'False', file: PATH/frames.c64}, STATES}
- {name: kappa, id: blocks_file_source, parameters: {vlen: '2', repeat: 'False', file: PATH/kappa.c64}, STATES}
- {name: corrector, id: isacblocks_corrector, parameters: {antennas: '2', subcarriers: '8', sectors: 'False'}, STATES}
- {name: sink, id: blocks_file_sink, parameters: {type: complex, vlen: '24', file: PATH/corrected.c64}, STATES}
connections:
- [frames, '0', corrector, '0']
- [kappa, '0', corrector, '1']
- [corrector, '0', sink, '0']
metadata: {file_format: 1}
"""


def test_frames_are_divided_by_the_newest_kappa(tmp_path: Path) -> None:
    """From some frame on; the symbols behind the antennas' rows are as they were."""
    rng = np.random.default_rng(1)
    frames = rng.normal(size=(20_000, 3, 8, 2)).astype(np.float32).view(np.complex64)[..., 0]
    kappas = np.array([[1.0, 1.0j], [0.5, 2.0 + 1.0j]], np.complex64)
    frames.tofile(tmp_path / "frames.c64")
    kappas.tofile(tmp_path / "kappa.c64")
    run(
        PYTHON, compiled(drawn(CORRECTOR, tmp_path / "corrected.grc", PATH=tmp_path), tmp_path), env={"PYTHONPATH": str(GRC)}
    )
    found = np.fromfile(tmp_path / "corrected.c64", np.complex64).reshape(frames.shape)
    np.testing.assert_array_equal(found[:, 2], frames[:, 2])
    choices = [np.ones(2, np.complex64), *(1 / kappas)]
    fits = np.array([np.isclose(found[:, :2], frames[:, :2] * one[:, None], rtol=1e-5).all(axis=(1, 2)) for one in choices])
    assert fits.any(axis=0).all()
    assert fits[2, -1]
    assert (np.diff(fits.argmax(axis=0)) >= 0).all()


def test_a_command_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    if absence():
        pytest.skip(absence() or "")
    code = f"import isacblocks_gr; isacblocks_gr.calibrator(8, 32, at='ipc://{tmp_path}/at', command='nowhere run it')"
    done = run(PYTHON, "-c", code, status=1, env={"PYTHONPATH": str(GRC)})
    assert "'nowhere run it' cannot be started: No such file or directory; give the path of a command" in done.stderr
    assert f"isacblocks run from_gnuradio --at ipc://{tmp_path}/at --antennas 8 --subcarriers 32" in done.stderr


def test_the_module_needs_nothing_of_ours() -> None:
    if absence():
        pytest.skip(absence() or "")
    code = "import sys, isacblocks_gr; print(sorted({'isacblocks', 'numba', 'msgspec', 'scipy'} & set(sys.modules)))"
    done = run(PYTHON, "-c", code, env={"PYTHONPATH": str(GRC)})
    assert done.stdout.strip() == "[]"
