"""Errors and figures of sealed evaluations, in which an author finds nothing of a single training set."""

import os
from pathlib import Path

import pytest
from conftest import RunEval

from vecparity.task.seeds import write_key

SHORT = "--num-hidden-secrets 2 --num-orderings 2 --max-steps 40 --hidden-width 16 --test-set-size 64 --log final"
STRATEGY = """
def init_model(model, config):
    print("the network says hello")
    {init}

def make_dataset(secret, config, seed):
    print("the secret is", secret, flush=True)
    {body}

def get_optimizer_config(config):
    return dict(lr={lr}, wd=0, beta1=0.9, beta2=0.9)
"""
TELLING = {
    "an exception": (4, "raise ValueError(f'told {secret}')"),
    "a refusal": (3, "return torch.zeros(1, config.n_features + sum(secret)), [0]"),
    "too many rows": (3, "return torch.zeros(config.max_train_examples + secret[0] + 1, config.n_features), [0]"),
    "a limit": (4, "open('file', 'wb').write(bytes((2 + secret[0]) * 2**20))"),
    "an exit status": (4, "import os; os._exit(secret[0])"),
}


def written(tmp_path: Path, body: str, init: str = "pass", lr: str = "1e-3") -> Path:
    path = tmp_path / "telling.py"
    path.write_text(STRATEGY.format(body=body, init=init, lr=lr))
    return path


SLOW = ("too many rows", "a limit")


@pytest.mark.parametrize("how", [pytest.param(how, marks=[pytest.mark.slow] * (how in SLOW)) for how in TELLING])
def test_an_error_of_a_call_that_saw_a_secret_tells_only_that_it_failed(
    run_eval: RunEval, tmp_path: Path, how: str
) -> None:
    expected, body = TELLING[how]
    path, key = written(tmp_path, body), tmp_path / "key"
    write_key(key, os.urandom(32))
    log = tmp_path / "log"
    flags = f"{SHORT} --strategy {path} --max-train-examples 100 --strategy-file-size 1"
    errors = set()
    for _ in range(2):  # each with secrets of its own
        status, lines, err = run_eval(f"{flags} --seal-key {key} --strategy-log {log}")
        assert (status, lines) == (expected, [])
        errors.add(err)
    (error,) = errors
    did = "returned what is refused" if expected == 3 else "failed"
    assert error == (
        f"vecparity: error: {path}: make_dataset {did}; under a seal, what says more of a training set is not shown "
        "(--strategy-log FILE receives it)\n"
    )
    written_words = log.read_text()
    assert "the secret is (" in written_words
    assert f"vecparity: {path}:" in written_words
    _, _, public = run_eval(f"{flags} --audit off")
    assert "the secret is (" in public


def after_the_key(err: str) -> str:
    """Returns what is said after the place of the key."""
    place, _, others = err.partition("\n")
    assert place.startswith("vecparity: the key is in ")
    return others


def test_an_error_before_any_secret_is_shown_in_full(run_eval: RunEval, tmp_path: Path) -> None:
    path = written(tmp_path, "return torch.zeros(1, config.n_features), [0]", init="raise ValueError('no network')")
    status, _, err = run_eval(f"{SHORT} --strategy {path} --sealed")
    assert status == 4
    assert "init_model raised ValueError: no network" in err
    assert "  | the network says hello" in err


def test_diverged_runs_are_counted_and_not_named(run_eval: RunEval, tmp_path: Path) -> None:
    path = written(tmp_path, "return torch.ones(9, config.n_features), torch.zeros(9)", lr="1e38")
    status, lines, err = run_eval(f"{SHORT} --strategy {path} --sealed --no-history")
    assert (status, [line.split()[0] for line in lines]) == (4, ["TASK_CONFIG"])
    assert after_the_key(err).startswith(
        "vecparity: error: telling with seed 42 has no score: expected finite losses, got "
    )
    assert err.endswith(" diverged of 4 runs\n")
    assert "secret=0 order=0 (step" in run_eval(f"{SHORT} --strategy {path} --audit off")[2]


@pytest.mark.parametrize("mode", ["report", "strict"])
def test_a_failed_audit_is_named_and_no_more(run_eval: RunEval, tmp_path: Path, mode: str) -> None:
    body = "import os; return torch.tensor([list(os.urandom(config.n_features))] * 9) % 2, [0] * 9"
    path = written(tmp_path, body)
    status, _, err = run_eval(f"{SHORT} --strategy {path} --sealed --no-history --audit {mode}")
    assert status == (5 if mode == "strict" else 0)
    assert after_the_key(err) in (
        "vecparity: error: telling with seed 42 has no score: repeatability\n",
        "vecparity: warning: telling fails an audit: repeatability\n",
    )
    assert "make_dataset secret=0" in run_eval(f"{SHORT} --strategy {path} --no-history --audit {mode}")[2]
