"""The command ``vecparity eval`` as ``python -m vecparity.eval``."""

import sys

from vecparity.cli.search_path import leave_current_directory

if __name__ == "__main__":
    leave_current_directory()

from vecparity.cli.commands.evaluate import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
