"""The command isacblocks from its first moment on: who stops it while its modules are loaded sees no traceback either."""

from __future__ import annotations

import sys


def main() -> int:
    """The console script; returns the exit status."""
    try:
        from isacblocks.cli.main import main as command

        return command()
    except KeyboardInterrupt:
        print("\nisacblocks: stopped", file=sys.stderr)
        return 130
