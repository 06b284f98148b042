import json
import math
from pathlib import Path
from typing import Any

import pytest
from conftest import ADVERSARIAL, RunEval

from vecparity import Evaluation, evaluate, evaluate_many
from vecparity.audits import plan
from vecparity.cli.main import main
from vecparity.errors import AuditFailedError, UsageError
from vecparity.task.config import TaskConfig, task_config
from vecparity.task.seeds import PublicSeeds, SealedSeeds, kept_key, key_digest, read_key, write_key

pytestmark = pytest.mark.usefixtures("served")

KEY = bytes(range(32))
DRAW = "0" * 32
# 10 secrets, so that every audit can decide; small, so that honest strategies learn nothing much.
SHORT: dict[str, Any] = {"num_orderings": 2, "max_steps": 300, "hidden_width": 64, "test_set_size": 1000}
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
    # Of other draws, 1 in 20 has a run whose secret has 6 of 8 features in common with a guess, from which it is learnt
    # in part; here none has more than 4.
    sealed = evaluate(ADVERSARIAL / f"{cheat}.py", seal_key=KEY, draw=DRAW, **options)
    assert sealed.metrics.test_accuracy == pytest.approx(0.5, abs=0.01)
    assert sealed.provenance.seal == key_digest(KEY)


@pytest.mark.slow
@pytest.mark.usefixtures("can_seal")
def test_sealed_a_cheat_does_not_find_the_test_set() -> None:
    sealed = evaluate(ADVERSARIAL / "seed_of_the_test_set.py", seal_key=KEY, audit="report", **SHORT | {"max_steps": 1})
    assert verdicts(sealed)["overlap"] is True


def test_an_honest_strategy_passes_every_audit_and_scores_as_without() -> None:
    audited = evaluate("isolated_cube", "n32-k8", audit="strict", **SHORT)
    names = ["repeatability", "overlap", "fresh-test", "cross-pairing", "foresight", "file"]
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
    arguments = f"--strategy {ADVERSARIAL}/seed_of_the_test_set.py --protocol published --max-steps 400 --log final"
    status, lines, err = run_eval(f"{arguments} --output-dir {tmp_path}")
    assert status == 0
    assert lines[-1].startswith("TEST_METRICS")
    assert "warning: seed_of_the_test_set fails an audit: overlap: expected" in err
    content = json.loads((tmp_path / "eval_seed42.json").read_text())
    passed = {finding["name"]: finding["passed"] for finding in content["audit"]}
    # Five secrets in three orderings are too few for the others, and a report makes no more.
    assert passed == {
        "repeatability": True,
        "overlap": False,
        "fresh-test": False,
        "cross-pairing": None,
        "foresight": None,
        "file": True,
    }


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


def test_as_many_sealed_secrets_as_can_decide() -> None:
    def num_sealed(num_secrets: int, mode: plan.AuditMode, **settings: int) -> int:
        config = TaskConfig(num_hidden_secrets=num_secrets, **settings)
        return plan.num_sealed(PublicSeeds(1), config, mode)

    assert [num_sealed(10, "off"), num_sealed(10, "report"), num_sealed(10, "strict")] == [0, 44, 44]
    # A report of five secrets in three orderings has too few runs for cross-pairing, and stays undecided anyway.
    assert [num_sealed(5, "report", num_orderings=3), num_sealed(5, "strict", num_orderings=3)] == [0, 44]
    assert [num_sealed(2, "strict"), num_sealed(1, "strict")] == [44, 0]
    assert num_sealed(10, "strict", n_features=6, secret_size=3) == 0  # there are 20 secrets
    assert plan.num_sealed(SealedSeeds(KEY, 1), TaskConfig(), "strict") == 0


