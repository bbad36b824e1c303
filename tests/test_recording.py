"""Recordings: round trips, appending, broken ends, gaps, files that are something else; replay; export."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isacblocks import OfdmRadar
from isacblocks.blocks import ImpairedChannel, OfdmSource, Probe, Recorder, Replay
from isacblocks.blocks.calibration_file import CalibrationError, calibration_of, load_calibration, save_calibration
from isacblocks.blocks.recording import MAGIC, Recording, RecordingError, Writer, export_npz
from isacblocks.stream import BlockError, Field, Flowgraph, Items, Record, jig
from isacblocks.stream.spec import resolve

RADAR = OfdmRadar(antennas=4, subcarriers=8)
LAYOUT = resolve(
    Record("thing", (Field("a", "complex64", ("N",)), Field("b", "uint8"), Field("c", "float64"))), {"N": 3}, "t"
)


def thing(first: int, count: int) -> Items:
    k = np.arange(first, first + count)
    fields: dict[str, Any] = {
        "a": (k[:, None] * np.ones(3)).astype(np.complex64),
        "b": (k % 200).astype(np.uint8),
        "c": k / 7,
    }
    return Items(LAYOUT, fields, count, first=first)


def write(path: Path, *parts: tuple[int, int], mode: str = "create", **options: Any) -> None:
    writer = Writer(path, LAYOUT, mode, **options)
    for first, count in parts:
        writer.write(thing(first, count))
    writer.close()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.isac"
    write(path, (0, 5), (5, 0), (5, 7), radar=RADAR, metadata={"note": "x"})
    recording = Recording(path)
    assert len(recording) == 12
    assert recording.layout == LAYOUT
    assert recording.radar() == RADAR
    assert recording.meta.metadata == {"note": "x"}
    assert recording.gaps() == 0
    assert not recording.broken_tail
    for name, array in thing(0, 12).fields.items():
        np.testing.assert_array_equal(recording.field(name), array)
    assert not recording.items.flags.writeable
    assert isinstance(recording.items, np.memmap)


def test_appending_continues_and_gaps_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.isac"
    write(path, (0, 5))
    write(path, (8, 2), mode="append")
    recording = Recording(path)
    assert recording.items["sequence"].tolist() == [0, 1, 2, 3, 4, 8, 9]
    assert recording.gaps() == 3
    other = resolve(Record("other", (Field("a", "float64"),)), {}, "t")
    with pytest.raises(RecordingError, match="another kind of items"):
        Writer(path, other, "append")


@pytest.mark.parametrize("lost", [1, 30, 41])
def test_a_broken_last_item_is_ignored_and_cut_off(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "a.isac"
    write(path, (0, 6))
    size = Recording(path).dtype.itemsize
    os.truncate(path, path.stat().st_size - lost)
    recording = Recording(path)
    whole = 6 - -(-lost // size)
    assert len(recording) == whole
    assert recording.broken_tail
    write(path, (6, 2), mode="append")
    assert Recording(path).items["sequence"].tolist() == [*range(whole), 6, 7]
    assert not Recording(path).broken_tail


def test_modes(tmp_path: Path) -> None:
    path = tmp_path / "a.isac"
    write(path, (0, 3))
    with pytest.raises(RecordingError, match=r"exists; choose another name, or mode 'append' or 'replace'"):
        write(path, (0, 3))
    write(path, (0, 2), mode="replace")
    assert len(Recording(path)) == 2
    write(tmp_path / "b.isac", (0, 2), mode="append")
    assert len(Recording(tmp_path / "b.isac")) == 2
    with pytest.raises(RecordingError, match="cannot be written: No such file or directory"):
        write(tmp_path / "no" / "a.isac", (0, 1))
    with pytest.raises(ValueError, match="mode: expected one of create"):
        Recorder(path, mode="maybe")


def test_a_field_cannot_be_named_sequence() -> None:
    layout = resolve(Record("bad", (Field("sequence", "float64"),)), {}, "t")
    with pytest.raises(RecordingError, match="'sequence'"):
        Writer("/nowhere", layout)


def header(**values: Any) -> bytes:
    meta = {"layout": msgspec.to_builtins(LAYOUT), "version": 1, **values}
    data = msgspec.json.encode(meta)
    return MAGIC + struct.pack("<Q", len(data)) + data


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "not an isacblocks recording"),
        (b"PK\x03\x04" + bytes(100), "not an isacblocks recording"),
        (MAGIC + struct.pack("<Q", 2**60), "claims"),
        (MAGIC + struct.pack("<Q", 500) + b"{}", "ends inside its header"),
        (MAGIC + struct.pack("<Q", 2) + b"{}", "damaged"),
        (MAGIC + struct.pack("<Q", 4) + b"\xff\xfe\x00\x01", "damaged"),
        (header(version=99), "version 99"),
        (header(layout={"record": "r", "version": 1, "fields": [["a", "object", [], [], "1"]]}), "damaged"),
        (
            header(
                layout={
                    "record": "r",
                    "version": 1,
                    "fields": [{"name": "a", "dtype": "object", "dims": [], "shape": [], "unit": "1"}],
                }
            ),
            "is none of",
        ),
        (
            header(
                layout={
                    "record": "r",
                    "version": 1,
                    "fields": [{"name": "a", "dtype": "int8", "dims": ["N"], "shape": [-5], "unit": "1"}],
                }
            ),
            "cannot be the sizes of",
        ),
        (
            header(
                layout={
                    "record": "r",
                    "version": 1,
                    "fields": [{"name": "a", "dtype": "int8", "dims": ["N"], "shape": [2**40], "unit": "1"}],
                }
            ),
            "cannot be the sizes of",
        ),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, data: bytes, word: str) -> None:
    path = tmp_path / "other.isac"
    path.write_bytes(data)
    with pytest.raises(RecordingError, match=rf"other\.isac: .*{word}"):
        Recording(path)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_file_gives_a_recording_error_or_numbers(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.isac"
    if not path.with_suffix(".good").exists():
        write(path.with_suffix(".good"), (0, 3), mode="replace")
    raw = bytearray(path.with_suffix(".good").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, 400))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(raw)
    try:
        found = Recording(path)
        found.radar()
        len(found)
    except RecordingError:
        pass


def test_an_unfit_radar_in_the_header_is_a_recording_error(tmp_path: Path) -> None:
    path = tmp_path / "r.isac"
    path.write_bytes(header(radar={"antennas": -3}).ljust(4096, b"\0"))
    with pytest.raises(RecordingError, match="radar's parameters"):
        Recording(path).radar()


def test_export_to_npz_needs_no_pickle(tmp_path: Path) -> None:
    write(tmp_path / "a.isac", (0, 4), radar=RADAR)
    export_npz(tmp_path / "a.isac", tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["a"], thing(0, 4).a)
        np.testing.assert_array_equal(file["sequence"], np.arange(4))
        assert msgspec.json.decode(file["meta"].item())["radar"]["antennas"] == 4


def record(path: Path, placement: str, frames: int = 50, **options: Any) -> ImpairedChannel:
    source, channel = OfdmSource(RADAR, seed=2), ImpairedChannel(RADAR, seed=2)
    fg = Flowgraph("recording")
    fg.connect(source, channel, Recorder(path, radar=RADAR, **options))
    fg.run(frames, placement=placement)
    return channel


def test_record_and_replay(placement: str, tmp_path: Path) -> None:
    path = tmp_path / "frames.isac"
    record(path, placement)
    direct = Probe()
    fg = Flowgraph("direct")
    fg.connect(OfdmSource(RADAR, seed=2), ImpairedChannel(RADAR, seed=2), direct)
    fg.run(50)
    for selection in ({}, {"start": 10, "stop": 40, "step": 3}, {"start": -5}):
        replay, probe = Replay(path, **selection), Probe()
        replay.batch = 7
        fg = Flowgraph("replay")
        fg.connect(replay, probe)
        fg.run(placement=placement)
        part = slice(selection.get("start"), selection.get("stop"), selection.get("step"))
        for name, array in probe.values.items():
            expected = np.arange(len(array)) if name == "sequence" else direct.values[name][part]
            np.testing.assert_array_equal(array, expected)


def test_replay_in_the_jig(tmp_path: Path) -> None:
    path = tmp_path / "a.isac"
    write(path, (0, 30))
    outputs, _ = jig.check(lambda: Replay(path, start=3), items=27)
    np.testing.assert_array_equal(outputs["out"]["c"], thing(3, 27).c)
    with pytest.raises(FileNotFoundError):
        Replay(tmp_path / "missing.isac")
    with pytest.raises(ValueError, match="step"):
        Replay(path, step=0)


def test_a_recorder_in_the_jig(tmp_path: Path) -> None:
    made: list[Recorder] = []

    def make() -> Recorder:
        made.append(Recorder(tmp_path / "jig.isac", "replace" if not made or made[-1]._writer is None else "append"))
        made[-1].ports["items"].adopt(LAYOUT)
        return made[-1]

    def look(block: Any) -> Any:
        recording = Recording(block.path)
        return {"count": block.count, "sequence": recording.items["sequence"].copy(), "c": recording.field("c")}

    items = thing(0, 20)
    _, seen = jig.check(make, {"items": dict(items.fields)}, look=look)
    np.testing.assert_array_equal(seen["c"], items.c)
    assert seen["count"] == 20


def test_npz_by_its_name(placement: str, tmp_path: Path) -> None:
    path = tmp_path / "frames.npz"
    record(path, placement)
    with np.load(path, allow_pickle=False) as file:
        assert file["y"].shape == (50, 4, 8)
    assert [p.name for p in tmp_path.iterdir()] == ["frames.npz"]
    with pytest.raises(BlockError, match="exists"):
        record(path, placement)


def test_a_recording_grows_by_whole_items_only_and_memory_does_not(tmp_path: Path) -> None:
    """Written message by message, and read through a memory map: 64 MB of frames with a few MB of heap."""
    import tracemalloc

    big = OfdmRadar(antennas=64, subcarriers=256)
    path = tmp_path / "big.isac"
    ImpairedChannel.prepare()  # what is loaded with the kernels is not the recording's
    OfdmSource.prepare()
    tracemalloc.start()
    source, channel = OfdmSource(big, seed=2), ImpairedChannel(big, seed=2)
    source.batch = 16
    fg = Flowgraph("big")
    fg.connect(source, channel, Recorder(path, radar=big), depth=2)
    fg.run(480)
    replay, probe = Replay(path), Probe(limit=1)
    replay.batch = 16
    fg = Flowgraph("back")
    fg.connect(replay, probe, depth=2)
    fg.run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size > 60e6
    assert probe.values["sequence"].tolist() == [479]
    assert peak < 30e6


@pytest.mark.parametrize("placement_", ["threads", "processes"])
def test_a_directory_that_is_not_there_is_found_at_the_start(tmp_path: Path, placement_: str) -> None:
    with pytest.raises(BlockError, match=r"recorder failed in start\(\): RecordingError: .*: nothing can be written to"):
        record(tmp_path / "no" / "a.isac", placement_)
    record(tmp_path / "a.isac", placement_)
    with pytest.raises(BlockError, match="exists; choose another name"):
        record(tmp_path / "a.isac", placement_)


def test_a_resumed_run_continues_its_recording(tmp_path: Path) -> None:
    path, cut = tmp_path / "a.isac", tmp_path / "cut"
    for limit in (160, 400):  # the second run resumes the first
        fg = Flowgraph("resumed")
        source = OfdmSource(RADAR, seed=2)
        source.batch = 4
        fg.connect(source, Recorder(path, "replace"))
        fg.run(limit, checkpoint=cut, checkpoint_every=10)
    recording = Recording(path)
    assert recording.items["sequence"].tolist() == list(range(400))
    whole = jig.run(OfdmSource(RADAR, seed=2), items=400)[0]["symbols"]["x"]
    np.testing.assert_array_equal(recording.field("x"), whole)


# Calibration files


def test_calibrations_survive_and_say_what_they_are(tmp_path: Path) -> None:
    kappa = np.exp(1j * np.arange(4)) * 2
    path = tmp_path / "c.json"
    made = calibration_of(RADAR, kappa, frames=100, targets=48.5, method="online", sigma_rad=[0.1] * 4, provenance="test")
    save_calibration(path, made)
    back = load_calibration(path, RADAR)
    np.testing.assert_allclose(back.vector, np.exp(1j * np.arange(4)))
    assert (back.frames, back.targets, back.method, back.provenance) == (100, 48.5, "online", "test")
    assert back.created.startswith("20")
    assert "gauge" in path.read_text()


@pytest.mark.parametrize(
    ("radar", "word"),
    [
        (OfdmRadar(antennas=5, subcarriers=8), "antennas 4, this array has 5"),
        (OfdmRadar(antennas=4, subcarriers=8, carrier_frequency=61e9), "carrier_frequency"),
        (OfdmRadar(antennas=4, subcarriers=8, element_spacing=0.6), "element_spacing"),
        (OfdmRadar(antennas=4, element_positions=((0.0, 0.0, 0.0),) * 4), "element_positions"),
    ],
)
def test_a_calibration_of_another_array_is_refused(tmp_path: Path, radar: OfdmRadar, word: str) -> None:
    save_calibration(tmp_path / "c.json", calibration_of(RADAR, np.ones(4)))
    with pytest.raises(CalibrationError, match=rf"c\.json: was made for {word}.*recalibrate"):
        load_calibration(tmp_path / "c.json", radar)
    load_calibration(tmp_path / "c.json", OfdmRadar(antennas=4, subcarriers=999, cyclic_prefix=0.2))


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda d: d | {"version": 2}, "version 2"),
        (lambda d: d | {"format": "other"}, "'other'"),
        (lambda d: d | {"kappa": [[1, 0]] * 3}, "expected 4 finite numbers"),
        (lambda d: d | {"kappa": [[0, 0]] * 4}, "not all zero"),
        (lambda d: d | {"kappa": "x"}, "not a calibration file"),
        (lambda d: {"kappa": d["kappa"]}, "not a calibration file"),
        (lambda d: d | {"radar": {"antennas": 0}}, "not a calibration file"),
        (lambda d: [], "not a calibration file"),
    ],
)
def test_other_files_are_no_calibrations(tmp_path: Path, spoil: Any, word: str) -> None:
    path = tmp_path / "c.json"
    save_calibration(path, calibration_of(RADAR, np.ones(4)))
    path.write_bytes(msgspec.json.encode(spoil(msgspec.json.decode(path.read_bytes()))))
    with pytest.raises(CalibrationError, match=rf"c\.json: .*{word}"):
        load_calibration(path, RADAR)


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="cannot be read: No such file"):
        load_calibration(tmp_path / "no.json", RADAR)
    with pytest.raises(CalibrationError, match="cannot be written"):
        save_calibration(tmp_path / "no" / "c.json", calibration_of(RADAR, np.ones(4)))
    with pytest.raises(CalibrationError, match="expected shape"):
        calibration_of(RADAR, np.ones(3))
    (tmp_path / "noise.json").write_bytes(os.urandom(100))
    with pytest.raises(CalibrationError, match="not a calibration file"):
        load_calibration(tmp_path / "noise.json", RADAR)
