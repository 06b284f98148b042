import pytest

pytest.importorskip("optuna", reason="needs pip install 'vecparity[search]'")

from vecparity import TaskConfig, task_config
from vecparity.tuning.objective import Pair
from vecparity.tuning.racing import is_lost, stages

PUBLISHED = task_config("n32-k8", protocol="published")


@pytest.mark.parametrize(
    ("config", "shapes"),
    [
        (task_config("n32-k8"), [(5, 1), (10, 3), (10, 10)]),
        (PUBLISHED, [(5, 1), (5, 3)]),
        (task_config("n32-k8", smoke=True), [(2, 2)]),
        (TaskConfig(num_hidden_secrets=1, num_orderings=100), [(1, 5), (1, 25), (1, 100)]),
        (TaskConfig(num_hidden_secrets=5, num_orderings=1), [(5, 1)]),
    ],
)
def test_stages_grow_to_the_whole(config: TaskConfig, shapes: list[tuple[int, int]]) -> None:
    made = stages(config)
    assert [(stage.num_hidden_secrets, stage.num_orderings) for stage in made] == shapes
    assert made[-1] == config


def runs(*accuracies: float, steps: int = 1000) -> list[Pair]:
    return [Pair(secret, 0, accuracy, steps) for secret, accuracy in enumerate(accuracies)]


BEST = runs(1.0, 1.0, 0.99, 1.0, 0.98)


@pytest.mark.parametrize(
    ("challenger", "lost"),
    [
        (runs(0.5, 0.5, 0.5, 0.5, 0.5), True),
        (runs(1.0, 1.0, 0.99, 1.0, 0.98, steps=1500), True),
        (runs(1.0, 1.0, 0.99, 1.0, 0.98, steps=500), False),
        (BEST, False),
        (runs(0.5, 1.0, 1.0, 1.0, 1.0), False),
        (runs(1.0, 0.5, 0.99, 0.5, 0.98), False),
        (runs(0.5, 0.5, 0.5, 0.5), True),
        (runs(0.5, 0.5, 0.5), False),
    ],
    ids=["at chance", "slower", "faster", "equal", "one lost, two won", "two lost", "four lost", "three lost"],
)
def test_a_trial_is_lost_when_the_same_runs_of_the_best_are_better(challenger: list[Pair], lost: bool) -> None:
    assert is_lost(challenger, BEST, PUBLISHED) == lost
