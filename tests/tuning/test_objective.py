from hypothesis import given
from hypothesis import strategies as st

from vecparity import TaskConfig
from vecparity.tuning.objective import Pair, objective, objective_of_pair

CONFIG = TaskConfig(num_hidden_secrets=2, num_orderings=3, test_set_size=100, max_steps=500)
# The accuracies that six runs of 100 test rows can have.
ACCURACIES = st.integers(0, 600).map(lambda right: right / 600)
STEPS = st.integers(0, 3000).map(lambda steps: steps / 6)


@given(ACCURACIES, STEPS, ACCURACIES, STEPS)
def test_accuracy_decides_and_then_fewer_steps(
    accuracy: float, steps: float, other: float, others_steps: float
) -> None:
    ranks = (accuracy, -steps) > (other, -others_steps)
    assert (objective(accuracy, steps, CONFIG) > objective(other, others_steps, CONFIG)) == ranks


@given(st.integers(0, 100), st.integers(0, 500), st.integers(0, 100), st.integers(0, 500))
def test_so_it_does_for_a_single_run(right: int, steps: int, others_right: int, others_steps: int) -> None:
    own, other = Pair(0, 0, right / 100, steps), Pair(0, 0, others_right / 100, others_steps)
    ranks = (right, -steps) > (others_right, -others_steps)
    assert (objective_of_pair(own, CONFIG) > objective_of_pair(other, CONFIG)) == ranks
