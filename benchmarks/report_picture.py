"""Makes the README's picture of a report, from a report on two bundled strategies.

python -m benchmarks.report_picture
"""

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import ViewportSize, sync_playwright

import vecparity
from vecparity.task.config import CONFIGURATIONS

PICTURE = Path(__file__).parent.parent / "vecparity" / "guide" / "report.png"
_SIZE = ViewportSize(width=1100, height=1000)


def main() -> None:
    """Evaluates, writes the report, and takes a screenshot of its first screen."""
    jobs = [("isolated_cube", 42), ("clean_noisy_cube", 42)]
    evaluations = [
        evaluation
        for label in CONFIGURATIONS
        for evaluation in vecparity.evaluate_many(jobs, label, protocol="published")
    ]
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        report = Path(directory) / "report.html"
        vecparity.write_report(evaluations, report)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=_SIZE)
        page.goto(report.as_uri())
        page.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    main()
