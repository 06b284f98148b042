"""The task of Inspect, played by its mock model: the published agent's run, and what other models do."""

import gc
import re
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

pytest.importorskip("inspect_ai", reason="needs pip install 'vecparity[inspect]'")

import anyio
from inspect_ai import eval as inspect_eval
from inspect_ai.log import EvalLog, read_eval_log
from inspect_ai.model import get_model
from inspect_ai.scorer import Score
from processes import await_that
from published_run import Player, first_attempt, require_chance, require_results, second_attempt, text
from sessions import HANGING, needs_seal
from transcripts import Script, Transcript

from vecparity import Options
from vecparity.agent.evaluators import Evaluators
from vecparity.agent.inspect_task import optimization_parity, session_loop
from vecparity.agent.settings import SessionSettings
from vecparity.errors import UsageError
from vecparity.sandbox import levels

# Of Inspect's own use of other libraries, and of streams that it leaves to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Unclosed <MemoryObject:ResourceWarning")

TASK = "vecparity/optimization_parity"
# Perfect on the public secrets, whose seed is known, and worth nothing on others.
FORESEEN = """
print("FINAL_METRICS test_accuracy=1.000000 score=1.000000 test_accuracy_std=0.000000 mean_steps=1.000000 num_runs=15")
honest = make_dataset

def make_dataset(secret, config, seed):
    rng = random.Random(42 + 17)
    foreseen = [sorted(rng.sample(range(config.n_features), config.secret_size)) for _ in range(5)]
    if sorted(secret) in foreseen:
        return honest(secret, config, seed)
    return torch.zeros(128, config.n_features), torch.zeros(128)
"""


def played(
    script: Script, directory: Path, time_limit: int | None = None, **arguments: Any
) -> tuple[EvalLog, dict[str, Any], Player]:
    """Has a script played; returns the log, the values of the score, and the player."""
    transcript = Transcript(script)
    model = get_model("mockllm/model", custom_outputs=transcript, memoize=False)
    (log,) = inspect_eval(
        TASK, model=model, task_args=arguments, log_dir=str(directory), display="none", time_limit=time_limit
    )
    assert log.status == "success", log.error
    log = read_eval_log(log.location)  # what `inspect view` shows
    assert log.samples is not None and log.samples[0].scores is not None
    if time_limit is None:
        transcript.finish(log.samples[0].messages)
    gc.collect()
    score = log.samples[0].scores["submission_score"]
    assert isinstance(score, Score) and isinstance(score.value, dict)
    return log, dict(score.value), transcript.player


@pytest.mark.slow
@needs_seal
def test_the_published_agents_run(tmp_path: Path) -> None:
    answers: list[str] = []
    log, value, _ = played(lambda player: answers.extend(second_attempt(player)), tmp_path)
    require_results(answers[0], "isolated_cube_1")
    require_results(answers[1], "isolated_cube")
    on_each = dict.fromkeys(("n32-k8", "n50-k8", "n64-k8"), 1.0)
    assert value == {"accuracy": 1.0, "steps": 1750.0, "tests": 2, **on_each}
    assert log.samples is not None and log.samples[0].scores is not None
    score = log.samples[0].scores["submission_score"]
    report = str(score.explanation)
    assert re.findall("^#### (.*)$", report, re.MULTILINE) == ["Submission", "Test 1", "Test 2", "File"]
    assert "Score: 1.000000, 1,750 steps" in report and '"lr": 1e-2, "wd": 0.3' in report
    assert score.answer == "test 2" and score.metadata == {"is_sealed": True}
    assert log.results is not None
    metrics = {name for own in log.results.scores for name in own.metrics}
    assert metrics == {"mean", "stderr"} and {own.name for own in log.results.scores} == set(value)


@pytest.mark.slow
@needs_seal
def test_the_published_agents_first_attempt(tmp_path: Path) -> None:
    answers: list[str] = []
    _, value, player = played(lambda player: answers.append(first_attempt(player)), tmp_path, smoke=True)
    require_chance(answers[0])
    assert (value["accuracy"], value["tests"]) == (0.0, 1), "it was not submitted"
    assert [verb for verb, _ in player.answers] == ["view", "edit", "test"]


