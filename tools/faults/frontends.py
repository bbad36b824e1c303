"""Senders outside that lie, lose, die and stall, and recordings that are cut off: front ends count it and go on.

The senders are bare sockets that speak GNU Radio's and HeIMDALL's formats, so that neither has to be installed.
"""

from __future__ import annotations

import importlib.util
import random
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from faults.case import Case, Outcome
from isacblocks.frontends import GnuRadioSource, HeimdallSource, SigmfSink, SigmfSource
from isacblocks.frontends.gnuradio import wire
from isacblocks.frontends.heimdall_header import HEADER
from isacblocks.frontends.samples import IQ
from isacblocks.frontends.sigmf_format import SigmfError
from isacblocks.stream import jig
from isacblocks.stream.spec import resolve

_PATIENCE = 120.0  # seconds: against hanging only
_STALL = 0.3  # seconds


def _drain(source: Any, done: Callable[[int], bool], outcome: Outcome, what: str) -> list[Any]:
    """Everything that comes until `done`, which is asked with the number of items so far."""
    parts: list[Any] = []
    until = time.monotonic() + _PATIENCE
    while not done(sum(map(len, parts))):
        if time.monotonic() > until:
            outcome.expect(False, f"{what}: did not come to an end, {sum(map(len, parts))} items came")
            break
        items = source.produce(0, 4096)
        parts += [items] if items is not None and len(items) else []
    return parts


def _peers(count: int) -> Outcome:
    """Lives of a sender: each numbers its items from 0, loses messages, sends some that cannot be read, stalls, and dies."""
    outcome, rng = Outcome(), random.Random(count)
    context: zmq.Context[Any] = zmq.Context()
    with tempfile.TemporaryDirectory() as directory:
        endpoint = f"ipc://{directory}/radio"
        source = GnuRadioSource(endpoint, pattern="pull", bind=True, tags=True)
        source.start()
        lost = bad = came = 0
        values: list[Any] = []
        starts: list[Any] = []
        for life in range(count):
            peer = context.socket(zmq.PUSH)
            peer.linger, peer.sndtimeo = int(1000 * _PATIENCE), int(1000 * _PATIENCE)
            peer.connect(endpoint)
            number = sent = 0
            for message in range(40):
                rows = rng.randint(1, 300)
                fate = rng.random() if message not in (0, 39) else 1.0  # a loss is seen by what comes behind it
                if fate < 0.15:
                    number, lost = number + rows, lost + rows
                    continue
                if fate < 0.3:
                    good = wire.pack(number) + bytes(8 * rows)
                    peer.send(rng.choice([rng.randbytes(rows), good[: rng.randint(0, 18)], good[:-3]]))
                    bad += 1
                    continue
                peer.send(wire.pack(number) + (np.arange(number, number + rows) + 1j * life).astype(np.complex64).tobytes())
                number, sent = number + rows, sent + rows
            came += sent
            for part in _drain(source, sent.__le__, outcome, f"life {life}"):
                values.append(part.value)
                starts.append(part.start)
            stalled = time.monotonic()
            while time.monotonic() - stalled < _STALL / count:
                outcome.expect(len(source.produce(0, 10) or ()) == 0, "items came of a sender that stalls")
            peer.close(0)  # dies
        found, numbers = np.concatenate(values), np.concatenate(starts)
        outcome.expect(found.size == came, f"{found.size} of {came} items came")
        outcome.expect(bool((found.real == numbers).all()), "an item has another number than it was sent with")
        outcome.expect(bool((np.diff(found.imag) >= 0).all()), "items of two lives are mixed")
        counted = int(source.lost), sum(source.bad.values()), int(source.restarts)
        outcome.expect(counted == (lost, bad, count - 1), f"lost, bad, restarts: {counted}, not {(lost, bad, count - 1)}")
        source.finish()
    context.term()
    outcome.figures |= {"came": float(came), "lost, counted": float(lost), "unreadable, counted": float(bad)}
    return outcome


