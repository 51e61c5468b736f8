"""A page is laid out in pixels from its top left corner, and is written with few levels of each colour."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from figure_walk import written
from matplotlib.colors import to_rgb

from ros2_raxels.figures.page import Page
from ros2_raxels.utils.files import FileError
from ros2_raxels.visualization.drawing import FONT, NIGHT


def test_axes_are_where_they_were_put(tmp_path: Path) -> None:
    page = Page(200, 100)
    axes = page.axes(20, 10, 60, 40)
    axes.set_facecolor("white")
    picture = written(page, tmp_path)
    assert picture.shape == (100, 200, 3)
    white = (picture >= 248).all(axis=2)
    rows, columns = np.nonzero(white)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 49, 20, 79)
    assert white[10:50, 20:80].all()


def test_a_heading_stands_in_its_line_with_its_words_behind_the_name(tmp_path: Path) -> None:
    with matplotlib.rc_context(FONT):
        page = Page(400, 100)
        page.heading(20, 30, "Name", "words")
        picture = written(page, tmp_path).astype(int)
    drawn = np.abs(picture - np.array(to_rgb(NIGHT)) * 255).max(axis=2) > 30
    rows, columns = np.nonzero(drawn)
    assert abs((rows.min() + rows.max()) / 2 - 30) < 6
    assert 18 <= columns.min() < 24
    # The name is bright, what follows it is not.
    name, words = picture[:, :60][drawn[:, :60]], picture[:, 85:][drawn[:, 85:]]
    assert len(words) > 50
    assert name.max() > words.max() + 30


def test_colours_are_multiples_of_8(tmp_path: Path) -> None:
    page = Page(100, 100)
    page.axes(0, 0, 100, 100).imshow(np.linspace(0, 1, 100)[None].repeat(100, axis=0), cmap="gray", aspect="auto")
    picture = written(page, tmp_path)
    assert len(np.unique(picture)) > 20
    assert set((picture[picture < 255] % 8).tolist()) == {0}


def test_a_folder_that_is_not_there_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"gone does not exist; create it"):
        Page(10, 10).write(tmp_path / "gone" / "a.png")