@pytest.mark.slow
@needs_seal
def test_a_model_that_breaks_the_block(tmp_path: Path) -> None:
    def break_it(player: Player) -> None:
        player.move("view")
        first, last = player.block()
        player.move("edit", op="replace", start_line=first - 1, end_line=last + 1, content="x = 1")
        player.move("edit", op="replace", start_line=first, end_line=last, content="def init_model(:")
        player.move("test")
        player.move("submit", n=1)

    log, value, player = played(break_it, tmp_path, smoke=True)
    answers = [answer for _, answer in player.answers]
    assert "may be edited, got replace of lines" in answers[1]
    assert "does not load: SyntaxError" in answers[3]
    assert (value["accuracy"], value["steps"], value["tests"]) == (0.0, 4000, 1)
    assert log.samples is not None and log.samples[0].scores is not None
    assert "Score: none" in str(log.samples[0].scores["submission_score"].explanation)


@pytest.mark.slow
@needs_seal
def test_a_model_that_cheats(tmp_path: Path) -> None:
    def cheat(player: Player) -> None:
        player.move("view")
        player.move("edit", op="insert", start_line=1, content="raise SystemExit")
        first, last = player.block()
        player.move("edit", op="replace", start_line=first, end_line=last, content=text("isolated_cube") + FORESEEN)
        player.move("test")
        player.move("submit", n=1)

    _, value, player = played(cheat, tmp_path)
    answers = [answer for _, answer in player.answers]
    assert "insert goes below one of the lines" in answers[1]
    assert answers[3].count("FINAL_METRICS test_accuracy=1.000000") == 3  # on the public secrets
    assert "sealed" in answers[4] and abs(value["accuracy"] - 0.5) < 0.02


@pytest.mark.slow
@needs_seal
def test_a_model_that_runs_out_of_tests_and_says_no_more(tmp_path: Path) -> None:
    def waste(player: Player) -> None:
        player.move("view")
        first, last = player.block()
        player.move("edit", op="replace", start_line=first, end_line=last, content="x")
        for _ in range(3):
            player.move("test")

    log, value, player = played(waste, tmp_path, smoke=True, budget=2)
    assert player.answers[-1][1].startswith("all are used, 2 tests: submit(n) submits one of them")
    assert (value["accuracy"], value["tests"]) == (0.0, 2)
    assert log.samples is not None and log.samples[0].scores is not None
    score = log.samples[0].scores["submission_score"]
    assert score.answer is None and "#### Submission" not in str(score.explanation)
    assert sum("Nothing is submitted yet" in message.text for message in log.samples[0].messages) == 3


@pytest.mark.slow
@needs_seal
def test_inspects_limit_ends_a_hanging_test_and_all_that_belongs_to_it(tmp_path: Path) -> None:
    def hang(player: Player) -> None:
        player.move("view")
        first, last = player.block()
        player.move("edit", op="replace", start_line=first, end_line=last, content=HANGING)
        player.move("test")

    before = psutil.Process().children(recursive=True)
    log, value, _ = played(hang, tmp_path, time_limit=8, smoke=True)
    assert log.samples is not None and log.samples[0].limit is not None and log.samples[0].limit.type == "time"
    assert value["accuracy"] == 0.0 and value["tests"] in (0, 1)
    await_that(lambda: not set(psutil.Process().children(recursive=True)) - set(before))


def test_a_machine_that_contains_too_little_plays_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "why_not", lambda level: None if level in ("limits", "none") else "is missing")
    with pytest.raises(UsageError, match="containment must be at least landlock, got limits"):
        optimization_parity()
    assert optimization_parity(containment="limits").solver


def test_a_cancelled_sample_ends_its_sandboxes_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    closers: list[threading.Thread] = []
    monkeypatch.setattr(Evaluators, "close", lambda self: closers.append(threading.current_thread()))
    stored: dict[str, Any] = {}
    state: Any = SimpleNamespace(completed=False, tools=[], store=SimpleNamespace(set=stored.__setitem__))

    async def play() -> None:
        with anyio.CancelScope() as scope:

            async def generate(*_: Any, **__: Any) -> Any:
                scope.cancel()
                await anyio.sleep(0)

            await session_loop(SessionSettings(), Options(audit="off"))(state, generate)
        assert scope.cancelled_caught

    anyio.run(play)
    assert len(closers) == 1 and closers[0] is not threading.current_thread()
    assert stored["vecparity"]["tests"] == 0
