from vecparity import Evaluation
from vecparity.cli import tables


def test_table_names_the_diverged(evaluation: Evaluation, diverged: Evaluation) -> None:
    made = tables.table([("n32-k8", evaluation), ("n32-k8", diverged)])
    columns = [list(column.cells) for column in made.columns]
    assert columns[1] == ["isolated_cube", "diverges"]
    assert columns[4][1] == "1 runs diverged"
    assert str(columns[4][0]).startswith(f"{evaluation.metrics.test_accuracy:.6f} ± ")
