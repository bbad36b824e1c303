"""Keys of links between hosts: Curve25519, by libzmq's CURVE. A host has a pair; who may connect stands in an allow-list.

A key file has lines of a word and 64 hexadecimal digits: ``public`` and, in the file that nobody else may read, ``secret``.
An allow-list is a file of public keys, one a line, what follows a key is a remark. It is read again when it has changed, so
that a key is let in or revoked while the links run. A list that cannot be read lets nobody in.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from pathlib import Path

import msgspec
import zmq
from zmq.utils import z85

from isacblocks.stream.address import AccessError
from isacblocks.stream.files import write_atomically

_LARGEST = 1 << 20  # bytes of a key file or an allow-list
_KEY = r"[0-9a-f]{64}"
PUBLIC_SUFFIX = ".pub"


class KeyPair(msgspec.Struct, frozen=True):
    """Of one host. Both are 32 bytes."""

    public: bytes
    secret: bytes

    def __repr__(self) -> str:  # the secret is in no log and no traceback
        return f"KeyPair({self.public.hex()})"


def make_keys(path: str | Path) -> tuple[Path, Path]:
    """A new pair: `path` of mode 0600 with both keys, `path`.pub with the public one. Raises AccessError."""
    file = Path(path)
    public_file = file.with_name(file.name + PUBLIC_SUFFIX)
    public, secret = (z85.decode(key).hex() for key in zmq.curve_keypair())
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as out:
            os.fchmod(descriptor, 0o600)  # whatever the umask
            out.write(f"public {public}\nsecret {secret}\n")
            out.flush()
            os.fsync(descriptor)
        write_atomically(public_file, f"public {public}\n".encode())
    except FileExistsError as error:
        raise AccessError(f"{path}: exists; choose another name, or remove it where nobody knows its key") from error
    except OSError as error:
        raise AccessError(f"{path}: the keys cannot be written: {error.strerror}") from error
    return file, public_file


def load_keys(path: str | Path) -> KeyPair:
    """The pair in a file that nobody else may read. Raises AccessError."""
    text, mode = _read(path)
    if mode & 0o077:
        raise AccessError(f"{path}: a file of keys must be readable by its owner alone; chmod 600 {path}")
    found = dict(re.findall(rf"^(public|secret) +({_KEY})$", text, re.MULTILINE))
    if len(found) != 2:
        raise AccessError(
            f"{path}: expected lines 'public' and 'secret' with 64 digits each, as isacblocks keys writes them"
        )
    pair = KeyPair(bytes.fromhex(found["public"]), bytes.fromhex(found["secret"]))
    if z85.decode(zmq.curve_public(z85.encode(pair.secret))) != pair.public:
        raise AccessError(f"{path}: the public key does not belong to the secret one; make new keys")
    return pair


def load_public(path: str | Path) -> bytes:
    """The public key in a file. Raises AccessError."""
    found = re.search(rf"^public +({_KEY})$", _read(path)[0], re.MULTILINE)
    if found is None:
        raise AccessError(f"{path}: expected a line 'public' with 64 hexadecimal digits; isacblocks keys makes such files")
    return bytes.fromhex(found[1])


def _read(path: str | Path) -> tuple[str, int]:
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise AccessError(f"{path}: cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(mode) or len(data) > _LARGEST:
        raise AccessError(f"{path}: not a file of keys")
    return data.decode("ascii", errors="replace"), mode


class AllowList:
    """The public keys that are let in. Raises AccessError where there is no such file, or a line of it is something else."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        self._log = logging.getLogger("isacblocks.stream.link")
        self._seen = self._stamp()
        self._keys = self._load()

    def _stamp(self) -> tuple[int, int, int]:
        try:
            found = self.path.stat()
        except OSError:
            return 0, 0, 0
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _load(self) -> frozenset[bytes]:
        keys = set()
        text, mode = _read(self.path)
        if mode & 0o022:
            raise AccessError(f"{self.path}: others may write to it, and let themselves in; chmod go-w {self.path}")
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if not words or words[0] == "#":
                continue
            key = words[1] if words[0] == "public" and len(words) > 1 else words[0]
            if not re.fullmatch(_KEY, key):
                raise AccessError(f"{self.path}, line {number}: expected 64 hexadecimal digits, got {key[:70]!r}")
            keys.add(bytes.fromhex(key))
        return frozenset(keys)

    def allows(self, public: bytes) -> bool:
        """Whether a key is on the list as it is now."""
        stamp = self._stamp()
        if stamp != self._seen:
            self._seen = stamp
            try:
                self._keys = self._load()
            except AccessError as error:
                self._keys = frozenset()
                self._log.error("nobody is let in any more: %s; mend the list, it is read again when it changes", error)
        return public in self._keys


class KeyGuard:
    """Lets in whose key is on the list, by CURVE; a :class:`isacblocks.stream.door.Guard`. own: the pair of this host."""

    def __init__(self, own: KeyPair, allowed: AllowList) -> None:
        self.own = own
        self.allowed = allowed

    def arm(self, socket: zmq.Socket[bytes]) -> None:
        """Make the socket ask for keys."""
        socket.curve_server = True
        socket.curve_secretkey = z85.encode(self.own.secret)
        socket.curve_publickey = z85.encode(self.own.public)

    def admits(self, mechanism: bytes, credentials: list[bytes]) -> str | None:
        """The key as digits, where it is allowed. credentials: the key, which libzmq has seen to belong to the peer."""
        if mechanism != b"CURVE" or len(credentials) != 1 or not self.allowed.allows(credentials[0]):
            return None
        return credentials[0].hex()

    def still_admits(self, name: str) -> bool:
        """Whether a peer that was let in under this name would be let in now."""
        return bool(re.fullmatch(_KEY, name)) and self.allowed.allows(bytes.fromhex(name))


def show_keys(socket: zmq.Socket[bytes], own: KeyPair, sender: bytes) -> None:
    """At the other end: who we are, and the one key that the sender must have."""
    socket.curve_secretkey = z85.encode(own.secret)
    socket.curve_publickey = z85.encode(own.public)
    socket.curve_serverkey = z85.encode(sender)
