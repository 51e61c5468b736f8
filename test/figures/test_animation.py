"""The moving picture on top of the README."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from figure_walk import PLANNED, exact_walk, has
from PIL import Image

from ros2_raxels.figures.animation import RATE_HZ, draw_animation, write_animation


@pytest.mark.slow
@pytest.mark.xdist_group("figures")
def test_pictures_show_the_camera_its_path_and_what_is_ahead(tmp_path: Path):
    walk = exact_walk()
    walk = replace(walk, covariance=np.tile(np.eye(3) * 0.04**2, (len(walk.estimate), 1, 1)))
    first, *_, last = pictures = list(draw_animation(walk, 6))
    assert {picture.shape for picture in pictures} == {(452, 800, 3)}
    frame = cv2.resize(walk.images[0], (280, 210), interpolation=cv2.INTER_AREA)
    assert np.abs(first[60:200, 30:280].astype(int) - frame[30:170, 16:266]).mean() < 6
    # There is no view ahead before the camera has moved, and a region around it all the time.
    assert not has(first[272:390, 310:462], PLANNED)
    assert has(last[272:390, 310:462], PLANNED)
    write_animation(iter(pictures), tmp_path / "walk.webp")
    with Image.open(tmp_path / "walk.webp") as film:
        assert (film.size, film.n_frames, film.info["loop"]) == ((800, 452), 6, 0)
        film.load()
        assert film.info["duration"] == round(1e3 / RATE_HZ)
