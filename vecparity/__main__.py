import sys

from vecparity.cli import main

sys.exit(main())
