"""Texts that a picture shows while the pointer is on a mark: SVG's ``title`` elements."""

import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from vecparity.errors import visible

if TYPE_CHECKING:
    from matplotlib.artist import Artist

# Matplotlib writes an artist's group id as the id of its element: the texts travel in it.
_PREFIX = "titles:"


def describe_marks(artist: "Artist", *texts: str) -> None:
    """Gives a drawn artist its texts: one for the whole, or one for each of its markers or lines.

    A mark whose text is empty shows none.
    """
    if texts:
        artist.set_gid(_PREFIX + json.dumps([visible(text) for text in texts]))


def add_titles(root: ElementTree.Element) -> None:
    """Turns the texts of `describe_marks` into titles; the marks react to the pointer even if they are transparent."""
    for element in list(root.iter()):
        if not element.get("id", "").startswith(_PREFIX):
            continue
        texts = json.loads(element.attrib.pop("id").removeprefix(_PREFIX))
        marks = list(element.iter("use")) or (element.findall("path") if len(texts) > 1 else [element])
        element.set("pointer-events", "all")
        if len(marks) != len(texts):  # Matplotlib draws no marker that is off the canvas: which are left is not said
            continue
        for mark, text in zip(marks, texts, strict=True):
            if text:
                title = ElementTree.Element("title")
                title.text = text
                mark.insert(0, title)
