"""Checkpoints: a consistent cut through the flowgraph at a message number, always the old one or the new one, never half.

Every block saves what it needs to go on after message m: its state, its ports' positions, and the feedback messages that
are still on their way. When all blocks have saved the same m, the manifest is moved to it; the files of the cut before are
removed after that. Files are replaced whole (:mod:`isacblocks.stream.files`).
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any

import msgspec

from isacblocks.stream import codec
from isacblocks.stream.decoder import Decoder
from isacblocks.stream.errors import CheckpointError, StreamError, WireError
from isacblocks.stream.files import sweep, write_atomically

_MAGIC = b"ISACCKP1"
_MANIFEST = "manifest.json"
_LARGEST = 1 << 30  # bytes; a larger file is not a checkpoint of ours


class Manifest(msgspec.Struct):
    """Which cut is complete: after message `message`, of the flowgraph with this name and these blocks."""

    flowgraph: str
    blocks: list[str]
    message: int
    version: int = 1


_LARGEST_MANIFEST = 1 << 20  # bytes
_manifest: Decoder[Manifest] = Decoder(
    msgspec.json.Decoder(Manifest).decode, "a manifest", _LARGEST_MANIFEST, lambda text: WireError("manifest", text)
)


def block_file(directory: Path, block: str, message: int) -> Path:
    """Where the part of one block is kept."""
    return directory / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', block)}.{message}.ckpt"


def save_block(directory: Path, block: str, message: int, values: dict[str, Any]) -> None:
    """Write one block's part of the cut after `message`."""
    body = codec.encode(values)
    write_atomically(block_file(directory, block, message), _MAGIC + zlib.crc32(body).to_bytes(4, "little") + body)


def load_block(directory: Path, block: str, message: int) -> dict[str, Any]:
    """One block's part of the cut after `message`. Raises CheckpointError for a missing or damaged file."""
    path = block_file(directory, block, message)
    try:
        if path.stat().st_size > _LARGEST:
            raise CheckpointError(f"{path}: larger than any checkpoint ({_LARGEST} bytes)")
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    head = len(_MAGIC)
    if data[:head] != _MAGIC or zlib.crc32(data[head + 4 :]).to_bytes(4, "little") != data[head : head + 4]:
        raise CheckpointError(f"{path}: not a checkpoint of this version, or damaged; remove the directory to start afresh")
    try:
        values = codec.decode(data[head + 4 :])
    except StreamError as error:
        raise CheckpointError(f"{path}: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: expected named values, got {type(values).__name__}")
    return values


def save_manifest(directory: Path, manifest: Manifest) -> None:
    """Make the cut `manifest.message` the one to resume from, and remove the parts of all others."""
    write_atomically(directory / _MANIFEST, msgspec.json.encode(manifest))
    for path in directory.glob("*.ckpt"):
        number = path.name.rsplit(".", 2)[-2]
        if number.isdigit() and int(number) < manifest.message:
            path.unlink(missing_ok=True)


def load_manifest(directory: Path, flowgraph: str, blocks: list[str]) -> Manifest | None:
    """The cut to resume from, or None where there is none. Raises CheckpointError for another flowgraph's.

    What a killed program left unfinished in the directory is removed.
    """
    path = directory / _MANIFEST
    sweep(directory)
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST_MANIFEST + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        manifest = _manifest(data)
    except WireError as error:
        raise CheckpointError(f"{path}: {error}") from error
    if (manifest.flowgraph, sorted(manifest.blocks)) != (flowgraph, sorted(blocks)):
        raise CheckpointError(
            f"{path}: belongs to the flowgraph {manifest.flowgraph!r} with the blocks {', '.join(manifest.blocks)}; "
            f"this is {flowgraph!r} with {', '.join(blocks)}; take another directory"
        )
    return manifest
