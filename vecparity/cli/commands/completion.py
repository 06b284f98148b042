"""``vecparity completion``: scripts for command completion in a shell."""

import sys
from typing import Literal

from vecparity.cli.main import app

# Additions to cyclopts: its zsh script is made for a directory of completions and does nothing when sourced, and bash
# offers files, such as strategies, only for an option that takes a path.
_REGISTERED = {
    "bash": "complete -o default -F _vecparity vecparity\n",
    "zsh": "compdef _cyclopts_vecparity vecparity\n",
    "fish": "",
}


def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print the script that lets a shell complete this command.

    Args:
        shell: The shell.
    """
    sys.stdout.write(app.generate_completion(prog_name="vecparity", shell=shell) + _REGISTERED[shell])
    return 0
