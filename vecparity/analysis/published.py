"""Published results of the benchmark, for comparison with new ones. Source: contract section 7."""

from vecparity.analysis.standings import ConfigurationFigures, Standing, means
from vecparity.errors import UsageError
from vecparity.task.config import CONFIGURATIONS, Protocol

# Known test accuracy and mean steps on n32-k8, n50-k8 and n64-k8, digit for digit: 15 runs each, seed 42.
_RESULTS = {
    "one_pass": [("0.747", "30000"), ("0.500", "30000"), ("0.502", "30000")],
    "multi_epoch": [("0.506", "18817"), ("0.498", "8933"), ("0.504", "6650")],
    "no_weight_decay": [("0.861", "29517"), ("0.501", "30000"), ("0.501", "30000")],
    "isolated_cube_1": [("0.999", "1850")],
    "isolated_cube": [("1.000", "1750")],
}


def published(protocol: Protocol = "published") -> list[Standing]:
    """Returns the published results, without ranks or intervals.

    Raises:
        UsageError: The results were measured under another protocol.
    """
    if protocol != "published":
        raise UsageError(f"expected protocol published, to compare with the published results, got {protocol}")
    return [_standing(strategy, results) for strategy, results in _RESULTS.items()]


def _standing(strategy: str, results: list[tuple[str, str]]) -> Standing:
    figures = {
        label: ConfigurationFigures(float(result[0]), None, float(result[1]), 15, [42], as_published=result)
        for label, result in zip(CONFIGURATIONS, results, strict=False)
    }
    accuracy, mean_steps = means(figures) if len(figures) == len(CONFIGURATIONS) else (None, None)
    return Standing(None, strategy, None, figures, accuracy, None, mean_steps, [], is_published=True)
