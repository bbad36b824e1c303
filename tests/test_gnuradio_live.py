"""Against GNU Radio itself, version 3.10 as Debian has it, in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from stream_blocks import Counter
from test_gnuradio_blocks import Samples

from isacblocks import OfdmRadar, kappa_error
from isacblocks.blocks import AngleDelayMap, ImpairedChannel, KappaCalibrator, MaprtDetector, OfdmSource, Probe
from isacblocks.frontends import Framing, GnuRadioMessages, GnuRadioSink, GnuRadioSource
from isacblocks.frontends.gnuradio.line import endpoints
from isacblocks.stream import ANY, Block, Flowgraph, Items, Out, Source

LONG = 180.0  # seconds: against hanging only
SIDE = ROOT / "tests" / "gnuradio_side.py"
PYTHON = os.environ.get("GNURADIO_PYTHON", "/usr/bin/python3")


@cache
def absence() -> str | None:
    """Why GNU Radio cannot be tested with, None where it can."""
    try:
        done = subprocess.run(
            [PYTHON, "-c", "import numpy, pmt; from gnuradio import gr, zeromq; print(gr.version())"],
            capture_output=True,
            text=True,
            timeout=LONG,
            check=False,
        )
    except OSError as error:
        return f"{PYTHON}: {error.strerror}"
    if done.returncode != 0:
        return f"{PYTHON} has no GNU Radio (apt install gnuradio, or name its Python in GNURADIO_PYTHON)"
    return None if done.stdout.startswith("3.10.") else f"GNU Radio {done.stdout.strip()} is not 3.10"


class Rows(Source):
    """Frames as a front end gives them, from memory."""

    samples = Out(ANY)

    def __init__(self, rows: np.ndarray[Any, Any]) -> None:
        self.rows = rows
        self.samples.adopt(GnuRadioSource("ipc://unused", rows.shape[1:], rows.dtype.name).samples.layout)

    def produce(self, first: int, count: int) -> Items | None:
        part = self.rows[first : first + count]
        if not len(part):
            return None
        fields = self.samples.layout.empty(len(part))
        for array in fields.values():
            array[:] = 0
        return self.samples.items(**(fields | {"value": part, "fraction": np.full(len(part), np.nan)}))


@pytest.fixture(autouse=True)
def _gnuradio() -> None:
    if absence():
        pytest.skip(absence() or "")


@contextlib.contextmanager
def gnuradio(*chains: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """GNU Radio at work, killed at the end if it has not ended."""
    environment = {**os.environ, "PYTHONPATH": "", "HOME": os.environ.get("HOME", "/tmp")}
    child = subprocess.Popen(
        [PYTHON, str(SIDE), json.dumps(chains)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert child.stdout is not None
        while (line := child.stdout.readline()) != "running\n":  # it has things to say about its buffers
            assert line, f"GNU Radio did not start: {child.communicate()[1]}"
        yield child
    finally:
        child.kill()
        child.communicate()


def ended(child: subprocess.Popen[str]) -> None:
    out, err = child.communicate(timeout=LONG)
    assert child.returncode == 0, err
    assert out.endswith("done\n"), err


def save(path: Path, values: np.ndarray[Any, Any]) -> str:
    np.save(path, values)
    return str(path)


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/radio"


def numbers(count: int, dtype: str = "complex64") -> np.ndarray[Any, Any]:
    """Values of which every bit counts, as far as the type has them."""
    rng = np.random.default_rng(5)
    if dtype == "complex64":
        return (rng.standard_normal(count) + 1j * rng.standard_normal(count)).astype(np.complex64)
    return (
        (100 * rng.standard_normal(count)).astype(dtype) if dtype != "uint8" else rng.integers(0, 256, count).astype(dtype)
    )


STREAMS = [
    ("push", "complex64", 1, False),
    ("push", "complex64", 3, True),
    ("push", "float32", 8, True),
    ("push", "int16", 2, False),
    ("push", "uint8", 5, True),
    ("push", "int32", 1, True),
    ("rep", "complex64", 1, False),
    ("rep", "complex64", 3, True),
]


@pytest.mark.parametrize(("kind", "dtype", "vlen", "tags"), STREAMS)
def test_a_stream_from_gnu_radio(endpoint: str, tmp_path: Path, kind: str, dtype: str, vlen: int, tags: bool) -> None:
    values = numbers(20_000 * vlen, dtype)
    source = GnuRadioSource(endpoint, (vlen,), dtype, pattern={"push": "pull", "rep": "req"}[kind], tags=tags)
    probe, fg = Probe(), Flowgraph()
    fg.connect(source, probe)
    chain = {"do": "send", "kind": kind, "address": endpoint, "dtype": dtype, "vlen": vlen, "tags": tags}
    with gnuradio({**chain, "file": save(tmp_path / "v.npy", values)}), fg:
        fg.start(items=20_000)
        assert fg.wait(LONG)
    assert probe.values["value"].tobytes() == values.tobytes()
    np.testing.assert_array_equal(probe.values["start"], np.arange(20_000))
    assert (source.lost, source.bad) == (0, {})


@pytest.mark.parametrize("key", ["", "rxA"])
def test_a_published_stream_from_gnu_radio(endpoint: str, tmp_path: Path, key: str) -> None:
    """PUB drops for those who come late or slowly: what comes is where its numbers say, and what does not is counted."""
    values = np.arange(40_000).astype(np.complex64)
    source = GnuRadioSource(endpoint, (), tags=True, key=key)
    probe, fg = Probe(), Flowgraph()
    fg.connect(source, probe)
    chain = {"do": "send", "kind": "pub", "address": endpoint, "dtype": "complex64", "tags": True, "key": key}
    with gnuradio({**chain, "repeat": True, "file": save(tmp_path / "v.npy", values)}), fg:
        fg.start(items=200_000)
        assert fg.wait(LONG)
    came = probe.values
    np.testing.assert_array_equal(came["value"].real, came["start"] % 40_000)
    steps = np.diff(came["start"].astype(np.int64)) - 1
    np.testing.assert_array_equal(came["lost"][1:], steps)
    assert source.bad == {}


def test_tags_from_gnu_radio(endpoint: str, tmp_path: Path) -> None:
    marks = [[0, "rx_time", [1700000000, 0.25]], [0, "rx_rate", 1e6], [0, "rx_freq", 2.4e9], [1000, "gain", 30.0]]
    chain = {"do": "send", "kind": "push", "address": endpoint, "dtype": "complex64", "tags": True, "marks": marks}
    probe, fg = Probe(), Flowgraph()
    fg.connect(GnuRadioSource(endpoint, pattern="pull", tags=True, group=100), probe)
    with gnuradio({**chain, "file": save(tmp_path / "v.npy", numbers(2000))}), fg:
        fg.start(items=20)
        assert fg.wait(LONG)
    came = probe.values
    np.testing.assert_array_equal(came["seconds"], 1700000000)
    np.testing.assert_allclose(came["fraction"], 0.25 + np.arange(20) * 1e-4, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(came["frequency"], 2.4e9)
    np.testing.assert_array_equal(came["gain"][:, 0], [np.nan] * 10 + [30.0] * 10)


@pytest.mark.parametrize(
    ("kind", "dtype", "vlen", "tags"),
    [
        ("pull", "complex64", 1, True),
        ("req", "complex64", 1, True),
        ("sub", "complex64", 1, True),
        ("pull", "complex64", 64, False),
        ("pull", "float32", 3, True),
        ("req", "int16", 5, False),
        ("pull", "uint8", 7, False),
        ("sub", "int32", 2, False),
    ],
)
def test_a_stream_to_gnu_radio(endpoint: str, tmp_path: Path, kind: str, dtype: str, vlen: int, tags: bool) -> None:
    values = numbers(5000 * vlen, dtype).reshape(5000, vlen)
    key = "k" if kind == "sub" else ""
    sink = GnuRadioSink(endpoint, pattern={"pull": "push", "req": "rep", "sub": "pub"}[kind], key=key, tags=tags)
    fg = Flowgraph()
    fg.connect(Rows(values), sink)
    out = str(tmp_path / "out.npy")
    chain = {"do": "receive", "kind": kind, "address": endpoint, "dtype": dtype, "vlen": vlen, "tags": tags}
    with fg, gnuradio({**chain, "count": 5000, "out": out, **({"key": key} if key else {})}) as child:
        fg.start()
        ended(child)
    assert np.load(out).tobytes() == values.tobytes()


def test_tags_to_gnu_radio(endpoint: str, tmp_path: Path) -> None:
    fg, out = Flowgraph(), str(tmp_path / "out.npy")
    fg.connect(Samples([1 + 2j, 3 + 4j]), GnuRadioSink(endpoint, tags=True, fields=("value",)))
    chain = {
        "do": "receive",
        "kind": "pull",
        "address": endpoint,
        "dtype": "complex64",
        "tags": True,
        "count": 2,
        "out": out,
    }
    with fg, gnuradio(chain) as child:
        fg.start()
        ended(child)
    tags = json.loads(Path(out + ".tags.json").read_text())
    assert tags == [[0, "value", [1.0, 2.0]], [1, "value", [3.0, 4.0]]]


@pytest.mark.parametrize(("there", "back_by"), [("push", "pull"), ("rep", "req")])
def test_pdus_both_ways(endpoint: str, tmp_path: Path, there: str, back_by: str) -> None:
    """GNU Radio's PDUs become items, and these go back as PDUs; with requests we bind to be asked, and ask where we bind."""
    back, out, ours = f"{endpoint}-back", tmp_path / "heard.json", there == "rep"
    rows = numbers(40).reshape(10, 4)
    fg = Flowgraph()
    source = GnuRadioSource(endpoint, (4,), pattern="req" if ours else "pull", messages=True, bind=ours)
    pattern = "rep" if ours else "push"
    fg.connect(source, GnuRadioMessages(back, fields=("frequency",), vector="value", pattern=pattern, bind=not ours))
    say = {"do": "say", "kind": there, "address": endpoint, "file": save(tmp_path / "rows.npy", rows), "bind": not ours}
    hear = {"do": "hear", "kind": back_by, "address": back, "count": 10, "out": str(out), "bind": ours}
    with fg, gnuradio(say, hear) as child:
        fg.start(items=10)
        ended(child)
    heard = json.loads(out.read_text())
    assert [one[0] for one in heard] == [{"sequence": k, "frequency": 1e9 + k} for k in range(10)]


