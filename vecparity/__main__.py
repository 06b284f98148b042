from vecparity.cli.search_path import leave_current_directory

leave_current_directory()

from vecparity.cli.main import run  # noqa: E402

run()
