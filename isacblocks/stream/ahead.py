"""An output port of a source that cannot be asked again: nothing leaves it before a snapshot holds it."""

from __future__ import annotations

from isacblocks.stream.outlet import Outlet
from isacblocks.stream.peer import Peer


class AheadOutlet(Outlet):
    """Sends only what :meth:`release` has let go. Whoever takes the place of a source that was killed cannot make the same
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
