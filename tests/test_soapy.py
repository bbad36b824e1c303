"""SoapySDR against a device that is software: tests/soapy_driver.cpp, built here. No radio was at hand."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from isacblocks.blocks import Probe
from isacblocks.frontends import SoapySource
from isacblocks.frontends import soapy_binding as frontend
from isacblocks.frontends.soapy_binding import SoapyError
from isacblocks.stream import BlockError, Flowgraph

LONG = 60.0


@pytest.fixture(scope="session")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with the driver."""
    try:
        frontend.binding()
    except SoapyError as error:
        pytest.skip(str(error))
    if shutil.which("g++") is None or not Path("/usr/include/SoapySDR/Device.hpp").exists():
        pytest.skip("the tests' own driver needs g++ and libsoapysdr-dev")
    where = tmp_path_factory.mktemp("soapy")
    source, made = ROOT / "tests" / "soapy_driver.cpp", where / "libcounting.so"
    subprocess.run(["g++", "-shared", "-fPIC", "-O1", "-o", str(made), str(source), "-lSoapySDR"], check=True, timeout=240)
    return where


@pytest.fixture(autouse=True)
def _plugin_path(plugins: Path) -> Iterator[None]:
    """SoapySDR loads its plugins once per process, when it is first asked."""
    patch = pytest.MonkeyPatch()
    patch.setenv("SOAPY_SDR_PLUGIN_PATH", str(plugins))
    yield
    patch.undo()


def run(items: int, device: str = "driver=counting", **options: Any) -> tuple[SoapySource, dict[str, Any]]:
    source, probe, fg = SoapySource(device, **{"channels": (0, 2), "group": 400, **options}), Probe(), Flowgraph()
    fg.connect(source, probe)
    fg.run(items=items)
    return source, probe.values


