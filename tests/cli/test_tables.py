import io

import pytest
from made import made

from vecparity import Evaluation
from vecparity.cli import tables
from vecparity.cli.output import PlainConsole


def test_table_names_the_diverged(evaluation: Evaluation, diverged: Evaluation) -> None:
    made = tables.results([("n32-k8", evaluation), ("n32-k8", diverged)], "").whole()
    columns = [list(column.cells) for column in made.columns]
    assert columns[1] == ["isolated_cube", "diverges"]
    assert columns[4][1] == "1 runs diverged"
    assert str(columns[4][0]).startswith(f"{evaluation.metrics.test_accuracy:.6f} ± ")


@pytest.mark.parametrize(
    ("width", "left_out"),
    [
        (60, "left out: seed, engine, mean steps, runs, seconds (there)"),
        (80, "left out: engine, seconds (there)"),
        (120, ""),
    ],
)
def test_results_fit_the_terminal(width: int, left_out: str) -> None:
    name = "a_strategy_of_30_characters_xx"
    table = tables.results([("n32-k8", made(name, [[(1_750, 0.9)] * 3] * 5))], "there")
    console = PlainConsole(width=width, file=io.StringIO())
    with console.capture() as captured:
        console.print(table)
    _, row, *below = captured.get().splitlines()
    assert row.split()[:2] == ["n32-k8", name] and "0.900000 ± 0.000000" in row
    assert " ".join(below).strip() == left_out
