"""SigMF: what is written is read, by us and by the library; what is damaged is refused with its reason."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from test_gnuradio_live import absence

from isacblocks import OfdmRadar
from isacblocks.blocks import ImpairedChannel, OfdmSource, Probe
from isacblocks.blocks.records import FRAME
from isacblocks.frontends import SigmfFrames, SigmfSink, SigmfSource
from isacblocks.frontends.samples import IQ
from isacblocks.frontends.sigmf_calibration import annotate_calibration
from isacblocks.frontends.sigmf_format import SigmfError, open_sigmf
from isacblocks.stream import BlockError, Flowgraph, Out, Source
from isacblocks.stream.spec import Items

sigmf = pytest.importorskip("sigmf", reason="the library sigmf is not installed (extra sigmf)")

VALUES = (np.arange(2 * 3 * 40).reshape(2, 3, 40) - 11j).astype(np.complex64)  # items, channels, samples


class Raw(Source):
    """Two messages of raw samples; the second is retuned, and seven samples late."""

    samples = Out(IQ)

    def dimensions(self) -> dict[str, int]:
        return {"C": 3, "T": 40}

    def produce(self, first: int, count: int) -> Items | None:
        if first > 1:
            return None
        return self.samples.items(
            iq=VALUES[first : first + 1],
            start=[first * 47],
            gap=[first],
            lost=[7 * first],
            changed=[0],
            seconds=[1700000000],
            fraction=[0.25 + first * 47e-6],
            rate=[1e6],
            frequency=[1e9 + first],
            gain=[[1.0, 2.0, 3.0]],
        )


def write(path: Path, **options: Any) -> None:
    fg, source = Flowgraph(), Raw()
    source.batch = 1
    fg.connect(source, SigmfSink(path, **options))
    fg.run()


def read(path: Path, group: int = 40, **options: Any) -> dict[str, Any]:
    fg, probe = Flowgraph(), Probe()
    fg.connect(SigmfSource(path, group, **options), probe)
    fg.run()
    return probe.values


def name_of(base: Path, collection: bool) -> Path:
    return base.with_suffix(".sigmf-collection" if collection else ".sigmf-meta")


@pytest.mark.parametrize("collection", [False, True])
def test_what_is_written_is_read(tmp_path: Path, collection: bool) -> None:
    write(tmp_path / "rec", collection=collection)
    came = read(name_of(tmp_path / "rec", collection))
    np.testing.assert_array_equal(came["iq"], VALUES)
    np.testing.assert_array_equal(came["start"], [0, 40])
    np.testing.assert_array_equal(came["lost"], [0, 7])
    np.testing.assert_array_equal(came["gap"], [0, 1])
    np.testing.assert_array_equal(came["frequency"], [1e9, 1e9 + 1])
    np.testing.assert_array_equal(came["gain"], [[1, 2, 3]] * 2)
    np.testing.assert_array_equal(came["seconds"], 1700000000)
    np.testing.assert_allclose(came["fraction"], [0.25, 0.25 + 47e-6], rtol=0, atol=1e-9)
    np.testing.assert_array_equal(read(name_of(tmp_path / "rec", collection), 16)["changed"], [0, 0, 1, 0, 0])


def test_the_library_reads_what_is_written(tmp_path: Path) -> None:
    write(tmp_path / "rec")
    theirs = sigmf.sigmffile.fromfile(str(tmp_path / "rec.sigmf-meta"))
    theirs.validate()
    np.testing.assert_array_equal(theirs.read_samples(), VALUES.transpose(0, 2, 1).reshape(80, 3))
    write(tmp_path / "many", collection=True)
    many = sigmf.sigmffile.fromfile(str(tmp_path / "many.sigmf-collection"))
    many.verify_stream_hashes()
    assert many.get_stream_names() == ["many-000", "many-001", "many-002"]
    np.testing.assert_array_equal(many.get_SigMFFile("many-001").read_samples(), VALUES[:, 1].reshape(-1))


@pytest.mark.parametrize(
    ("kind", "dtype", "unit"), [("ci16_le", "<i2", 32768), ("ci8", "i1", 128), ("cf64_le", "<f8", 1), ("cu8", "u1", 127.5)]
)
def test_what_the_library_writes_is_read(tmp_path: Path, kind: str, dtype: str, unit: float) -> None:
    raw = np.random.default_rng(1).integers(0, 100, (50, 2, 2)).astype(dtype)
    data = tmp_path / "x.sigmf-data"
    raw.tofile(data)
    made = sigmf.SigMFFile(data_file=str(data), global_info={"core:datatype": kind, "core:num_channels": 2})
    made.add_capture(0)
    made.tofile(str(tmp_path / "x.sigmf-meta"))
    offset = 127.5 if dtype == "u1" else 0
    expected = ((raw[..., 0] - offset) + 1j * (raw[..., 1] - offset)) / unit
    np.testing.assert_allclose(read(data, 50)["iq"][0], expected.T, rtol=1e-6)


def test_a_recording_of_gnu_radio_is_read(tmp_path: Path) -> None:
    if absence():
        pytest.skip(absence() or "")
    from test_gnuradio_live import PYTHON

    code = """