# The whole way: GNU Radio sends frames, we calibrate, kappa and detections go back


def simulated(radar: OfdmRadar, count: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Frames with their symbols and sectors in two more rows, and the true kappa."""
    channel, probe, fg = ImpairedChannel(radar, seed=3), Probe(), Flowgraph("simulation")
    fg.connect(OfdmSource(radar, seed=3), channel)
    fg.connect(channel.frame, probe)
    fg.run(items=count)
    rows = np.zeros((count, radar.antennas + 2, radar.subcarriers), np.complex64)
    rows[:, :-2], rows[:, -2] = probe.values["y"], probe.values["x"]
    rows[:, -1, 0] = probe.values["theta_min"] + 1j * probe.values["theta_max"]
    return rows, channel.kappa


RADAR, COUNT = OfdmRadar(8, 32), 1200
UPDATES = COUNT // 8


def chains(at: str, frames: np.ndarray[Any, Any], where: Path) -> list[dict[str, Any]]:
    """GNU Radio's side: frames out, kappa and detections in."""
    frames_at, kappa_at, detections_at = endpoints(at)
    send = {
        "do": "send",
        "kind": "push",
        "address": frames_at,
        "dtype": "complex64",
        "vlen": frames[0].size,
        "tags": True,
    }
    kappa = {"do": "receive", "kind": "pull", "address": kappa_at, "dtype": "complex64", "vlen": 8, "count": UPDATES}
    heard = {"do": "hear", "kind": "pull", "address": detections_at, "count": COUNT}
    files = (
        {"file": save(where / "frames.npy", frames)},
        {"out": str(where / "kappa.npy")},
        {"out": str(where / "heard.json")},
    )
    return [chain | file for chain, file in zip((send, kappa, heard), files, strict=True)]


def receiver(source: Source, *sinks: Block) -> Flowgraph:
    """Frames in, kappa and detections out. No feedback: its lag counts messages, and these are as GNU Radio makes them."""
    fg = Flowgraph("receiver")
    image, detector, calibrator = AngleDelayMap(RADAR), MaprtDetector(RADAR, noise="estimated"), KappaCalibrator(RADAR)
    fg.connect(source, Framing(RADAR, sectors=True), image, detector, calibrator)
    fg.connect(calibrator, sinks[0])
    fg.connect(detector, sinks[1])
    return fg


def test_calibration_of_frames_from_gnu_radio_is_the_same_to_the_bit(tmp_path: Path, placement: str) -> None:
    at, (frames, _) = f"ipc://{tmp_path}/at", simulated(RADAR, COUNT)
    kappas, detections = Probe(), Probe()
    receiver(Rows(frames), kappas, detections).run()
    source = GnuRadioSource(f"{at}-frames", (10, 32), pattern="pull", tags=True)
    told = ("present", "probability", "theta", "range")
    back = GnuRadioSink(f"{at}-kappa", dtype="complex64"), GnuRadioMessages(f"{at}-detections", fields=told)
    with receiver(source, *back) as fg, gnuradio(*chains(at, frames, tmp_path)) as child:
        fg.start(placement=placement)
        ended(child)
    assert np.load(tmp_path / "kappa.npy").tobytes() == kappas.values["kappa"].astype(np.complex64).tobytes()
    heard = json.loads((tmp_path / "heard.json").read_text())
    assert [one["sequence"] for one in heard] == list(range(COUNT))
    for name in told:
        expected = detections.values[name]
        np.testing.assert_array_equal(np.array([one[name] for one in heard]), expected, err_msg=name)


def free_ports() -> int:
    """The first of three that nobody has."""
    while True:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, OverflowError):
            port = int(stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1])
            for k in (1, 2):
                stack.enter_context(socket.create_server(("127.0.0.1", port + k)))
            return port


