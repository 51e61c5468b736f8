"""A report as a browser would read it."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from html.parser import HTMLParser

import cv2
import numpy as np

from ros2_raxels.evaluation.report.page import Picture


@dataclass
class Read(HTMLParser):
    """What a browser would show.

    Attributes:
        tables: rows of (text, class) by title of the section; several tables of a section follow each other.
        text: all that is not in tables.
        tags: that occur.
        links: values of all attributes that fetch or lead somewhere.
        pictures: decoded, with their captions.
    """

    html: str
    tables: dict[str, list[list[tuple[str, str]]]] = field(default_factory=dict)
    text: str = ""
    tags: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    pictures: list[tuple[np.ndarray, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._inside: list[str] = []
        self._title = ""
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = {name: value or "" for name, value in attrs}
        self.links += [value for name, value in given.items() if name in ("src", "href", "action", "srcset", "data")]
        if tag == "img":
            png = base64.b64decode(given["src"].removeprefix("data:image/png;base64,"), validate=True)
            image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
            self.pictures.append((cv2.cvtColor(image, cv2.COLOR_BGR2RGB), given["alt"]))
        elif tag != "meta":
            self._inside.append(tag)
        if tag == "h2":
            self._title = ""
        elif tag == "tr":
            self.tables.setdefault(self._title, []).append([])
        elif tag in ("td", "th"):
            self.tables[self._title][-1].append(("", given.get("class", "")))

    def handle_endtag(self, tag: str) -> None:
        assert self._inside.pop() == tag

    def handle_data(self, data: str) -> None:
        if "h2" in self._inside:
            self._title += data
        elif {"td", "th"} & set(self._inside):
            text, classes = self.tables[self._title][-1][-1]
            # The sign is for those who do not see colours.
            self.tables[self._title][-1][-1] = (text + data.strip("▲▼"), classes)
        elif "style" not in self._inside:
            self.text += data

    def rows(self, title: str) -> dict[str, list[tuple[str, str]]]:
        """Of a table, by their first cell."""
        return {row[0][0]: row[1:] for row in self.tables[title]}


def flat_png() -> bytes:
    """Five by four pixels of one colour, RGB (200, 100, 50)."""
    return Picture.of(np.full((4, 5, 3), (200, 100, 50), np.uint8), "").png