import sys
from gnuradio import blocks, gr
top = gr.top_block()
sink = blocks.sigmf_sink_minimal(8, sys.argv[1], 1e6, 2.4e9, "me", "test", "none", False)
top.connect(blocks.vector_source_c([k + 1j for k in range(1000)]), sink)
top.run()
"""
    subprocess.run([PYTHON, "-c", code, str(tmp_path / "gr.sigmf-data")], check=True, timeout=120, capture_output=True)
    came = read(tmp_path / "gr.sigmf-meta", 100)
    np.testing.assert_array_equal(came["iq"][:, 0].reshape(-1), np.arange(1000) + 1j)
    np.testing.assert_array_equal(came["rate"], 1e6)
    np.testing.assert_array_equal(came["frequency"], 2.4e9)


# Frames and calibration


@pytest.mark.parametrize("collection", [False, True])
def test_frames_come_back_to_the_bit(tmp_path: Path, collection: bool) -> None:
    radar = OfdmRadar(4, 16)
    fg, before = Flowgraph(), Probe()
    source, channel = OfdmSource(radar, seed=2), ImpairedChannel(radar, seed=2)
    fg.connect(source, channel)
    fg.connect(channel.frame, before)
    fg.connect(channel.frame, SigmfSink(tmp_path / "frames", radar=radar, collection=collection))
    fg.run(items=50)
    fg, after = Flowgraph(), Probe()
    back = SigmfFrames(name_of(tmp_path / "frames", collection))
    fg.connect(back, after)
    fg.run()
    assert back.radar == radar
    for name in before.values:
        np.testing.assert_allclose(after.values[name], before.values[name], rtol=0, atol=1e-18 if name == "time" else 0)
    points = back.recording.geometry()
    if collection:  # the symbols' channel has no place
        assert points is None
    assert list(SigmfFrames(name_of(tmp_path / "frames", collection), 1, None, 7).numbers) == [1, 8, 15, 22, 29, 36, 43]


class Unusable(Source):
    """Eight frames, of which the third and the last are marked invalid, and in the fifth antenna 1 has no numbers."""

    frame = Out(FRAME)

    def dimensions(self) -> dict[str, int]:
        return {"N": 2, "S": 4}

    def produce(self, first: int, count: int) -> Items | None:
        numbers = np.arange(first, min(first + count, 8))
        if not numbers.size:
            return None
        fields = self.frame.layout.empty(numbers.size)
        for name, array in fields.items():
            array[:] = numbers.reshape(-1, *[1] * (array.ndim - 1)) if name in ("y", "x") else 0
        fields["y"][numbers == 4, 1] = np.nan
        return self.frame.items(**(fields | {"valid": ~np.isin(numbers, [2, 7])}))


def test_frames_that_cannot_be_used_are_still_none(tmp_path: Path) -> None:
    fg, probe, radar = Flowgraph(), Probe(), OfdmRadar(2, 4)
    fg.connect(Unusable(), SigmfSink(tmp_path / "frames", radar=radar))
    fg.run()
    fg = Flowgraph()
    fg.connect(SigmfFrames(tmp_path / "frames.sigmf-meta", 1), probe)
    fg.run()
    assert probe.values["valid"].tolist() == [1, 0, 1, 1, 1, 1, 0]
    assert np.isnan(probe.values["y"][3, 1]).all()
    assert (probe.values["y"][3, 0] == 4).all()


@pytest.mark.parametrize("collection", [False, True])
def test_a_calibration_becomes_part_of_the_recording(tmp_path: Path, collection: bool) -> None:
    write(tmp_path / "rec", collection=collection)
    name = name_of(tmp_path / "rec", collection)
    kappa = np.array([1.1 * np.exp(0.5j), np.exp(1.0j), 0.9 * np.exp(-1.0j)])
    for _ in range(2):  # the second one replaces the first
        annotate_calibration(name, kappa, np.full(3, 0.01), method="tracker", frames=800)
    recording = open_sigmf(name)
    notes = [note for part in recording.parts for note in part.meta["annotations"]]
    assert [note["core:sample_count"] for note in notes] == [80] * (3 if collection else 1)
    told = {name: np.concatenate([note[f"isacblocks:{name}"] for note in notes]) for name in ("phase_deg", "gain_db")}
    np.testing.assert_allclose(told["phase_deg"], np.degrees([0, 0.5, -1.5]))
    np.testing.assert_allclose(told["gain_db"], 20 * np.log10([1.1, 1, 0.9]), atol=1e-12)
    assert notes[0]["isacblocks:method"] == "tracker"
    aligned = read(name, 40, align=True)["iq"]
    turn = np.exp(-1j * np.array([0, 0.5, -1.5]))[:, None]
    np.testing.assert_allclose(aligned, VALUES * turn, rtol=1e-5)
    with pytest.raises(SigmfError, match="expected kappa of 3 antennas"):
        annotate_calibration(name, np.ones(2))


# What is refused


def damage(path: Path, what: str) -> str:
    """Damages a recording, returns what must be said."""
    data, meta = path.with_suffix(".sigmf-data"), path.with_suffix(".sigmf-meta")
    told = json.loads(meta.read_text())
    if what == "cut off":
        data.write_bytes(data.read_bytes()[:-5])
        return "is it cut off"
    if what == "shorter":
        data.write_bytes(data.read_bytes()[: 3 * 8 * 20])
        return "the data has 20; is it cut off"
    if what == "changed":
        data.write_bytes(b"\1" + data.read_bytes()[1:])
        return "checksum"
    if what == "gone":
        data.unlink()
        return "is not there"
    if what == "not JSON":
        meta.write_text("{")
        return "not JSON"
    changes: dict[str, tuple[str, Any, str]] = {
        "no type": ("core:datatype", None, "not valid SigMF"),
        "real": ("core:datatype", "rf32_le", "samples of type rf32_le"),
        "big-endian": ("core:datatype", "cf32_be", "little-endian"),
        "headers": ("core:trailing_bytes", 8, "conforming"),
        "channels": ("core:num_channels", 7, "7 channels"),
        "outside": ("core:dataset", "../x", "is not there"),
    }
    name, value, text = changes[what]
    told["global"].pop(name, None)
    if value is not None:
        told["global"][name] = value
    meta.write_text(json.dumps(told))
    return text


@pytest.mark.parametrize(
    "what",
    ["cut off", "shorter", "changed", "gone", "not JSON", "no type", "real", "big-endian", "headers", "channels", "outside"],
)
def test_a_damaged_recording_is_refused_with_the_reason(tmp_path: Path, what: str) -> None:
    write(tmp_path / "rec")
    text = damage(tmp_path / "rec.sigmf-meta", what)
    with pytest.raises(SigmfError, match=text):
        SigmfSource(tmp_path / "rec.sigmf-meta")


def test_channels_of_a_collection_must_agree(tmp_path: Path) -> None:
    write(tmp_path / "rec", collection=True)
    name = tmp_path / "rec.sigmf-collection"
    shutil.copy(tmp_path / "rec-001.sigmf-meta", tmp_path / "kept")
    meta = tmp_path / "rec-001.sigmf-meta"
    meta.write_text(meta.read_text().replace("1000000000.0", "1000000002.0"))
    with pytest.raises(SigmfError, match=r"is not the file that rec.sigmf-collection was made with"):
        open_sigmf(name)
    with pytest.raises(SigmfError, match=r"frequency is 1000000002.0, that of rec-000.sigmf-data is 1000000000.0"):
        open_sigmf(name, verify=False)
    with open(tmp_path / "rec-002.sigmf-data", "r+b") as data:
        data.truncate(8 * 100)
    shutil.copy(tmp_path / "kept", meta)
    with pytest.raises(
        SigmfError, match=r"rec-002.sigmf-data: samples is 100, that of rec-000.sigmf-data is \d+; .* record"
    ):
        open_sigmf(name, verify=False)
    meta.unlink()
    with pytest.raises(SigmfError, match=r"names the recording rec-001, but rec-001.sigmf-meta is not there"):
        open_sigmf(name)
    name.write_text(json.dumps({"collection": {"core:streams": [{"name": "../rec"}]}}))
    with pytest.raises(SigmfError, match="expected the name of a recording beside it"):
        open_sigmf(name)


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    write(tmp_path / "rec")
    with pytest.raises(BlockError, match="exists; choose another name"):
        write(tmp_path / "rec")
    write(tmp_path / "rec", replace=True)
    (tmp_path / "new.sigmf-data").touch()  # of a run that was ended before anything came
    write(tmp_path / "new")


def holes(base: Path, size: int, channels: int, **told: Any) -> Path:
    """A recording of zeros that takes no place on the disk."""
    with open(base.with_suffix(".sigmf-data"), "wb") as file:
        file.truncate(size)
    about = {"core:datatype": "cf32_le", "core:num_channels": channels, "core:version": "1.0.0", **told}
    meta = base.with_suffix(".sigmf-meta")
    meta.write_text(json.dumps({"global": about, "captures": [], "annotations": []}))
    return meta


def test_the_end_of_a_recording_that_is_larger_than_memory(tmp_path: Path) -> None:
    """Sixty-four gigabytes that nobody has."""
    source = SigmfSource(holes(tmp_path / "big", 64 << 30, 8), verify=False)
    assert source.recording.length == 1 << 30
    assert not source.recording.read((1 << 30) - 10, 10).any()


def test_a_recording_streams_through_less_memory_than_it_has(tmp_path: Path) -> None:
    """All of it, checksum and frames: the process never has half of it, whatever the machine has to give."""
    size, radar = 320 << 20, OfdmRadar(31, 256)
    digest = hashlib.sha512()
    for _ in range(size >> 20):
        digest.update(bytes(1 << 20))
    window = [-0.5, 0.5, 0.0, 1e-7]
    told: dict[str, Any] = {
        "core:sha512": digest.hexdigest(),
        "isacblocks:radar": asdict(radar),
        "isacblocks:sectors": [window],
    }
    told["core:extensions"] = [{"name": "isacblocks", "version": "1.0.0", "optional": True}]
    meta = holes(tmp_path / "big", size, 32, **told)
    code = f"""
