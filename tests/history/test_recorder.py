"""The history as `vecparity eval` uses it."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import SHORT, SHORT_FLAGS, STRATEGIES, RunEval
from noting import Noting
from processes import Child, await_each, await_end

from vecparity import evaluate, evaluate_many
from vecparity.errors import UsageError
from vecparity.evaluation import serialization
from vecparity.history.database import VERSION
from vecparity.history.recorder import Recorder
from vecparity.history.store import History
from vecparity.strategy.source import load
from vecparity.training.engines import names as engine_names

pytestmark = pytest.mark.usefixtures("served")

TINY = "--num-hidden-secrets 2 --num-orderings 2 --hidden-width 16 --test-set-size 64"


def said(err: str) -> list[str]:
    """Returns the messages, without the table of several evaluations that ends them."""
    return [line.removeprefix("vecparity: ") for line in err.splitlines() if line.startswith("vecparity: ")]


def test_each_evaluation_is_recorded(run_eval: RunEval, tmp_path: Path) -> None:
    at = tmp_path / "history"
    _, _, err = run_eval(f"{SHORT_FLAGS} --all-configs --strategy isolated_cube default_4096 --history {at}")
    assert said(err) == ["recorded as 1, 2", "recorded as 3, 4", "recorded as 5, 6"]
    with History(at) as history:
        entries = history.entries()
    assert len({entry.command for entry in entries}) == 1
    assert [entry.label for entry in entries] == ["n32-k8"] * 2 + ["n50-k8"] * 2 + ["n64-k8"] * 2
    assert [entry.strategy for entry in entries[:2]] == ["isolated_cube", "default_4096"]


def test_what_is_recorded_is_what_is_written(run_eval: RunEval, tmp_path: Path) -> None:
    run_eval(f"{SHORT_FLAGS} --history {tmp_path}/history --output-dir {tmp_path}/out")
    with History(tmp_path / "history") as history:
        recorded = serialization.dumps(history.get(1).evaluation)
    assert json.loads(recorded) == json.loads((tmp_path / "out" / "eval_seed42.json").read_text())


def test_results_of_an_engine_that_rounded_otherwise_are_not_reused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ids() -> list[int]:
        evaluate("isolated_cube", history=tmp_path / "history", reuse=True, **SHORT)
        with History(tmp_path / "history") as history:
            return [entry.id for entry in history.entries()]

    first = ids()
    assert ids() == first
    monkeypatch.setitem(engine_names._VERSIONS, "native", 9)
    monkeypatch.setitem(engine_names._VERSIONS, "vmap", 9)  # where native was not built
    second = ids()
    assert len(second) == len(first) + 1
    assert ids() == second


def test_without_a_history_nothing_is_recorded(
    run_eval: RunEval, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    status, _, err = run_eval(f"{SHORT_FLAGS} --no-history")
    assert (status, err) == (0, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("log", ["full", "digest", "final"])
def test_a_recorded_evaluation_is_answered_with_the_same_lines(run_eval: RunEval, tmp_path: Path, log: str) -> None:
    arguments = f"{SHORT_FLAGS} --log {log} --history {tmp_path}/history --reuse"
    _, first, err = run_eval(arguments)
    assert said(err) == ["recorded as 1"]
    status, second, err = run_eval(arguments)
    assert status == 0
    assert second == first
    assert re.fullmatch(r"n32-k8 of isolated_cube with seed 42: reused evaluation 1, recorded \S+", said(err)[0])
    with History(tmp_path / "history") as history:
        assert len(history.entries()) == 1


@pytest.mark.slow
def test_what_is_not_recorded_is_evaluated_beside_what_is(run_eval: RunEval, tmp_path: Path) -> None:
    keep = f"{SHORT_FLAGS} --history {tmp_path}/history --reuse"
    run_eval(f"{keep} --config n50-k8 --strategy default_4096")
    several = f"{SHORT_FLAGS} --all-configs --strategy isolated_cube default_4096 --seed 42 7"
    _, expected, _ = run_eval(f"{several} --no-history")
    _, lines, err = run_eval(f"{several} --history {tmp_path}/history --reuse")
    assert lines == expected
    assert sum("reused evaluation 1," in line for line in said(err)) == 1
    assert sum("recorded as" in line for line in said(err)) == 3


@pytest.mark.parametrize(
    "change",
    [
        "--seed 7",
        "--batch-size 127",
        "--engine vmap",
        "--audit report",
        "--config n50-k8",
        "--seal-key {key} --same-draw --log final",
    ],
)
def test_another_evaluation_is_not_answered_from_it(
    run_eval: RunEval, tmp_path: Path, change: str, request: pytest.FixtureRequest
) -> None:
    if "seal" in change:
        request.getfixturevalue("can_seal")
    (tmp_path / "key").write_text("0" * 64)
    (tmp_path / "key").chmod(0o600)
    run_eval(f"{SHORT_FLAGS} --history {tmp_path}/history")
    _, _, err = run_eval(f"{SHORT_FLAGS} --history {tmp_path}/history --reuse {change.format(key=tmp_path / 'key')}")
    assert said(err) == ["recorded as 2"]


def test_a_changed_source_is_not_answered_from_it(run_eval: RunEval, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    source = (STRATEGIES / "bare_block.py").read_text()
    for number, text in enumerate([source, source + "\n# changed\n"], start=1):
        mine.write_text(text)
        _, _, err = run_eval(f"{SHORT_FLAGS} --strategy {mine} --history {tmp_path}/history --reuse --audit off")
        assert said(err) == [f"recorded as {number}"]
        with History(tmp_path / "history") as history:
            assert history.get(number).source == text.encode()


@pytest.mark.slow
def test_what_was_contained_less_is_not_answered_from(run_eval: RunEval, tmp_path: Path) -> None:
    weaker = f"{SHORT_FLAGS} --history {tmp_path}/history --reuse --containment"
    assert said(run_eval(f"{weaker} none")[2]) == ["recorded as 1"]
    assert said(run_eval(f"{weaker} limits")[2]) == ["recorded as 2"]
    assert "reused evaluation 2" in run_eval(f"{weaker} none")[2]


def test_no_score_stays_no_score(run_eval: RunEval, tmp_path: Path) -> None:
    arguments = f"--strategy {STRATEGIES}/diverges.py --smoke --max-steps 30 --history {tmp_path}/history --reuse"
    first, second = run_eval(arguments), run_eval(arguments)
    assert (first[0], second[0]) == (4, 4)
    assert second[1] == first[1]
    assert "reused evaluation 1" in second[2]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("--no-history --reuse", 2, "--no-history cannot be combined with --reuse"),
        ("--no-history --history x", 2, "--no-history cannot be combined with --history x"),
        ("--history /proc/nowhere/x", 6, "the history /proc/nowhere/x cannot be created"),
        (f"--history {__file__}", 6, "is damaged and was not changed: file is not a database"),
    ],
)
def test_a_history_that_cannot_be_used_is_one_line_before_any_training(
    run_eval: RunEval,
    arguments: str,
    status: int,
    message: str,
) -> None:
    got, lines, err = run_eval(f"{SHORT_FLAGS} {arguments}")
    assert (got, lines) == (status, [])
    assert err.startswith("vecparity: error: ")
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_history_that_nobody_named_and_that_cannot_be_used_is_done_without(
    run_eval: RunEval,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/proc/nowhere")
    status, lines, err = run_eval(f"{SHORT_FLAGS} --log final")
    assert (status, len(lines)) == (0, 3)
    assert err.startswith("vecparity: warning: evaluations are not recorded: the history /proc/nowhere/")


def test_a_history_that_breaks_meanwhile_costs_the_record_only(
    run_eval: RunEval,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    tables = {VERSION: "CREATE TABLE strategies (sha256 TEXT, source BLOB)"}
    monkeypatch.setattr("vecparity.history.database._TABLES", tables)
    status, lines, err = run_eval(f"{SHORT_FLAGS} --log final --history {tmp_path}/history --output-dir {tmp_path}")
    assert (status, len(lines)) == (6, 3)
    assert "cannot be read or written: no such table: evaluations" in err
    assert (tmp_path / "eval_seed42.json").exists()


def test_under_another_name_it_is_answered_under_that(run_eval: RunEval, tmp_path: Path) -> None:
    for name in ("mine", "yours"):
        (tmp_path / f"{name}.py").write_text((STRATEGIES / "bare_block.py").read_text())
        place = f"--history {tmp_path}/history --output-dir {tmp_path}/{name}"
        _, _, err = run_eval(f"{SHORT_FLAGS} --strategy {tmp_path}/{name}.py --reuse --audit off {place}")
        content = json.loads((tmp_path / name / "eval_seed42.json").read_text())
        assert content["provenance"]["strategy"] == name
    assert "of mine with seed 42: reused evaluation 1" in err


def test_an_answer_from_the_history_leaves_others_checkpoints_alone(run_eval: RunEval, tmp_path: Path) -> None:
    arguments = f"{SHORT_FLAGS} --history {tmp_path}/history --reuse --output-dir {tmp_path}"
    run_eval(arguments)
    of_another = tmp_path / "checkpoints" / "n32-k8-0123456789abcdef.runs.json"
    of_another.parent.mkdir(exist_ok=True)
    of_another.write_text("{}")
    _, _, err = run_eval(arguments)
    assert "reused evaluation 1" in err
    assert of_another.exists()


@pytest.mark.filterwarnings("default:no checkpoint n32")
def test_an_evaluation_that_goes_on_is_recorded_once(run_eval: RunEval, tmp_path: Path) -> None:
    """Of an interrupted command some configurations are done and recorded: going on makes them again, at once."""
    place = f"--history {tmp_path}/history --checkpoint {tmp_path}/kept"
    assert said(run_eval(f"{SHORT_FLAGS} --config n32-k8 {place}")[2]) == ["recorded as 1"]
    status, _, err = run_eval(f"{SHORT_FLAGS} --all-configs {place} --resume")
    assert status == 0
    begins, *records = said(err)
    assert begins.startswith("warning: no checkpoint n32-k8-")
    assert records == ["recorded before as 1", "recorded as 2", "recorded as 3"]
    with History(tmp_path / "history") as history:
        assert len({entry.command for entry in history.entries()}) == 1


def test_in_python_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noting = Noting()
    with History(tmp_path / "history", create=True) as history:
        first = evaluate_many([("isolated_cube", 42), ("default_4096", 7)], history=history, **SHORT)
        again = evaluate("isolated_cube", history=history, reuse=True, followers=[noting], **SHORT)
        assert again.results == first[0].results
        assert noting.told == ["begin n32-k8", "1 finished"]
        entries = history.entries()
        assert [(entry.strategy, entry.seed) for entry in entries] == [("isolated_cube", 42), ("default_4096", 7)]
        assert len({entry.command for entry in entries}) == 1
        evaluate("isolated_cube", history=history, **SHORT)
        assert len(history.entries()) == 3
    assert evaluate("isolated_cube", history=tmp_path / "history", reuse=True, **SHORT).results == again.results
    assert capsys.readouterr() == ("", "")


def test_in_python_a_history_that_cannot_record_is_one_error_before_any_training(tmp_path: Path) -> None:
    noting = Noting()
    History(tmp_path / "history", create=True).close()
    with History(tmp_path / "history") as history, pytest.raises(UsageError, match=r"create=True.*got .* to read only"):
        evaluate("isolated_cube", history=history, followers=[noting], **SHORT)
    with pytest.raises(UsageError, match=r"an open History.*got .*history closed"):
        evaluate("isolated_cube", history=history, followers=[noting], **SHORT)
    with pytest.raises(
        UsageError, match=r"followers must have the methods begin, prepared, window and finish, got <built-in"
    ):
        evaluate("isolated_cube", followers=[print], **SHORT)  # type: ignore[list-item]
    with pytest.raises(UsageError, match="reuse needs a history"):
        evaluate("isolated_cube", reuse=True, followers=[noting], **SHORT)
    assert noting.told == []


def test_in_python_what_cannot_be_recorded_in_the_end_is_returned(tmp_path: Path) -> None:
    with History(tmp_path / "history", create=True) as history:
        with closing(sqlite3.connect(tmp_path / "history")) as connection:
            connection.execute("DROP TABLE evaluations")
        with pytest.warns(UserWarning, match="an evaluation could not be recorded: .*no such table"):
            assert evaluate("isolated_cube", history=history, **SHORT).results


@pytest.mark.slow
def test_five_evaluations_write_one_history_and_one_of_them_is_killed(tmp_path: Path) -> None:
    at = tmp_path / "history"
    command = [sys.executable, "-m", "vecparity.eval", "--history", str(at), "--log", "final", "--containment", "none"]
    settings = f"--all-configs {TINY}".split()
    with ExitStack() as stack:
        # The one to be killed would train for hours.
        doomed, *others = [
            stack.enter_context(
                Child(
                    [*command, *settings, "--seed", str(seed), "--max-steps", "100" if seed else "100000000"],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    start_new_session=True,
                    env=os.environ | {"OMP_NUM_THREADS": "1"},
                )
            )
            for seed in range(5)
        ]
        outputs = [others[0].communicate()]
        os.killpg(doomed.pid, signal.SIGKILL)  # while others go on
        doomed.communicate()
        outputs += [process.communicate() for process in others[1:]]
    assert [process.returncode for process in others] == [0] * 4, outputs
    with History(at) as history:
        assert history._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        entries = history.entries()
        for entry in entries:
            assert len(history.get(entry.id).evaluation.results) == 4
    assert sorted((entry.seed, entry.label) for entry in entries) == [
        (seed, label) for seed in range(1, 5) for label in ("n32-k8", "n50-k8", "n64-k8")
    ]
    said_ids = sorted(int(number) for _, err in outputs for number in re.findall(r"recorded as (\d+)", err))
    assert said_ids == [entry.id for entry in entries]


@pytest.mark.slow
def test_writers_killed_at_any_moment_leave_whole_records(run_eval: RunEval, tmp_path: Path) -> None:
    """Kills writers in the middle of what they do, again and again."""
    at = tmp_path / "history"
    program = tmp_path / "writers.py"
    program.write_text(
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from vecparity.evaluation import serialization\n"
        "from vecparity.strategy.source import load\n"
        "from vecparity.history.store import History\n"
        f"evaluation = serialization.load(Path({str(tmp_path / 'eval_seed42.json')!r}))\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "parent = os.getpid()\n"
        "for path in sys.stdin:\n"
        "    if pid := os.fork():\n"
        "        print(pid, flush=True)\n"
        "        continue\n"
        "    told = os.open(path.strip(), os.O_CREAT | os.O_WRONLY)\n"
        f"    with History(Path({str(at)!r}), create=True) as history:\n"
        "        while os.getppid() == parent:\n"
        "            os.write(told, b'%d\\n' % history.add(evaluation, load('isolated_cube'), 'a'))\n"
        "    os._exit(1)\n"
    )
    assert run_eval(f"{SHORT_FLAGS} --no-history --output-dir {tmp_path}")[0] == 0
    files = [[tmp_path / f"told-{round_}-{writer}" for writer in range(3)] for round_ in range(4)]
    with Child([sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        for round_, paths in enumerate(files):
            process.stdin.writelines(f"{path}\n" for path in paths)
            process.stdin.flush()
            pids = [int(process.stdout.readline()) for _ in paths]
            await_each(paths, lambda path: path.exists() and path.stat().st_size > 0)  # all are at it
            time.sleep(0.1 + 0.07 * round_)
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            await_end(pids)
        process.stdin.close()
    told = [int(line) for paths in files for path in paths for line in path.read_text().splitlines()]
    with History(at, create=True) as history:
        assert history._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        ids = [entry.id for entry in history.entries()]
        assert set(told) <= set(ids)
        assert len(ids) <= len(told) + 12  # those that were killed between the record and the word
        assert all(recorded.source == load("isolated_cube").source for recorded in history.evaluations(ids[-5:]))


def test_a_recalled_evaluation_is_forgotten_once_it_is_recorded(tmp_path: Path) -> None:
    evaluation = evaluate("isolated_cube", history=tmp_path / "history", **SHORT)
    job = (load("isolated_cube"), 42)
    with History(tmp_path / "history", create=True) as history:
        recorder = Recorder(history, reuse=True)
        recalled = recorder.recall(evaluation.config, evaluation.provenance)
        assert recalled is not None
        (sentence,) = recorder.record([recalled], [job])
        assert "reused evaluation 1" in sentence
        # The same id as that of the recalled one: such as another evaluation may get once it is gone.
        assert recorder.record([recalled], [job]) == ["recorded as 2"]


def test_a_command_that_goes_on_recalls_what_it_recorded_and_nothing_else(tmp_path: Path) -> None:
    with History(tmp_path / "history", create=True) as history:
        first, second = (
            evaluate("isolated_cube", seed=seed, history=history, engine="native", **SHORT) for seed in (1, 2)
        )
        _, entry = history.entries()
        recorder = Recorder(history, goes_on=True)
        recorder.go_on(entry.command)
        elsewhere = replace(second.provenance, device="another", python="4.0", containment="bwrap")
        recalled = recorder.recall(second.config, elsewhere)
        assert recalled is not None
        assert recalled == second, "whatever machine would evaluate it now"
        assert recorder.recall(second.config, elsewhere) is None, "a second job like it has not been evaluated"
        assert recorder.recall(first.config, first.provenance) is None, "another command's"
        cube = load("isolated_cube")
        sentences = recorder.record([recalled, first], [(cube, 2), (cube, 1)])
        assert sentences == ["recorded before as 2", "recorded as 3"], "that another command has it does not count"
        assert [made.command == entry.command for made in history.entries()] == [False, True, True]
