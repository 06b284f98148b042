import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from conftest import SHORT_FLAGS, STRATEGIES, RunEval

import vecparity.cli.arguments
import vecparity.cli.commands.evaluate_jobs
from vecparity import TaskConfig
from vecparity.cli.commands.evaluate import _num_servers
from vecparity.eval import main
from vecparity.evaluation import metric_lines, serialization
from vecparity.strategy.source import bundled, load

ROOT = Path(__file__).parents[2]
LINES = {
    "TASK_CONFIG": r"N=\d+ K=\d+ W=\d+ num_hidden_secrets=\d+ num_orderings=\d+ test_set_size=\d+ batch_size=\d+ "
    r"max_steps=\d+",
    "DATASET_METRICS": r"secret=\d+ num_examples=\d+ positive_rate=\d\.\d{6}",
    "TRAIN_METRICS": r"secret=\d+ order=\d+ step=\d+ loss=\d+\.\d{6} acc=\d\.\d{6}",
    "RUN_METRICS": r"secret=\d+ order=\d+ steps=\d+ test_accuracy=\d\.\d{6}",
    "FINAL_METRICS": r"test_accuracy=\d\.\d{6} score=\d\.\d{6} test_accuracy_std=\d\.\d{6} mean_steps=\d+\.\d{6} "
    r"num_runs=\d+",
    "TEST_METRICS": r"test_accuracy=\d\.\d{6} score=\d\.\d{6}",
}


def kinds(lines: list[str]) -> list[str]:
    return [line.split(" ")[0] for line in lines]


def test_full_log(run_eval: RunEval) -> None:
    status, lines, err = run_eval(SHORT_FLAGS)
    assert status == 0
    assert re.fullmatch(r"vecparity: recorded as \d+\n", err)
    assert kinds(lines) == (
        ["TASK_CONFIG"]
        + ["DATASET_METRICS"] * 2
        + ["TRAIN_METRICS"] * 4 * 3
        + ["RUN_METRICS"] * 4
        + ["FINAL_METRICS", "TEST_METRICS"]
    )
    for line in lines:
        kind, _, rest = line.partition(" ")
        assert re.fullmatch(LINES[kind], rest), line
    places = [re.findall(r"(?:secret|order|step)=(\d+)", line) for line in lines if line.startswith("TRAIN")]
    expected = [[str(i), str(j), str(step)] for step in (1, 20, 40) for i in range(2) for j in range(2)]
    assert places == expected


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("digest", ["TASK_CONFIG", *["TRAIN_METRICS"] * 5, *["RUN_METRICS"] * 4, "FINAL_METRICS", "TEST_METRICS"]),
        ("final", ["TASK_CONFIG", "FINAL_METRICS", "TEST_METRICS"]),
    ],
)
def test_shorter_logs(run_eval: RunEval, mode: str, expected: list[str]) -> None:
    _, full, _ = run_eval(SHORT_FLAGS)
    status, lines, _ = run_eval(f"{SHORT_FLAGS} --log {mode}")
    assert status == 0
    assert kinds(lines) == expected
    assert set(lines) <= set(full)


def test_all_configs(run_eval: RunEval, tmp_path: Path) -> None:
    status, lines, _ = run_eval(f"{SHORT_FLAGS} --all-configs --log final --output-dir {tmp_path}/results")
    assert status == 0
    assert [line.split()[1] for line in lines if line.startswith("TASK_CONFIG")] == ["N=32", "N=50", "N=64"]
    assert [kind for kind in kinds(lines) if kind != "TASK_CONFIG"] == ["FINAL_METRICS", "TEST_METRICS"] * 3
    files = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert files == ["n32-k8_seed42.json", "n50-k8_seed42.json", "n64-k8_seed42.json"]
    content = json.loads((tmp_path / "results" / "n50-k8_seed42.json").read_text())
    assert content["config"]["n_features"] == 50
    assert f"FINAL_METRICS test_accuracy={content['metrics']['test_accuracy']:.6f} " in lines[4]


def test_the_json_is_named_as_the_originals(run_eval: RunEval, tmp_path: Path) -> None:
    run_eval(f"{SHORT_FLAGS} --output-dir {tmp_path} --seed 7")
    run_eval(f"{SHORT_FLAGS} --output-dir {tmp_path} --seed 7 --label mine --config n50-k8")
    run_eval(f"{SHORT_FLAGS} --output-dir {tmp_path} --seed 1 2 --strategy isolated_cube default_4096")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "eval_default_4096_seed1.json",
        "eval_default_4096_seed2.json",
        "eval_isolated_cube_seed1.json",
        "eval_isolated_cube_seed2.json",
        "eval_seed7.json",
        "mine_seed7.json",
    ]


