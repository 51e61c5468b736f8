"""How the pictures of whole runs look."""

from __future__ import annotations

from typing import Any

from matplotlib.colors import LinearSegmentedColormap

NIGHT, PANEL, LINE = "#0e1420", "#151d2c", "#27324a"
TEXT, MUTED = "#eef2f8", "#8b98b0"
DPI = 150
FONT: Any = {"font.family": "DejaVu Sans", "font.size": 11, "text.color": TEXT, "axes.labelcolor": MUTED}
TIME = LinearSegmentedColormap.from_list("time", ["#3ec6ff", "#6f8cff", "#c46bff", "#ff5f9e", "#ffb454"])