@pytest.mark.parametrize("scheme", ["ipc", "tcp"])
def test_the_script_gives_kappa_and_detections_back_to_gnu_radio(tmp_path: Path, scheme: str) -> None:
    at = f"ipc://{tmp_path}/at" if scheme == "ipc" else f"tcp://127.0.0.1:{free_ports()}"
    frames, truth = simulated(RADAR, COUNT)
    script = [sys.executable, str(ROOT / "flowgraphs" / "from_gnuradio.py"), "--sectors", "--at", at]
    ours = subprocess.Popen([*script, "--antennas", "8", "--subcarriers", "32"], stderr=subprocess.PIPE, text=True)
    try:
        with gnuradio(*chains(at, frames, tmp_path)) as child:
            ended(child)
        ours.send_signal(signal.SIGINT)
        _, errors = ours.communicate(timeout=LONG)
    finally:
        ours.kill()
    assert ours.returncode == 130, errors
    learned = np.load(tmp_path / "kappa.npy")[-1].astype(np.complex128)
    before, after = (kappa_error(kappa, truth, RADAR).loss_db for kappa in (np.ones(8), learned))
    assert before > 1.0
    assert after < 0.05
    heard = json.loads((tmp_path / "heard.json").read_text())
    assert [one["sequence"] for one in heard] == list(range(COUNT))
    assert 0.2 < np.mean([one["present"] for one in heard]) < 0.6  # half of the frames have a target, not all are seen


