from dataclasses import replace

import pytest

from vecparity import Evaluation
from vecparity.evaluation.params import Params
from vecparity.history.fingerprint import fingerprint


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ({"wall_seconds": 9.0}, True),
        ({"strategy": "renamed"}, True),
        ({"containment": "none"}, True),
        ({"origin": "text"}, True),
        ({"host": "another"}, True),
        ({"capability": "DEFAULT"}, True),
        ({"strategy_sha256": "0" * 64}, False),
        ({"seed": 43}, False),
        ({"engine": "vmap"}, False),
        ({"dtype": "float64"}, False),
        ({"device": "another"}, False),
        ({"device_type": "cuda"}, False),
        ({"torch": "2.11"}, False),
        ({"vecparity": "9.9"}, False),
        ({"init_device": "cuda"}, False),
        ({"audit": "strict"}, False),
        ({"seal": "0" * 64}, False),
        ({"engine_version": 9}, False),
        ({"params": {}}, True),
        ({"params": {"lr": 1}}, False),
    ],
)
def test_what_makes_a_repetition(evaluation: Evaluation, change: dict[str, object], is_same: bool) -> None:
    changed = replace(evaluation.provenance, **change)  # type: ignore[arg-type]
    digests = {fingerprint(evaluation.config, each) for each in (evaluation.provenance, changed)}
    assert (len(digests) == 1) == is_same


def test_other_params_are_no_repetition(evaluation: Evaluation) -> None:
    several: list[Params] = [{}, {"lr": 1}, {"lr": 1.0}, {"lr": True}, {"lr": "1"}, {"wd": 1}, {"lr": 1, "wd": 1}]
    made = [replace(evaluation.provenance, params=params) for params in several]
    assert len({fingerprint(evaluation.config, each) for each in made}) == len(several)
    swapped = replace(evaluation.provenance, params={"wd": 1, "lr": 1})
    assert fingerprint(evaluation.config, swapped) == fingerprint(evaluation.config, made[-1])


def test_another_setting_is_no_repetition(evaluation: Evaluation) -> None:
    changed = replace(evaluation.config, early_stop_acc=0.998)
    assert fingerprint(changed, evaluation.provenance) != fingerprint(evaluation.config, evaluation.provenance)
