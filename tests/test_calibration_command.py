"""Calibration files from the command line, and what is said of old ones."""

from __future__ import annotations

import csv
import logging
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

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
from isacblocks.frontends.samples import IQ
from isacblocks.kernels.health import HEALTH
from isacblocks.stream import Flowgraph, Items, Out, Source

RADAR = OfdmRadar(antennas=6, subcarriers=32)
KAPPA = np.array([1, 1j, -1, 0.5, 1.2 * np.exp(0.3j), 0.01])


class Samples(Source):
    """Raw samples of the array at a carrier in hertz."""

    samples = Out(IQ)

    def __init__(self, carrier: float) -> None:
        self.carrier = carrier

    def dimensions(self) -> dict[str, int]:
        return {"C": 6, "T": 16}

    def produce(self, first: int, count: int) -> Items | None:
        number = np.arange(first, first + count)
        return self.samples.items(
            iq=np.ones((count, 6, 16), np.complex64),
            start=16 * number,
            gap=0 * number,
            lost=0 * number,
            changed=0 * number,
            seconds=0 * number,
            fraction=16e-6 * number,
            rate=np.full(count, 1e6),
            frequency=np.full(count, self.carrier),
            gain=np.zeros((count, 6)),
        )


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


def test_what_health_means_is_said_where_it_is_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = (ROOT / "docs" / "formats.md").read_text().split("| code | word |")[1].split("\n\n")[0].splitlines()[2:]
    assert [row.split(" | ")[:2] for row in table] == [[f"| {code}", word] for code, word in enumerate(HEALTH)]
    assert main(["calibration", "show", str(file)]) == 0
    said = capsys.readouterr().out
    assert "silent: no samples" in said
    assert "never learned so far" in said
    assert "cables" not in said  # no antenna is misplaced
    with pytest.raises(SystemExit):
        main(["calibration", "show", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert all(f"{word}: " in said for word in HEALTH)


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
    assert main(["calibration", "diff", str(file), str(tmp_path / "flat")]) == 2
    assert "was made for antennas 64" in capsys.readouterr().err


def test_it_is_exported_as_sigmf_without_samples(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another reader, the library's, accepts it; the array and kappa are in it."""
    sigmf = pytest.importorskip("sigmf")
    assert main(["calibration", "export", str(file), str(tmp_path / "kappa.sigmf-meta"), "--sigmf"]) == 0
    made = sigmf.sigmffile.fromfile(str(tmp_path / "kappa.sigmf-meta"))
    made.validate()
    assert made.get_global_field("core:metadata_only") is True
    assert made.get_global_field("spatial:num_elements") == 6
    (note,), (capture,) = made.get_annotations(), made.get_captures()
    wavelength = 299_792_458 / RADAR.carrier_frequency
    np.testing.assert_allclose(
        [one["point"] for one in capture["spatial:element_geometry"]],
        [[0, n * 0.5 * wavelength, 0] for n in range(6)],
    )
    kappa = read_calibration(file)[0].vector
    back = 10 ** (np.array(note["isacblocks:gain_db"]) / 20) * np.exp(1j * np.radians(note["isacblocks:phase_deg"]))
    np.testing.assert_allclose(back, kappa * np.exp(-1j * np.angle(kappa[0])), atol=1e-12)
    np.testing.assert_allclose(note["isacblocks:sigma_deg"], np.degrees([0.1] * 6))
    assert (note["isacblocks:temperature_c"], note["isacblocks:acceptance"]) == (41.0, 9.5)
    assert (note["isacblocks:frames"], note["isacblocks:health"][3]) == (1000, "restarted")
    assert "common phase" in note["isacblocks:gauge"]
    capsys.readouterr()
    assert main(["calibration", "export", str(file), str(tmp_path / "kappa"), "--sigmf"]) == 1
    assert "kappa.sigmf-meta: exists already" in capsys.readouterr().err


@pytest.mark.parametrize("collection", [False, True])
def test_it_is_exported_into_a_recording(
    file: Path, tmp_path: Path, collection: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sigmf")
    from isacblocks.frontends.sigmf_format import open_sigmf
    from isacblocks.frontends.sigmf_sink import SigmfSink

    def record(name: str, carrier: float) -> Path:
        fg = Flowgraph("record")
        fg.connect(Samples(carrier), SigmfSink(tmp_path / name, collection=collection))
        fg.run(4)
        return tmp_path / f"{name}.sigmf-{'collection' if collection else 'meta'}"

    right, wrong = record("right", RADAR.carrier_frequency), record("wrong", 2.4e9)
    assert main(["calibration", "export", str(file), str(right), "--sigmf"]) == 0
    notes = [note for part in open_sigmf(right).parts for note in part.meta["annotations"]]
    phases = np.concatenate([note["isacblocks:phase_deg"] for note in notes])
    np.testing.assert_allclose(phases, np.degrees(np.angle(KAPPA)), atol=1e-9)
    assert {note["isacblocks:frames"] for note in notes} == {1000}
    offsets = open_sigmf(right).phase_offsets()
    assert offsets is not None
    np.testing.assert_allclose(np.degrees(offsets), phases, atol=1e-9)
    capsys.readouterr()
    assert main(["calibration", "export", str(file), str(wrong), "--sigmf"]) == 2
    assert "was made for 6e+10 Hz, the recording was at 2.4e+09 Hz" in capsys.readouterr().err


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
    assert "--axis: 0, 1" in capsys.readouterr().err
    assert main(["calibration", "apply", str(file), str(tmp_path / "in.npy"), str(tmp_path / "in.npy")]) == 2
    assert "written over itself" in capsys.readouterr().err
    assert main(["calibration", "export", str(file), str(file)]) == 2
    for part, out in (("export", "frames.isac"), ("apply", "out.txt")):  # they may be something else that is needed
        (tmp_path / out).write_text("precious")
        samples = [str(tmp_path / "in.npy")] * (part == "apply")
        assert main(["calibration", part, str(file), *samples, str(tmp_path / out)]) == 2
        assert "OUT: expected OUT." in capsys.readouterr().err
        assert (tmp_path / out).read_text() == "precious"
    for arguments in (["show", "none.json"], ["diff", str(file), "none.json"], ["export", str(file), "/none/kappa.csv"]):
        assert main(["calibration", *arguments]) == 2  # told, and nothing done
    np.testing.assert_array_equal(read_calibration(file)[0].vector, vector)
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
