"""A browser for the tests of pages."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Dialog, Page, ViewportSize, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")

# The texts of pictures that stand out of their picture, by a pixel or more.
OUTSIDE = """
() => [...document.querySelectorAll("figure svg")].flatMap(picture => {
  const box = picture.getBoundingClientRect();
  return [...picture.querySelectorAll("text")].filter(text => {
    const own = text.getBoundingClientRect();
    return own.left < box.left - 1 || own.right > box.right + 1 || own.top < box.top - 1 || own.bottom > box.bottom + 1;
  }).map(text => text.textContent);
})
"""
# Elements that are wider than the page, unless a box around them scrolls.
WIDE = """
() => [...document.body.querySelectorAll("*")].filter(one =>
  !one.closest(".scroll, .source pre, title") && one.getBoundingClientRect().right > innerWidth + 0.5
).map(one => one.tagName + one.className)
"""


@contextmanager
def started() -> Iterator[Browser]:
    """The system's Chromium; skips the test where there is none."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip(f"needs a browser, one of {', '.join(_NAMES)}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page, with all that it asks for and complains of."""

    def __init__(self, browser: Browser, width: int = 1200) -> None:
        self.page: Page = browser.new_page(viewport=ViewportSize(width=width, height=800))
        self.page.set_default_timeout(0)  # of 30 s: each test has a time limit of its own
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", self._refuse)

    def _refuse(self, dialog: Dialog) -> None:
        self.complaints.append(dialog.message)
        dialog.dismiss()


def rows(page: Page, selector: str) -> list[list[str]]:
    """The texts of a table's cells, shown or not."""
    script = "table => [...table.tBodies[0].rows].map(row => [...row.cells].map(cell => cell.textContent.trim()))"
    texts: list[list[str]] = page.locator(selector).evaluate(script)
    return texts


def colour(page: Page, selector: str, what: str) -> tuple[int, ...]:
    text = page.locator(selector).first.evaluate(f"element => getComputedStyle(element).{what}")
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def luminance(rgb: tuple[int, ...]) -> float:
    """Relative luminance. Source: WCAG 2.2."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (c / 255 for c in rgb)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)
