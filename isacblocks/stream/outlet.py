"""The sending end of a link: an Outlet per output port."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from typing import Any

import zmq

from isacblocks.stream import box, wire
from isacblocks.stream.bell import Bell
from isacblocks.stream.door import Door, Guard, Tokens, guarded, name_of
from isacblocks.stream.errors import PlacementError, WireError
from isacblocks.stream.link import EdgeCount, EdgeSpec, gather, has_arrived, make_socket
from isacblocks.stream.memory import Pool, can_share
from isacblocks.stream.parcel import Parcel
from isacblocks.stream.peer import Peer
from isacblocks.stream.refusals import Refusals
from isacblocks.stream.request import read_request
from isacblocks.stream.spec import Items, Layout

_REFUSED_AT_ONCE = 64  # messages
_MORE, _MORE_AT_ONCE = int(zmq.SNDMORE), int(zmq.SNDMORE | zmq.NOBLOCK)  # numbers: an Enum's | takes microseconds


def _text(value: bytes | int) -> str:
    return value.decode().rstrip("\0") if isinstance(value, bytes) else str(value)


class Outlet:
    """The sending end of an output port: one socket, any number of edges.

    guard: who is let in over TCP, where it is not the edges' tokens that decide; joining: receivers have runs of their own,
    and begin where the sender is.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        bind: str,
        layout: Layout,
        edges: list[EdgeSpec],
        epoch: int,
        *,
        guard: Guard | None = None,
        joining: bool = False,
    ) -> None:
        self.layout = layout
        self.epoch = epoch
        self.refusals = Refusals(edges[0].sender)  # requests that were not taken
        self.produced = 0  # items
        self.serial = 0  # of the next message
        self.ended = False  # the end has been sent
        self._peers = {edge.token: Peer(edge, box.put_up(context, bind, edge.token)) for edge in edges}
        self._edges = list(self._peers.values())
        self.local = bind.startswith("inproc:")
        # Memory for the port's large fields, shared where their receivers are other processes on this machine
        self.pool = Pool(shared=bind.startswith("ipc:") and can_share())
        self.socket = make_socket(context, zmq.ROUTER)
        self._joining = joining
        self._guard: Guard | None = None  # where what it said can change
        self._watch = None
        if guarded(bind):
            self._guard = guard
            self._watch = Door.watch(self.socket, guard or Tokens(edges), self.refusals)
        self.socket.router_mandatory = True
        self.socket.router_handover = True  # a receiver that comes back takes the place of its earlier self
        try:
            self.socket.bind(bind)
        except zmq.ZMQError as error:
            self.close()
            raise PlacementError(
                f"{edges[0].sender} cannot be bound to {bind}: {zmq.strerror(error.errno or 0)}; choose another port"
            ) from error
        self.endpoint = bind if bind.startswith("inproc:") else _text(self.socket.getsockopt(zmq.LAST_ENDPOINT))

    def room(self) -> bool:
        """Whether one more message may be sent without a lossless edge running over."""
        return all(peer.room() for peer in self._edges)

    def lossless(self) -> list[Peer]:
        """The edges that may have to wait for room."""
        return [peer for peer in self._edges if peer.lossless]

    def send(self, items: Items) -> None:
        """Hand one message to every edge; its arrays belong to the link from now on."""
        if self.local and not items.port:  # what a port made nobody can write to
            for array in items.fields.values():
                array.flags.writeable = False
        parcel = Parcel(items, self.epoch, self.serial)
        self.serial += 1
        self.produced += items.count
        self.ended = items.final
        for peer in self._edges:
            peer.push(parcel)
            self._flush(peer)

    def look_at_the_time(self) -> None:
        """While nothing is made: send what an edge with an interval was not sent before."""
        for peer in self._edges:
            if peer.interval and peer.pending:
                self._flush(peer)

    def pump(self) -> bool:
        """Take in acknowledgements and requests, send what has become sendable; True where something came."""
        came = self.collect()
        while has_arrived(self.socket):
            self.receive()
            self.collect()
            came = True
        return came

    def collect(self) -> bool:
        """Take in what receivers in this process have said; True where something was."""
        came = False
        for peer in self._edges:
            while peer.box is not None and peer.box.up:
                kind, serial, committed, dropped, interval = peer.box.up.popleft()
                peer.want(interval)
                if kind == wire.HELLO:
                    self._answer(peer, serial, committed, dropped)
                else:
                    peer.acknowledge(serial, committed, dropped)
                self._flush(peer)
                came = True
        return came

    def boxes(self) -> list[deque[Any]]:
        """Where :meth:`collect` finds something, if anywhere."""
        return [peer.box.up for peer in self._edges if peer.box is not None]

    def hear(self, bell: Bell | None) -> None:
        """What receivers in this process wake us with, None for the socket."""
        for peer in self._edges:
            if peer.box is not None:
                peer.box.sender_bell = bell

    def starved(self) -> bool:
        """An outlet only answers."""
        return False

    def sleep(self, asleep: bool, starved: bool = False) -> None:
        """Whether receivers in this process have to wake us: while there is credit left, acknowledgements can wait."""
        for peer in self._edges:
            if peer.box is not None:
                peer.box.sender_sleeps = asleep and (self.ended or peer.waits())

    def glance(self) -> None:
        """Take in one acknowledgement if it is needed and has arrived."""
        for peer in self._edges:
            if peer.pressed():
                with contextlib.suppress(zmq.Again):
                    self.receive()
                return

    def receive(self) -> None:
        """Take in one acknowledgement or request. Raises zmq.Again where none has arrived.

        What is refused is followed by more at once, up to a number: a flood must not lie here and grow.
        """
        if self._receive():
            return
        with contextlib.suppress(zmq.Again):
            for _ in range(_REFUSED_AT_ONCE):
                if self._receive():
                    return

    def _receive(self) -> bool:
        """One message; False where it was refused."""
        try:
            frames = gather(self.socket, 2)
            token, *parts = (frame.bytes for frame in frames)
            peer = self._peers.get(token)
            if peer is None:
                raise WireError("stranger", "a request of a peer that is not on the list")
            if self._guard is not None:
                self._see_again(peer, name_of(frames[-1]))
            if parts != [box.WAKE] or peer.box is None:
                self._take(peer, parts)
        except WireError as error:
            self.refusals.note(error.reason, error)
            return False
        return True

    def _see_again(self, peer: Peer, name: str) -> None:
        """Raises WireError where a peer that was let in would not be any more; nothing is sent to it either."""
        assert self._guard is not None
        if not self._guard.still_admits(name):
            peer.open = False
            raise WireError("revoked", f"the key {name} is not on the list any more")
        peer.name = name

    def _take(self, peer: Peer, parts: list[bytes]) -> None:
        request = read_request(parts, self.layout)
        if self._joining and request.epoch != self.epoch:  # it knows nothing yet, or an earlier sender than this one
            if request.kind == wire.HELLO:
                self._answer(peer, peer.acknowledged, peer.committed, peer.dropped_there())
                self._flush(peer)
            return
        peer.check(request.serial, request.committed, request.words.dropped, self.serial)
        peer.want(request.words.interval)
        for number in request.words.kept:
            self.pool.keep(number)
        peer.give_up(min(request.words.since, request.serial))
        if request.kind == wire.HELLO:
            peer.inline = request.inline
            self._answer(peer, request.serial, request.committed, request.words.dropped)
        else:
            peer.acknowledge(request.serial, request.committed, request.words.dropped)
        self._flush(peer)

    def _answer(self, peer: Peer, serial: int, committed: int, dropped: dict[str, int]) -> None:
        """A receiver has said HELLO."""
        peer.greet(serial, committed, dropped)
        body, stream = self.layout.descriptor, self.layout.stream_id
        oldest = next((parcel.serial for parcel in peer.held()), self.serial)
        there = sum(peer.dropped_there().values())
        header = wire.Header(wire.OPEN, 0, stream, self.epoch, oldest, there, peer.committed, 0, 0, time.time(), len(body))
        answer = [wire.pack(header) + body]
        if peer.box is None:
            self._deliver(peer, answer)
        else:
            self._put(peer, peer.box, answer)

    def _put(self, peer: Peer, local: box.Box, thing: Parcel | list[Any]) -> None:
        """Hand something to a receiver in this process."""
        local.down.append(thing)
        if local.receiver_sleeps:
            local.receiver_sleeps = False
            if local.receiver_bell is not None:
                local.receiver_bell.ring()
                return
            with contextlib.suppress(zmq.ZMQError):  # gone, or not yet known to the socket: it looks by itself before long
                self.socket.send_multipart([peer.edge.token, box.WAKE], zmq.NOBLOCK)

    def _deliver(self, peer: Peer, parts: list[Any]) -> bool:
        try:
            self.socket.send(peer.edge.token, _MORE_AT_ONCE)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                raise
            peer.open = False  # it will say HELLO when it is back
            return False
        last = len(parts) - 1  # what follows the token cannot be refused: there is no mark
        for k, part in enumerate(parts):
            self.socket.send(part, _MORE if k < last else 0, copy=k == 0)
        return True

    def _flush(self, peer: Peer) -> None:
        if self._guard is not None and peer.open and not self._guard.still_admits(peer.name):
            peer.open = False
        while (parcel := peer.due()) is not None:
            if peer.box is not None:
                self._put(peer, peer.box, parcel)
            elif not self._deliver(peer, parcel.inline() if peer.inline else parcel.short()):
                return
            peer.sent()
            if not (peer.pending or peer.again):
                return

    def drained(self) -> bool:
        """Whether everything that was sent has been acknowledged."""
        return not any(peer.pending or peer.again or peer.unacknowledged for peer in self._peers.values())

    def counts(self) -> list[EdgeCount]:
        """The books of all edges of this port."""
        return [peer.count() for peer in self._peers.values()]

    def save(self) -> dict[str, Any]:
        """What a checkpoint keeps: the totals, and the last messages of lagged feedback edges, still on their way."""
        return {peer.edge.receiver: {"serial": self.serial, **peer.save_cut()} for peer in self._kept()}

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue the books of :meth:`save`, with the kept messages waiting to be sent again."""
        for peer in self._kept():
            kept = saved[peer.edge.receiver]
            self.serial = kept["serial"]
            self.produced = kept["produced"]
            peer.restore_cut(kept)

    def _kept(self) -> list[Peer]:
        """The edges that checkpoints know."""
        return [peer for peer in self._edges if not peer.edge.onlooker]

    def held(self) -> list[Parcel]:
        """What some edge has not acknowledged, each message once."""
        found = {parcel.serial: parcel for peer in self._edges for parcel in peer.held()}
        return [found[serial] for serial in sorted(found)]

    def snapshot(self) -> dict[str, Any]:
        """What a snapshot keeps beside the messages of :meth:`held`."""
        edges = {token.hex(): peer.save() for token, peer in self._peers.items()}
        return {"serial": self.serial, "produced": self.produced, "ended": self.ended, "edges": edges}

    def come_back(self, saved: dict[str, Any], held: dict[int, list[Any]]) -> None:
        """Go on from :meth:`snapshot`, with the messages that were held: their parts by their serial numbers."""
        self.serial, self.produced, self.ended = saved["serial"], saved["produced"], saved["ended"]
        parcels = {serial: Parcel.again(parts) for serial, parts in held.items()}
        for token, peer in self._peers.items():
            peer.come_back(saved["edges"][token.hex()], parcels)

    def close(self) -> None:
        """Close the socket; unsent messages are gone."""
        self.socket.close(0)
        self.pool.close()
        if self._watch is not None:
            self._watch.end()
