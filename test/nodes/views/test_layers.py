"""nodes.views.layers: depth, error and mask as images, and points at the places that views show."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.action")

from sensor_msgs.msg import PointField
from std_msgs.msg import Header

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import make_pose, rotation_from_vector
from ros2_raxels.nodes.views.layers import depth_image, error_image, point_cloud, surface_cloud, unseen_image
from ros2_raxels.view_synthesis.confidence import Signs
from ros2_raxels.view_synthesis.prediction import PredictedViews
from ros2_raxels.view_synthesis.seen_space import FrameDepths, SeenSpace

HEADER = Header(frame_id="eye")
CAMERA = PinholeCamera(4, 3, 5.0, 5.0, 1.5, 1.0)
POINT = np.dtype({"names": ["x", "y", "z", "rgb", "seen"], "formats": ["f4", "f4", "f4", "u4", "u1"],
                  "offsets": [0, 4, 8, 12, 16], "itemsize": 20})  # fmt: skip


def views_of(depth: np.ndarray, made_up: np.ndarray, camera: PinholeCamera = CAMERA) -> PredictedViews:
    count = len(depth)
    poses = np.tile(make_pose(rotation_from_vector([0.0, np.pi / 2, 0.0]), (1.0, 2.0, 3.0)), (count, 1, 1))
    images = np.tile(np.array([10, 20, 30], np.uint8), (*depth.shape, 1))
    signs = Signs(*np.zeros((4, count)))
    return PredictedViews(images, camera, poses, made_up, made_up, np.ones(count), signs, 1, 0, depth)


def test_images_have_the_size_that_was_asked_for_and_no_depth_lies_between_two() -> None:
    depth = np.array([[1.0, 9.0], [np.inf, 4.0]], np.float32)
    image = depth_image(depth, (4, 2), HEADER)
    assert (image.encoding, image.width, image.height, image.step, image.header.frame_id) == ("32FC1", 4, 2, 16, "eye")
    found = np.frombuffer(bytes(image.data), np.float32).reshape(2, 4)
    np.testing.assert_array_equal(found, depth.repeat(2, axis=1))
    error = error_image(np.array([[0.0, 0.5]]), (4, 1), HEADER)
    np.testing.assert_allclose(np.frombuffer(bytes(error.data), np.float32), [0.0, 0.125, 0.375, 0.5])
    mask = unseen_image(np.array([[0.1, 0.9]]), (4, 1), HEADER)
    assert (mask.encoding, list(mask.data)) == ("mono8", [0, 0, 255, 255])


def test_points_lie_where_the_pixels_look_at_their_depth_and_tell_seen_from_made_up() -> None:
    depth = np.full((1, 3, 4), 2.0, np.float32)
    depth[0, 0, 0] = np.inf
    made_up = np.zeros((1, 3, 4))
    made_up[0, 2, 3] = 0.9
    cloud = point_cloud([views_of(depth, made_up)], make_pose(np.eye(3), (0.0, 0.0, 10.0)), HEADER)
    assert [(f.name, f.offset, f.datatype) for f in cloud.fields] == [
        ("x", 0, PointField.FLOAT32),
        ("y", 4, PointField.FLOAT32),
        ("z", 8, PointField.FLOAT32),
        ("rgb", 12, PointField.UINT32),
        ("seen", 16, PointField.UINT8),
    ]
    assert (cloud.width, cloud.height, cloud.row_step, cloud.header.frame_id) == (11, 1, 220, "eye")
    points = np.frombuffer(bytes(cloud.data), POINT)
    # The last pixel: .6 right and .4 down of the axis at 2 m. The camera looks along x, its right is -z.
    np.testing.assert_allclose([points[-1][name] for name in "xyz"], [3.0, 2.4, 12.4], atol=1e-5)
    assert points[-1]["rgb"] == 10 << 16 | 20 << 8 | 30
    assert points["seen"].tolist() == [1] * 10 + [0]


def test_clouds_of_large_views_are_thinned_out() -> None:
    camera = PinholeCamera(400, 300, 300.0, 300.0, 199.5, 149.5)
    views = views_of(np.ones((2, 300, 400), np.float32), np.zeros((2, 300, 400)), camera)
    assert 50_000 <= point_cloud([views], np.eye(4), HEADER).width <= 100_000


def test_views_without_depth_have_no_points() -> None:
    views = views_of(np.zeros((0, 3, 4), np.float32), np.zeros((0, 3, 4)))
    assert point_cloud([views], np.eye(4), HEADER).width == 0
    assert point_cloud([], np.eye(4), HEADER).width == 0


def test_seen_surfaces_are_points_of_the_frame_with_their_errors() -> None:
    depths = FrameDepths(
        CAMERA, np.eye(4)[None], np.full((1, 3, 4), 0.5, np.float32), np.full((1, 3, 4), 0.01, np.float32)
    )
    space = SeenSpace.of(depths)
    cloud = surface_cloud(space, make_pose(np.eye(3), (0.0, 0.0, 10.0)), HEADER)
    assert [(f.name, f.offset, f.datatype) for f in cloud.fields] == [
        (name, 4 * k, PointField.FLOAT32) for k, name in enumerate(("x", "y", "z", "error"))
    ]
    assert (cloud.width, cloud.point_step, cloud.row_step) == (len(space.points), 16, 16 * len(space.points))
    values = np.frombuffer(bytes(cloud.data), np.float32).reshape(-1, 4)
    np.testing.assert_allclose(values[:, :3], space.points + np.array([0.0, 0.0, 10.0]), atol=1e-6)
    np.testing.assert_allclose(values[:, 3], space.error, rtol=1e-5)
