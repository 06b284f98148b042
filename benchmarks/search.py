"""A search against evaluations one by one, and the way from the starter to a perfect score.

python -m benchmarks.search

The first compares 64 trials of a search with 64 calls of `evaluate`, each in an evaluator of its own: `isolated_cube`
in the smoke settings of N=32, contained, without audits on either side, with equal results required. The second takes
the strategy that `vecparity new` writes, with its dataset made isolated (all features outside the secret are 0), and
searches at the published protocol of N=32; its winners are evaluated under a fresh seal on all three configurations.
"""

import time
from pathlib import Path
from typing import Any

from cyclopts import App

import vecparity
from benchmarks import machine
from vecparity import Range, Search, Strategy, evaluate, search
from vecparity.strategy.space import Space

app = App(help=__doc__)

SPACE: Space = {"lr": Range(1e-3, 1e-1, log=True), "wd": Range(1e-2, 1.0, log=True), "beta2": Range(0.9, 0.999)}
_STARTER = Path(vecparity.__file__).parent / "strategy" / "starter.py"
_UNIFORM = "    x = torch.randint(0, 2, (20_000, config.n_features), generator=generator)\n"
_ISOLATED = """    x = torch.zeros(4096, config.n_features)
    x[:, list(secret)] = torch.randint(0, 2, (4096, len(secret)), generator=generator).float()
"""


def isolated_starter() -> Strategy:
    """Returns the starter with a dataset in which all features outside the secret are 0."""
    text = _STARTER.read_text()
    assert text.count(_UNIFORM) == 1
    return Strategy.from_source(text.replace(_UNIFORM, _ISOLATED), name="isolated_starter")


def against_single(trials: int) -> dict[str, Any]:
    """Measures a search without rescoring, and the same trials one by one.

    Raises:
        AssertionError: A trial differs from its evaluation.
    """
    began = time.perf_counter()
    found = search("isolated_cube", SPACE, trials=trials, smoke=True, rescore=0)
    together = time.perf_counter() - began
    began = time.perf_counter()
    single = [
        evaluate(found.strategy, seed=found.seed, params=own.params, protocol="published", smoke=True, audit="off")
        for own in found.trials
    ]
    one_by_one = time.perf_counter() - began
    for trial, evaluation in zip(found.trials, single, strict=True):
        metrics = evaluation.metrics
        assert (trial.accuracy, trial.mean_steps) == (metrics.test_accuracy, metrics.mean_steps), trial
    return {"trials": trials, "search": together, "one by one": one_by_one, "ratio": one_by_one / together}


def from_starter(trials: int) -> dict[str, Any]:
    """Searches from the starter, and returns the minutes and the winner's figures."""
    found: Search = search(isolated_starter(), SPACE, trials=trials)
    (first, *_) = found.trials
    winner = found.winners[0]
    return {
        "trials": trials,
        "minutes": found.seconds / 60,
        "starter_accuracy": first.accuracy,
        "params": dict(winner.trial.params),
        "searched": {"accuracy": winner.trial.accuracy, "steps": winner.trial.mean_steps},
        "sealed": {
            evaluation.config.label: {
                "accuracy": evaluation.metrics.test_accuracy,
                "steps": evaluation.metrics.mean_steps,
                "is_sealed": evaluation.provenance.seal is not None,
            }
            for evaluation in winner.evaluations
        },
        "importances": dict(found.importances),
    }


@app.default
def main(*, trials: int = 64, repeats: int = 3, from_starter_trials: int = 200, output: str = "search") -> Path:
    """Measures, prints and writes JSON into ``benchmarks/own/``.

    Args:
        trials: Trials of the comparison.
        repeats: Comparisons, one after another; the median ratio counts.
        from_starter_trials: Trials of the search from the starter.
        output: Name of the JSON file.
    """
    compared = []
    for _ in range(repeats):
        compared.append(against_single(trials))
        print(
            "{trials} trials: {search:.1f} s; one by one {one by one:.1f} s: {ratio:.2f} times".format(**compared[-1])
        )
    reached = from_starter(from_starter_trials)
    print(f"{from_starter_trials} trials from the starter: {reached['minutes']:.1f} minutes; {reached['sealed']}")
    compared.sort(key=lambda each: each["ratio"])
    content = {
        "machine": machine.describe(),
        "against_single": compared[len(compared) // 2],
        "all": compared,
        "from_starter": reached,
    }
    return machine.save(output, content)


if __name__ == "__main__":
    app(result_action="return_value")
