"""The figure of predicted views."""

from __future__ import annotations

from pathlib import Path

import pytest
from figure_walk import exact_walk, written

from ros2_raxels.figures.ahead import draw_view_figure


@pytest.mark.slow
@pytest.mark.xdist_group("figures")
def test_the_figure_of_views_shows_more_doubt_further_ahead(tmp_path: Path):
    picture = written(draw_view_figure(exact_walk()), tmp_path)
    assert picture.shape == (681, 1136, 3)
    doubt = [picture[42 + 209 * row : 243 + 209 * row, 296:564].mean() for row in range(3)]
    assert doubt[0] < doubt[2]
