"""A search's trials as Optuna keeps them: in memory, or in a SQLite file that survives whatever ends the process."""

import hashlib
import math
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from vecparity.errors import MachineError, UsageError, brief
from vecparity.evaluation.params import params_key
from vecparity.strategy.parameters import Value
from vecparity.strategy.space import Space, size_of
from vecparity.training.checkpoints.lock import Lock
from vecparity.tuning.objective import Pair
from vecparity.tuning.results import Trial, TrialState, ranked
from vecparity.tuning.sampling import SamplerName, distributions, make_sampler
from vecparity.undisturbed import undisturbed

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial as OptunaTrial

_NAME = "vecparity"
_IDENTITY = "vecparity search"
# Fewer complete trials say little about parameters: the best tenth would be one trial.
_LEAST_FOR_IMPORTANCES = 20


@dataclass(frozen=True)
class TrialOutcome:
    """The outcome of one setting of the parameters.

    Attributes:
        state: See `Trial`.
        value: The objective; None if it is not complete.
        accuracy: See `Trial`.
        mean_steps: See `Trial`.
        pairs: The runs that were made.
        error: See `Trial`.
    """

    state: TrialState
    value: float | None = None
    accuracy: float | None = None
    mean_steps: float | None = None
    pairs: Sequence[Pair] = ()
    error: str | None = None


