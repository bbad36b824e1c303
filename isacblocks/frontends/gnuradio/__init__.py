"""GNU Radio by its ZeroMQ blocks, both ways; see docs/frontends.md."""

from isacblocks.frontends.gnuradio.messages import GnuRadioMessages
from isacblocks.frontends.gnuradio.sink import GnuRadioSink
from isacblocks.frontends.gnuradio.source import GnuRadioSource

__all__ = ["GnuRadioMessages", "GnuRadioSink", "GnuRadioSource"]
