"""An output port that nothing leaves before a snapshot holds it: of a block that could not make the same a second time."""

from __future__ import annotations

from collections.abc import Iterable

from isacblocks.stream.block import Block, Source
from isacblocks.stream.control import InletSpec
from isacblocks.stream.outlet import Outlet
from isacblocks.stream.peer import Peer


def cannot_be_made_again(block: Block, inlets: Iterable[InletSpec]) -> bool:
    """Whether a block's next process might make something else under the same serial numbers.

    That of a source which cannot be asked again; and that of a block behind a lossy link, whose sender, where it is killed
    with it, leaves out others than it did: what those further down already have would come a second time, or not at all.
    """
    if isinstance(block, Source):
        return not block.replayable
    return any(inlet.edge.policy != "block" for inlet in inlets)


class AheadOutlet(Outlet):
    """Sends only what :meth:`release` has let go. Whoever takes the place of a block that was killed cannot make the same
    items again, so that a serial number must not have been given away before its items are safe.
    """

    safe = 0  # serial number of the first message that no snapshot holds

    def release(self) -> None:
        """A snapshot holds all that has been sent up to now."""
        self.safe = self.serial
        for peer in self._edges:
            self._flush(peer)

    def _flush(self, peer: Peer) -> None:
        while (parcel := peer.due()) is not None and parcel.serial < self.safe:
            if not self._deliver(peer, parcel.inline() if peer.inline else parcel.short()):
                return
            peer.sent()
