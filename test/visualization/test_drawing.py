"""drawing: the projection and its scale, paths over their shadow, cameras, and raxels as colours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from views_scene import shifted

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.fisheye import FisheyeCamera
from ros2_raxels.geometry.poses import OPTICAL_TO_BODY, FloatArray
from ros2_raxels.visualization import drawing
from ros2_raxels.visualization.drawing import flat

CAMERA = PinholeCamera(64, 48, 60.0, 60.0, 31.5, 23.5)
WALK = np.array([[0.0, 0.0, 1.0], [2.0, 0.0, 1.0], [2.0, 1.0, 1.5]])
COLOURS = np.array([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0]])


@pytest.fixture
def axes() -> Any:
    return Figure().add_axes((0, 0, 1, 1))


def lines(axes: Any) -> list[FloatArray]:
    """(2, 2) ends or (N, 2) points of all lines, in the order in which they were drawn."""
    return [np.asarray(line.get_xydata()) for line in axes.lines]


# ------------------------------------------------------------------------------------------------------- projection


def test_the_projection_is_parallel_and_keeps_lengths_across_the_line_of_sight() -> None:
    matrix = flat(np.eye(3)).T
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(2), atol=1e-12)
    points = np.random.default_rng(0).normal(size=(5, 4, 3))
    np.testing.assert_allclose(flat(points), points @ matrix.T, atol=1e-12)


def test_up_is_up_ahead_is_away_and_left_is_left() -> None:
    ahead, left, up = flat(np.eye(3))
    assert up == pytest.approx([0.0, np.cos(np.radians(38))])
    assert ahead[1] > 0.3
    assert left[0] < -0.8


def test_all_points_are_visible_at_one_scale(axes: Any) -> None:
    points = np.array([[0.0, 0.0], [10.0, 1.0], [4.0, -3.0]])
    for shape in (0.5, 1.0, 3.0):
        drawing.fit(axes, points, shape)
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        assert (right - left) / (high - low) == pytest.approx(shape)
        assert left < 0.0 < 10.0 < right
        assert low < -3.0 < 1.0 < high
        assert ((left + right) / 2, (low + high) / 2) == pytest.approx((5.0, -1.0))


def test_points_move_to_the_right_to_leave_room_for_a_legend(axes: Any) -> None:
    drawing.fit(axes, np.array([[0.0, 0.0], [1.0, 10.0]]), 2.0, aside=0.1)
    left, right = axes.get_xlim()
    assert (0.5 - left) / (right - left) == pytest.approx(0.6)


# ------------------------------------------------------------------------------------------------------------- paths


def test_a_path_lies_over_its_shadow_and_the_truth_counts_for_the_extent(axes: Any) -> None:
    truth = WALK + np.array([0.0, 3.0, 0.0])
    drawn = drawing.draw_path(axes, WALK, COLOURS, truth)
    # From y = 0 to y = 4, and 0.22 of that below the lowest point.
    assert drawn.extent == 4.0
    np.testing.assert_allclose(drawn.shadow, [[0, 0, 0.12], [2, 0, 0.12], [2, 1, 0.12]], atol=1e-12)
    *_, shadow, dotted = lines(axes)
    np.testing.assert_allclose(shadow, flat(drawn.shadow))
    np.testing.assert_allclose(dotted, flat(truth))
    for points in (flat(WALK), flat(truth), flat(drawn.shadow)):
        assert (points >= drawn.reach.min(axis=0)).all()
        assert (points <= drawn.reach.max(axis=0)).all()


def test_a_path_that_does_not_move_has_an_extent_of_one(axes: Any) -> None:
    assert drawing.draw_path(axes, np.zeros((3, 3)), COLOURS, None).extent == 1.0


def test_each_piece_of_a_line_has_the_colour_of_its_start(axes: Any) -> None:
    drawing.draw_coloured_line(axes, WALK[:, :2], COLOURS, lw=4)
    (line,) = axes.collections
    assert isinstance(line, LineCollection)
    np.testing.assert_allclose(line.get_segments(), [WALK[:2, :2], WALK[1:, :2]])
    np.testing.assert_allclose(line.get_colors(), COLOURS[:2])
    assert line.get_linewidth() == [4]


@pytest.mark.parametrize(("extent", "step"), [(1.0, 0.25), (2.5, 0.25), (2.6, 0.5), (9.9, 0.5), (10.0, 2.5)])
def test_the_floor_is_a_grid_of_four_to_twenty_steps(axes: Any, extent: float, step: float) -> None:
    assert 4 <= extent / step <= 20
    points = np.array([[0.0, 0.0, 0.0], [extent, 0.0, 0.0]])
    drawing.draw_floor(axes, points, -1.0, extent)
    drawn = lines(axes)
    low, high = np.floor(-0.7 * extent / step) * step, np.ceil(1.7 * extent / step) * step
    right = np.ceil(0.7 * extent / step) * step
    along_y = np.arange(low, high + step / 2, step)
    expected = [flat(np.array([[x, low, -1.0], [x, right, -1.0]])) for x in along_y]
    for found, ends in zip(drawn, expected, strict=False):
        np.testing.assert_allclose(found, ends, atol=1e-9)
    assert len(drawn) == len(along_y) + round((right - low) / step) + 1


def test_a_camera_is_the_pyramid_of_its_field_of_view(axes: Any) -> None:
    pose = shifted(1.0, 2.0, 3.0) @ OPTICAL_TO_BODY
    drawing.draw_camera(axes, CAMERA, pose, 0.6, (1.0, 0.5, 0.0, 1.0))
    sides, base = axes.collections
    assert isinstance(sides, PolyCollection)
    assert [len(collection.get_paths()) for collection in (sides, base)] == [4, 1]
    # The base is 1.4 times 0.6 wide, and as far ahead as its half width times focal length over half the image's.
    ahead, left, up = 0.42 * 60.0 / 32.0, 0.42, 0.42 * 24.0 / 32.0
    corners = np.array([[ahead, left, up], [ahead, -left, up], [ahead, -left, -up], [ahead, left, -up]])
    corners += pose[:3, 3]
    np.testing.assert_allclose(base.get_paths()[0].vertices[:4], flat(corners), atol=1e-9)
    for k, side in enumerate(sides.get_paths()):
        expected = flat(np.array([[1.0, 2.0, 3.0], corners[k], corners[(k + 1) % 4]]))
        np.testing.assert_allclose(side.vertices[:3], expected, atol=1e-9)


# ------------------------------------------------------------------------------------------------------------- panels


def test_panels_have_neither_ticks_nor_frame() -> None:
    panel = drawing.add_panel(Figure(), 0.1, 0.2, 0.5, 0.25)
    assert panel.get_position().bounds == pytest.approx((0.1, 0.2, 0.5, 0.25))
    assert panel.get_facecolor() == to_rgba(drawing.PANEL)
    assert (list(panel.get_xticks()), list(panel.get_yticks())) == ([], [])
    assert not any(spine.get_visible() for spine in panel.spines.values())


def test_an_image_is_underlined_with_its_colour(axes: Any) -> None:
    image = np.random.default_rng(0).random((4, 6, 3))
    drawing.show_image(axes, image, "#ff8800")
    (shown,) = axes.images
    np.testing.assert_array_equal(shown.get_array(), image)
    assert [name for name, spine in axes.spines.items() if spine.get_visible()] == ["bottom"]
    assert axes.spines["bottom"].get_edgecolor() == to_rgba("#ff8800")


# ------------------------------------------------------------------------------------------------------------- raxels


def test_equal_raxels_have_equal_colours_and_moving_ahead_adds_red() -> None:
    moved = shifted(0.0, 0.0, 0.5)
    first, again, ahead = drawing.draw_raxels(CAMERA, [shifted(3.0), shifted(3.0), shifted(3.0) @ moved], (6, 8))
    assert first.shape == (6, 8, 3)
    np.testing.assert_array_equal(first, again)
    assert min(first.min(), ahead.min()) >= 0.07
    assert max(first.max(), ahead.max()) <= 0.93
    # All raxels move by the same: half a unit along x, and by nothing else. Extremes are clipped.
    inner = np.s_[1:-1, 1:-1]
    shift = (ahead - first)[inner]
    assert shift[..., 0].min() > 0.1
    np.testing.assert_allclose(shift[..., 1:], 0.0, atol=1e-9)


def test_left_is_green_and_up_is_blue() -> None:
    (image,) = drawing.draw_raxels(CAMERA, [np.eye(4)], (6, 8))
    assert (np.diff(image[..., 1], axis=1) < 0).all()
    assert (np.diff(image[..., 2], axis=0) < 0).all()


def test_without_a_grid_an_image_has_the_cameras_shape_and_at_most_240_rows() -> None:
    assert drawing.draw_raxels(CAMERA, [np.eye(4)])[0].shape == (48, 64, 3)
    assert drawing.draw_raxels(CAMERA.resized(640, 480), [np.eye(4)])[0].shape == (240, 320, 3)


def test_a_fisheye_is_drawn_by_its_middle_and_white_where_it_sees_nothing(axes: Any) -> None:
    lens = FisheyeCamera(64, 48, 20.0, 20.0, 31.5, 23.5, (-0.2, 0.0, 0.0, 0.0))
    drawing.draw_camera(axes, lens, np.eye(4), 0.6, (1.0, 0.5, 0.0, 1.0))
    assert len(axes.collections) == 2
    (image,) = drawing.draw_raxels(lens, [np.eye(4)])
    unseen = np.isnan(lens.bearings()[..., 0])
    assert (image[unseen] == 1.0).all()
    assert np.isfinite(image).all()
    assert image[~unseen].max() < 0.95


def test_isolines_are_those_of_green_and_blue(axes: Any) -> None:
    ramp = np.linspace(0, 1, 14)
    # Green grows to the right, blue downwards; red would give other lines.
    green, blue = np.meshgrid(ramp, ramp)
    drawing.draw_isolines(axes, np.dstack([green * blue, green, blue]))
    upright, level = axes.collections
    for contours, axis in ((upright, 0), (level, 1)):
        found = [path.vertices[:, axis] for path in contours.get_paths() if len(path.vertices)]
        assert len(found) >= 11
        assert all(np.ptp(values) < 1e-9 for values in found)


# ---------------------------------------------------------------------------------------------------- regions, depths


def test_the_region_of_a_position_is_its_projected_ellipse(axes: Any) -> None:
    drawing.draw_region(axes, np.array([1.0, 2.0, 3.0]), 0.04 * np.eye(3))
    (region,) = axes.patches
    assert region.center == pytest.approx(tuple(flat(np.array([1.0, 2.0, 3.0]))))
    assert (region.width, region.height) == pytest.approx((2 * 0.2 * 5.991**0.5,) * 2)
    # What is uncertain in height alone is an upright stroke.
    drawing.draw_region(axes, np.zeros(3), np.diag([0.0, 0.0, 1.0]))
    upright = axes.patches[1]
    assert upright.width == pytest.approx(2 * np.cos(np.radians(38)) * 5.991**0.5)
    assert upright.height == pytest.approx(0.0, abs=1e-6)
    assert abs(upright.angle) == pytest.approx(90.0)


def test_near_depths_are_bright_and_endless_ones_dark() -> None:
    picture = drawing.depth_picture(np.array([[1.0, 2.0, np.inf]]))
    brightness = picture.astype(int).sum(axis=2)[0]
    assert picture.shape == (1, 3, 3)
    assert brightness[0] > brightness[1] > brightness[2]
    assert brightness[2] < 12
    assert not drawing.depth_picture(np.full((2, 2), np.inf)).astype(int).sum(axis=2).max() > 12
