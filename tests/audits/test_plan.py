import json
from pathlib import Path
from typing import Any

import pytest
from conftest import ADVERSARIAL, RunEval

from vecparity import Evaluation, evaluate, evaluate_many
from vecparity.audits import plan
from vecparity.errors import AuditFailedError, UsageError
from vecparity.task.config import TaskConfig, task_config
from vecparity.task.seeds import PublicSeeds, SealedSeeds, key_digest, read_key

pytestmark = pytest.mark.usefixtures("served")

KEY = bytes(range(32))
# 10 secrets, so that every audit can decide; small, so that honest strategies learn nothing much.
SHORT: dict[str, Any] = {"num_orderings": 2, "max_steps": 300, "hidden_width": 64, "test_set_size": 500}
# Each cheat, the audit that catches it, and steps enough for it to score.
CHEATS = [
    ("seed_of_the_test_set", "overlap", 40),
    pytest.param("seed_of_the_run", "cross-pairing", 1750, marks=pytest.mark.slow),
    pytest.param("seed_of_all_runs", "foresight", 12_000, marks=pytest.mark.slow),
]
WIDTH = 64  # units enough for the cheats: they set all others to 0, where these stay


def verdicts(evaluation: Evaluation) -> dict[str, bool | None]:
    return {finding.name: finding.passed for finding in evaluation.findings}


def figures(evaluation: Evaluation) -> Any:
    return evaluation.results, evaluation.curves, evaluation.datasets


@pytest.mark.parametrize(("cheat", "audit", "steps"), CHEATS)
def test_a_strict_audit_takes_the_score_from_a_cheat(run_eval: RunEval, cheat: str, audit: str, steps: int) -> None:
    arguments = f"--strategy {ADVERSARIAL}/{cheat}.py --protocol published --max-steps {steps} --log final"
    status, lines, err = run_eval(f"{arguments} --hidden-width {WIDTH} --audit strict")
    assert status == 5
    assert [line.split()[0] for line in lines] == ["TASK_CONFIG"]
    assert f"{audit}: expected" in err


@pytest.mark.slow
@pytest.mark.parametrize(("cheat", "audit", "steps"), CHEATS[1:])
@pytest.mark.usefixtures("can_seal")
def test_sealed_a_cheat_knows_nothing_of_secrets(cheat: str, audit: str, steps: int) -> None:
    options: dict[str, Any] = {"protocol": "published", "max_steps": steps, "hidden_width": WIDTH}
    assert evaluate(ADVERSARIAL / f"{cheat}.py", audit="off", **options).metrics.test_accuracy > 0.95
    sealed = evaluate(ADVERSARIAL / f"{cheat}.py", seal_key=KEY, **options)
    # 5 secrets with test sets of 16 384 rows each: chance is within 0.01 of a half but once in 10^8.
    assert sealed.metrics.test_accuracy == pytest.approx(0.5, abs=0.01)
    assert sealed.provenance.seal == key_digest(KEY)


@pytest.mark.slow
@pytest.mark.usefixtures("can_seal")
def test_sealed_a_cheat_does_not_find_the_test_set() -> None:
    sealed = evaluate(ADVERSARIAL / "seed_of_the_test_set.py", seal_key=KEY, audit="report", **SHORT | {"max_steps": 1})
    assert verdicts(sealed)["overlap"] is True


def test_an_honest_strategy_passes_every_audit_and_scores_as_without() -> None:
    audited = evaluate("isolated_cube", "n32-k8", audit="strict", **SHORT)
    names = ["repeatability", "overlap", "cross-pairing", "foresight", "file"]
    assert verdicts(audited) == dict.fromkeys(names, True)
    plain = evaluate("isolated_cube", "n32-k8", **SHORT)
    assert plain.findings == []
    assert (plain.provenance.audit, audited.provenance.audit) == ("off", "strict")
    assert figures(audited) == figures(plain)


@pytest.mark.slow
@pytest.mark.usefixtures("can_seal")
def test_by_default_strategies_that_are_not_bundled_are_reported_on(tmp_path: Path) -> None:
    from vecparity.strategy.source import load

    copy = tmp_path / "copy.py"
    copy.write_bytes(load("isolated_cube").source)
    changed = tmp_path / "changed.py"
    changed.write_bytes(copy.read_bytes() + b"\n")
    cases: list[tuple[Path, dict[str, Any]]] = [(copy, {}), (changed, {}), (changed, {"seal_key": KEY})]
    ours, theirs, sealed = (evaluate(path, **options, **SHORT) for path, options in cases)
    assert [made.provenance.audit for made in (ours, theirs, sealed)] == ["off", "report", "off"]
    assert figures(ours) == figures(theirs)
    assert verdicts(theirs)["cross-pairing"] is True


