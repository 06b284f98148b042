"""The package's own imports: they go one way, from package to package and from file to file, and the top stays small.

Imports within functions and for types count too. Files that authors could have written import the package as authors
do; the package reads them as text.
"""

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

import vecparity

PACKAGE = Path(vecparity.__file__).parent
# A package may import those before it. The top's modules stand among them.
ORDER = (
    *("_version", "errors", "files", "machine", "undisturbed"),
    *("task", "strategy", "sandbox", "kernels", "training", "audits", "evaluation", "progress"),
    *("history", "analysis", "report", "inspection"),
    *("cluster", "evaluator", "tuning", "api", "__init__", "agent", "cli", "eval", "__main__"),
)
TOP = {"__init__", "__main__", "_version", "api", "errors", "eval", "evaluator", "files", "machine", "undisturbed"}
AUTHORS = ("strategies", "strategy.starter")
MOST_LINES = 300

Imports = Mapping[str, set[str]]


def modules(package: Path) -> dict[str, Path]:
    """The files of a package by their dotted names within it; a directory's own is the directory's."""
    named = {path: ".".join(path.relative_to(package).with_suffix("").parts) for path in package.rglob("*.py")}
    return {
        (name if name == "__init__" else name.removesuffix(".__init__")): path
        for path, name in sorted(named.items())
        if not name.startswith(AUTHORS)
    }


def imports(package: Path) -> dict[str, set[str]]:
    """Returns the modules of the package that each of its modules imports."""
    files = modules(package)
    return {
        name: {_module(other, files) for other in _names(path, package.name)} - {name} for name, path in files.items()
    }


def _names(path: Path, package: str) -> Iterator[str]:
    """Yields the names, within the package, that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: expected absolute imports, got a relative one"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name == package or name.startswith(f"{package}."):
                yield name.removeprefix(package).removeprefix(".")


def _module(name: str, files: Mapping[str, Path]) -> str:
    """The module that a name is, or is taken from."""
    while name not in files and name:
        name = name.rpartition(".")[0]
    return name or "__init__"


def circles(imported: Imports) -> list[list[str]]:
    """Modules that import each other, directly or by others: every set of them that hangs together."""
    reached = {name: _reached(name, imported) for name in imported}
    found = {
        tuple(sorted(other for other in reached[name] if name in reached[other]))
        for name in imported
        if name in reached[name]
    }
    return [list(circle) for circle in sorted(found)]


def _reached(name: str, imported: Imports) -> set[str]:
    reached, waiting = set[str](), [name]
    while waiting:
        for other in imported[waiting.pop()]:
            if other not in reached:
                reached.add(other)
                waiting.append(other)
    return reached


def upward(imported: Imports) -> list[str]:
    """Imports of what comes later in the order."""
    return [
        f"{name} imports {other}"
        for name, others in imported.items()
        for other in sorted(others)
        if _place(other) > _place(name)
    ]


def _place(name: str) -> int:
    return ORDER.index(name.partition(".")[0])


def unlisted(imported: Imports) -> list[str]:
    """Modules at the top, and packages, that the lists above do not have."""
    packages = {name.partition(".")[0] for name in imported}
    return sorted(packages - set(ORDER))


def importing_authors(package: Path) -> list[str]:
    """Modules that import a file of an author's."""
    return [
        name
        for name, path in modules(package).items()
        if any(other.startswith(AUTHORS) for other in _names(path, package.name))
    ]


def hiding(package: Path, public: Collection[str]) -> list[str]:
    """Modules at the top, and packages, of the name of something public, which is hidden once they are loaded."""
    return sorted({path.stem for path in package.iterdir()} & set(public))


def too_long(package: Path) -> list[str]:
    return [name for name, path in modules(package).items() if path.read_text().count("\n") > MOST_LINES]


def shared_names(package: Path) -> dict[str, list[str]]:
    """Public classes of one name in several modules."""
    found: dict[str, list[str]] = {}
    for name, path in modules(package).items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(name)
    return {name: where for name, where in found.items() if len(where) > 1}


def test_no_modules_import_each_other() -> None:
    assert circles(imports(PACKAGE)) == []


def test_packages_import_those_before_them_only() -> None:
    assert upward(imports(PACKAGE)) == []


