"""The command ``vecparity eval`` as ``python -m vecparity.eval``."""

from vecparity.cli.search_path import leave_current_directory

if __name__ == "__main__":
    leave_current_directory()

from vecparity.cli.commands.evaluate import main
from vecparity.cli.standard_streams import leave

__all__ = ["main"]

if __name__ == "__main__":
    leave(main())
