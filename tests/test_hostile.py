"""Hostile bytes: every decoder answers with its named error and nothing else; an end of a link counts and goes on."""

from __future__ import annotations

import ast
import os
import random
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq
from conftest import ROOT
from faults.decoders import LAYOUT, Target, attempt, changed, items, targets
from hypothesis import given, settings
from hypothesis import strategies as st
from test_link import LAYOUT as NUMBERS
from test_link import Link
from test_link import items as numbers

from isacblocks.blocks.calibration_file import CalibrationError, read_calibration
from isacblocks.cli.graph_file import load_graph
from isacblocks.stream import CheckpointError, StreamError, WireError, codec, wire
from isacblocks.stream.checkpoint import block_file, load_block, load_manifest
from isacblocks.stream.decoder import Decoder
from isacblocks.stream.link import LARGEST_REQUEST, gather, make_socket
from isacblocks.stream.offer import read_descriptor
from isacblocks.stream.peer import Peer
from isacblocks.stream.refusals import Refusals

TARGETS = targets()


@pytest.fixture(params=list(TARGETS))
def target(request: pytest.FixtureRequest) -> Target:
    return TARGETS[request.param]


def test_what_is_right_is_taken(target: Target) -> None:
    for seed in target.seeds:
        if target.name != "reference":  # to a segment that is not there
            assert attempt(target, seed)


@pytest.mark.filterwarnings("ignore:Reading:UserWarning")  # numpy's, of files that were written by Python 2
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_nothing_but_the_named_error_comes_from_a_changed_input(data: st.DataObject) -> None:
    target = data.draw(st.sampled_from(list(TARGETS.values())))
    seed = data.draw(st.sampled_from(target.seeds))
    given_bytes = changed(seed, random.Random(data.draw(st.integers(0, 2**32))))
    attempt(target, target.mend(given_bytes) if data.draw(st.booleans()) else given_bytes)


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200))
def test_nothing_but_the_named_error_comes_from_noise(data: bytes) -> None:
    for target in TARGETS.values():
        attempt(target, data)


def test_nesting_without_end_and_wrong_numbers_are_values_that_cannot_be_read() -> None:
    deep = b"\x91" * 100_000 + b"\xc0"
    with pytest.raises(StreamError, match="recursion"):
        codec.decode(deep)
    with pytest.raises(WireError, match="recursion"):
        read_descriptor(b'{"x":' + b"[" * 100_000)
    short = msgspec.msgpack.encode(msgspec.msgpack.Ext(2, b""))
    with pytest.raises(StreamError, match="not a stored value"):
        codec.decode(short)


def test_a_value_of_our_own_that_is_damaged_imports_no_module_but_names_it() -> None:
    data = msgspec.msgpack.encode(msgspec.msgpack.Ext(3, msgspec.msgpack.encode(["no.such.module", "Thing", b"\x80"])))
    with pytest.raises(StreamError, match=r"no\.such\.module:Thing is not known here"):
        codec.decode(data, trusted=True)
    function = msgspec.msgpack.encode(msgspec.msgpack.Ext(3, msgspec.msgpack.encode(["os", "system", b"\x80"])))
    with pytest.raises(StreamError, match="os:system is not a dataclass"):
        codec.decode(function, trusted=True)


def test_a_decoder_reads_no_more_than_its_bytes() -> None:
    read: Decoder[Any] = Decoder(msgspec.json.decode, "a thing", 4, ValueError)
    assert read(b"1234") == 1234
    with pytest.raises(ValueError, match="a thing has at most 4 bytes, got 5"):
        read(b"12345")


def test_a_file_of_chirps_that_is_damaged() -> None:
    """numpy's reader raises what Python's parser raises; a size that the file does not have is no reason to take memory."""
    target = TARGETS["chirps"]
    (seed,) = target.seeds
    assert not attempt(target, seed.replace(b"(2, 3, 4)", b"(2, 3, 4 "))
    assert not attempt(target, seed.replace(b"<c8", b",c8"))
    assert not attempt(target, seed.replace(b"(2, 3, 4), }" + b" " * 8, b"(200000, 300, 400), }"[:20]))


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"dtype": "object"}, "none of"),
        ({"name": "a b"}, "named 'a b'"),
        ({"name": "count"}, "named 'count'"),
        ({"dims": ["N", "M"]}, "cannot be the sizes"),
        ({"shape": [-1]}, "cannot be the sizes"),
        ({"shape": [1 << 40]}, "cannot be the sizes"),
        ({"shape": [1 << 30]}, "at most"),
    ],
)
def test_descriptors_that_no_sender_would_say(field: dict[str, Any], words: str) -> None:
    whole = {"name": "a", "dtype": "float64", "dims": ["N"], "shape": [3], "unit": "1"} | field
    with pytest.raises(WireError, match=words):
        read_descriptor(msgspec.json.encode({"record": "x", "version": 1, "fields": [whole]}))
    twice = msgspec.json.encode({"record": "x", "version": 1, "fields": [whole | {"dims": [], "shape": []}] * 2})
    with pytest.raises(WireError):
        read_descriptor(twice)


