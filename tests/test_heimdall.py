"""HeIMDALL's IQ frames from a server of the tests' own. No KrakenSDR was at hand."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isacblocks.blocks import Probe
from isacblocks.frontends import GnuRadioSource, HeimdallSource, SoapySource
from isacblocks.frontends.heimdall_header import DATA, HEADER, SYNC_WORD, HeimdallError, read_header
from isacblocks.stream import Flowgraph

LONG = 60.0
LENGTH = 100  # samples of a frame


def header(index: int, **other: Any) -> bytes:
    told: dict[str, Any] = {
        "word": SYNC_WORD,
        "kind": DATA,
        "channels": 3,
        "frequency": 433_000_000,
        "rate": 1_000_000,
        "length": LENGTH,
        "time": 1_700_000_000_250,
        "depth": 32,
        "overdrive": 0,
        "delays": 1,
        "phases": 1,
        "noise": 0,
        "version": 7,
        **other,
    }
    gains = [100, 200, 300] + [0] * 29
    return HEADER.pack(
        *(told["word"], told["kind"], b"kraken", 0, told["channels"], 0, told["frequency"], 2_400_000, told["rate"]),
        *(told["length"], told["time"], index, index, 0, 2, told["depth"], told["overdrive"], *gains),
        *(told["delays"], told["phases"], 6, told["noise"], *[0] * 192, told["version"]),
    )


def samples(index: int) -> np.ndarray[Any, Any]:
    """Channel c of frame k holds the samples' numbers + jc."""
    return (index * LENGTH + np.arange(LENGTH) + 1j * np.arange(3)[:, None]).astype(np.complex64)


def frame(index: int, **other: Any) -> bytes:
    return header(index, **other) + samples(index).tobytes()


class Cut(bytes):
    """Behind these the server closes the connection."""


class Silence(Cut):
    """Behind these it sends nothing more, and waits for the client to go."""