import re
from isacblocks.frontends import SigmfFrames, SigmfSource
seen = 0
for source in (SigmfFrames({str(meta)!r}), SigmfSource({str(meta)!r}, 4096, verify=False)):
    source.start()
    first = 0
    while (items := source.produce(first, 16)) is not None:
        first += len(items)
        seen += sum(array.nbytes for array in items.fields.values())
peak = re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())  # a child's ru_maxrss begins with its parent's
print(seen, 1024 * int(peak[1]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    seen, peak = map(int, done.stdout.split())
    assert seen > 1.9 * size
    assert peak < size / 2


def test_a_recording_that_is_cut_off_while_it_is_read_is_an_error_and_no_more(tmp_path: Path) -> None:
    write(tmp_path / "rec")
    source = SigmfSource(tmp_path / "rec.sigmf-meta", 40)
    with open(tmp_path / "rec.sigmf-data", "r+b") as file:
        file.truncate(3 * 8 * 60)
    assert source.recording.read(0, 40).any()
    with pytest.raises(SigmfError, match="ends before sample 80 of 80; it was cut off while it was being read"):
        source.recording.read(40, 40)


def test_captures_count_from_the_offset_that_the_file_says_it_has(tmp_path: Path) -> None:
    """A part of a longer recording."""
    write(tmp_path / "rec")
    meta = tmp_path / "rec.sigmf-meta"
    told = json.loads(meta.read_text())
    told["global"]["core:offset"] = 1000
    for one in told["captures"]:
        one["core:sample_start"] += 1000
    meta.write_text(json.dumps(told))
    came = read(meta)
    np.testing.assert_array_equal(came["frequency"], [1e9, 1e9 + 1])
    np.testing.assert_array_equal(came["lost"], [0, 7])