def test_a_time_that_is_no_number_is_refused() -> None:
    with pytest.raises(WireError, match="time"):
        wire.unpack(wire.pack(wire.Header(wire.DATA, 0, 1, 1, 0, 0, 0, 0, 0, float("nan"))))


def test_a_message_of_endless_parts_takes_no_memory_here() -> None:
    context: Any = zmq.Context()
    one, other = make_socket(context, zmq.DEALER), make_socket(context, zmq.DEALER)
    try:
        other.bind("inproc://parts")
        one.connect("inproc://parts")
        one.send_multipart([b"x" * 100] * 5000)
        with pytest.raises(WireError, match="at most 3 parts, got 5000"):
            gather(other, 3)
        one.send_multipart([b"1", b"2", b"3"])
        assert [part.bytes for part in gather(other, 3)] == [b"1", b"2", b"3"]
        with pytest.raises(zmq.Again):
            gather(other, 3)
    finally:
        one.close()
        other.close()
        context.term()


@pytest.fixture
def link(tmp_path: Path) -> Any:
    made = Link(f"ipc://{tmp_path}/link")
    yield made
    made.close()


def edge_header(kind: int, serial: int = 0, first: int = 0, body: bytes = b"\x80", **others: Any) -> bytes:
    fields = {"flags": 0, "stream": NUMBERS.stream_id, "epoch": 1, "message": 0, "count": 0, "fields": 0, "time": 1.0}
    return wire.pack(wire.Header(kind, serial=serial, first=first, body=len(body), **{**fields, **others})) + body


def dropped(**reasons: int) -> bytes:
    return msgspec.msgpack.encode({"dropped": reasons})


@pytest.mark.parametrize("kind", [wire.ACK, wire.HELLO])
@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"serial": 9, "first": 6}, "ahead"),
        ({"serial": 1 << 63, "first": 6}, "ahead"),
        ({"serial": 2, "first": 5}, "books"),
        ({"serial": 2, "first": 1 << 60}, "books"),
        ({"serial": 1, "first": 6}, "books"),
        ({"serial": 2, "first": 0, "body": dropped(overflow=6)}, "words"),
        ({"serial": 2, "first": 9, "body": dropped(bad=-3)}, "words"),
        ({"serial": 2, "first": 6, "body": dropped(bad=3)}, "books"),
        ({"serial": 2, "first": 6, "body": msgspec.msgpack.encode({"interval": float("nan")})}, "words"),
        ({"serial": 2, "first": 6, "body": msgspec.msgpack.encode({"interval": -1.0})}, "words"),
        ({"serial": 2, "first": 6, "body": msgspec.msgpack.encode({"interval": 1e300})}, "words"),
        ({"serial": 2, "first": 6, "stream": 5}, "stream"),
        ({"serial": 2, "first": 6, "body": b"\x80" * LARGEST_REQUEST}, ""),  # cut off by the socket: it comes back later
    ],
)
def test_a_receiver_cannot_say_what_cannot_be(link: Any, kind: int, request_: dict[str, Any], reason: str) -> None:
    for k in range(2):
        link.outlet.send(numbers(k))
    link.settle(lambda: len(link.inlet.queue) == 2)
    link.inlet.socket.send(edge_header(kind, **request_))
    if reason:
        link.settle(lambda: link.outlet.refusals.bad == 1)
        assert link.outlet.refusals.counts == {reason: 1}
    link.settle()
    assert link.law().committed == 0, "nothing changed"
    for _ in range(2):
        link.inlet.commit()
    link.inlet.hello()
    link.settle(link.outlet.drained)
    assert (link.law().committed, link.law().lost) == (6, 0)
    assert link.outlet.refusals.bad == bool(reason), "what the socket cuts off nobody has to read"


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([b"noise"], "length"),
        ([b""], "length"),
        ([b"x"] * 100, "parts"),
        ([edge_header(wire.HELLO)], "kind"),
        ([edge_header(wire.OPEN, body=LAYOUT.descriptor)], "stream"),
        ([edge_header(wire.OPEN, body=b"{}")], "descriptor"),
        ([edge_header(wire.OPEN, body=NUMBERS.descriptor), b"x"], "parts"),
        ([edge_header(wire.DATA, 2, stream=5)], "stream"),
        ([edge_header(wire.DATA, 2, count=1 << 31)], "count"),
        ([edge_header(wire.DATA, 0, body=b"")], "replayed"),
        ([edge_header(wire.DATA, 7, body=b"")], "ahead"),
        ([edge_header(wire.DATA, 2, count=3)], "size"),
        ([edge_header(wire.DATA, 2, flags=wire.SHARED)], "memory"),
    ],
)
def test_a_sender_cannot_say_what_cannot_be(link: Any, parts: list[bytes], reason: str) -> None:
    """What is wrong is counted and skipped; what was to come comes, whole and in order."""
    for k in range(2):
        link.outlet.send(numbers(k))
    link.settle(lambda: len(link.inlet.queue) == 2)
    link.outlet.socket.send_multipart([link.edge.token, *parts])
    link.settle(lambda: link.inlet.refusals.counts[reason] >= 1)
    assert link.inlet.refusals.counts[reason] >= 1
    for k in range(2, 4):
        link.outlet.send(numbers(k))
    link.settle(lambda: len(link.inlet.queue) == 4)
    assert [(message.message, len(message)) for message in link.inlet.queue] == [(k, 3) for k in range(4)]
    assert link.law().lost == 0


