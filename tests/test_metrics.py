"""The counters over HTTP: who may see them, and that they are the flowgraph's."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from pathlib import Path

import pytest
from stream_blocks import Collect, Counter, Scale

from isacblocks.stream import Flowgraph
from isacblocks.view.access import AccessError, admits, is_loopback, parse_address, read_token, require_token
from isacblocks.view.metrics import MetricsServer

TOKEN = "correct-horse-battery-staple"


def graph() -> Flowgraph:
    fg = Flowgraph("counted")
    fg.connect(Counter(), Scale(), Collect())
    return fg


def get(port: int, path: str = "/metrics", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def answered(port: int) -> bool:
    """Whether the figures can be had, in the end: the last of the others may not have been let go yet, and who is slow to
    ask, because this machine is busy, is turned away like them.
    """
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return get(port)[0] == 200
        time.sleep(0.05)
    return False


def test_the_counters_are_those_of_the_status() -> None:
    fg = graph()
    with MetricsServer(fg, port=0) as server:
        assert server.host == "127.0.0.1"
        status, body = get(server.port)
        assert status == 200
        assert 'phase="not started"' in body
        fg.run(500)
        _, body = get(server.port)
    lines = dict(line.rsplit(" ", 1) for line in body.splitlines() if not line.startswith("#"))
    assert float(lines['isacblocks_block_items_in_total{block="collect"}']) == 500
    edge = '{receiver="collect.number",sender="scale.scaled"}'
    found = [float(lines[f"isacblocks_edge_{name}{edge}"]) for name in ("produced_total", "committed_total", "in_flight")]
    assert found == [500, 500, 0]
    assert float(lines['isacblocks_reading{block="scale",reading="last"}']) == 499
    with pytest.raises(OSError, match="refused"):
        get(server.port)


def test_other_paths_and_broken_requests_are_answered_or_dropped() -> None:
    with MetricsServer(graph(), port=0) as server:
        assert get(server.port, "/")[0] == 404
        for garbage in (b"\0" * 100, b"GET\r\n\r\n", b"GET /metrics HTTP/9.9\r\n\r\n", b"POST /metrics HTTP/1.1\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", server.port), 10) as raw:
                raw.sendall(garbage)
                raw.shutdown(socket.SHUT_WR)
                assert b"200" not in raw.recv(4096)[:16]
        assert get(server.port)[0] == 200


def test_idle_clients_are_bounded_and_do_not_keep_others_out_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isacblocks.view.metrics._PATIENCE", 0.2)
    with MetricsServer(graph(), port=0) as server:
        before = threading.active_count()
        idle = [socket.create_connection(("127.0.0.1", server.port), 10) for _ in range(40)]
        for connection in idle:  # turned away at once, or after the patience
            connection.settimeout(60)
            assert connection.recv(1) == b""
            connection.close()
        assert threading.active_count() <= before + 8
        assert answered(server.port)


def test_with_a_token_nothing_is_told_without_it() -> None:
    with MetricsServer(graph(), port=0, token=TOKEN) as server:
        assert get(server.port)[0] == 401
        assert get(server.port, Authorization=f"Bearer {TOKEN}x")[0] == 401
        assert get(server.port, Authorization=f"Basic {TOKEN}")[0] == 401
        assert get(server.port, "/metrics?token=wrong")[0] == 401
        assert "isacblocks" not in get(server.port, "/metrics?token=wrong")[1]
        assert get(server.port, Authorization=f"Bearer {TOKEN}")[0] == 200
        assert get(server.port, f"/metrics?token={TOKEN}")[0] == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_beyond_loopback_a_token_is_needed(host: str) -> None:
    with pytest.raises(AccessError, match="needs a token"):
        MetricsServer(graph(), host=host, port=0)
    require_token(host, TOKEN)


def test_a_port_in_use_is_one_clear_line() -> None:
    with MetricsServer(graph(), port=0) as server, pytest.raises(AccessError, match="choose another port"):
        MetricsServer(graph(), port=server.port)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ("127.0.0.1", 9464)),
        ("8000", ("127.0.0.1", 8000)),
        (":8000", ("127.0.0.1", 8000)),
        ("0.0.0.0", ("0.0.0.0", 9464)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:80", ("::1", 80)),
        ("[::1]", ("::1", 9464)),
    ],
)
def test_addresses(text: str, found: tuple[str, int]) -> None:
    assert parse_address(text, 9464) == found


@pytest.mark.parametrize("text", ["host:70000", "a:b:c", "host:port", "[::1", "::1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AccessError, match="expected"):
        parse_address(text, 9464)


def test_loopback_is_known_without_looking_names_up() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "localhost.example.org", ""))


def test_a_token_is_compared_whole() -> None:
    assert admits(None, None, None)
    assert not admits(TOKEN, None, None)
    assert not admits(TOKEN, "", "")
    assert admits(TOKEN, f"bearer {TOKEN}", None)
    assert not admits(TOKEN, f"Bearer {TOKEN[:-1]}", TOKEN[:-1])
    assert not admits(TOKEN, "Bearer ünïcode", None)


def test_a_token_s_file_is_private_and_long_enough(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    assert read_token(path) == TOKEN
    path.chmod(0o640)
    with pytest.raises(AccessError, match="chmod 600"):
        read_token(path)
    path.chmod(0o600)
    for text in ("short", "with a space in the middle of it", "", "x" * 5000):
        path.write_text(text)
        with pytest.raises(AccessError, match="at least 16 printable"):
            read_token(path)
    with pytest.raises(AccessError, match="cannot be read"):
        read_token(tmp_path / "none")
