"""A figure laid out in pixels, and written as a small PNG."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from PIL import Image

from ros2_raxels.utils.files import replacing
from ros2_raxels.visualization.drawing import MUTED, NIGHT, add_panel

_DPI = 100
_LEVEL = 8
"""Step between two levels of a colour: finer ones are invisible, and take up most of a PNG of photographs."""

_HEADING_PT, _WORDS_PT = 13.0, 10.5


class Page:
    """A figure whose axes are placed in px from the top left corner.

    Args:
        width, height: px.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor=NIGHT)
        FigureCanvasAgg(self.figure)

    def axes(self, left: float, top: float, width: float, height: float) -> Any:
        """Axes without ticks or frame."""
        bottom = self.height - top - height
        parts = (left / self.width, bottom / self.height, width / self.width, height / self.height)
        return add_panel(self.figure, *parts)

    def heading(self, left: float, middle: float, name: str, words: str = "") -> None:
        """A name in bold with words behind it, at a position in px."""
        at = (left / self.width, 1.0 - middle / self.height)
        bold = self.figure.text(*at, name, fontsize=_HEADING_PT, fontweight="bold", va="center")
        beside: Any = {"xycoords": bold, "xytext": (10, -1), "textcoords": "offset points"}
        self.figure.add_artist(
            Annotation(words, (1.0, 0.5), fontsize=_WORDS_PT, color=MUTED, va="center", annotation_clip=False, **beside)
        )

    def write(self, path: Path) -> None:
        """Write as PNG with few levels of each colour: half the size.

        Raises:
            FileError: the file cannot be written.
        """
        raw = io.BytesIO()
        self.figure.savefig(raw, format="png", facecolor=NIGHT)
        pixels = np.asarray(Image.open(raw).convert("RGB"), np.uint16)
        levels = ((pixels + _LEVEL // 2) // _LEVEL * _LEVEL).clip(0, 255).astype(np.uint8)
        with replacing(path) as temporary:
            Image.fromarray(levels).save(temporary, format="png", optimize=True)
