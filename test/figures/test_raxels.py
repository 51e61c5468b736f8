"""The figure of raxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from figure_walk import written

from ros2_raxels.figures.raxels import draw_raxel_figure


def test_a_camera_that_moved_and_turned_has_other_raxels(tmp_path: Path):
    picture = written(draw_raxel_figure(), tmp_path)
    assert picture.shape == (266, 1136, 3)
    source, moved = picture[60:230, 570:820], picture[60:230, 862:1112]
    assert np.abs(source.astype(int) - moved).mean() > 20
    # Green is left, so it fades to the right.
    assert source[:, :40, 1].mean() > source[:, -40:, 1].mean() + 40
