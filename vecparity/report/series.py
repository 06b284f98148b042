"""The name, colour, marker and line style of each evaluation, the same throughout a report."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import count

from vecparity.errors import visible
from vecparity.evaluation.params import params_key
from vecparity.evaluation.result import Evaluation
from vecparity.report.svg import SERIES

# Lengths on and off, in line widths, and markers: they distinguish series without colours too.
_DASHES = ((), (5.0, 2.0), (1.5, 1.5), (6.0, 1.5, 1.5, 1.5))
_MARKERS = ("o", "s", "^", "D")
# Most characters of a name beside a picture; a longer one is shortened in the middle, where names differ least.
_MOST_CHARACTERS = 24
# Settings that make a configuration, which do not make another strategy.
_OF_CONFIGURATION = {"n_features", "secret_size"}


@dataclass(frozen=True)
class Look:
    """The colour, marker and line style of a line.

    Attributes:
        number: Index of its colour.
        style: Index of its line style and marker.
    """

    number: int
    style: int

    @property
    def colour(self) -> str:
        return SERIES[self.number]

    @property
    def marker(self) -> str:
        return _MARKERS[self.style]

    @property
    def dashes(self) -> tuple[float, ...]:
        """Dashes of its line in line widths, empty for a solid line."""
        return _DASHES[self.style]

    @property
    def line_style(self) -> tuple[float, tuple[float, ...]] | str:
        return (0.0, self.dashes) if self.dashes else "solid"


@dataclass(frozen=True)
class Series(Look):
    """One evaluation as it is drawn.

    Attributes:
        strategy: Name of its strategy with the parameters, distinct from the report's other strategies.
        name: The strategy's name, with the seed if the report has the strategy under several seeds.
        short: The name of at most 24 characters, distinct from the report's other series.
        evaluation: The evaluation.
    """

    strategy: str
    name: str
    short: str
    evaluation: Evaluation


def look(number: int) -> Look:
    """Returns the look of one line among several; looks repeat after 48."""
    return Look(number % len(SERIES), (number + number // len(SERIES)) % len(_DASHES))


def tell_apart(evaluations: Sequence[Evaluation]) -> list[Series]:
    """Names evaluations and gives them colours, in order; the same over configurations.

    One source with its parameters, seal and settings is one strategy; it has a series for each seed, or for each time
    that it was evaluated.
    """
    strategies = _strategy_names(evaluations)
    seeds: dict[str, set[int]] = {}
    for strategy, evaluation in zip(strategies, evaluations, strict=True):
        seeds.setdefault(strategy, set()).add(evaluation.provenance.seed)
    places = [
        (strategy, evaluation.provenance.seed) for strategy, evaluation in zip(strategies, evaluations, strict=True)
    ]
    names = {
        (strategy, seed): f"{strategy}, seed {seed}" if len(seeds[strategy]) > 1 else strategy
        for strategy, seed in places
    }
    shorts = dict(zip(names, distinct([shortened(name) for name in names.values()]), strict=True))
    looks = {place: look(number) for number, place in enumerate(names)}
    return [
        Series(looks[place].number, looks[place].style, place[0], names[place], shorts[place], evaluation)
        for place, evaluation in zip(places, evaluations, strict=True)
    ]


def by_strategy(series: Iterable[Series]) -> dict[str, list[Series]]:
    """Returns each strategy's series, in order."""
    strategies: dict[str, list[Series]] = {}
    for entry in series:
        strategies.setdefault(entry.strategy, []).append(entry)
    return strategies


def run_name(entry: Series, secret: int, ordering: int) -> str:
    """Names one of a series' runs."""
    return f"{entry.name}, {place(secret, ordering)}"


def shortened(name: str, most: int = _MOST_CHARACTERS) -> str:
    """Returns a name of at most so many characters, an even number, shortened in the middle if it is longer."""
    return name if len(name) <= most else f"{name[: most // 2]}…{name[1 - most // 2 :]}"


def place(secret: int, ordering: int) -> str:
    """Names a run within its evaluation."""
    return f"secret {secret}, ordering {ordering}"


def _strategy_names(evaluations: Sequence[Evaluation]) -> list[str]:
    """Returns each evaluation's strategy: its title, with what sets it apart from other strategies of that title."""
    seen: Counter[tuple[object, ...]] = Counter()
    keys = []
    for evaluation in evaluations:
        provenance = evaluation.provenance
        key = provenance.title, params_key(provenance.params), *_distinctions(evaluation)
        place = (*key, evaluation.config.label, provenance.seed)
        seen[place] += 1
        keys.append((*key, f"evaluation {seen[place]}"))
    titles: dict[str, dict[tuple[str, ...], None]] = {}
    for key in keys:
        titles.setdefault(key[0], {})[key] = None
    named: dict[tuple[str, ...], str] = {}
    for title, alike in titles.items():
        differing = [column for column in range(2, len(keys[0])) if len({key[column] for key in alike}) > 1]
        for key in alike:
            distinction = ", ".join(key[column] for column in differing)
            named[key] = visible(f"{title} ({distinction})" if distinction else title)
    return [dict(zip(named, distinct(list(named.values())), strict=True))[key] for key in keys]


def _distinctions(evaluation: Evaluation) -> list[str]:
    provenance = evaluation.provenance
    settings = asdict(evaluation.config)
    return [
        provenance.strategy_sha256[:8],
        f"sealed {provenance.seal[:8]}" if provenance.seal else "public",
        *(f"{name} {value}" for name, value in settings.items() if name not in _OF_CONFIGURATION),
    ]


def distinct(names: Sequence[str]) -> list[str]:
    """Numbers names that occur before, from 2 on."""
    distinct: list[str] = []
    for name in names:
        numbered = (f"{name} ({number})" if number > 1 else name for number in count(1))
        distinct.append(next(candidate for candidate in numbered if candidate not in distinct))
    return distinct
