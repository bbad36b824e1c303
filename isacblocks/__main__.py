"""python -m isacblocks."""

import sys

from isacblocks.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
