"""New defaults in a strategy's source: values come back from the signature, and nothing else changes."""

from dataclasses import replace
from typing import Any

import pytest
from conftest import SHORT, STRATEGIES
from hypothesis import given
from hypothesis import strategies as st

from vecparity import Evaluation, evaluate
from vecparity.errors import UsageError
from vecparity.strategy.parameters import Value, resolve
from vecparity.strategy.rewriting import with_defaults
from vecparity.strategy.source import Strategy, load

VARIED = load(STRATEGIES / "varied.py")


def rewritten(source: str | bytes, **values: Value) -> bytes:
    """The new source; the values are those of its signature."""
    strategy = with_defaults(Strategy.from_source(source), values)
    found = resolve(strategy, {}).values
    assert {name: repr(found[name]) for name in values} == {name: repr(value) for name, value in values.items()}
    return strategy.source


@pytest.mark.parametrize(
    ("default", "value", "expected"),
    [
        ("1e-2", 0.5, "0.5"),
        ("1e-2", 1e-05, "1e-05"),
        ("1e-2", -3, "-3"),
        ("-1", 2, "2"),
        ("(1e-2)", -2.5, "(-2.5)"),
        ("(  # why\n 1 +\n 2)", 4, "(  # why\n 4)"),
        ("('a'\n  'b')", "c", "('c')"),
        ("1", True, "True"),
        ("'adam'", 'it\'s "w"', "'it\\'s \"w\"'"),
        ("LR", 1e-2, "0.01"),
        ("1 if LR else (2)", 3, "3"),
        ("f'{LR}'", "x", "'x'"),
        ("0.0", -0.0, "-0.0"),
        ("1e-2", 0.01, "1e-2"),  # as it was: the file has this value
        ("1", 1.0, "1.0"),
    ],
)
def test_defaults_are_replaced_and_nothing_else(default: str, value: Value, expected: str) -> None:
    around = "LR = 0.1\ndef get_optimizer_config(c, *, a=1,  lr = {} , b=2):  # lr = 1e-2\n    return {{'lr': lr}}\n"
    assert rewritten(around.format(default), lr=value) == around.format(expected).encode()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            b"def get_optimizer_config(c, *, lr: Annotated[float, Range(1e-3, 1e-1, log=True)] = 1e-2): ...",
            b"def get_optimizer_config(c, *, lr: Annotated[float, Range(1e-3, 1e-1, log=True)] = 7): ...",
        ),
        (b"def init_model(m, c, *, lr=1): ...\r\n# end\r\n", b"def init_model(m, c, *, lr=7): ...\r\n# end\r\n"),
        (b"x = 1\rdef init_model(m, c, *, lr=1): ...\r", b"x = 1\rdef init_model(m, c, *, lr=7): ...\r"),
        (
            b"\xef\xbb\xbfdef init_model(m, c, *, \xc3\xa4='\xc3\xb6', lr=1): ...",
            b"\xef\xbb\xbfdef init_model(m, c, *, \xc3\xa4='\xc3\xb6', lr=7): ...",
        ),
        (
            b"# coding: latin-1\ndef init_model(m, c, *, \xe4='\xf6', lr=1): ... # \xfc",
            b"# coding: latin-1\ndef init_model(m, c, *, \xe4='\xf6', lr=7): ... # \xfc",
        ),
        (
            b"#\n# vim: set fileencoding=cp1252 :\n'\x80'\ndef init_model(m, c, *, \xe4='\x80', lr=1): ...",
            b"#\n# vim: set fileencoding=cp1252 :\n'\x80'\ndef init_model(m, c, *, \xe4='\x80', lr=7): ...",
        ),
        (
            b"\x0c\ndef init_model(m, c, *,\x0c lr=1): '\xe2\x80\xa8\x0b\x1c'",
            b"\x0c\ndef init_model(m, c, *,\x0c lr=7): '\xe2\x80\xa8\x0b\x1c'",
        ),
        (
            b"def init_model(m, c, *, lr=1): ...\ndef make_dataset(s, c, e, *, lr=LR): ...",
            b"def init_model(m, c, *, lr=7): ...\ndef make_dataset(s, c, e, *, lr=7): ...",
        ),
        (  # the last definition counts, and functions of other names or places do not
            b"def init_model(m, c, *, lr=1): ...\ndef init_model(m, c, *, lr=2): ...\ndef f(*, lr=3): ...",
            b"def init_model(m, c, *, lr=1): ...\ndef init_model(m, c, *, lr=7): ...\ndef f(*, lr=3): ...",
        ),
    ],
)
def test_bytes_stay_as_they_are(source: bytes, expected: bytes) -> None:
    assert rewritten(source, lr=7) == expected