def test_a_sender_that_does_not_wait_is_calibrated_from_what_can_be_taken(tmp_path: Path) -> None:
    """GNU Radio sends far more frames than are calibrated: those left out are counted, the others are as if sent alone."""
    at, (frames, _) = f"ipc://{tmp_path}/at", simulated(RADAR, COUNT)
    send, kappa, heard = chains(at, frames, tmp_path)
    source, probe = GnuRadioSource(f"{at}-frames", (10, 32), pattern="pull", tags=True, newest=64), Probe()
    source.rate = 1000.0  # far less than GNU Radio sends, on any machine
    back = GnuRadioSink(f"{at}-kappa", dtype="complex64"), GnuRadioMessages(f"{at}-detections", fields=("present",))
    fg = receiver(source, *back)
    fg.connect(source, probe)
    with fg, gnuradio(send | {"repeat": True}, kappa, heard) as child:
        fg.start()
        ended(child)
        fg.stop()
    start, lost = (probe.values[name].astype(np.int64) for name in ("start", "lost"))
    np.testing.assert_array_equal(np.diff(start) - 1, lost[1:])
    assert source.left_out >= lost.sum() > COUNT
    assert (source.lost, source.cut, source.restarts, source.bad) == (0, 0, 0, {})
    rows = probe.values["value"]
    np.testing.assert_array_equal(rows, frames[start % COUNT])
    kappas, detections = Probe(), Probe()
    receiver(Rows(rows[:COUNT]), kappas, detections).run()
    assert np.load(tmp_path / "kappa.npy").tobytes() == kappas.values["kappa"].astype(np.complex64).tobytes()
    present = detections.values["present"].tolist()
    assert [(one["sequence"], one["present"]) for one in json.loads((tmp_path / "heard.json").read_text())] == [
        *enumerate(present)
    ]


# Peers that do not behave


def phases(fg: Flowgraph) -> set[str]:
    return {block.phase for block in fg.status.blocks.values()}