def test_a_report_leaves_the_score_and_says_so(run_eval: RunEval, tmp_path: Path) -> None:
    arguments = f"--strategy {ADVERSARIAL}/seed_of_the_test_set.py --protocol published --max-steps 40 --log final"
    status, lines, err = run_eval(f"{arguments} --output-dir {tmp_path}")
    assert status == 0
    assert lines[-1].startswith("TEST_METRICS")
    assert "warning: seed_of_the_test_set fails an audit: overlap: expected" in err
    content = json.loads((tmp_path / "eval_seed42.json").read_text())
    passed = {finding["name"]: finding["passed"] for finding in content["audit"]}
    # Five secrets in three orderings are too few for the others, and a report makes no more.
    assert passed == {
        "repeatability": True, "overlap": False, "cross-pairing": None, "foresight": None, "file": True,
    }  # fmt: skip


@pytest.mark.slow
def test_calls_that_are_not_repeatable_are_found(tmp_path: Path) -> None:
    path = tmp_path / "entropy.py"
    path.write_text(
        "import os\n"
        "def init_model(model, config):\n    pass\n"
        "def make_dataset(secret, config, seed):\n"
        "    x = torch.tensor(list(os.urandom(100 * config.n_features))).reshape(100, -1) % 2\n"
        "    return x, parity_labels(x, secret)\n"
        "def get_optimizer_config(config):\n    return dict(lr=1e-3, wd=0, beta1=0.9, beta2=0.9)\n"
    )
    evaluation = evaluate(path, audit="strict", **SHORT | {"max_steps": 1})
    assert verdicts(evaluation)["repeatability"] is False
    with pytest.raises(AuditFailedError, match=r"entropy with seed 42 has no score: repeatability: .* make_dataset"):
        _ = evaluation.metrics


@pytest.mark.slow
def test_several_jobs_are_audited_each_by_itself() -> None:
    cheat = ADVERSARIAL / "seed_of_the_test_set.py"
    jobs: list[tuple[str | Path, int]] = [("isolated_cube", 42), (cheat, 42), (cheat, 43)]
    options = SHORT | {"max_steps": 40}
    together = evaluate_many(jobs, "n32-k8", audit="strict", **options)
    for (chosen, seed), evaluation in zip(jobs, together, strict=True):
        alone = evaluate(chosen, seed=seed, audit="strict", **options)
        assert figures(evaluation) == figures(alone)
        assert verdicts(evaluation)["overlap"] is verdicts(alone)["overlap"] is (chosen == "isolated_cube")


def test_only_a_strict_audit_makes_more_orderings() -> None:
    published = task_config("n32-k8", protocol="published")
    assert [plan.num_orderings(published, mode) for mode in ("off", "report", "strict")] == [3, 3, 5]


def test_as_many_keys_as_can_decide() -> None:
    def keys(num_secrets: int, mode: plan.AuditMode) -> int:
        return len(plan.sealed_jobs(None, PublicSeeds(1), TaskConfig(num_hidden_secrets=num_secrets), mode))  # type: ignore[arg-type]

    assert [keys(10, "report"), keys(5, "report"), keys(5, "strict"), keys(2, "strict")] == [1, 0, 2, 0]
    sealed = SealedSeeds(KEY, 1)
    assert plan.sealed_jobs(None, sealed, TaskConfig(num_hidden_secrets=10), "strict") == []  # type: ignore[arg-type]


@pytest.mark.usefixtures("can_seal")
def test_a_sealed_evaluation_can_be_repeated_by_who_has_the_key(run_eval: RunEval, tmp_path: Path) -> None:
    short = "--num-hidden-secrets 2 --num-orderings 2 --max-steps 40 --hidden-width 16 --test-set-size 64"
    _, lines, _ = run_eval(f"{short} --sealed --output-dir {tmp_path}")
    (path,) = tmp_path.glob("seal_*.key")
    assert path.stat().st_mode & 0o777 == 0o600
    content = json.loads((tmp_path / "eval_seed42.json").read_text())
    assert content["provenance"]["seal"] == key_digest(read_key(path))
    assert path.read_text().strip() not in (tmp_path / "eval_seed42.json").read_text()
    assert run_eval(f"{short} --seal-key {path}")[1] == lines
    assert run_eval(f"{short} --sealed")[1] != lines
    assert run_eval(short)[1] != lines


def test_no_such_audit() -> None:
    with pytest.raises(UsageError, match="audit must be one of off, report, strict, got 'lax'"):
        evaluate("isolated_cube", audit="lax")
