"""Completion, as performed by the shells themselves."""

import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import RunCommand

import vecparity

CANDIDATES = {
    "vecparity ev": ["eval"],
    "vecparity eval --prot": ["--protocol"],
    "vecparity eval --smoke --protocol ": ["full", "published"],
    "vecparity eval --protocol p": ["published"],
    "vecparity completion ": ["bash", "fish", "zsh"],
    "vecparity doctor --j": ["--json"],
}


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(shell), reason=f"needs {shell}")


@pytest.fixture
def script(run_command: RunCommand, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The script for the shell that the test is named after."""
    shell = request.node.name.removeprefix("test_in_").partition("[")[0]
    status, out, err = run_command("completion", shell)
    assert (status, err) == (0, "")
    path = tmp_path / f"completion.{shell}"
    path.write_text(out)
    subprocess.run([shell, "-n", str(path)], check=True)  # its syntax
    return path


BASH = """
source {script}
COMP_WORDS=({words}) COMP_CWORD={last}
_vecparity
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@needs("bash")
def test_in_bash(script: Path) -> None:
    for line, expected in CANDIDATES.items():
        words = [f"'{word}'" for word in line.split(" ")]
        asked = BASH.format(script=script, words=" ".join(words), last=len(words) - 1)
        done = subprocess.run(["bash", "--norc", "-c", asked], capture_output=True, text=True, check=True)
        assert sorted(done.stdout.split()) == expected, line
        assert done.stderr == ""
    registered = subprocess.run(
        ["bash", "--norc", "-c", f"source {script}; complete -p vecparity"], capture_output=True, text=True, check=True
    )
    assert registered.stdout == "complete -o default -F _vecparity vecparity\n"


@needs("fish")
def test_in_fish(script: Path) -> None:
    for line, expected in CANDIDATES.items():
        asked = f"source {script}; complete -C '{line}'"
        done = subprocess.run(["fish", "--no-config", "-c", asked], capture_output=True, text=True, check=True)
        assert sorted(answer.split("\t")[0] for answer in done.stdout.splitlines()) == expected, line


# Types a line and Tab into a zsh on a terminal, and waits until what Tab added is there.
ZSH = """
zmodload zsh/zpty
zpty shell 'PS1= TERM=dumb zsh -f -i'
zpty -w shell 'autoload -Uz compinit; compinit -u -D; source {script}; print READ''Y'
zpty -r -m shell shown '*READY*'
zpty -w -n shell '{line}'$'\\t'
zpty -r -m shell shown '*{expected}*'
"""


@needs("zsh")
@pytest.mark.parametrize("line", [line for line, candidates in CANDIDATES.items() if len(candidates) == 1])
def test_in_zsh(script: Path, line: str) -> None:
    asked = ZSH.format(script=script, line=line, expected=CANDIDATES[line][0])
    subprocess.run(["zsh", "-f", "-c", asked], check=True, stdout=subprocess.DEVNULL)


def test_an_unknown_shell_is_wrong_use(run_command: RunCommand) -> None:
    status, out, err = run_command("completion", "csh")
    assert (status, out) == (2, "")
    assert '"csh"' in err


def test_the_help_says_how_to_use_it(run_command: RunCommand) -> None:
    _, out, _ = run_command("completion", "--help")
    assert "source <(vecparity completion bash)" in " ".join(out.split())


def test_version(run_command: RunCommand) -> None:
    assert run_command("--version") == (0, f"{vecparity.__version__}\n", "")
