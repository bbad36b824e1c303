"""What blocks that send to GNU Radio have in common: an input of any record, a socket, and messages that leave by it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from isacblocks.frontends.gnuradio.line import Wiring, endless
from isacblocks.frontends.gnuradio.sending import Sender
from isacblocks.stream import ANY, Block, In, State, WiringError


class Leaving(Block):
    """Base of the sinks; what the arguments of _set_up() are, GnuRadioSink says."""

    items = In(ANY)
    sent = State("int64")
    dropped = State("int64")  # what found no receiver in time

    def _set_up(self, wiring: Wiring, lossless: bool, patience: float | None, linger: float) -> None:
        self.wiring = wiring
        self.lossless, self.patience, self.linger = lossless, endless(patience), endless(linger)
        self._sender: Sender | None = None

    def start(self) -> None:
        """See whether the fields are there, open the socket. Raises WiringError, OSError where it cannot be bound."""
        super().start()
        self._close(None)
        self._expect(self._asked())
        log = logging.getLogger(f"isacblocks.{self.label}")
        self._sender = Sender(self.wiring, self.lossless, self.patience, log)

    def _asked(self) -> Iterable[str]:
        """The fields of the record that are sent."""
        raise NotImplementedError

    def _expect(self, fields: Iterable[str]) -> None:
        layout = self.items.layout
        missing = [name for name in fields if name not in layout.by_name]
        if missing:
            raise WiringError(
                f"{self.label}: no field {missing[0]} in the record {layout.record} ({', '.join(layout.names)})"
            )

    def finish(self) -> None:
        """The last messages leave, then the socket is closed."""
        self._close(self.attend)

    def _close(self, attend: Callable[[], None] | None) -> None:
        if self._sender is not None:
            sender, self._sender = self._sender, None
            sender.close(self.linger, attend)
