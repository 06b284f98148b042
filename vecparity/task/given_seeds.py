"""Seeds written out: all that one evaluation asks for, so that it can be made where the key of its seal is not."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from vecparity.task.config import Secret, TaskConfig
from vecparity.task.seeds import Seeds


@dataclass(frozen=True)
class GivenSeeds:
    """The seeds of one evaluation, in tables. They tell its secrets, and nothing of another evaluation's.

    Attributes:
        config: The settings of the evaluation, the only ones for which there are seeds.
        seed: See `Seeds`.
        seal: See `Seeds`.
        draw: See `Seeds`.
        all_secrets: The secrets.
        dataset_seeds: One for each secret.
        test_set_seeds: One for each secret.
        run_seeds: One for each secret and ordering.
        ordering_seeds: One for each secret and ordering.
        call_orders: One for each number of networks that is asked for.
    """

    config: TaskConfig
    seed: int
    seal: str | None
    draw: str | None
    all_secrets: tuple[Secret, ...] = field(repr=False)
    dataset_seeds: tuple[int, ...] = field(repr=False)
    test_set_seeds: tuple[int, ...] = field(repr=False)
    run_seeds: tuple[tuple[int, ...], ...] = field(repr=False)
    ordering_seeds: tuple[tuple[int, ...], ...] = field(repr=False)
    call_orders: tuple[tuple[int, ...], ...] = field(repr=False)

    def secrets(self, config: TaskConfig) -> list[Secret]:
        assert config == self.config
        return list(self.all_secrets)

    def dataset_seed(self, config: TaskConfig, i: int) -> int:
        assert config == self.config
        return self.dataset_seeds[i]

    def test_set_seed(self, config: TaskConfig, i: int) -> int:
        assert config == self.config
        return self.test_set_seeds[i]

    def run_seed(self, config: TaskConfig, i: int, j: int) -> int:
        assert config == self.config
        return self.run_seeds[i][j]

    def ordering_seed(self, config: TaskConfig, i: int, j: int) -> int:
        assert config == self.config
        return self.ordering_seeds[i][j]

    def call_order(self, config: TaskConfig, count: int) -> list[int]:
        assert config == self.config
        return next(list(order) for order in self.call_orders if len(order) == count)


def written_out(seeds: Seeds, config: TaskConfig, num_orderings: int, counts: Iterable[int]) -> GivenSeeds:
    """Writes out the seeds of one evaluation.

    Args:
        seeds: The seeds.
        config: The settings.
        num_orderings: The orderings of each secret, with those of audits.
        counts: The numbers of networks that are asked for together.
    """
    places = range(config.num_hidden_secrets)
    orderings = range(num_orderings)
    return GivenSeeds(
        config=config,
        seed=seeds.seed,
        seal=seeds.seal,
        draw=seeds.draw,
        all_secrets=tuple(seeds.secrets(config)),
        dataset_seeds=tuple(seeds.dataset_seed(config, i) for i in places),
        test_set_seeds=tuple(seeds.test_set_seed(config, i) for i in places),
        run_seeds=tuple(tuple(seeds.run_seed(config, i, j) for j in orderings) for i in places),
        ordering_seeds=tuple(tuple(seeds.ordering_seed(config, i, j) for j in orderings) for i in places),
        call_orders=tuple(tuple(seeds.call_order(config, count)) for count in dict.fromkeys(counts)),
    )
