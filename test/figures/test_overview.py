"""The figure on top of the README."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from figure_walk import PLANNED, exact_walk, has, written

from ros2_raxels.figures.overview import draw_overview


@pytest.mark.slow
@pytest.mark.xdist_group("figures")
def test_the_overview_shows_frames_raxels_path_and_views(tmp_path: Path):
    picture = written(draw_overview(exact_walk()), tmp_path)
    assert picture.shape == (686, 1136, 3)
    frame = cv2.resize(exact_walk().images[0], (176, 132), interpolation=cv2.INTER_AREA)
    assert np.abs(picture[90:160, 30:180].astype(int) - frame[48:118, 10:160]).mean() < 6
    trajectory, views, seen = picture[394:660, 20:560], picture[394:520, 572:1116], picture[534:660, 572:1116]
    assert has(trajectory, PLANNED)
    assert has(trajectory, (0x3E, 0xC6, 0xFF)), "the colour of the beginning"
    nearest = np.abs(views[30:110, 10:160].astype(int) - seen[30:110, 10:160]).mean()
    assert 1.0 < nearest < 30.0, "a view a moment ahead looks like what is seen there"
