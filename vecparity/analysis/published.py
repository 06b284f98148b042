"""Published results of the benchmark, for comparison with new ones. Source: contract section 7."""

from vecparity.analysis.standings import ConfigurationFigures, Standing, means
from vecparity.errors import UsageError
from vecparity.task.config import CONFIGURATIONS, Protocol

# Known test accuracy and mean steps on n32-k8, n50-k8 and n64-k8: 15 runs each, seed 42.
_RESULTS = {
    "one_pass": [(0.747, 30_000), (0.500, 30_000), (0.502, 30_000)],
    "multi_epoch": [(0.506, 18_817), (0.498, 8_933), (0.504, 6_650)],
    "no_weight_decay": [(0.861, 29_517), (0.501, 30_000), (0.501, 30_000)],
    "isolated_cube_1": [(0.999, 1_850)],
    "isolated_cube": [(1.000, 1_750)],
}


def published(protocol: Protocol = "published") -> list[Standing]:
    """Returns the published results, without ranks or intervals.

    Raises:
        UsageError: The results were measured under another protocol.
    """
    if protocol != "published":
        raise UsageError(f"expected protocol published, to compare with the published results, got {protocol}")
    return [_standing(strategy, results) for strategy, results in _RESULTS.items()]


def _standing(strategy: str, results: list[tuple[float, int]]) -> Standing:
    figures = {
        label: ConfigurationFigures(accuracy, None, float(steps), num_runs=15, seeds=[42])
        for label, (accuracy, steps) in zip(CONFIGURATIONS, results, strict=False)
    }
    accuracy, mean_steps = means(figures) if len(figures) == len(CONFIGURATIONS) else (None, None)
    return Standing(None, strategy, None, figures, accuracy, None, mean_steps, [], is_published=True)