def test_what_is_of_another_stream_takes_no_place(tmp_path: Path) -> None:
    """Nor do its claims of items get into the books: a lossy link asks for nothing again."""
    link = Link(f"ipc://{tmp_path}/link", policy="drop-oldest")
    try:
        link.settle(lambda: link.inlet.open)
        link.outlet.socket.send_multipart([link.edge.token, edge_header(wire.DATA, 0, stream=5, count=1000)])
        link.settle(lambda: link.inlet.refusals.counts["stream"] == 1)
        link.outlet.send(numbers(0))
        link.settle(lambda: link.inlet.head() is not None)
        assert [(message.serial, len(message), message.spoiled) for message in link.inlet.queue] == [(0, 3, 0)]
    finally:
        link.close()


def test_refusals_are_told_once_in_a_while_and_counted_always(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals("a.out")
    for _ in range(1000):
        refusals.note("size", "too large")
    refusals.count("replayed")
    assert len(caplog.records) == 10
    assert (refusals.bad, refusals.counts) == (1000, {"size": 1000, "replayed": 1})


def test_books_of_an_edge_take_what_is_true() -> None:
    link = Link("inproc://books")
    try:
        peer: Peer = link.outlet._edges[0]
        for k in range(3):
            link.outlet.send(numbers(k))
        peer.check(2, 4, {"bad": 2}, 3)
        with pytest.raises(WireError, match="6 items come before message 2, a receiver accounts for 7"):
            peer.check(2, 5, {"bad": 2}, 3)
    finally:
        link.close()


def test_items_that_are_sent_are_the_seeds() -> None:
    """The seeds of the decoders are messages as they are: else nothing above would say much."""
    parts = [bytes(part) for part in wire.encode(items(3), 1, 2)]
    np.testing.assert_array_equal(wire.decode(wire.unpack(parts[0]), parts, LAYOUT).d, items(3).fields["d"])


@pytest.mark.parametrize(
    ("size", "read", "error"),
    [
        (1 << 24, read_calibration, CalibrationError),
        (1 << 24, load_graph, ValueError),
        (1 << 30, lambda path: load_block(path.parent, "leaky", 7), CheckpointError),
        (1 << 20, lambda path: load_manifest(path.parent, "x", []), CheckpointError),
    ],
    ids=["calibration", "flowgraph", "checkpoint", "manifest"],
)
def test_files_larger_than_any_of_their_kind_are_refused(
    size: int, read: Any, error: type[Exception], tmp_path: Path
) -> None:
    """Without taking memory for them: the files are holes."""
    names = {1 << 30: block_file(tmp_path, "leaky", 7), 1 << 20: tmp_path / "manifest.json"}
    path = names.get(size, tmp_path / "file")
    path.touch()
    os.truncate(path, size + 1)
    tracemalloc.start()
    try:
        with pytest.raises(error, match=r"larger than|more than|at most"):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < (1 << 25) + (1 << 20)
    finally:
        tracemalloc.stop()


def test_there_is_no_pickle_no_eval_and_no_shell() -> None:
    """In everything that is installed: nothing that reads a file or a message can be made to run what it says."""
    modules = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
    calls = {"eval", "exec", "compile", "__import__"}
    for path in sorted([*ROOT.glob("isacblocks/**/*.py"), *ROOT.glob("flowgraphs/*.py")]):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & modules, f"{path}: {names}"
            if isinstance(node, ast.Call):
                called = node.func.id if isinstance(node.func, ast.Name) else ""
                assert called not in calls, f"{path}:{node.lineno} calls {called}"
                if isinstance(node.func, ast.Attribute):
                    assert node.func.attr not in ("system", "popen"), f"{path}:{node.lineno}"
                for keyword in node.keywords:
                    value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
                    assert not (keyword.arg in ("shell", "allow_pickle") and value), f"{path}:{node.lineno}: {keyword.arg}"
                if isinstance(node.func, ast.Attribute) and node.func.attr == "load" and ast.unparse(node.func) == "np.load":
                    assert any(k.arg == "allow_pickle" for k in node.keywords), (
                        f"{path}:{node.lineno}: say allow_pickle=False"
                    )


def test_the_fuzzer_says_what_it_lacks_or_finds_nothing() -> None:
    command = [sys.executable, "tools/fuzz.py", "words", "--runs", "2000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert "skipped: atheris is not here" in text or "2000 runs" in text
