"""The sentence about the measurements of `benchmarks.search`; needs only Python."""

from typing import Any


def sentence(content: dict[str, Any]) -> list[str]:
    """Says what a search saves, and how long it takes from the starter to a perfect score."""
    single, reached, machine = content["against_single"], content["from_starter"], content["machine"]
    sealed = reached["sealed"].values()
    assert all(own["is_sealed"] for own in sealed)
    accuracies = ", ".join(f"{own['accuracy']:.4f}" for own in sealed)
    return [
        f"On {machine['cores']} cores ({machine['processor']}), {single['trials']} trials of three parameters of "
        f"`isolated_cube` at `--smoke` take {single['search']:.1f} s: {single['ratio']:.0f} times as fast as as many "
        f"evaluations one by one, with the same results. {reached['trials']} trials that begin with the strategy of "
        f"`vecparity new`, its dataset made isolated (accuracy {reached['starter_accuracy']:.2f}), at protocol "
        f"published, take {reached['minutes']:.1f} minutes with the sealed evaluations of the best five: the winner "
        f"reaches {accuracies} on the three configurations."
    ]