def test_several_strategies_and_seeds_come_one_after_the_other(run_eval: RunEval) -> None:
    _, lines, _ = run_eval(f"{SHORT_FLAGS} --strategy isolated_cube default_4096 --seed 1 2")
    alone = [
        run_eval(f"{SHORT_FLAGS} --strategy {name} --seed {seed}")[1]
        for name in ("isolated_cube", "default_4096")
        for seed in (1, 2)
    ]
    digests = {name: load(name).sha256[:16] for name in ("isolated_cube", "default_4096")}
    whose = [
        f"STRATEGY name={name} sha256={digests[name]} seed={seed} config=n32-k8 protocol=full"
        for name in digests
        for seed in (1, 2)
    ]
    expected = [line for owner, block in zip(whose, alone, strict=True) for line in (owner, *block)]
    assert lines == expected


def test_a_summary_of_several_evaluations_names_them_at_the_end(run_eval: RunEval) -> None:
    _, _, err = run_eval(f"{SHORT_FLAGS} isolated_cube default_4096 --log final")
    rows = [line.split() for line in err.splitlines() if line.startswith("n32-k8 ")]
    assert [row[1] for row in rows] == ["isolated_cube", "default_4096"]
    _, _, err = run_eval(f"{SHORT_FLAGS} isolated_cube --log final")
    assert re.fullmatch(r"vecparity: recorded as \d+\n", err)


def test_names_without_a_flag_are_strategies(run_eval: RunEval) -> None:
    flagged = run_eval(f"{SHORT_FLAGS} --strategy isolated_cube default_4096")[1]
    assert run_eval(f"isolated_cube default_4096 {SHORT_FLAGS}")[1] == flagged
    assert run_eval(f"isolated_cube {SHORT_FLAGS} --strategy default_4096")[1] == flagged
    seeded = run_eval(f"isolated_cube {SHORT_FLAGS} --seed 3 4")
    assert seeded[0] == 0 and run_eval(f"--seed 3 4 isolated_cube {SHORT_FLAGS}")[1] == seeded[1]


def test_files_of_one_name_are_told_apart_by_their_directories(run_eval: RunEval, tmp_path: Path) -> None:
    paths = [tmp_path / place / "custom_strategy.py" for place in ("x/one", "x/two", "y/two")]
    for path, name in zip(paths, ("isolated_cube", "default_4096", "isolated_cube_1"), strict=True):
        path.parent.mkdir(parents=True)
        path.write_bytes(load(name).source)
    _, lines, _ = run_eval(f"{' '.join(map(str, paths))} {SHORT_FLAGS} --log final --output-dir {tmp_path}")
    named = ["one-custom_strategy", "x-two-custom_strategy", "y-two-custom_strategy"]
    assert [line.split()[1] for line in lines if line.startswith("STRATEGY ")] == [f"name={name}" for name in named]
    assert sorted(path.name for path in tmp_path.glob("*.json")) == [f"eval_{name}_seed42.json" for name in named]
    assert json.loads((tmp_path / f"eval_{named[1]}_seed42.json").read_text())["provenance"]["strategy"] == named[1]


def test_a_line_of_json_for_each_evaluation(run_eval: RunEval, tmp_path: Path) -> None:
    long = tmp_path / f"{'long_name_' * 20}.py"
    long.write_bytes(load("isolated_cube").source)
    status, lines, _ = run_eval(f"{long} default_4096 --all-configs {SHORT_FLAGS} --log json")
    assert (status, len(lines)) == (0, 6)
    assert max(map(len, lines)) < 400
    made = [json.loads(line) for line in lines]
    assert [(own["strategy"][:9], own["config"]) for own in made][:3] == [
        ("long_name", "n32-k8"),
        ("default_4", "n32-k8"),
        ("long_name", "n50-k8"),
    ]
    finals = [line for line in run_eval(f"{SHORT_FLAGS} default_4096 --log final")[1] if line.startswith("FINAL")]
    shown = dict(part.split("=") for part in finals[0].split()[1:])
    assert {name: float(value) for name, value in shown.items()} == {name: made[1][name] for name in shown}
    status, (line,), _ = run_eval(f"{SHORT_FLAGS} {STRATEGIES / 'diverges.py'} --log json")
    assert status == 4
    assert len(line) < 400 and json.loads(line)["test_accuracy"] is None and "diverged" in json.loads(line)["problem"]


