"""Pictures of a search: its history, slices along each parameter, and the parameters' importances."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from vecparity.evaluation.params import param_words
from vecparity.report.axes import WIDTH, new_figure, scale_accuracies
from vecparity.report.conclusions import CHANCE
from vecparity.report.curves import evenly_thinned
from vecparity.report.hover import describe_marks
from vecparity.report.series import shortened
from vecparity.report.svg import INK, SERIES, to_svg
from vecparity.strategy.space import Choice, Range
from vecparity.tuning import value_axes
from vecparity.tuning.results import Trial, best_first
from vecparity.tuning.value_axes import in_short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Marks of all pictures of a page, and of one: more would be one blot, and make the page too large to send.
_MOST_MARKS, _MOST_OF_ONE, _FEWEST_OF_ONE = 4_000, 500, 60
# Width of a category that its marks take.
_FILLED = 0.6
_TRIAL, _BEST, _FAILED = SERIES[0], SERIES[1], SERIES[4]
_MARKERS: dict[str, dict[str, Any]] = {
    "complete": {"marker": "o", "color": _TRIAL, "fillstyle": "full"},
    "dropped": {"marker": "o", "color": _TRIAL, "fillstyle": "none"},
    "failed": {"marker": "x", "color": _FAILED},
}


def drawn(trials: Sequence[Trial], num_parameters: int) -> list[Trial]:
    """Returns the trials that get a mark: all, or else the best half of what there is room for and some of the rest."""
    room = max(_FEWEST_OF_ONE, min(_MOST_OF_ONE, _MOST_MARKS // (2 * num_parameters + 2)))
    if len(trials) <= room:
        return list(trials)
    ranked = best_first(trials)
    rest = sorted(ranked[room // 2 :], key=lambda trial: trial.number)
    kept = ranked[: room // 2] + [rest[index] for index in evenly_thinned(len(rest), room - room // 2)]
    return sorted(kept, key=lambda trial: trial.number)


def accuracy_history(trials: Sequence[Trial], marked: Sequence[Trial], prefix: str) -> Markup:
    """Draws each trial's accuracy by its number, and the best complete one so far as a line of steps."""
    figure, axes = new_figure(2.9)
    _draw_best_so_far(axes, trials, _accuracy, max)
    _draw_accuracies(axes, marked, _number, lambda trial: " ".join(param_words(_shortened(trial.params))))
    _scale_numbers(axes, trials)
    return to_svg(figure, prefix, "accuracy of every trial by its number; a line shows the best so far")


def steps_history(compared: Sequence[Trial], trials: Sequence[Trial], marked: Sequence[Trial], prefix: str) -> Markup:
    """Draws the steps of the trials whose steps are compared by their numbers, and the fewest so far."""
    figure, axes = new_figure(2.9)
    _draw_best_so_far(axes, compared, _steps, min)
    _draw_steps(axes, _among(marked, compared), _number, lambda trial: "")
    value_axes.scale_step_counts(axes, [_steps(trial) for trial in compared])
    _scale_numbers(axes, trials)
    return to_svg(figure, prefix, "mean steps by the trial's number; a line shows the fewest so far")


def slice_of(
    name: str, space: Range | Choice, compared: Sequence[Trial], marked: Sequence[Trial], prefix: str
) -> Markup:
    """Draws accuracy against a parameter's value and, below, the steps of the trials whose steps are compared."""
    from matplotlib.figure import Figure

    axis = value_axes.of_space(name, space)
    figure = Figure(figsize=(WIDTH, 3.9 + axis.label_height))
    upper, lower = figure.subplots(2, sharex=True)
    inside = [trial for trial in marked if trial.params.get(name) in space]

    def place(trial: Trial) -> float:
        spread = _FILLED * ((trial.number * 0.618034) % 1 - 0.5) if axis.is_category else 0.0
        return axis.at(trial.params[name]) + spread

    def value(trial: Trial) -> str:
        return f"{name} {in_short(trial.params[name])}"

    _draw_accuracies(upper, inside, place, value)
    _draw_steps(lower, _among(inside, compared), place, value)
    value_axes.scale_step_counts(lower, [_steps(trial) for trial in compared])
    axis.apply(lower)
    upper.set_xlabel("")
    upper.tick_params(labelbottom=False)
    return to_svg(figure, prefix, f"accuracy of every trial, and steps, against {name}")


