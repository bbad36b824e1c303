"""The command isacblocks from its first moment on: who stops it while its modules are loaded sees no traceback either.

Until the command itself begins there is nothing to tidy up, and an exception that comes up in the middle of a module may be
swallowed there, or be turned into another one: Ctrl-C ends the program on the spot. This file loads as little as it can.
"""

from __future__ import annotations

import os
import signal
import sys

_INTERRUPTED = 130


def _end_at_once(_number: int, _frame: object) -> None:
    os.write(2, b"\nisacblocks: stopped\n")
    os._exit(_INTERRUPTED)


def main() -> int:
    """The console script; returns the exit status."""
    try:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # nobody said that it is to be ignored
            signal.signal(signal.SIGINT, _end_at_once)
        from isacblocks.cli.main import main as command

        return command()
    except KeyboardInterrupt:
        print("\nisacblocks: stopped", file=sys.stderr)
        return _INTERRUPTED
