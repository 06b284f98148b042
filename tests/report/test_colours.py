"""The colours of series: twelve that are told apart on white and on dark paper."""

import re
from importlib import resources
from itertools import combinations

import numpy as np
import pytest

from vecparity.report.svg import SERIES

CSS = resources.files("vecparity.report").joinpath("templates", "report.css").read_text()
# The least contrast of graphical objects. Source: WCAG 2.2, 1.4.11.
LEAST_CONTRAST = 3.0
# Distance in OKLab; about 0.02 is just noticeable side by side, and marks are small and apart.
LEAST_DISTANCE = 0.11
_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def linear(colour: str) -> np.ndarray:
    """Linear sRGB, of 3 or 6 hexadecimal digits."""
    digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
    rgb = np.array([int(digits[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


def oklab(colour: str) -> np.ndarray:
    """The colour in OKLab (Ottosson 2020)."""
    return np.asarray(_TO_LAB @ np.cbrt(_TO_CONES @ linear(colour)))


PALETTES = re.findall(r"--paper:#(\w+);.*?\n(--series-0.*?)\}", CSS, re.DOTALL)


def test_white_dark_and_printed_paper_have_their_colours() -> None:
    assert [paper for paper, _ in PALETTES] == ["fff", "14171b", "fff"]


@pytest.mark.parametrize(("paper", "declared"), PALETTES, ids=["light", "dark", "print"])
def test_twelve_series_are_told_apart_and_from_the_paper(paper: str, declared: str) -> None:
    colours = dict(re.findall(r"--series-(\d+):#(\w+)", declared))
    assert [int(number) for number in colours] == list(range(len(SERIES))) == list(range(12))
    assert min(contrast(colour, paper) for colour in colours.values()) >= LEAST_CONTRAST
    distances = [float(np.linalg.norm(oklab(a) - oklab(b))) for a, b in combinations(colours.values(), 2)]
    assert min(distances) >= LEAST_DISTANCE


def test_the_measures_are_those_of_known_colours() -> None:
    assert contrast("000", "ffffff") == pytest.approx(21)
    assert oklab("fff") == pytest.approx([1, 0, 0], abs=1e-6)
    assert oklab("f00") == pytest.approx([0.627955, 0.224863, 0.125846], abs=1e-5)