def importances_of(importances: Mapping[str, float], prefix: str) -> Markup:
    """Draws each parameter's share as a bar with its number."""
    ordered = sorted(importances.items(), key=lambda item: item[1])
    figure, axes = new_figure(0.8 + 0.27 * len(ordered))
    bars = axes.barh(
        [shortened(name) for name, _ in ordered], [share for _, share in ordered], color=_TRIAL, height=0.6
    )
    for bar, (name, share) in zip(bars, ordered, strict=True):
        describe_marks(bar, f"{name}: {share:.4f}")
    axes.bar_label(bars, [f"{share:.2f}" for _, share in ordered], padding=4)
    axes.set_xlim(0, max(1e-9, *importances.values()) * 1.16)
    axes.set_xlabel("importance")
    axes.grid(visible=False, axis="y")
    return to_svg(figure, prefix, "importance of every parameter")


def _shortened(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in params.items()}


def _among(marked: Sequence[Trial], compared: Sequence[Trial]) -> list[Trial]:
    numbers = {trial.number for trial in compared}
    return [trial for trial in marked if trial.number in numbers]


def _number(trial: Trial) -> float:
    return trial.number


def _accuracy(trial: Trial) -> float:
    assert trial.accuracy is not None
    return trial.accuracy


def _steps(trial: Trial) -> float:
    assert trial.mean_steps is not None
    return trial.mean_steps


def _draw_accuracies(
    axes: "Axes", trials: Sequence[Trial], place: Callable[[Trial], float], more: Callable[[Trial], str]
) -> None:
    """Draws a mark for each trial: full, hollow where a race dropped it, and a cross at the bottom where it failed."""
    axes.axhline(CHANCE, color=INK, linewidth=0.6, linestyle=(0, (4, 3)), alpha=0.6)
    for state in ("dropped", "complete"):
        _draw(axes, state, [trial for trial in trials if trial.state == state], place, _accuracy, more)
    axes.set_ylabel("accuracy")
    scale_accuracies(axes)
    lowest = axes.get_ylim()[0]
    _draw(axes, "failed", [trial for trial in trials if trial.state == "failed"], place, lambda trial: lowest, more)
    axes.set_ylim(bottom=lowest)


def _draw_steps(
    axes: "Axes", trials: Sequence[Trial], place: Callable[[Trial], float], more: Callable[[Trial], str]
) -> None:
    _draw(axes, "complete", trials, place, _steps, more)


def _draw(
    axes: "Axes",
    state: str,
    trials: Sequence[Trial],
    place: Callable[[Trial], float],
    height: Callable[[Trial], float],
    more: Callable[[Trial], str],
) -> None:
    if not trials:
        return
    (marks,) = axes.plot(
        [place(trial) for trial in trials],
        [height(trial) for trial in trials],
        linestyle="none",
        markersize=3.6 if state != "failed" else 4.6,
        alpha=0.75,
        markeredgewidth=0.9,
        clip_on=False,
        **_MARKERS[state],
    )
    describe_marks(marks, *(_in_words(trial, more(trial)) for trial in trials))


def _in_words(trial: Trial, more: str) -> str:
    if trial.state == "failed":
        figures = "failed"
    else:
        figures = f"accuracy {_accuracy(trial):.4f}, {_steps(trial):,.0f} steps"
        figures += f", dropped after {trial.num_runs} runs" if trial.state == "dropped" else ""
    return f"trial {trial.number}: {figures}" + (f", {more}" if more else "")


def _draw_best_so_far(
    axes: "Axes",
    trials: Sequence[Trial],
    figure: Callable[[Trial], float],
    better: Callable[[float, float], float],
) -> None:
    """Draws the best figure of the complete trials up to each number, as a line that changes where one is better."""
    points: list[tuple[int, float]] = []
    complete = [trial for trial in trials if trial.state == "complete"]
    for trial in complete:
        best = better(points[-1][1], figure(trial)) if points else figure(trial)
        if not points or best != points[-1][1]:
            points.append((trial.number, best))
    if points:
        points.append((complete[-1].number, points[-1][1]))
        axes.step(*zip(*points, strict=True), where="post", color=_BEST, linewidth=1.6)


def _scale_numbers(axes: "Axes", trials: Sequence[Trial]) -> None:
    from matplotlib.ticker import MaxNLocator

    last = max((trial.number for trial in trials), default=0)
    axes.set_xlim(-0.5 - 0.01 * last, last + 0.5 + 0.01 * last)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.set_xlabel("trial")