def test_what_an_encoding_lacks_is_an_escape() -> None:
    source = b"# coding: latin-1\ndef init_model(m, c, *, name='\xf6'): ..."
    assert rewritten(source, name="ö λ") == b"# coding: latin-1\ndef init_model(m, c, *, name='\\xf6 \\u03bb'): ..."


@given(
    values=st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ["lr", "rows", "scale", "wd"],
            st.booleans()
            | st.integers(-(2**63) + 1, 2**63 - 1)
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(max_size=200).filter(str.isprintable),
        ),
    )
)
def test_any_value_comes_back(values: dict[str, Value]) -> None:
    changed = Strategy.from_source(rewritten(VARIED.source, **values))
    others = {name: value for name, value in resolve(VARIED, {}).values.items() if name not in values}
    assert others.items() <= resolve(changed, {}).values.items()
    assert with_defaults(changed, {**values, **others}).source == changed.source


def test_the_name_stays_and_the_origin_is_text() -> None:
    odd = replace(VARIED, name="my strategy", path="/elsewhere/my strategy.py")
    new = with_defaults(odd, {"lr": 0.5})
    assert (new.name, new.path, new.origin) == ("my strategy", "my strategy.py", "text")
    assert with_defaults(replace(odd, origin="functions"), {"lr": 0.5}).origin == "functions"


@pytest.mark.parametrize(
    ("strategy", "values", "said"),
    [
        (VARIED, {"rate": 1}, r"varied\.py: no parameter 'rate': its parameters are lr, rows, scale, wd"),
        (VARIED, {"lr": float("nan")}, "parameter lr must be a finite number, .* got nan"),
        (VARIED, {"lr": "a\nb"}, r"got 'a\\nb'"),
        (
            Strategy.from_source("def init_model("),
            {"lr": 1},
            r"strategy\.py: expected a source that parses, got Syntax",
        ),
        (Strategy.from_source(b"\xff"), {}, "expected a source that parses, got SyntaxError"),
        (Strategy.from_source("x = " + "-" * 10_000 + "1"), {}, "expected a source that parses, got"),
        (
            Strategy.from_source("x = 1" + " + 1" * 2000),
            {},
            r"expected a source that (parses|nests less), got Recursion",
        ),
        (replace(VARIED, origin="pickle"), {"lr": 1}, "expected a source to write new defaults into, got pickled"),
        (
            Strategy.from_source(b"# coding: utf-7\ndef init_model(m, c, *, lr=1): '+AOQ-'\n# +AEE-"),
            {"lr": 2},
            "expected an encoding that gives the same bytes again, got utf-7; save it as UTF-8",
        ),
    ],
)
def test_what_cannot_be_rewritten(strategy: Strategy, values: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        with_defaults(strategy, values)


def test_a_source_that_would_change_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("8", "7, other=1"):
        monkeypatch.setattr("vecparity.strategy.rewriting._written", lambda value, encoding, wrong=wrong: wrong)
        with pytest.raises(UsageError, match="expected a source that differs in these defaults alone"):
            with_defaults(VARIED, {"lr": 7})


@pytest.mark.usefixtures("served")
def test_it_evaluates_as_the_parameters_do() -> None:
    values = {"lr": 0.02, "scale": 0.5, "rows": 300}
    settings = {**SHORT, "max_steps": 50, "audit": "off"}

    def outcome(evaluation: Evaluation) -> tuple[object, ...]:
        return evaluation.results, evaluation.curves, evaluation.datasets, evaluation.first_layers

    by_default = evaluate(with_defaults(VARIED, values), **settings)
    assert outcome(by_default) == outcome(evaluate(VARIED, params=values, **settings))
    assert outcome(by_default) != outcome(evaluate(VARIED, **settings))
    assert by_default.provenance.params == resolve(VARIED, values).values