class Study:
    """The trials of one search, in one or several sittings.

    Use it in a ``with``: only one process at a time may have a file.

    Args:
        path: The SQLite file, new or of an earlier sitting; None to keep the trials in memory.
        identity: Everything that decides what a trial's values mean, as plain values by name.
        space: The space.
        sampler: The sampler.
        seed: The seed of the search.

    Raises:
        UsageError: The file is no study, or one of another search, or in use.
        MachineError: The file cannot be written.
    """

    def __init__(
        self, path: Path | None, identity: Mapping[str, Any], space: Space, sampler: SamplerName, seed: int
    ) -> None:
        self._space, self._sampler, self._seed = space, sampler, seed
        self._distributions = distributions(space)
        self._path = path
        self._asked: dict[int, OptunaTrial] = {}
        with undisturbed(), ExitStack() as stack:
            self._study = self._open(stack)
            self._resume(identity)
            self._stack = stack.pop_all()

    def __enter__(self) -> "Study":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def trials(self) -> list[Trial]:
        """All finished trials, in the order of their numbers."""
        return [_trial(frozen) for frozen in self._finished()]

    def known(self) -> dict[str, TrialOutcome]:
        """Returns the outcomes of all finished trials, by their values (`params_key`)."""
        return {params_key(frozen.params): _outcome(frozen) for frozen in self._finished()}

    @property
    def is_exhausted(self) -> bool:
        """True if all values of a space that has few have been tried."""
        sizes = [size_of(given) for given in self._space.values()]
        return None not in sizes and len(self.known()) >= math.prod(size for size in sizes if size is not None)

    def best(self) -> TrialOutcome | None:
        """Returns the outcome of the best complete trial, if there is one."""
        complete = [outcome for outcome in self.known().values() if outcome.value is not None]
        return max(complete, key=lambda outcome: outcome.value or 0.0, default=None)

    def ranked(self, count: int) -> list[Trial]:
        """Returns the best complete trials, the best first; of trials with the same values, the first."""
        return ranked(self.trials)[:count]

    def first(self, params: Mapping[str, Value]) -> None:
        """Has a new study begin with these values, as far as they lie within the ranges."""
        own = {name: value for name, value in params.items() if value in self._space.get(name, ())}
        if own and not self._study.get_trials(deepcopy=False):
            self._study.enqueue_trial(own)

    def ask(self, count: int) -> list[tuple[int, dict[str, Value]]]:
        """Returns the numbers and values of so many new trials; the same ones whenever the same trials came before."""
        from optuna.trial import TrialState as State

        # Trials that wait were given their values by an earlier sitting, and become some of those asked for.
        earlier = sum(frozen.state != State.WAITING for frozen in self._study.get_trials(deepcopy=False))
        digest = hashlib.sha256(f"vecparity search 1|{self._seed}|{earlier}".encode()).digest()
        self._study.sampler = make_sampler(self._sampler, self._space, int.from_bytes(digest[:4], "big"))
        with undisturbed():
            asked = [self._study.ask(self._distributions) for _ in range(count)]
        self._asked |= {trial.number: trial for trial in asked}
        return [(trial.number, trial.params) for trial in asked]

    def tell(self, number: int, outcome: TrialOutcome) -> Trial:
        """Keeps what came of a trial, and returns the trial."""
        from optuna.trial import TrialState as State

        trial = self._asked.pop(number)
        with undisturbed():
            for name, value in asdict(outcome).items():
                if name != "value" and value is not None:
                    trial.set_user_attr(name, value)
            if outcome.value is not None:
                return _trial(self._study.tell(trial, outcome.value))
            # Samplers take what was pruned for worse than all that is complete; they do not look at what failed.
            return _trial(self._study.tell(trial, state=State.PRUNED))

    def importances(self) -> dict[str, float]:
        """Returns each parameter's share in what tells the best trials from the others (PED-ANOVA), largest first.

        Empty if there are too few trials to tell, or nothing to tell them apart by. Source: Watanabe, Bansal and
        Hutter, PED-ANOVA (IJCAI 2023).
        """
        from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

        values = {frozen.value for frozen in self._finished() if frozen.value is not None}
        if len(self.ranked(_LEAST_FOR_IMPORTANCES)) < _LEAST_FOR_IMPORTANCES or len(values) < 2:
            return {}
        return dict(get_param_importances(self._study, evaluator=PedAnovaImportanceEvaluator()))

    def _finished(self) -> "list[FrozenTrial]":
        from optuna.trial import TrialState as State

        return self._study.get_trials(deepcopy=False, states=(State.COMPLETE, State.PRUNED))

    def _open(self, stack: ExitStack) -> "OptunaStudy":
        import optuna

        if self._path is None:
            return optuna.create_study(direction="maximize")
        from sqlalchemy import URL
        from sqlalchemy.exc import SQLAlchemyError

        if not self._path.name or self._path.is_dir() or not self._path.absolute().parent.is_dir():
            raise UsageError(f"the study must be a file in a directory that exists, got {self._path}")
        try:
            lock = Lock(self._path.with_name(f"{self._path.name}.lock"))
            stack.callback(lock.release)
            lock.acquire()
            _require_study(self._path)
            storage = optuna.storages.RDBStorage(str(URL.create("sqlite", database=str(self._path.absolute()))))
            stack.callback(storage.remove_session)
            return optuna.create_study(study_name=_NAME, storage=storage, direction="maximize", load_if_exists=True)
        except (SQLAlchemyError, OSError, sqlite3.Error) as error:
            reason = getattr(error, "orig", None) or getattr(error, "strerror", None) or error
            raise MachineError(f"the study {self._path} cannot be written: {reason}") from error
        except RuntimeError as error:  # a file of another version
            raise UsageError(f"the study {self._path} cannot be read: {error}") from error

    def _resume(self, identity: Mapping[str, Any]) -> None:
        """Checks that an earlier sitting was of the same search, and asks again for what it had not finished."""
        from optuna.trial import TrialState as State

        if (own := self._study.user_attrs.get(_IDENTITY)) is None:
            self._study.set_user_attr(_IDENTITY, dict(identity))
            return
        for name, value in identity.items():
            if own.get(name) != value:
                raise UsageError(
                    f"the study {self._path} is of another search: expected {name} {brief(own.get(name))}, "
                    f"got {brief(value)} (--study with another file begins anew)"
                )
        for frozen in self._study.get_trials(deepcopy=False, states=(State.RUNNING,)):
            self._study.tell(frozen.number, state=State.FAIL)
            # A process may end before a trial has its values, or all of them.
            if values := {**frozen.system_attrs.get("fixed_params", {}), **frozen.params}:
                self._study.enqueue_trial(values)


def _require_study(path: Path) -> None:
    """Refuses a file that holds something else, before Optuna makes tables in it."""
    if not path.exists() or not path.stat().st_size:
        return
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        try:
            tables = connection.execute("select name from sqlite_master where name = 'studies'").fetchall()
        except sqlite3.DatabaseError as error:
            raise UsageError(f"expected a study's file, got {path}, which is no SQLite file") from error
    if not tables:
        raise UsageError(f"expected a study's file, got {path}, which holds something else")


def _outcome(frozen: "FrozenTrial") -> TrialOutcome:
    kept = frozen.user_attrs
    return TrialOutcome(
        state=kept["state"],
        value=frozen.value if kept["state"] == "complete" else None,
        accuracy=kept.get("accuracy"),
        mean_steps=kept.get("mean_steps"),
        pairs=[Pair(**pair) for pair in kept.get("pairs", ())],
        error=kept.get("error"),
    )


def _trial(frozen: "FrozenTrial") -> Trial:
    own = _outcome(frozen)
    return Trial(frozen.number, dict(frozen.params), own.state, own.accuracy, own.mean_steps, len(own.pairs), own.error)
