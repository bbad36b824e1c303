"""Everything that reads bytes from outside, with bytes that are right, and what it may raise for bytes that are not.

tests/test_hostile.py (hypothesis), tools/fuzz.py (coverage-guided) and the case "decoders" (many random changes) use it.
"""

from __future__ import annotations

import os
import random
import resource
import struct
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from faults.case import Case, Outcome
from isacblocks.blocks.calibration_file import Calibration, CalibrationError, load_calibration
from isacblocks.blocks.recording import Recording, RecordingError, Writer
from isacblocks.frontends.fmcw import load_chirps
from isacblocks.radar import OfdmRadar
from isacblocks.stream import Field, Items, Record, StreamError, WireError, checkpoint, codec, control, wire
from isacblocks.stream.errors import CheckpointError
from isacblocks.stream.link import EdgeCount, EdgeSpec
from isacblocks.stream.memory import Mappings, Reference, UnreachableError
from isacblocks.stream.offer import read_descriptor
from isacblocks.stream.reader import Reader
from isacblocks.stream.request import Words, read_words
from isacblocks.stream.spec import resolve

RECORD = Record("thing", (Field("a", "complex64", ("N",), "V"), Field("b", "uint8"), Field("d", "float64", ("L",))))
LAYOUT = resolve(RECORD, {"N": 3, "L": 2100}, "decoders")
RADAR = OfdmRadar(antennas=4, subcarriers=8)
_LENGTH = struct.Struct("<I")
_CRC_AT = wire.HEADER_BYTES - 4


@dataclass(frozen=True)
class Target:
    """read: a decoder; seeds: bytes that it takes; errors: what it may raise for any others."""

    name: str
    read: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    errors: tuple[type[Exception], ...]
    mend: Callable[[bytes], bytes] = lambda data: data  # puts checksums right, so that what lies behind them is tried too


def items(count: int) -> Items:
    """Something to send."""
    rng = np.random.default_rng(count)
    fields: dict[str, Any] = {
        "a": rng.standard_normal((count, 3)).astype(np.complex64),
        "b": rng.integers(0, 255, count).astype(np.uint8),
        "d": rng.standard_normal((count, 2100)),
    }
    return Items(LAYOUT, fields, count, first=7, message=3, sent=1.5)


def joined(parts: list[bytes]) -> bytes:
    """A message in one piece, the length of every part before it."""
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts)


def split(data: bytes) -> list[bytes]:
    """The parts of :func:`joined`; lengths that go too far end with the data."""
    parts: list[bytes] = []
    while len(data) >= 4 and len(parts) < 8:
        size = _LENGTH.unpack_from(data)[0]
        parts.append(data[4 : 4 + size])
        data = data[4 + size :]
    return parts or [data]


def mend_header(head: bytes) -> bytes:
    """A header with the checksum that fits it."""
    if len(head) < wire.HEADER_BYTES:
        return head
    return head[:_CRC_AT] + zlib.crc32(head[:_CRC_AT]).to_bytes(4, "little") + head[wire.HEADER_BYTES :]


def _mend_message(data: bytes) -> bytes:
    first, *others = split(data)
    return joined([mend_header(first), *others])


def _message(data: bytes) -> Items:
    parts = split(data)
    return Reader(mapped=4).read(wire.unpack(parts[0]), parts, LAYOUT)


def _reference(data: bytes) -> object:
    return Mappings(4).borrow(Reference.unpack(data), LAYOUT, 2)


def _through_a_file(read: Callable[[Path], object], name: str) -> Callable[[bytes], object]:
    """A reader of files as one of bytes. The file is anonymous, one for each: nothing is left behind."""
    directory = tempfile.mkdtemp(prefix="isacblocks-decoders-")
    path = Path(directory) / name

    def run(data: bytes) -> object:
        Path(directory).mkdir(exist_ok=True)
        path.write_bytes(data)
        try:
            return read(path)
        finally:
            path.unlink()
            os.rmdir(directory)

    os.rmdir(directory)
    return run


@contextmanager
def _file() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory) / "seed"


def _recording_seed() -> bytes:
    with _file() as path:
        writer = Writer(path, LAYOUT, radar=RADAR)
        writer.write(items(2))
        writer.close()
        return path.read_bytes()[:4200]


def _chirps_seed() -> bytes:
    with _file() as path, path.open("wb") as file:
        np.save(file, np.ones((2, 3, 4), np.complex64))
        file.flush()
        return path.read_bytes()


def _read_recording(path: Path) -> object:
    recording = Recording(path)
    recording.radar()
    return recording.gaps(), [recording.field(field.name, 0, 1) for field in recording.layout.fields]


def _checkpoint_seed() -> bytes:
    body = codec.encode({"state": {"x": np.arange(3.0)}, "position": 7})
    return b"ISACCKP1" + zlib.crc32(body).to_bytes(4, "little") + body


def _mend_checkpoint(data: bytes) -> bytes:
    return data[:8] + zlib.crc32(data[12:]).to_bytes(4, "little") + data[12:] if len(data) > 12 else data


def _header(kind: int, body: bytes) -> bytes:
    return wire.pack(wire.Header(kind, 0, LAYOUT.stream_id, 1, 2, 3, 4, 0, 0, 5.0, len(body))) + body