def test_gnu_radio_is_killed_and_comes_back(endpoint: str, tmp_path: Path) -> None:
    chain = {"do": "send", "kind": "push", "address": endpoint, "dtype": "complex64", "tags": True, "repeat": True}
    chain["file"] = save(tmp_path / "v.npy", np.arange(1000).astype(np.complex64))
    source, probe, fg = GnuRadioSource(endpoint, pattern="pull", tags=True), Probe(limit=100), Flowgraph()
    fg.connect(source, probe)

    def more() -> None:
        before, until = fg.status.blocks["probe"].items_in, time.monotonic() + LONG
        while fg.status.blocks["probe"].items_in < before + 5000:
            assert time.monotonic() < until, fg.status
            time.sleep(0.01)

    with fg:
        fg.start()
        with gnuradio(chain):
            more()
        before = -1
        while before != (now := fg.status.blocks["probe"].items_in):  # until all that was on its way has come
            before = now
            time.sleep(0.5)
        with gnuradio(chain):
            more()
        fg.stop()
    assert source.restarts == 1  # its numbers began anew
    assert (source.lost, source.bad) == (0, {})


def test_gnu_radio_sends_what_we_do_not_expect(endpoint: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No tags, another type, another vector length: messages are counted, the flowgraph lives, right ones are taken."""
    chain = {"do": "send", "kind": "push", "address": endpoint, "dtype": "complex64", "repeat": True}
    chain["file"] = save(tmp_path / "v.npy", np.zeros(1000, np.complex64))
    source, probe, fg = GnuRadioSource(endpoint, pattern="pull", tags=True), Probe(), Flowgraph()
    fg.connect(source, probe)
    with fg:
        fg.start()
        until = time.monotonic() + LONG
        with gnuradio(chain):
            while not fg.status.blocks["gnu_radio_source"].readings.get("bad_messages", 0) > 10:
                assert time.monotonic() < until
                time.sleep(0.01)
        wrong = {"dtype": "uint8", "vlen": 5, "file": save(tmp_path / "b.npy", numbers(1000, "uint8"))}
        for other, words in ((wrong, ("(size, 1 so far)", "somebody else")), ({"vlen": 4}, ("(length, 1 so far)",))):
            with gnuradio({**chain, "tags": True, **other}):
                while not any(word in caplog.text for word in words):
                    assert time.monotonic() < until
                    time.sleep(0.01)
        taken = fg.status.blocks["probe"].items_in
        with gnuradio({**chain, "tags": True}):
            while not fg.status.blocks["probe"].items_in > taken:
                assert time.monotonic() < until
                time.sleep(0.01)
        assert phases(fg) == {"running"}
        fg.stop()
    assert {"magic", "length"} <= set(source.bad) <= {"magic", "length", "size"}


@pytest.mark.parametrize("kind", ["pull", "sub"])
def test_gnu_radio_stalls_and_we_stop_in_time(endpoint: str, tmp_path: Path, kind: str) -> None:
    """A stopped process keeps its connection and takes nothing: its sender waits, and can be ended."""
    pattern = {"pull": "push", "sub": "pub"}[kind]
    chain = {"do": "receive", "kind": kind, "address": endpoint, "dtype": "float32", "vlen": 30_000, "count": 10**6}
    sink, fg = GnuRadioSink(endpoint, pattern=pattern, dtype="float32", high_water=4), Flowgraph()
    fg.connect(Counter(size=30_000), sink)
    with gnuradio({**chain, "out": str(tmp_path / "out.npy")}) as child, fg:
        fg.start()
        until = time.monotonic() + LONG
        while not fg.status.blocks["gnu_radio_sink"].readings.get("sent_items", 0) > 0:
            assert time.monotonic() < until
            time.sleep(0.01)
        child.send_signal(signal.SIGSTOP)
        sent = -1.0
        while sent != (now := fg.status.blocks["gnu_radio_sink"].readings["sent_items"]):
            assert time.monotonic() < until
            sent = now
            time.sleep(0.5)  # until nothing more fits into the queues
        fg.stop()
        assert fg.wait(LONG)
    assert sink.dropped == 0


def test_gnu_radio_is_idle_and_we_say_so(
    endpoint: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its flowgraph runs and sends messages, but no stream comes: here, because the key is another one."""
    monkeypatch.setattr("isacblocks.frontends.gnuradio.line.Clock.__init__.__defaults__", (0.5,))
    chain = {"do": "flood", "kind": "pub", "address": endpoint, "dtype": "complex64", "tags": True, "key": "rxA"}
    fg = Flowgraph()
    fg.connect(GnuRadioSource(endpoint, tags=True, key="rxB"), Probe())
    with gnuradio(chain), fg:
        fg.start()
        until = time.monotonic() + LONG
        while "connected, no message for" not in caplog.text:
            assert time.monotonic() < until
            time.sleep(0.01)
    assert "does the sender set pass_tags with the key 'rxB'?" in caplog.text
