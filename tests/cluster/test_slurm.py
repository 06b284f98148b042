"""scripts/slurm.sh with a real Ray, on one machine: SLURM's own commands have stand-ins."""

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from processes import Child, await_that
from studies import count_recorded

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "slurm.sh"
# `ray stop`, with which Ray's own command ends, ends all of a user's Ray instances that it sees.
ALONE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]

# One cell takes a second, the other one minutes.
SETTINGS = (
    "--num-hidden-secrets 2 --num-orderings 2 --max-steps 20000 --log-interval 1000 --test-set-size 64 "
    "--early-stop-acc 2"
)

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs pip install 'vecparity[cluster]'")


@pytest.fixture
def job(tmp_path: Path) -> dict[str, str]:
    """The environment of a SLURM job on one machine."""
    if subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs a namespace of processes")
    path = os.pathsep.join([str(Path(sys.executable).parent), str(ROOT / "tests/stand_ins/slurm"), os.environ["PATH"]])
    return os.environ | {
        "PATH": path,
        "VECPARITY_HEAD_HOST": "127.0.0.1",
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_CPUS_ON_NODE": "2",
        "SLURM_STAND_IN_CALLS": str(tmp_path / "calls"),
    }


@needs_ray
@pytest.mark.slow
@pytest.mark.alone
def test_a_job_whose_time_is_over_keeps_its_cells_and_waits_again(job: dict[str, str], tmp_path: Path) -> None:
    history = tmp_path / "history.sqlite"
    sweep = ["sweep", "random_rows", "--over", "hidden_width=8,4096", *SETTINGS.split()]
    command = [*ALONE, str(SCRIPT), *sweep, "--history", str(history), "--reuse"]
    with Child(command, env=job, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        await_that(lambda: count_recorded(history) >= 1)
        (script,) = psutil.Process(child.pid).children()
        script.send_signal(signal.SIGTERM)
        said, _ = child.communicate()
    assert child.returncode == 75, said
    assert "(the same command with --reuse goes on)" in said
    assert (tmp_path / "calls").read_text() == f"requeue {job['SLURM_JOB_ID']}\n"
    assert ", 1 cell in " in (tmp_path / f"vecparity-{job['SLURM_JOB_ID']}.out").read_text()
    assert count_recorded(history) == 1
    assert not list(Path("/tmp").glob(f"vecparity-{job['SLURM_JOB_ID']}-*"))


@pytest.mark.parametrize(
    ("words", "status", "waits_again"),
    [
        ("eval --checkpoint c --resume", 75, True),
        ("sweep mine --history h.sqlite --reuse", 75, True),
        ("search mine --study=s.db", 75, True),
        ("sweep mine --history h.sqlite", 75, False),
        ("eval --checkpoint c", 75, False),
        ("eval --checkpoint c --resume", 4, False),
    ],
)
def test_only_what_goes_on_where_it_was_waits_again(
    words: str, status: int, waits_again: bool, job: dict[str, str], tmp_path: Path
) -> None:
    for name, code in (("ray", 'while [ "$1" != -- ]; do shift; done; shift; "$@"'), ("vecparity", f"exit {status}")):
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{code}\n")
        (tmp_path / name).chmod(0o755)
    environment = job | {"PATH": f"{tmp_path}{os.pathsep}{job['PATH']}"}
    done = subprocess.run([SCRIPT, *words.split()], env=environment, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == status
    assert (tmp_path / "calls").exists() == waits_again
    assert not list(Path("/tmp").glob(f"vecparity-{job['SLURM_JOB_ID']}-*"))


def test_a_job_without_a_cluster_is_a_failure_of_the_machine(job: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "ray").write_text("#!/usr/bin/env bash\nexit 1\n")
    (tmp_path / "ray").chmod(0o755)
    environment = job | {"PATH": f"{tmp_path}{os.pathsep}{job['PATH']}"}
    done = subprocess.run([SCRIPT, "eval", "--resume"], env=environment, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 6
    assert not (tmp_path / "calls").exists()


def test_outside_a_job_it_says_what_to_do() -> None:
    for words, said in ((["sweep"], "expected a SLURM job"), ([], "usage: sbatch")):
        environment = {"PATH": os.environ["PATH"]}
        done = subprocess.run([SCRIPT, *words], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode
        assert said in done.stderr