def test_samples_of_several_channels_with_their_time() -> None:
    source, came = run(10, rate=2e6, frequency=5e9, gains="10,99")
    numbers = np.arange(4000).reshape(10, 1, 400)
    np.testing.assert_array_equal(came["iq"], numbers + 1j * np.array([[0], [2]]))
    np.testing.assert_array_equal(came["start"], numbers[:, 0, 0])
    np.testing.assert_array_equal(came["seconds"], 1700000000)
    np.testing.assert_allclose(came["fraction"], np.arange(10) * 400 / 2e6, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(came["rate"], 2e6)
    np.testing.assert_array_equal(came["frequency"], 5e9)
    np.testing.assert_array_equal(came["gain"], [[10, 60]] * 10)  # the device has no more than 60 dB
    assert not came["gap"].any()
    assert (source.lost, source.overflows) == (0, 0)


def test_an_overflow_is_a_gap_of_known_length() -> None:
    source, came = run(10, "driver=counting,overflow_at=1000,overflow_lost=321")
    np.testing.assert_array_equal(came["iq"][:, 0].real, came["start"][:, None] + np.arange(400))
    np.testing.assert_array_equal(came["start"][:4], [0, 400, 1321, 1721])
    np.testing.assert_array_equal(came["gap"], [0, 0, 1] + [0] * 7)
    assert came["lost"][2] == 200 + 321  # 800 to 999 are less than an item
    assert (source.lost, source.overflows) == (321, 1)


def test_an_overflow_without_time_is_a_gap_of_unknown_length() -> None:
    source, came = run(10, "driver=counting,stamps=0,overflow_at=2000,overflow_lost=321")
    np.testing.assert_array_equal(came["gap"], [0] * 5 + [1] + [0] * 4)
    assert np.isnan(came["fraction"]).all()
    np.testing.assert_array_equal(came["iq"][5:, 0, 0].real, 2321 + 400 * np.arange(5))
    assert source.overflows == 1


def begun(fg: Flowgraph) -> float:
    """Start it and wait for the first items; until when the rest is waited for."""
    fg.start()
    until = time.monotonic() + LONG
    while not fg.status.blocks["probe"].items_in:
        assert time.monotonic() < until
        time.sleep(0.01)
    return until


def test_settings_change_while_it_runs() -> None:
    source, probe, fg = SoapySource("driver=counting", (1,), 500), Probe(limit=50), Flowgraph()
    fg.connect(source, probe)
    with fg:
        until = begun(fg)
        source.frequency, source.gains, source.rate = 2.5e9, "33", 4e6
        time.sleep(0.5)
        before = fg.status.blocks["probe"].items_in
        while fg.status.blocks["probe"].items_in < before + 200:
            assert time.monotonic() < until
            time.sleep(0.01)
        fg.stop()
    came = probe.values
    assert (came["frequency"][-1], came["gain"][-1, 0], came["rate"][-1]) == (2.5e9, 33.0, 4e6)
    times = came["seconds"] - came["seconds"][0] + came["fraction"]
    np.testing.assert_allclose(np.diff(times), 500 / 4e6, rtol=0, atol=1e-8)  # the clock goes on at the new rate
    assert source.lost == 0


@pytest.mark.parametrize(
    ("device", "options", "text"),
    [
        ("driver=counting,fail_after=1000", {}, "readStream failed: CORRUPTION"),
        ("driver=counting", {"channels": (0, 4)}, "expected channels from 0 to 3, .* got 0, 4; ask for at most 4"),
        ("driver=counting", {"rate": 60e6}, "rate beyond 50 MHz"),
        ("driver=none_such", {}, "none_such: .* no match; devices that are there: .*driver=counting"),
    ],
)
def test_what_fails_is_named(device: str, options: dict[str, Any], text: str) -> None:
    with pytest.raises(BlockError, match=text):
        run(100, device, **options)


def test_a_setting_that_is_refused_while_it_runs_is_said_and_the_ones_before_stay(caplog: pytest.LogCaptureFixture) -> None:
    source, probe, fg = SoapySource("driver=counting", (0, 1), 500, rate=2e6, gains="20"), Probe(limit=20), Flowgraph()
    fg.connect(source, probe)
    with fg:
        until = begun(fg)
        for name, value, words in (
            ("rate", 60e6, "refuses {'rate': 60000000.0}: rate beyond 50 MHz; it goes on with {'rate': 2000000.0"),
            ("gains", "1,2,3", "expected one number, or one for each of 2 channels, got '1,2,3'; it goes on with"),
            ("gains", "loud", "expected one number, or one for each of 2 channels, got 'loud'"),
        ):
            setattr(source, name, value)
            while words not in caplog.text:
                assert time.monotonic() < until, caplog.text
                time.sleep(0.01)
        source.gains = "30"
        while not (len(probe.values.get("gain", ())) and probe.values["gain"][-1, 1] == 30):
            assert time.monotonic() < until
            time.sleep(0.01)
        fg.stop()
    assert (source.rate, probe.values["rate"][-1]) == (2e6, 2e6)


def test_gains_that_are_given_are_not_the_device_s_own(caplog: pytest.LogCaptureFixture) -> None:
    run(2, "driver=counting,agc=1", gains="20")
    assert not caplog.messages
    run(2, "driver=counting,agc=1")
    assert "the device itself controls the gains of channels 0, 2" in caplog.text


def test_a_silent_device_is_waited_for_and_can_be_stopped(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isacblocks.frontends.gnuradio.line.Clock.__init__.__defaults__", (0.1,))
    source, probe, fg = SoapySource("driver=counting,silent_after=1000", (0,), 400), Probe(), Flowgraph()
    fg.connect(source, probe)
    with fg:
        fg.start()
        until = time.monotonic() + LONG
        while not fg.status.blocks["soapy_source"].readings.get("silent", 0) > 0.5:
            assert not fg.wait(0)
            assert time.monotonic() < until, fg.status
            time.sleep(0.01)
        fg.stop()
        assert fg.wait(LONG)
    assert len(probe.values["iq"]) == 2
    assert source.timeouts > 0
    assert "no samples for" in caplog.text


def test_other_placements_too(placement: str) -> None:
    source, probe, fg = SoapySource("driver=counting", (0, 1, 2, 3), 256), Probe(), Flowgraph()
    fg.connect(source, probe)
    fg.run(items=64, placement=placement)
    np.testing.assert_array_equal(probe.values["iq"][:, 3].reshape(-1), np.arange(64 * 256) + 3j)


@pytest.mark.parametrize(
    "options", [{"channels": ()}, {"channels": (1, 1)}, {"group": 0}, {"gains": "1,2,3"}, {"gains": "loud"}, {"rate": 0.0}]
)
def test_what_is_asked_for_wrongly(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        SoapySource("driver=counting", **options)


def test_a_binding_for_another_python_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "SoapySDR", None)
    monkeypatch.setattr(frontend, "_DEBIAN", str(tmp_path))
    with pytest.raises(SoapyError, match="apt install python3-soapysdr"):
        frontend.binding()
    (tmp_path / "_SoapySDR.cpython-39-x86_64-linux-gnu.so").touch()
    with pytest.raises(SoapyError, match="is for another Python than this one"):
        frontend.binding()
