"""``vecparity guide``: a page of the guide that ships with the package."""

import sys
from pathlib import Path
from typing import Literal, get_args

_DIRECTORY = Path(__file__).parents[2] / "guide"

Page = Literal[
    "tutorial",
    "strategies",
    "agents",
    "command",
    "history",
    "search",
    "sweeps",
    "workers",
    "slurm",
    "python",
    "trust",
    "threats",
    "fidelity",
    "engines",
]


def guide(page: Page | None = None, /) -> int:
    """Show a page of the guide, or list its pages.

    Args:
        page: The page. If standard output is not a terminal, it is printed as plain Markdown.
    """
    from rich.table import Table

    from vecparity.cli.output import show
    from vecparity.cli.pages import MarkdownPage

    if page is not None:
        text = read(page)
        if sys.stdout.isatty():
            show(MarkdownPage(text))
        else:
            sys.stdout.write(text)
        return 0
    pages = Table(show_header=False, box=None)
    pages.add_column(no_wrap=True)
    pages.add_column()
    for name in get_args(Page):
        pages.add_row(f"vecparity guide {name}", title(name))
    show(pages)
    return 0


def read(page: Page) -> str:
    """Returns a page's text, in Markdown."""
    return (_DIRECTORY / f"{page}.md").read_text(encoding="utf-8")


def title(page: Page) -> str:
    """Returns a page's heading."""
    return read(page).partition("\n")[0].removeprefix("# ")
