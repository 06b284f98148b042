"""The settings of an evaluation and the three configurations. Source: contract section 1."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import accumulate, islice
from numbers import Integral, Real
from typing import Any, Literal, get_args

from vecparity.errors import UsageError, brief

Protocol = Literal["full", "published"]
Secret = tuple[int, ...]

# Upper limits. Steps, rows and runs are counted in 32 bits. A test set's bits are drawn as 64-bit integers (contract
# section 2), here up to 16 GiB. The parameters of all runs are held at once, here up to 64 GiB.
_MOST = 2**31 - 1
_MOST_FEATURES = 2**20
_MOST_TEST_BITS = 2**31
_MOST_PARAMETERS = 2**34


@dataclass(frozen=True)
class TaskConfig:
    """The settings of one evaluation; every function of a strategy receives this object.

    Attributes:
        n_features: N, the number of input bits.
        secret_size: K, the number of bits in a secret.
        hidden_width: W, the number of hidden units.
        batch_size: Rows in a batch; the last batch of an epoch may be shorter.
        max_steps: Training steps of a run that does not stop early.
        max_train_examples: Maximum number of rows in a training set.
        num_hidden_secrets: Number of secrets to draw.
        num_orderings: Runs per secret, each with its own order of epochs.
        test_set_size: Rows in each secret's test set.
        log_interval: Steps in a window; a run's loss and accuracy are read once per window.
        min_steps_before_stop: First step at which a window may count towards stopping early.
        early_stop_acc: Minimum accuracy for a window to count; above 1, no run stops early.
        early_stop_windows: Consecutive windows that must count before a run stops.

    Raises:
        UsageError: A value is invalid; the message names the field and the value.
    """

    n_features: int = 32
    secret_size: int = 8
    hidden_width: int = 512
    batch_size: int = 128
    max_steps: int = 100_000
    max_train_examples: int = 12_800_000
    num_hidden_secrets: int = 10
    num_orderings: int = 10
    test_set_size: int = 16_384
    log_interval: int = 250
    min_steps_before_stop: int = 1_000
    early_stop_acc: float = 0.999
    early_stop_windows: int = 4

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if field.type is float:
                _require(_is_finite(value), name, value, "a finite number")
                object.__setattr__(self, name, float(value))  # NumPy numbers are accepted and converted here
                continue
            is_integer = isinstance(value, Integral) and not isinstance(value, bool)
            _require(is_integer, name, value, "an integer")
            least = 0 if name in ("max_steps", "min_steps_before_stop") else 1
            most = _MOST_FEATURES if name == "n_features" else _MOST
            _require(value >= least, name, value, f"at least {least}")
            _require(value <= most, name, value, f"at most {most}")
            object.__setattr__(self, name, int(value))
        n_features, secret_size = self.n_features, self.secret_size
        _require(secret_size <= n_features, "secret_size", secret_size, f"at most n_features={n_features}")
        subsets = _subsets(n_features, secret_size, self.num_hidden_secrets)
        expected = f"at most {subsets}, the number of subsets of {secret_size} of {n_features} features"
        _require(self.num_hidden_secrets <= subsets, "num_hidden_secrets", self.num_hidden_secrets, expected)
        test_bits = self.test_set_size * n_features
        _require(test_bits <= _MOST_TEST_BITS, "test_set_size * n_features", test_bits, f"at most {_MOST_TEST_BITS}")
        parameters = self.num_runs * (self.hidden_width * (n_features + 2) + 1)
        expected = f"at most {_MOST_PARAMETERS} in num_hidden_secrets * num_orderings = {self.num_runs} runs"
        _require(parameters <= _MOST_PARAMETERS, "the networks' parameters", parameters, expected)

    @property
    def label(self) -> str:
        """The name built from N and K, as in the benchmark's configurations."""
        return f"n{self.n_features}-k{self.secret_size}"

    @property
    def num_runs(self) -> int:
        return self.num_hidden_secrets * self.num_orderings

    def window_lengths(self) -> Iterator[int]:
        """Yields the number of steps in each window (contract section 5).

        Windows close at step 1, at every multiple of ``log_interval`` and at ``max_steps``.
        """
        step = 0
        while step < self.max_steps:
            next_multiple = (step // self.log_interval + 1) * self.log_interval
            close = 1 if step == 0 else min(next_multiple, self.max_steps)
            yield close - step
            step = close

    def window_closes(self, count: int) -> list[int]:
        """Returns the steps at which the first ``count`` windows close, or all of them if there are fewer."""
        return list(islice(accumulate(self.window_lengths()), count))

    def last_close(self, step: int) -> int:
        """Returns the step at which the last window had closed after ``step`` steps; 0 before the first window."""
        return step if step == self.max_steps else max(step - step % self.log_interval, min(step, 1))


@dataclass(frozen=True)
class OptimizerConfig:
    """The four AdamW hyperparameters of one run."""

    lr: float
    wd: float
    beta1: float
    beta2: float


PROTOCOLS: dict[Protocol, dict[str, int]] = {
    "full": {},
    "published": {"max_steps": 30_000, "num_hidden_secrets": 5, "num_orderings": 3},
}
SMOKE: dict[str, int] = {
    "max_steps": 4_000,
    "num_hidden_secrets": 2,
    "num_orderings": 2,
    "test_set_size": 2_048,
    "log_interval": 100,
    "min_steps_before_stop": 400,
    "early_stop_windows": 3,
}
# Names in provenance: a protocol, and True if the smoke settings are applied on top of it.
NAMED_PROTOCOLS: dict[str, tuple[Protocol, bool]] = {
    "full": ("full", False),
    "published": ("published", False),
    "full+smoke": ("full", True),
    "published+smoke": ("published", True),
}
CONFIGURATIONS: dict[str, dict[str, int]] = {
    "n32-k8": {"n_features": 32, "secret_size": 8},
    "n50-k8": {"n_features": 50, "secret_size": 8},
    "n64-k8": {"n_features": 64, "secret_size": 8},
}


def task_config(
    label: str | None = None, *, protocol: Protocol = "full", smoke: bool = False, **overrides: int | float
) -> TaskConfig:
    """Builds the settings from the contract's table: protocol, then smoke, then configuration, then overrides.

    Args:
        label: One of the benchmark's configurations (``n32-k8``, ``n50-k8``, ``n64-k8``).
        protocol: ``full`` (10 secrets x 10 orderings) or ``published`` (5 x 3, the public leaderboard's).
        smoke: Use the short settings, on top of either protocol, to test that everything works.
        **overrides: Any field of `TaskConfig`, by name.

    Raises:
        UsageError: A label, protocol or field is unknown, or a value is invalid.
    """
    if protocol not in tuple(PROTOCOLS):
        raise UsageError(f"protocol must be one of {', '.join(get_args(Protocol))}, got {protocol!r}")
    if label is not None and label not in tuple(CONFIGURATIONS):
        raise UsageError(f"config must be one of {', '.join(CONFIGURATIONS)}, got {label!r}")
    settings: dict[str, Any] = PROTOCOLS[protocol] | (SMOKE if smoke else {})
    settings |= CONFIGURATIONS[label] if label else {}
    return override(TaskConfig(), settings | overrides)


def protocol_name(protocol: Protocol, *, smoke: bool) -> str:
    """Returns the name of a protocol in provenance, with or without the smoke settings."""
    return next(name for name, named in NAMED_PROTOCOLS.items() if named == (protocol, smoke))


def protocol_of(config: TaskConfig) -> Protocol | None:
    """Returns the protocol with exactly these settings in a benchmark configuration; None if any setting differs."""
    for protocol in PROTOCOLS:
        if config.label in CONFIGURATIONS and config == task_config(config.label, protocol=protocol):
            return protocol
    return None


def override(config: TaskConfig, overrides: dict[str, Any]) -> TaskConfig:
    """Replaces fields of ``config`` by name.

    Raises:
        UsageError: A name is not a field, or a value is invalid.
    """
    names = [field.name for field in fields(TaskConfig)]
    for name in overrides:
        if name not in names:
            raise UsageError(f"{name!r} is not a setting; the settings are {', '.join(names)}")
    return replace(config, **overrides)


def _is_finite(value: object) -> bool:
    try:
        return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)
    except OverflowError:  # an integer too large for a float
        return False


def has_subsets(config: TaskConfig, count: int) -> bool:
    """Checks whether there are at least this many different secrets."""
    return _subsets(config.n_features, config.secret_size, count) >= count


def _subsets(n_features: int, secret_size: int, enough: int) -> int:
    """Returns the number of subsets, or any number >= ``enough``: the full count may be too large to compute."""
    subsets = 1
    for size in range(min(secret_size, n_features - secret_size)):
        if subsets >= enough:
            break
        subsets = subsets * (n_features - size) // (size + 1)
    return subsets


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise UsageError(f"{name} must be {expected}, got {brief(value)}")
