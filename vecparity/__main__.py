import sys

from vecparity.cli.main import main

sys.exit(main())