def test_every_setting_has_a_flag_of_its_own_name(run_eval: RunEval) -> None:
    assert set(vars(vecparity.cli.arguments.Overrides())) == {field.name for field in fields(TaskConfig)}
    flags: dict[str, Any] = {
        "n_features": 12, "secret_size": 2, "hidden_width": 8, "batch_size": 16, "max_steps": 9,
        "max_train_examples": 5000, "num_hidden_secrets": 1, "num_orderings": 1, "test_set_size": 32,
        "log_interval": 3, "min_steps_before_stop": 3, "early_stop_acc": 0.0, "early_stop_windows": 2,
    }  # fmt: skip
    arguments = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in flags.items())
    status, lines, _ = run_eval(arguments)
    assert status == 0
    assert lines[0] == metric_lines.task_config_line(TaskConfig(**flags))
    assert next(line for line in lines if "RUN_METRICS" in line).startswith("RUN_METRICS secret=0 order=0 steps=6 ")


def test_list_strategies(run_eval: RunEval) -> None:
    status, lines, _ = run_eval("--list-strategies")
    assert status == 0
    assert "isolated_cube" in lines
    assert lines == bundled()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ("--no-such-flag", 2, "Unknown option: --no-such-flag"),
        ("extra", 2, "extra"),
        ("--max-steps 3.5", 2, "Invalid value for --max-steps: expected an integer, got '3.5'"),
        ("--seed", 2, "at least one strategy with a seed"),
        ("--seed one", 2, "expected an integer, got 'one'"),
        ("--engine fast", 2, '"fast"'),
        ("--secret-size 40", 2, "secret_size must be at most n_features=32, got 40"),
        ("--strategy nowhere.py", 2, "got 'nowhere.py': No such file or directory"),
        ("--all-configs --label mine", 2, "--all-configs cannot be combined with --label: got --label mine"),
        ("--all-configs --n-features 9", 2, "--all-configs cannot be combined with --n-features: got --n-features 9"),
        (
            "--label ../up --output-dir .",
            2,
            "label must be a plain name that can be printed, without separators, got '../up'",
        ),
        ("--max-steps 0", 2, "--max-steps must be at least 1, got 0"),
        ("isolated_cube --strategy isolated_cube", 2, "expected each strategy once, got 'isolated_cube' twice"),
        ("--seed 3 3", 2, "expected each seed once, got 3 3"),
        ("isolated_kube", 2, "(is isolated_cube meant?)"),
        ("mine.ipynb", 2, "got 'mine.ipynb', which is a notebook: save the functions as .py"),
        ("--threads 0", 2, "threads must be at least 1, got 0"),
        ("--chunk-runs 0", 2, "chunk_runs must be at least 1, got 0"),
        ("--output-dir /proc/nowhere", 6, "output-dir must be a directory that can be written"),
    ],
)
def test_wrong_use_is_one_line(run_eval: RunEval, arguments: str, status: int, said: str) -> None:
    got, lines, err = run_eval(arguments)
    assert got == status
    assert lines == []
    assert err.startswith("vecparity: error: ")
    assert said in err
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("def init_model(", 3, "bad.py:1: does not load: SyntaxError"),
        ("def init_model(m, c): pass\ndef make_dataset(s, c, d): return 3\n", 3, "got no get_optimizer_config"),
        (
            "def init_model(m, c): pass\ndef make_dataset(s, c, d): return 3\n"
            "def get_optimizer_config(c): return dict(lr=1, wd=0, beta1=.5, beta2=.5)",
            3,
            "bad.py:2: make_dataset: must return (x, y), [x, y] or {'x': x, 'y': y}, got int",
        ),
        (
            "def init_model(m, c):\n    m.nowhere()\ndef make_dataset(s, c, d): return 3\n"
            "def get_optimizer_config(c): return {}",
            4,
            "bad.py:2: init_model raised AttributeError: ",
        ),
    ],
)
def test_a_strategys_faults_are_one_line(run_eval: RunEval, tmp_path: Path, body: str, status: int, said: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(body)
    got, lines, err = run_eval(f"--strategy {path}")
    assert (got, lines) == (status, [])
    assert said in err
    assert len(err.splitlines()) == 1


@pytest.mark.usefixtures("served")
def test_a_diverged_run_prints_the_others_and_no_score(run_eval: RunEval, tmp_path: Path) -> None:
    status, lines, err = run_eval(f"--strategy {STRATEGIES}/diverges.py --smoke --max-steps 30 --output-dir {tmp_path}")
    assert status == 4
    assert kinds(lines).count("RUN_METRICS") == 3
    assert not {"FINAL_METRICS", "TEST_METRICS"} & set(kinds(lines))
    assert "1 diverged of 4 runs: secret=0 order=1 (step 2)" in err
    assert json.loads((tmp_path / "eval_seed42.json").read_text())["metrics"] is None


def test_results_that_cannot_be_written_are_still_printed(
    run_eval: RunEval, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(content: object, path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(serialization, "save", full_disk)
    status, lines, err = run_eval(f"{SHORT_FLAGS} --output-dir {tmp_path}")
    assert status == 6
    assert kinds(lines)[-1] == "TEST_METRICS"
    assert "eval_seed42.json: No space left on device" in err


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ("--strategy isolated_cube default_4096", 1),
        ("--strategy isolated_cube default_4096 --audit report", 2),
        ("--strategy {mine} isolated_cube --seed 1 2", 2),
        ("--strategy {mine} {mine}", 2),
        ("--strategy {mine} --audit off", 1),
        ("--strategy {mine} --sealed", 1),
        ("--strategy {mine} --sealed --audit strict", 2),
        ("--strategy {mine} --seal-key key", 1),
    ],
)
def test_two_fork_servers_are_started_for_a_strategy_that_is_audited(
    tmp_path: Path, arguments: str, count: int
) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("# not bundled")
    parsed = vecparity.cli.arguments.parse(arguments.format(mine=mine).split())
    assert parsed is not None
    chosen = [load(each) for each in parsed[0].strategy for _ in parsed[0].seed]
    assert _num_servers(chosen, parsed[0]) == count


def test_an_unexpected_error_is_a_line_and_with_debug_a_traceback(
    run_eval: RunEval, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr(vecparity.cli.commands.evaluate_jobs, "Pipeline", broken)
    status, _, err = run_eval(SHORT_FLAGS)
    assert (status, err) == (6, "vecparity: error: unexpected LookupError: a bug (--debug shows where)\n")
    with pytest.raises(LookupError, match="a bug"):
        main([*SHORT_FLAGS.split(), "--debug"])


def test_interruption(run_eval: RunEval, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(vecparity.cli.commands.evaluate_jobs, "Pipeline", interrupted)
    status, _, err = run_eval(SHORT_FLAGS)
    assert status == 130
    assert err.startswith("vecparity: interrupted")


def test_progress_goes_to_standard_error(run_eval: RunEval, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    _, quiet, _ = run_eval(SHORT_FLAGS)
    status, lines, err = run_eval(f"{SHORT_FLAGS} --progress")
    assert status == 0
    assert lines == quiet
    for part in ("n32-k8", "40/40", "run-steps/s", "test accuracy"):
        assert part in err


def test_the_module_runs_and_prints_nothing_but_metric_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [
        sys.executable,
        "-m",
        "vecparity.eval",
        *SHORT_FLAGS.split(),
        "--strategy",
        f"{STRATEGIES}/bare_block.py",
    ]
    done = subprocess.run([*command, "--strategy-log", str(log)], capture_output=True, text=True, check=True)
    assert set(kinds(done.stdout.splitlines())) == set(LINES)
    assert re.fullmatch(r"vecparity: recorded as \d+\n", done.stderr)
    assert (
        log.read_text().count("FINAL_METRICS test_accuracy=1.000000") == 4
    )  # its own print, once a secret and again for the audit


@pytest.mark.parametrize(
    ("script", "n"),
    [
        ("eval", 32),
        pytest.param("eval_n50_k8", 50, marks=pytest.mark.slow),
        pytest.param("eval_n64_k8", 64, marks=pytest.mark.slow),
    ],
)
def test_the_benchmarks_three_commands(script: str, n: int, tmp_path: Path) -> None:
    """As the benchmark's harness calls them: beside the strategy, which they do not name."""
    strategy = tmp_path / "custom_strategy.py"
    strategy.write_bytes(load("default_4096").source)

    def drop_in(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        environment = os.environ | {"PYTHON": sys.executable} | variables
        command = [str(ROOT / "scripts" / f"{script}.sh"), *SHORT_FLAGS.split(), *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)

    done = drop_in(SEED="7", OUTPUT_DIR="results", PROTOCOL="published")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"TASK_CONFIG N={n} K=8 ") and kinds(lines).count("TRAIN_METRICS") == 12
    assert f"evaluating {strategy}\n" in done.stderr
    content = json.loads((tmp_path / f"results/n{n}-k8_seed7.json").read_text())["provenance"]
    assert (content["strategy"], content["protocol"]) == ("custom_strategy", "published")
    done = drop_in("--seed", "3", "isolated_cube", "--log", "final", "--output-dir", "others", SEED="7")
    assert kinds(done.stdout.splitlines()) == ["TASK_CONFIG", "FINAL_METRICS", "TEST_METRICS"]
    content = json.loads((tmp_path / f"others/n{n}-k8_seed3.json").read_text())["provenance"]
    assert (content["strategy"], content["protocol"]) == ("isolated_cube", "full")
    strategy.unlink()
    done = drop_in()
    assert done.returncode == 2 and "expected the strategy to evaluate: custom_strategy.py" in done.stderr
    assert drop_in(STRATEGY="isolated_cube").returncode == 0