def test_the_top_has_what_is_listed_and_no_more() -> None:
    assert unlisted(imports(PACKAGE)) == []
    assert {path.stem for path in PACKAGE.glob("*.py")} == TOP
    assert len(TOP) <= 10


def test_nothing_hides_what_is_public() -> None:
    assert hiding(PACKAGE, vecparity.__all__) == []


def test_no_file_is_long() -> None:
    assert too_long(PACKAGE) == []


def test_no_two_classes_share_a_name() -> None:
    assert shared_names(PACKAGE) == {}


def test_authors_files_are_not_imported() -> None:
    assert importing_authors(PACKAGE) == []


def made_up(directory: Path, **files: str) -> Path:
    """A package of a few files, whose names have two underscores where there is a directory."""
    package = directory / "made_up"
    for name, content in {"__init__": "", **files}.items():
        parts = [name] if name.startswith("__") else name.split("__")
        path = package.joinpath(*parts).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        if len(parts) > 1:
            (path.parent / "__init__.py").touch()
    return package


@pytest.mark.parametrize(
    "back",
    [
        "from made_up.task.seeds import check\n",
        "from made_up.task import seeds\n",
        "import made_up.task.seeds\n",
        "def later():\n    from made_up.task.seeds import check\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from made_up.task import seeds as of_types\n",
    ],
)
def test_a_circle_is_seen_wherever_the_import_stands(tmp_path: Path, back: str) -> None:
    package = made_up(
        tmp_path,
        task__seeds="from made_up.task.rows import keys\n",
        task__rows="from made_up.task.config import TaskConfig\n",
        task__config=back,
        errors="",
    )
    assert circles(imports(package)) == [["task.config", "task.rows", "task.seeds"]]
    assert upward(imports(package)) == []


def test_an_import_against_the_order_is_seen(tmp_path: Path) -> None:
    package = made_up(
        tmp_path,
        task__config="def late():\n    from made_up.report.page import html\n",
        report__page="from made_up import errors\n",
        errors="from made_up import __version__\n",
    )
    assert upward(imports(package)) == ["errors imports __init__", "task.config imports report.page"]
    assert circles(imports(package)) == []


def test_what_is_not_listed_is_seen(tmp_path: Path) -> None:
    package = made_up(tmp_path, saying="", errors="", league__table="", task__config="")
    assert unlisted(imports(package)) == ["league", "saying"]


def test_what_hides_a_function_is_seen(tmp_path: Path) -> None:
    package = made_up(tmp_path, compare__sides="", check="", errors="")
    assert hiding(package, ["check", "compare", "evaluate"]) == ["check", "compare"]


def test_an_import_of_an_authors_file_is_seen(tmp_path: Path) -> None:
    package = made_up(tmp_path, strategies__cube="", cli__new="from made_up.strategies import cube\n")
    assert importing_authors(package) == ["cli.new"]


def test_a_long_file_and_a_shared_name_are_seen(tmp_path: Path) -> None:
    entry = "class Entry:\n    pass\n\n\nclass _Own:\n    pass\n"
    package = made_up(tmp_path, task__config=entry, report__page=entry + "\n" * MOST_LINES)
    assert too_long(package) == ["report.page"]
    assert shared_names(package) == {"Entry": ["report.page", "task.config"]}


# A docstring names the thing, or begins with a verb.
QUESTION = re.compile(r"(What|Whether|How|Where)\b")


def questions(files: Iterable[Path]) -> list[str]:
    """Docstrings that begin like a question."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        f"{path}: {text.splitlines()[0]}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, documented) and QUESTION.match(text := ast.get_docstring(node) or "")
    ]


def test_docstrings_begin_with_a_verb_or_name_the_thing() -> None:
    root = PACKAGE.parent
    files = [path for directory in (PACKAGE, root / "benchmarks", root / "tests") for path in directory.rglob("*.py")]
    assert questions(files) == []


@pytest.mark.parametrize(
    "written", ['"""What it is."""', 'def f():\n    """Whether it is."""', 'class A:\n    """How."""']
)
def test_a_docstring_that_begins_like_a_question_is_seen(written: str, tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(written)
    assert len(questions([path])) == 1
    path.write_text(written.replace("What", "A").replace("Whether", "If").replace("How", "Makes"))
    assert questions([path]) == []