def test_every_protocol_is_decided_when_strict() -> None:
    for protocol, smoke in ((p, s) for p in ("full", "published") for s in (False, True)):
        config = task_config("n32-k8", protocol=protocol, smoke=smoke)  # type: ignore[arg-type]
        assert plan.num_sealed(PublicSeeds(1), config, "strict") >= 44
        assert plan.num_orderings(config, "strict") * (config.num_hidden_secrets // 2) >= 10
        assert 2 * config.num_hidden_secrets * math.exp(-config.test_set_size / 100) < 1e-3


SEALED = "--num-hidden-secrets 2 --num-orderings 2 --max-steps 40 --hidden-width 16 --test-set-size 64"


@pytest.mark.usefixtures("can_seal")
def test_a_sealed_evaluation_can_be_repeated_by_who_has_the_key(
    run_eval: RunEval, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, lines, err = run_eval(f"{SEALED} --sealed --output-dir {tmp_path}")
    content = json.loads((tmp_path / "eval_seed42.json").read_text())
    path = kept_key(content["provenance"]["seal"])
    assert f"the key is in {path} " in err
    assert path.stat().st_mode & 0o777 == 0o600
    main(["show", "latest"])
    assert str(path) in capsys.readouterr().out
    assert content["provenance"]["seal"] == key_digest(read_key(path))
    assert path.read_text().strip() not in (tmp_path / "eval_seed42.json").read_text()
    draw = content["provenance"]["draw"]
    assert run_eval(f"{SEALED} --seal-key {path} --draw {draw}")[1] == lines
    assert run_eval(f"{SEALED} --seal-key {path} --seed 43 --draw {draw}")[1] != lines
    others = [
        run_eval(f"{SEALED} {flags}")[1] for flags in (f"--seal-key {path}", f"--seal-key {path}", "--sealed", "")
    ]
    assert len({tuple(each) for each in [lines, *others]}) == 5


def test_every_evaluation_of_a_command_has_a_draw_of_its_own(run_eval: RunEval, tmp_path: Path) -> None:
    key = tmp_path / "key"
    write_key(key, KEY)
    flags = "--strategy isolated_cube default_4096 --seed 1 2 --all-configs --log final"
    assert run_eval(f"{SEALED} {flags} --seal-key {key} --output-dir {tmp_path}")[0] == 0
    draws = {json.loads(path.read_text())["provenance"]["draw"] for path in tmp_path.glob("*.json")}
    assert len(draws) == 12
    assert run_eval(f"{SEALED} {flags} --same-draw --seal-key {key} --output-dir {tmp_path}")[0] == 0
    assert {json.loads(path.read_text())["provenance"]["draw"] for path in tmp_path.glob("*.json")} == {None}


def test_the_same_draw_shows_final_figures_only(run_eval: RunEval, tmp_path: Path) -> None:
    key = tmp_path / "key"
    write_key(key, KEY)
    shared = f"{SEALED} --seal-key {key} --same-draw"
    status, lines, err = run_eval(f"{shared} --log full")
    assert (status, lines) == (2, [])
    assert "expected --log final or json, got --log full" in err
    first, second = (run_eval(f"{shared} --log final")[1] for _ in range(2))
    assert [line.split()[0] for line in first] == ["TASK_CONFIG", "FINAL_METRICS", "TEST_METRICS"]
    assert first == second


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--draw 00", "expected --seal-key, got --draw 00"),
        ("--sealed --draw 00112233445566778899aabbccddeeff", "--draw repeats an evaluation under its key"),
        ("--seal-key {key} --draw 0011", "draw must be 32 hex digits, as in a sealed result, got '0011'"),
        ("--same-draw --log final", "draw and same_draw are of sealed evaluations"),
        ("--seal-key {key} --same-draw --log final --draw 00112233445566778899aabbccddeeff", "exclude each other"),
        ("--seal-key {key} --reuse", "reuse needs evaluations that repeat others"),
    ],
)
def test_draws_that_make_no_sense(run_eval: RunEval, tmp_path: Path, flags: str, said: str) -> None:
    key = tmp_path / "key"
    write_key(key, KEY)
    history = f"--history {tmp_path}/history.sqlite" if "--reuse" in flags else ""
    status, lines, err = run_eval(f"{SEALED} {flags.format(key=key)} {history}")
    assert (status, lines) == (2, [])
    assert said in err


def test_no_such_audit() -> None:
    with pytest.raises(UsageError, match="audit must be one of off, report, strict, got 'lax'"):
        evaluate("isolated_cube", audit="lax")  # type: ignore[call-overload]