def targets() -> dict[str, Target]:
    """All decoders, by name."""
    words = msgspec.msgpack.encode(Words({"bad": 2}, [1, 2], 3))
    edge = EdgeSpec("a.out", "b.in", b"t" * 16)
    status = control.BlockStatus("running", readings={"x": 1.0}, edges=[EdgeCount("a.out", "b.in", 3, 2, 1)])
    value = codec.encode({"a": np.arange(6.0), "b": [1, 2j, "x", None], "c": {"d": b"12"}})
    messages = [joined([bytes(part) for part in wire.encode(items(count), 1, 2)]) for count in (0, 1, 3)]
    told = [control.Go(), control.Stop(), control.Leave()]
    orders = [control.Connect({"in": "tcp://127.0.0.1:5"}), control.Change("x", value), *told]
    reports = [control.Bound({"out": "x"}), status, control.Saved(3), control.Finished(value, status)]
    found = [
        Target("message", _message, tuple(messages), (WireError, UnreachableError), _mend_message),
        Target("header", wire.unpack, (_header(wire.HELLO, words), _header(wire.OPEN, b"{}")), (WireError,), mend_header),
        Target("descriptor", read_descriptor, (LAYOUT.descriptor,), (WireError,)),
        Target("words", read_words, (words, b"\x80"), (WireError,)),
        Target("reference", _reference, (Reference(1, 1 << 16, 5, os.getpid(), 3).pack(),), (WireError, UnreachableError)),
        Target("report", control.decode_report, tuple(map(control.encode, reports)), (WireError,)),
        Target("order", control.decode_order, tuple(map(control.encode, orders)), (WireError,)),
        Target("value", codec.decode, (value,), (StreamError,)),
        Target("own value", _trusted, (codec.encode({"radar": RADAR, "edge": edge.sender}),), (StreamError,)),
    ]
    found += _files()
    return {target.name: target for target in found}


def _trusted(data: bytes) -> object:
    """Values of a process of our own may name dataclasses; what is damaged must not import anything else."""
    return codec.decode(data, trusted=True)


def _files() -> list[Target]:
    def block(path: Path) -> object:
        return checkpoint.load_block(path.parent, "block", 3)

    def manifest(path: Path) -> object:
        return checkpoint.load_manifest(path.parent, "name", ["a", "b"])

    calibration = Calibration(kappa=[(1.0, 0.0)] * 4, radar=asdict(RADAR))
    return [
        Target(
            "checkpoint",
            _through_a_file(block, "block.3.ckpt"),
            (_checkpoint_seed(),),
            (CheckpointError,),
            _mend_checkpoint,
        ),
        Target(
            "manifest",
            _through_a_file(manifest, "manifest.json"),
            (msgspec.json.encode(checkpoint.Manifest("name", ["a", "b"], 3)),),
            (CheckpointError,),
        ),
        Target("recording", _through_a_file(_read_recording, "x.isac"), (_recording_seed(),), (RecordingError,)),
        Target(
            "calibration",
            _through_a_file(lambda path: load_calibration(path, RADAR), "kappa.json"),
            (msgspec.json.encode(calibration),),
            (CalibrationError,),
        ),
        Target("chirps", _through_a_file(load_chirps, "x.npy"), (_chirps_seed(),), (ValueError,)),
    ]


def changed(data: bytes, chance: random.Random) -> bytes:
    """The data with a few things done to it that break decoders: bits, cuts, lengths, copies, noise, nesting."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        where = chance.randrange(len(out)) if out else 0
        what = chance.randrange(8)
        if what == 0 and out:
            out[where] ^= 1 << chance.randrange(8)
        elif what == 1:
            del out[where:]
        elif what == 2:
            out[where : where + 4] = chance.choice(
                (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\xdd\xff\xff\xff")
            )
        elif what == 3:
            out[where:where] = out[where : where + chance.randrange(1, 40)]
        elif what == 4:
            out[where : where + 8] = chance.randbytes(8)
        elif what == 5 and out:
            out[where] = chance.choice(b'\xc1\xd4\xc7\xc9\x93\x81\xdf{["9\x00')
        elif what == 6:
            del out[where : where + chance.randrange(1, 16)]
        else:
            out[where:where] = chance.choice((b"[", b"\x91", b"\x81\xa1a", b"9")) * chance.choice((1, 20, 3000))
    return bytes(out)


def attempt(target: Target, data: bytes) -> bool:
    """Whether the decoder took the data. Raises what it may not raise."""
    try:
        target.read(data)
    except target.errors:
        return False
    return True


def memory() -> int:
    """Bytes that this process has in memory now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def run(count: int) -> Outcome:
    """Changed inputs to every decoder in turn, half of them with their checksums put right."""
    outcome, chance = Outcome(), random.Random(5)
    every = list(targets().values())
    taken, level = 0, 0
    warnings.simplefilter("ignore", UserWarning)  # numpy's, of files that were written by Python 2
    for k in range(count):
        target = every[k % len(every)]
        data = changed(chance.choice(target.seeds), chance)
        data = target.mend(data) if chance.random() < 0.5 else data
        try:
            taken += attempt(target, data)
        except Exception as error:
            outcome.breaches.append(f"{target.name} raised {type(error).__name__}: {error} for {data[:80]!r}")
        if k == count // 5:
            level = memory()
    grown = (memory() - level) / 2**20
    outcome.figures |= {"decoders": len(every), "refused": count - taken, "harmless": taken, "grown MiB": round(grown, 1)}
    outcome.expect(grown < 20, f"memory grew by {grown:.1f} MiB")
    return outcome


CASES = [
    Case("decoders", "no crash, no other exception than the named one, no growth", run, 20000, 1_000_000, "changed inputs"),
]
