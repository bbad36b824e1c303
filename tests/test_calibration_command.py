"""Calibration files from the command line, and what is said of old ones."""

from __future__ import annotations

import csv
import logging
from pathlib import Path

import numpy as np
import pytest

from isacblocks import OfdmRadar
from isacblocks.blocks.calibration_file import (
    CalibrationError,
    age_days,
    calibration_of,
    load_calibration,
    read_calibration,
    save_calibration,
)
from isacblocks.cli.main import main

RADAR = OfdmRadar(antennas=6, subcarriers=32)
KAPPA = np.array([1, 1j, -1, 0.5, 1.2 * np.exp(0.3j), 0.01])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "kappa.json"
    known = {
        "sigma_rad": [0.1] * 6,
        "gain_sigma": [0.05] * 6,
        "health": [0, 0, 0, 3, 0, 1],
        "frames": 1000,
        "targets": 500.0,
    }
    save_calibration(path, calibration_of(RADAR, KAPPA, acceptance=9.5, temperature_c=41.0, provenance="a test", **known))
    return path


def test_it_is_shown(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibration", "show", str(file)]) == 0
    said = capsys.readouterr().out
    for word in (
        "6 antennas, 60 GHz",
        "1000, of these 500",
        "median 5.73 deg",
        "9.5 nats",
        "41.0 C",
        "3 restarted, 5 silent",
        "a test",
    ):
        assert word in said


def test_two_are_compared_in_a_common_gauge(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    turned = np.ones(64) * np.exp(1j * (0.7 + 0.002 * np.arange(64)))
    bumped = turned * np.where(np.arange(64) == 20, np.exp(0.2j), 1)
    radar = OfdmRadar()
    for name, kappa in (("flat", np.ones(64)), ("turned", turned), ("bumped", bumped)):
        save_calibration(tmp_path / name, calibration_of(radar, kappa.astype(np.complex128)))
    assert main(["calibration", "diff", str(tmp_path / "flat"), str(tmp_path / "turned")]) == 0
    said = capsys.readouterr().out
    assert "loss of array gain 0.0000 dB" in said
    assert "rms 0.000 deg" in said
    assert main(["calibration", "diff", str(tmp_path / "turned"), str(tmp_path / "bumped")]) == 0
    assert "at antenna 20" in capsys.readouterr().out
    assert main(["calibration", "diff", str(file), str(tmp_path / "flat")]) == 1
    assert "was made for antennas 64" in capsys.readouterr().err


def test_it_is_exported(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "kappa.csv"
    assert main(["calibration", "export", str(file), str(out)]) == 0
    made = list(csv.DictReader(out.read_text().splitlines()))
    kappa = np.array([complex(float(row["real"]), float(row["imaginary"])) for row in made])
    np.testing.assert_allclose(kappa, read_calibration(file)[0].vector, rtol=1e-12)
    assert [row["health"] for row in made] == ["good", "good", "good", "restarted", "good", "silent"]
    np.testing.assert_allclose([float(row["phase_deg"]) for row in made], np.degrees(np.angle(kappa)), atol=1e-9)


def test_it_is_applied_to_samples(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vector = read_calibration(file)[0].vector
    clean = (np.random.default_rng(1).normal(size=(4, 6, 5, 2)) @ [1, 1j]).astype(np.complex64)
    np.save(tmp_path / "in.npy", (clean * vector[:, None]).astype(np.complex64))
    assert main(["calibration", "apply", str(file), str(tmp_path / "in.npy"), str(tmp_path / "out.npy")]) == 0
    out = np.load(tmp_path / "out.npy")
    assert out.dtype == np.complex64
    np.testing.assert_allclose(out[:, :5], clean[:, :5], rtol=1e-5)
    assert (out[:, 5] == 0).all()  # the silent one is not made loud
    np.save(tmp_path / "square.npy", np.ones((6, 6), np.complex64))
    assert main(["calibration", "apply", str(file), str(tmp_path / "square.npy"), str(tmp_path / "no.npy")]) == 2
    assert "--axis" in capsys.readouterr().err
    np.save(tmp_path / "real.npy", np.ones((6, 2)))
    assert main(["calibration", "apply", str(file), str(tmp_path / "real.npy"), str(tmp_path / "no.npy")]) == 2
    assert not (tmp_path / "no.npy").exists()


def test_an_old_one_is_taken_with_a_warning(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = load_calibration(file, RADAR)
    assert caplog.records == []
    made.created = "2020-01-01T00:00:00+00:00"
    save_calibration(file, made)
    with caplog.at_level(logging.WARNING):
        found = load_calibration(file, RADAR)
    assert "days ago" in caplog.text
    assert "calibrate anew" in caplog.text
    days = age_days(found)
    assert days is not None
    assert days > 365
    found.created = "yesterday"
    assert age_days(found) is None


def test_fields_per_antenna_must_have_as_many_numbers(file: Path) -> None:
    made = load_calibration(file, RADAR)
    made.health = [0, 0]
    save_calibration(file, made)
    with pytest.raises(CalibrationError, match="expected 6 numbers health, got 2"):
        load_calibration(file, RADAR)
