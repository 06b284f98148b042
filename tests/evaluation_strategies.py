"""Hypothesis strategies: any evaluation that `coherence.check` accepts."""

import random
from itertools import product
from typing import Any

from hypothesis import strategies as st

from vecparity.audits.finding import AuditFinding
from vecparity.evaluation.result import (
    ByFeature,
    DatasetSummary,
    DivergedRun,
    Evaluation,
    FirstLayer,
    Provenance,
    RunCurve,
    RunResult,
)
from vecparity.task.config import NAMED_PROTOCOLS, TaskConfig
from vecparity.training.curve import Curve

SHARES = st.floats(0, 1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
NOT_NEGATIVE = st.floats(0, allow_nan=False, allow_infinity=False)
# Few characters: a choice among all takes seconds to prepare.
LINES = st.text(st.sampled_from("aZ9 _-=\"\\'<é😀"), max_size=12)
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
IDENTIFIERS = st.sampled_from(["lr", "weight_decay", "_x", "é", "class_", "K"])
PARAM_VALUES = st.booleans() | st.integers(1 - 2**63, 2**63 - 1) | FINITE | LINES
PARAMS = st.dictionaries(IDENTIFIERS, PARAM_VALUES, max_size=4)


def provenances(strategy_sha256: str | None = None) -> st.SearchStrategy[Provenance]:
    digests = DIGESTS if strategy_sha256 is None else st.just(strategy_sha256)
    names = ("vecparity", "torch", "python", "engine", "device", "dtype", "strategy", "host", "capability")
    texts = dict.fromkeys(names, LINES)
    return st.builds(
        Provenance,
        **texts,
        device_type=st.sampled_from(["cpu", "cuda"]),
        strategy_sha256=digests,
        seed=st.integers(0, 2**31),
        protocol=st.sampled_from([*NAMED_PROTOCOLS, "custom"]),
        init_device=st.sampled_from(["cpu", "cuda"]),
        containment=st.sampled_from(["bwrap", "landlock", "limits", "none"]),
        audit=st.sampled_from(["off", "report", "strict"]),
        seal=st.none() | DIGESTS,
        wall_seconds=NOT_NEGATIVE,
        params=PARAMS,
        origin=st.sampled_from(["file", "text", "functions", "pickle"]),
    )


FINDINGS = st.builds(
    AuditFinding,
    name=LINES,
    passed=st.none() | st.booleans(),
    summary=LINES,
    figures=st.dictionaries(LINES, FINITE | st.integers(1 - 2**63, 2**63 - 1), max_size=3),
)


@st.composite
def configs(draw: st.DrawFn) -> TaskConfig:
    n_features = draw(st.integers(4, 12))
    return TaskConfig(
        n_features=n_features,
        secret_size=draw(st.integers(1, n_features - 1)),
        num_hidden_secrets=draw(st.integers(1, 3)),
        num_orderings=draw(st.integers(1, 3)),
        max_steps=draw(st.integers(0, 1000)),
        log_interval=draw(st.integers(1, 300)),
        hidden_width=draw(st.integers(1, 600)),
        early_stop_acc=draw(FINITE),
    )


@st.composite
def evaluations(draw: st.DrawFn, strategy_sha256: str | None = None) -> Evaluation:
    state = (
        random.getstate()
    )  # beartype checks an element of a list that it draws; Hypothesis wants no draws but its own
    try:
        return _evaluation(draw, strategy_sha256)
    finally:
        random.setstate(state)


def _evaluation(draw: st.DrawFn, strategy_sha256: str | None) -> Evaluation:
    config = draw(configs())
    is_sealed = draw(st.booleans())

    def by_feature(values: st.SearchStrategy[float]) -> ByFeature:
        each = st.none() if is_sealed else _lists(values, config.n_features)
        return draw(st.builds(ByFeature, secret=values, others=st.none() | values, each=each))

    places = list(product(range(config.num_hidden_secrets), range(config.num_orderings)))
    has_diverged = draw(st.one_of(st.just([False] * len(places)), _lists(st.booleans(), len(places))))
    ends = list(zip(places, has_diverged, strict=True))
    steps = st.integers(0, config.max_steps)
    closes = config.window_closes(12)
    curves = []
    for place in places:
        count = draw(st.integers(0, len(closes)))
        curves.append(RunCurve(*place, Curve(closes[:count], draw(_lists(FINITE, count)), draw(_lists(SHARES, count)))))
    secrets = st.lists(
        st.integers(0, config.n_features - 1), min_size=config.secret_size, max_size=config.secret_size, unique=True
    ).map(sorted)
    return Evaluation(
        config=config,
        datasets=[
            DatasetSummary(
                i,
                num_examples=draw(st.integers(1, config.max_train_examples)),
                positive_rate=draw(SHARES),
                secret=None if is_sealed else draw(secrets),
                patterns_covered=draw(st.integers(0, 1)),
                density=by_feature(SHARES),
            )
            for i in range(config.num_hidden_secrets)
        ],
        results=[RunResult(*place, draw(steps), draw(SHARES)) for place, diverged in ends if not diverged],
        diverged=[DivergedRun(*place, draw(steps)) for place, diverged in ends if diverged],
        curves=curves,
        first_layers=[FirstLayer(*place, by_feature(NOT_NEGATIVE)) for place, diverged in ends if not diverged],
        findings=draw(st.lists(FINDINGS, max_size=3)),
        provenance=draw(provenances(strategy_sha256)),
    )


def _lists(values: st.SearchStrategy[Any], count: int) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=count, max_size=count)


def bits(value: Any) -> Any:
    """Returns plain values in which 0 and -0, and 1 and 1.0 and True, differ."""
    if isinstance(value, dict):
        return {name: bits(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [bits(each) for each in value]
    return (type(value).__name__, value.hex() if isinstance(value, float) else value)
