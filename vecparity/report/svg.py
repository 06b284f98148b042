"""Matplotlib figures as SVG in the page's own font and colours, whether light, dark or printed."""

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup

from vecparity.errors import UsageError
from vecparity.report.hover import add_titles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Placeholder colours, replaced by the page's colours of its text, its paper (none in a notebook) and its series.
INK = "#fe0100"
PAPER = "#fe0101"
SERIES = tuple(f"#fe02{index:02x}" for index in range(12))
_OF_PAGE = {INK: "currentColor", PAPER: "var(--paper,transparent)"}
_OF_PAGE |= {colour: f"var(--series-{index})" for index, colour in enumerate(SERIES)}

_STYLE: dict[str, Any] = {
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.alpha": 0.13,
    "figure.constrained_layout.use": True,
    "svg.fonttype": "none",
    "text.parse_math": False,  # names are strangers' text
    "svg.hashsalt": "vecparity",  # the same evaluation gives the same file
    **dict.fromkeys(
        ["text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color"], INK
    ),
}
_NO_METADATA = dict.fromkeys(["Creator", "Date", "Format", "Type"])
_GEOMETRY = {"d", "x", "y", "width", "height", "transform"}
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_REFERENCE = re.compile(r"#([a-z][0-9a-f]{10})\b")
_FAMILY = re.compile(r"font-family: [^;]*;? ?")
_FONT = re.compile(r"font: (?:[a-z]+ )*([\d.]+px) [^;]*")  # as Matplotlib before 3.10 writes it


@contextmanager
def drawing() -> Iterator[None]:
    """Sets the report's Matplotlib style, and restores the caller's style on exit.

    Raises:
        UsageError: Matplotlib is not installed.
    """
    try:
        from matplotlib import style
    except ImportError as error:
        raise UsageError("figures need Matplotlib, which is not installed: pip install 'vecparity[report]'") from error
    with style.context(["default", _STYLE]):
        yield


def to_svg(figure: "Figure", prefix: str, alternative: str) -> Markup:
    """Turns a figure into an element of a page.

    Args:
        figure: Made within `drawing`, in this module's colours.
        prefix: Prefix of the ids of its parts, unique among the page's pictures.
        alternative: A description for readers who cannot see the picture.
    """
    written = io.StringIO()
    with warnings.catch_warnings():
        # The page's font has the characters that Matplotlib's own lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure.savefig(written, format="svg", transparent=True, metadata=_NO_METADATA)
    root = ElementTree.fromstring(written.getvalue())
    for element in root.iter():
        _clean(element)
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag in ("metadata", "style")]:
            parent.remove(child)
        _move_to_group(parent)
    add_titles(root)
    root.attrib = {"viewBox": root.attrib["viewBox"], "class": "plot", "role": "img", "aria-label": alternative}
    _name_apart(root, prefix)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _clean(element: ElementTree.Element) -> None:
    """Removes what an element within HTML does not need: namespaces, the font, invisible digits."""
    element.tag = element.tag.rpartition("}")[2]
    element.text, element.tail = ((text or "").strip() for text in (element.text, element.tail))
    attributes = {name.rpartition("}")[2]: " ".join(value.split()) for name, value in element.attrib.items()}
    for name in _GEOMETRY & attributes.keys():
        attributes[name] = _NUMBER.sub(_scale if name == "transform" else _point, attributes[name])
    if attributes.get("transform", "").startswith("rotate(-0 "):
        del attributes["transform"]
    if "style" in attributes:
        attributes["style"] = _FONT.sub(r"font-size: \1", _FAMILY.sub("", attributes["style"]))
    element.attrib = attributes


def _point(number: re.Match[str]) -> str:
    """Rounds a coordinate to a tenth of 1/72 inch."""
    return f"{float(number[0]):.1f}"


def _scale(number: re.Match[str]) -> str:
    return f"{float(number[0]):.4g}"


def _move_to_group(group: ElementTree.Element) -> None:
    """Moves what all marks of a group have in common to the group: the page has thousands of marks."""
    marks = [child for child in group if child.tag in ("use", "path")]
    if group.tag != "g" or len(marks) < 2 or len(marks) + len(group.findall("defs")) < len(group):
        return
    for name in ("style", "clip-path"):
        values = {mark.get(name) for mark in marks}
        if name not in group.attrib and len(values) == 1 and (value := values.pop()):
            group.set(name, value)
            for mark in marks:
                del mark.attrib[name]


def _name_apart(root: ElementTree.Element, prefix: str) -> None:
    """Keeps only the ids that are referred to, renames them to be unique on the page, and sets the page's colours."""
    values = [value for element in root.iter() for value in element.attrib.values()]
    names = {
        name: f"{prefix}-{index}"
        for index, name in enumerate(sorted({name for value in values for name in _REFERENCE.findall(value)}))
    }
    for element in root.iter():
        attributes = {name: _of_page(value, names) for name, value in element.attrib.items()}
        if "id" in attributes and attributes["id"] not in names:
            del attributes["id"]
        elif "id" in attributes:
            attributes["id"] = names[attributes["id"]]
        element.attrib = attributes


def _of_page(value: str, names: Mapping[str, str]) -> str:
    """Returns an attribute's value with the page's colours and ids."""
    for colour, of_page in _OF_PAGE.items():
        value = value.replace(colour, of_page)
    return _REFERENCE.sub(lambda found: f"#{names[found[1]]}", value)
