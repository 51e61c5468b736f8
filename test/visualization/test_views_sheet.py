"""views_sheet: each image in its row and column, and errors in the colours that the labels promise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.view_synthesis.confidence import Signs
from ros2_raxels.view_synthesis.prediction import PredictedViews
from ros2_raxels.visualization.views_sheet import draw_sheet

HEIGHT, WIDTH = 24, 32
ROW, COLUMN, LABEL = 18 + 2 * HEIGHT + 2, 2 * WIDTH + 2, 18
Image = npt.NDArray[np.uint8]


def plain(*colour: int, scale: int = 1) -> Image:
    return np.full((scale * HEIGHT, scale * WIDTH, 3), colour, np.uint8)


def views(*images: Image, error: float = 0.0) -> PredictedViews:
    count = len(images)
    signs, expected = Signs(*np.zeros((4, count))), np.full((count, HEIGHT, WIDTH), error)
    camera, poses = PinholeCamera(WIDTH, HEIGHT, 30.0, 30.0, 15.5, 11.5), np.tile(np.eye(4), (count, 1, 1))
    return PredictedViews(np.array(images), camera, poses, expected, expected, np.full(count, 0.5), signs, 1, 0)


def cell(sheet: Image, row: int, column: int) -> Image:
    """The image at a place of the sheet."""
    top, left = row * ROW + LABEL, column * COLUMN
    return sheet[top : top + 2 * HEIGHT, left : left + 2 * WIDTH]


def test_rows_are_context_truth_prediction_difference_and_expected_error() -> None:
    context = [plain(10, 20, 30, scale=4), plain(40, 50, 60, scale=4), plain(70, 80, 90, scale=4)]
    truth, made = [plain(200, 0, 0, scale=3)], [plain(200, 0, 0), plain(0, 0, 200)]
    sheet = draw_sheet(context, truth, views(*made))
    assert sheet.shape == (5 * ROW, 3 * COLUMN, 3)
    assert sheet.dtype == np.uint8
    for column, image in enumerate(context):
        assert (cell(sheet, 0, column) == image[0, 0]).all()
    assert (cell(sheet, 1, 0) == (200, 0, 0)).all()
    assert (cell(sheet, 2, 0) == (200, 0, 0)).all()
    assert (cell(sheet, 2, 1) == (0, 0, 200)).all()
    # What is right and what is certain is black.
    for row in (3, 4):
        assert (cell(sheet, row, 0) == 0).all()
    # A view without truth has no difference, and places without an image stay white.
    for row, column in ((1, 1), (3, 1), (2, 2)):
        assert (cell(sheet, row, column) == 255).all()
    for row in range(5):
        label = sheet[row * ROW : row * ROW + LABEL]
        assert (label < 100).any(), "each row has a label"


def test_without_truth_there_are_three_rows() -> None:
    sheet = draw_sheet([plain(1, 2, 3)], [], views(plain(4, 5, 6)))
    assert sheet.shape == (3 * ROW, COLUMN, 3)
    assert (cell(sheet, 1, 0) == (4, 5, 6)).all()


def test_a_quarter_of_full_range_and_more_is_white_and_half_of_that_is_red() -> None:
    for error, colour in ((0.25, (255, 255, 255)), (0.9, (255, 255, 255)), (0.0, (0, 0, 0))):
        sheet = draw_sheet([plain(0, 0, 0)], [], views(plain(0, 0, 0), error=error))
        assert (np.abs(cell(sheet, 2, 0).astype(int) - colour) <= 2).all()
    red, green, blue = cell(draw_sheet([plain(0, 0, 0)], [], views(plain(0, 0, 0), error=0.1)), 2, 0)[0, 0]
    assert red > 200 > green >= blue


def test_the_difference_is_the_mean_over_the_channels() -> None:
    """Off by 60 in one channel is off by 20, a third of the quarter of full range."""
    sheet = draw_sheet([plain(0, 0, 0)], [plain(60, 0, 0)], views(plain(0, 0, 0), error=20 / 255))
    np.testing.assert_array_equal(cell(sheet, 3, 0), cell(sheet, 4, 0))
    assert cell(sheet, 3, 0).any()


def test_views_that_are_large_enough_keep_their_size() -> None:
    wide = np.zeros((1, 4, 161, 3), np.uint8)
    small = views(plain(0, 0, 0))
    large = replace(small, images=wide, expected_error=np.zeros((1, 4, 161)))
    assert draw_sheet([plain(1, 2, 3)], [], large).shape == (3 * (LABEL + 4 + 2), 161 + 2, 3)


def test_a_view_with_depth_has_a_row_of_it_bright_where_near() -> None:
    depth = np.full((1, HEIGHT, WIDTH), 5.0, np.float32)
    depth[0, :, : WIDTH // 2] = 1.0
    made = replace(views(plain(4, 5, 6)), depth=depth)
    sheet = draw_sheet([plain(1, 2, 3)], [], made)
    assert sheet.shape == (4 * ROW, COLUMN, 3)
    shown = cell(sheet, 2, 0).astype(int).sum(axis=2)
    assert shown[:, :20].min() > shown[:, -20:].max()