@contextlib.contextmanager
def server(frames: Sequence[bytes], each: int = 10**6) -> Iterator[int]:
    """Sends what it is asked for, `each` frames per connection, and sees that it is asked as the firmware wants it."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    over, wrong = threading.Event(), []
    left = list(frames)

    def ask(connection: socket.socket, expected: bytes) -> bool:
        got = b""
        while len(got) < len(expected) and not over.is_set():
            with contextlib.suppress(TimeoutError):
                part = connection.recv(len(expected) - len(got))
                if not part:
                    return False
                got += part
        if got != expected and not over.is_set():
            wrong.append(got)
        return got == expected

    def serve() -> None:
        while not over.is_set():
            with contextlib.suppress(TimeoutError, ConnectionError):
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(0.05)
                    asked = ask(connection, b"streaming")
                    for _ in range(each):
                        if not (asked and left):
                            break
                        now = left.pop(0)
                        connection.sendall(now)
                        while isinstance(now, Silence) and not over.is_set():
                            with contextlib.suppress(TimeoutError):
                                if not connection.recv(100):
                                    break
                        if isinstance(now, Cut):
                            break
                        asked = ask(connection, b"IQDownload")
                    while asked and not left and not over.is_set():
                        time.sleep(0.01)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        thread.join()
        listener.close()
    assert not wrong


def take(frames: Sequence[bytes], items: int, each: int = 10**6, **options: Any) -> tuple[HeimdallSource, dict[str, Any]]:
    with server(frames, each) as port:
        source, probe, fg = HeimdallSource(port=port, **{"channels": 3, "group": 50, **options}), Probe(), Flowgraph()
        fg.connect(source, probe)
        with fg:
            fg.start(items=items)
            assert fg.wait(LONG)
    return source, probe.values


def test_frames_become_items() -> None:
    source, came = take([frame(k) for k in range(5)], 10)
    expected = np.concatenate([samples(k) for k in range(5)], axis=1).reshape(3, 10, 50).transpose(1, 0, 2)
    np.testing.assert_array_equal(came["iq"], expected)
    np.testing.assert_array_equal(came["frequency"], 433e6)
    np.testing.assert_array_equal(came["gain"], [[10, 20, 30]] * 10)
    np.testing.assert_array_equal(came["seconds"], 1_700_000_000)
    np.testing.assert_allclose(came["fraction"][:2], [0.25, 0.25 + 50e-6], rtol=0, atol=1e-9)
    assert (source.lost, source.skipped, source.bad) == (0, 0, {})


def test_frames_that_are_missing_are_a_gap_and_others_are_skipped() -> None:
    frames = [
        frame(0),
        frame(3),
        frame(4, kind=3),
        frame(5, noise=1),
        frame(6, phases=0),
        header(7, kind=1, length=0),
        frame(8),
    ]
    source, came = take(frames, 6)
    np.testing.assert_array_equal(came["iq"][:, 0, 0].real, [0, 50, 300, 350, 800, 850])
    np.testing.assert_array_equal(came["gap"], [0, 0, 1, 0, 1, 0])
    assert came["lost"][2] == 200
    assert (source.skipped, source.bad) == (4, {})


def test_what_is_not_aligned_may_be_taken_and_overdriven_frames_are_counted() -> None:
    source, came = take([frame(0, phases=0), frame(1, overdrive=2)], 4, incoherent=True)
    assert (source.skipped, source.overdriven) == (0, 1)
    assert not came["gap"].any()


def test_a_server_that_goes_away_is_connected_to_again() -> None:
    source, came = take([frame(k) for k in range(6)], 12, each=2)
    np.testing.assert_array_equal(came["iq"][:, 0, 0].real, 50 * np.arange(12))
    np.testing.assert_array_equal(np.flatnonzero(came["gap"]), [4, 8])
    assert source.connections == 3


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"word": 1}, "sync"),
        ({"version": 3}, "version"),
        ({"channels": 33}, "size"),
        ({"channels": 0}, "size"),
        ({"length": 2**32 - 1}, "size"),
        ({"depth": 8}, "form"),
        ({"rate": 0}, "form"),
        ({"channels": 2}, "channels"),
    ],
)
def test_a_header_that_is_wrong_is_counted_and_the_connection_made_anew(other: dict[str, Any], reason: str) -> None:
    source, came = take([frame(0), header(1, **other), frame(2)], 4, each=2)
    np.testing.assert_array_equal(came["iq"][:, 0, 0].real, [0, 50, 200, 250])
    assert source.bad == {reason: 1}


@given(st.binary(min_size=1024, max_size=1024))
def test_any_bytes_are_a_header_or_an_error_with_a_name(data: bytes) -> None:
    for one in (data, HEADER.pack(*(SYNC_WORD, *HEADER.unpack(data)[1:-1], 7))):
        with contextlib.suppress(HeimdallError):
            assert read_header(one, 1 << 20).size <= 1 << 20


def test_a_server_that_stops_in_mid_stream_is_told_counted_and_connected_to_again(caplog: pytest.LogCaptureFixture) -> None:
    """In the middle of a frame and of a header, between frames; closed, or silent with its connection open."""
    size = len(frame(0))
    frames = [
        *(frame(0), Cut(frame(1)[: size // 2]), frame(2), Cut(frame(3)[:700]), frame(4), Silence(frame(5)[: size - 1])),
        *(frame(6), Silence(b""), Cut(frame(7)), frame(8)),
    ]
    source, came = take(frames, 12, patience=0.4)
    np.testing.assert_array_equal(came["iq"][:, 0, 0].real, 50 * np.array([0, 1, 4, 5, 8, 9, 12, 13, 14, 15, 16, 17]))
    gaps = np.flatnonzero(came["gap"])
    assert gaps.tolist() == [2, 4, 6, 8, 10]
    assert came["lost"][gaps].tolist() == [100, 100, 100, 0, 0]  # by the frames' numbers
    assert (source.connections, source.closed, source.torn, source.bad) == (6, 5, 3, {})
    said = [line for line in caplog.messages if "tried again by itself" in line]
    assert "the server has closed the connection in the middle of a frame (1 times so far)" in said[0]
    assert "the server has sent nothing for 0.4 s, its connection was closed" in said[2]
    assert len(said) == 3  # the 1st, 2nd and 4th


def test_who_takes_the_place_of_a_killed_one_counts_on_and_marks_a_gap() -> None:
    """As after a kill with restart: nothing of the device can be asked for twice."""
    assert not any(kind.replayable for kind in (HeimdallSource, SoapySource, GnuRadioSource))

    def items(source: HeimdallSource, count: int) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {"start": [], "gap": []}
        end = time.monotonic() + LONG
        while len(found["gap"]) < count:
            assert time.monotonic() < end
            made = source.produce(0, count)
            assert made is not None
            for name in found:
                found[name] += made.fields[name].tolist()
        return found

    with server([frame(0), frame(1), frame(5), frame(6)], each=2) as port:
        first, second = (HeimdallSource(port=port, channels=3, group=LENGTH) for _ in range(2))
        first.start()
        assert items(first, 2)["gap"] == [0, 0]
        saved = first.save()
        first.finish()
        second.start()
        second.restore(saved)
        assert items(second, 2)["gap"] == [1, 0]
        assert second.received == 4 * LENGTH
        second.finish()


def test_a_server_that_is_not_there_is_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    fg = Flowgraph()
    fg.connect(HeimdallSource(port=port), Probe())
    fg.start()
    time.sleep(0.5)
    fg.stop()
    assert fg.wait(LONG)


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (None, "nobody is there (Connection refused); start the server"),
        ([frame(k, delays=0) for k in range(3)], "skipped: 3 not aligned by the firmware yet (incoherent=True takes them)"),
        ([frame(0, noise=1), header(1, kind=1, length=0)], "skipped: 1 with the noise source on, 1 without samples"),
        ([frame(k, channels=5) for k in range(9)], "what comes cannot be read, as told before"),
        ([Silence(frame(0)[:700])], "connected; does its DAQ run?"),
        ([Cut(b"HTTP/1.1 400 Bad")], "behind b'HTTP/1.1 400 Bad', which begins no frame: is a HeIMDALL IQ server there?"),
    ],
)
def test_a_user_who_waits_is_told_why(
    frames: list[bytes] | None, words: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isacblocks.frontends.gnuradio.line.Clock.__init__.__defaults__", (0.05,))
    with contextlib.ExitStack() as stack:
        if frames is None:
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
        else:
            port = stack.enter_context(server(frames, each=1 if "read" in words else 10**6))
        source = HeimdallSource(port=port, channels=3, patience=0.2 if "begins" in words else 10.0)
        source.start()
        stack.callback(source.finish)
        until = time.monotonic() + LONG
        while words not in caplog.text:
            assert time.monotonic() < until, caplog.text
            assert not source.produce(0, 1)
    assert ("5 channels, expected 3; say channels=5" in caplog.text) == ("read" in words)


def test_what_is_asked_for_wrongly() -> None:
    for options in ({"channels": 0}, {"channels": 33}, {"group": 0}, {"port": 0}):
        with pytest.raises(ValueError, match="expected 1 to 32 channels"):
            HeimdallSource(**options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="patience"):
        HeimdallSource(patience=0.0)


def test_a_header_cannot_ask_for_more_than_is_allowed() -> None:
    assert read_header(header(0, length=1000), 24_000).size == 24_000
    with pytest.raises(HeimdallError, match="at most 32 and 23999 bytes"):
        read_header(header(0, length=1000), 23_999)
