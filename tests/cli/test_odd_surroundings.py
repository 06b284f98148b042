"""The real command with an unusual shell, directory or interpreter: it works, or says why it cannot."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vecparity.sandbox import levels
from vecparity.sandbox.levels import LEVELS, WITH_NAMESPACES, Level

pytestmark = pytest.mark.slow

SETTINGS = (
    "--num-hidden-secrets 1 --num-orderings 1 --max-steps 20 --log-interval 10 --hidden-width 16 --test-set-size 64 "
    "--no-history --audit off --log final"
)
STRATEGY = """import torch
def init_model(m, c): pass
def get_optimizer_config(c): return dict(lr=1e-3, wd=0, beta1=.5, beta2=.5)
def make_dataset(s, c, d):
    torch.ones(1 << 20).sum()
    return torch.ones(4, c.n_features), torch.ones(4)
"""


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> Level:
    if problem := levels.why_not(request.param):
        pytest.skip(f"{request.param} {problem}")
    found: Level = request.param
    return found


def evaluated(
    level: Level,
    path: Path,
    *more: str,
    shell: str = "",
    python: str = sys.executable,
    flags: str = "",
    env: Any = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs the command under a shell that has first done something."""
    arguments = [*SETTINGS.split(), "--containment", level, "--strategy", str(path), *more]
    command = ["sh", "-c", f'{shell}\n exec "$@"', "sh", python, *flags.split(), "-m", "vecparity.eval", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | (env or {}), cwd=cwd)


def assert_scored(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    assert "FINAL_METRICS" in done.stdout
    assert done.stderr == ""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(STRATEGY)
    return path


def test_a_shell_with_rules_of_its_own_and_more_threads_than_the_machine_has_cpus(level: Level, path: Path) -> None:
    rules = "ulimit -t 600; ulimit -f 2000; ulimit -n 64; trap '' CHLD; umask 777"
    assert_scored(evaluated(level, path, "--threads", "100", "--strategy-processes", "1", shell=rules))


@pytest.mark.parametrize("level", ["limits"], indirect=True)
def test_a_limit_of_the_shells_is_named(level: Level, path: Path) -> None:
    path.write_text(STRATEGY.replace("torch.ones(1 << 20).sum()", "open('large', 'wb').write(bytes(8 << 20))"))
    done = evaluated(level, path, shell="ulimit -f 1024")
    assert done.returncode == 4
    # A shell's blocks are of 512 or 1024 bytes.
    said = (
        r"wrote files over the limit of (0\.5|1) MiB \(ulimit -f of the shell, lower than --strategy-file-size 1024\)"
    )
    assert re.search(said, done.stderr)


def test_a_temporary_directory_that_cannot_be_written(level: Level, path: Path, tmp_path: Path) -> None:
    (tmp_path / "read-only").mkdir(mode=0o500)
    done = evaluated(level, path, env={"TMPDIR": str(tmp_path / "read-only")})
    if os.geteuid() == 0 and level not in WITH_NAMESPACES:
        # A superuser may write there, and takes it; a fork server has given that right up.
        assert done.returncode == 6
        assert "a scratch directory cannot be made (TMPDIR): [Errno 13] Permission denied" in done.stderr
    else:
        assert_scored(done)


def directory_of_links(directory: Path) -> Path:
    """Makes a directory of links to all programs in the PATH."""
    directory.mkdir()
    for each in os.environ["PATH"].split(":"):
        for program in Path(each).glob("*"):
            if not (link := directory / program.name).is_symlink():
                link.symlink_to(program)
    return directory


@pytest.mark.parametrize("flags", ["-I", "-O -W error"])
def test_what_python_would_heed_and_paths_that_are_odd(level: Level, tmp_path: Path, flags: str) -> None:
    """The interpreter has a relative path, and a file named as torch is lies in its directory and the strategy's.

    In one case, there is no directory for temporary files; in the other, that has an odd name, the interpreter's prefix
    is a link, and so is every program in the PATH.
    """
    cwd = tmp_path / "a" / "b"
    cwd.mkdir(parents=True)
    prefix, more = Path(sys.prefix), {"TMPDIR": str(tmp_path / "missing")}
    for directory in (cwd, tmp_path):
        (directory / "torch.py").write_text("raise SystemExit('not this one')")
    if flags != "-I":
        prefix = tmp_path / "a" / "linked"
        prefix.symlink_to(sys.prefix)
        odd = tmp_path / "with spaces\nand lines"
        odd.mkdir()
        more = {"TMPDIR": str(odd), "PATH": str(directory_of_links(tmp_path / "bin"))}
    path = tmp_path / "stratégie 统.py"
    path.write_text(STRATEGY)
    env = {
        "LANG": "C",
        "LC_ALL": "C",
        "OMP_NUM_THREADS": "500",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONSAFEPATH": "1",
        "PYTHONSTARTUP": "/nowhere",
    }
    python = str(Path(os.path.relpath(prefix, cwd), "bin", Path(sys.executable).name))
    assert_scored(evaluated(level, path, python=python, flags=flags, env=env | more, shell="unset HOME", cwd=cwd))


def test_a_process_that_was_forked_from_an_evaluator_says_so(tmp_path: Path) -> None:
    code = (
        "import os, sys, vecparity\n"
        "def go(): vecparity.evaluate('isolated_cube', containment='none', num_hidden_secrets=1, num_orderings=1,"
        " max_steps=10, hidden_width=16, test_set_size=64)\n"
        "go()\n"
        "if os.fork(): sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))\n"
        "try: go()\n"
        "except vecparity.errors.UsageError as error: print(error, flush=True); os._exit(7)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 7, done.stderr
    assert "use the spawn start method" in done.stdout