def _servers(count: int) -> Outcome:
    """HeIMDALL servers that send garbage or close in the middle: counted, connected to again, no item is made of it."""
    outcome, rng = Outcome(), random.Random(count)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        source = HeimdallSource(port=listener.getsockname()[1], channels=3, group=8)
        source.start()
        tried, headers, until = 0, 0, time.monotonic() + _PATIENCE + count
        held: list[socket.socket] = []
        while tried < count and time.monotonic() < until:
            outcome.expect(len(source.produce(0, 10) or ()) == 0, "an item was made of garbage")
            try:
                listener.settimeout(0.0)
                connection, _ = listener.accept()
            except (BlockingIOError, TimeoutError):
                continue
            size = rng.choice([1, 100, HEADER.size, 5000])
            connection.sendall(rng.randbytes(size))
            connection.shutdown(socket.SHUT_WR)
            held.append(connection)
            tried, headers = tried + 1, headers + (size >= HEADER.size)
        outcome.expect(tried == count, f"connected {tried} times in {_PATIENCE} s, expected {count}")
        parts = _drain(source, lambda _: sum(source.bad.values()) >= headers, outcome, "headers that are none")
        outcome.expect(not parts and sum(source.bad.values()) == headers, "garbage was not counted as it was sent")
        outcome.figures["refused headers"] = float(sum(source.bad.values()))
        for connection in held:
            connection.close()
        source.finish()
    return outcome


def _recordings(count: int) -> Outcome:
    """Recordings cut off anywhere, in data or metadata, or with a bit of the data changed: refused, every one."""
    outcome, rng = Outcome(), random.Random(count)
    if importlib.util.find_spec("sigmf") is None:
        outcome.figures["skipped"] = "the library sigmf is not installed"
        return outcome
    with tempfile.TemporaryDirectory() as directory:
        fields = _samples(12)
        sink = SigmfSink(f"{directory}/whole")
        sink.items.adopt(resolve(IQ, {"C": 2, "T": 16}, "recordings"))
        jig.run(sink, {"items": fields})
        data, meta = (Path(directory, f"whole.sigmf-{kind}") for kind in ("data", "meta"))
        originals = {path: path.read_bytes() for path in (data, meta)}
        refused = 0
        for _ in range(count):
            path = rng.choice([data, meta])
            whole = originals[path]
            place = rng.randrange(len(whole if path == data else whole.rstrip()))  # the last line's end holds nothing
            changed = whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1 :]
            path.write_bytes(changed if path == data and rng.random() < 0.5 else whole[:place])
            try:
                SigmfSource(meta, 16)
                outcome.expect(False, f"{path.suffix}, damaged at byte {place}, was taken")
            except SigmfError:
                refused += 1
            path.write_bytes(whole)
        made = jig.run(SigmfSource(meta, 16), items=12)[0]["samples"]["iq"]
        outcome.expect(np.array_equal(made, fields["iq"]), "the undamaged recording is not what was written")
        outcome.figures["refused"] = float(refused)
    return outcome


def _samples(items: int) -> dict[str, Any]:
    """Two channels, sixteen samples an item."""
    rng = np.random.default_rng(1)
    fields: dict[str, Any] = {
        field.name: np.zeros((items, *[{"C": 2, "T": 16}[d] for d in field.dims]), field.dtype) for field in IQ.fields
    }
    fields["iq"][:] = rng.standard_normal((items, 2, 32)).view(np.complex128)
    fields["start"][:], fields["rate"][:], fields["frequency"][:] = 16 * np.arange(items), 1e6, 1e9
    return fields


CASES = (
    Case("radio peers", "what comes is right, losses, lies and new starts of senders are counted", _peers, 4, 100, "lives"),
    Case("radio servers", "garbage is refused and counted, the server is connected to again", _servers, 4, 100),
    Case("recordings cut off", "a recording that is cut off, or has a bit changed, is refused", _recordings, 40, 4000),
)
