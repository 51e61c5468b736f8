"""placement: poses of the camera in the frames of a robot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ros2_raxels.geometry.covariance import UNKNOWN_VARIANCE
from ros2_raxels.geometry.frame_tree import FrameError, FrameTree
from ros2_raxels.geometry.poses import (
    OPTICAL_TO_BODY,
    FloatArray,
    inverse_pose,
    make_pose,
    quaternion_from_rotation,
    rotation_from_vector,
)
from ros2_raxels.nodes.pose.placement import Edge, FrameNames, Placed, Placement, TfMode, Unscaled
from ros2_raxels.tracking.metric_scale import Scale, ScaleSource
from ros2_raxels.tracking.types import SolveQuality, TrackedPose, TrackState

STAMP = 5_000_000_000
EYE = "eye"
VECTORS = arrays(float, 3, elements=st.floats(-3.0, 3.0))
# Half a metre up and ahead on the base, looking down by 20 deg.
MOUNT = make_pose(rotation_from_vector([0.0, np.radians(20.0), 0.0]), [0.3, 0.0, 0.5]) @ OPTICAL_TO_BODY
STEP = make_pose(rotation_from_vector([0.0, 0.2, 0.0]), [0.1, 0.0, 1.0])
VARIANCES = np.diag([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])


def answer(pose: FloatArray, metric: bool = False, covariance: FloatArray = VARIANCES) -> TrackedPose:
    scale = Scale(ScaleSource.ODOM, 2.0, 0.1) if metric else Scale()
    return TrackedPose(STAMP, pose, covariance, TrackState.TRACKING, SolveQuality(1.0), scale=scale)


class Robot:
    """A tree, and a placement that asks it."""

    def __init__(
        self, mount: bool = True, odometry: FloatArray | None = None, unscaled: Unscaled = Unscaled.PUBLISH
    ) -> None:
        self.tree = FrameTree()
        self.stamp_ns = STAMP
        self.base_to_odom = np.eye(4) if odometry is None else odometry
        if mount:
            self.insert("base_link", EYE, MOUNT, static=True)
        if odometry is not None:
            self.insert("odom", "base_link", odometry)
        self.placement = Placement(FrameNames(), self.tree, self.tree.other_parent, unscaled)

    def insert(self, parent: str, child: str, pose: FloatArray, static: bool = False) -> None:
        quaternion = quaternion_from_rotation(pose[:3, :3])
        assert not self.tree.insert(parent, child, self.stamp_ns, pose[:3, 3], quaternion, static)

    def drive(self, step: FloatArray) -> None:
        """On by a step of the base, in a second."""
        self.stamp_ns += 1_000_000_000
        self.base_to_odom = self.base_to_odom @ step
        self.insert("odom", "base_link", self.base_to_odom)

    def place(self, found: TrackedPose, mode: TfMode = TfMode.AUTO, invert: bool = False) -> Placed:
        return self.placement.place(replace(found, stamp_ns=self.stamp_ns), EYE, mode, invert)


def edge_of(placed: Placed) -> Edge:
    assert placed.edge is not None, placed.refusal
    return placed.edge


def test_without_a_base_the_camera_itself_moves_in_rep_103() -> None:
    right = make_pose(rotation_from_vector([0.0, 0.3, 0.0]), [0.0, 0.0, 2.0])
    placed = Robot(mount=False).place(answer(right))
    assert (placed.parent, placed.child, placed.refusal) == ("raxels_world", EYE, "")
    np.testing.assert_allclose(placed.pose[:3, 3], [2.0, 0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(placed.pose[:3, :3] @ [0, 0, 1], [np.cos(0.3), -np.sin(0.3), 0.0], atol=1e-12)
    np.testing.assert_allclose(placed.pose[:3, :3] @ [0, 1, 0], [0.0, 0.0, -1.0], atol=1e-12)
    np.testing.assert_allclose(placed.covariance, np.diag([3.0, 1.0, 2.0, 6.0, 4.0, 5.0]))
    assert edge_of(placed).parent == "raxels_world"
    np.testing.assert_array_equal(edge_of(placed).pose, placed.pose)


@given(VECTORS, VECTORS)
def test_with_a_known_scale_the_base_moves_as_a_rigid_body(turn: FloatArray, shift: FloatArray) -> None:
    """Base to base, through the mount: the base begins in the origin."""
    robot, camera = Robot(), make_pose(rotation_from_vector(turn), shift)
    first = robot.place(answer(np.eye(4), metric=True))
    np.testing.assert_allclose(first.pose, np.eye(4), atol=1e-12)
    placed = robot.place(answer(camera, metric=True))
    assert (placed.parent, placed.child) == ("raxels_world", "base_link")
    np.testing.assert_allclose(placed.pose @ MOUNT, MOUNT @ camera, atol=1e-9)


def test_without_a_scale_tf_keeps_the_optical_frame_where_it_was_estimated() -> None:
    robot = Robot()
    robot.place(answer(np.eye(4)))
    placed = robot.place(answer(STEP))
    np.testing.assert_allclose(placed.pose @ MOUNT, MOUNT @ STEP, atol=1e-12)


def test_a_base_that_appears_late_is_told_with_the_pose_that_it_changes() -> None:
    robot = Robot(mount=False)
    assert robot.place(answer(np.eye(4))).change == ""
    robot.insert("base_link", EYE, MOUNT, static=True)
    placed = robot.place(answer(STEP))
    assert placed.change.startswith(
        "poses are now those of base_link in raxels_world, no longer of eye in raxels_world"
    )
    assert robot.place(answer(STEP)).change == ""
    robot.insert("base_link", EYE, MOUNT @ make_pose(np.eye(3), [0.0, 0.0, 0.2]), static=True)
    assert "base_link in TF has changed by 0.200 m and 0.0 deg" in robot.place(answer(STEP)).change


def test_the_covariance_of_the_base_includes_the_lever_arm() -> None:
    """Against sampled errors of the camera's pose."""
    robot, rng = Robot(), np.random.default_rng(0)
    small = 1e-6 * VARIANCES
    robot.place(answer(np.eye(4), metric=True))
    placed = robot.place(answer(STEP, metric=True, covariance=small))
    errors = rng.normal(size=(20_000, 6)) * np.sqrt(np.diag(small))
    turned = rotation_from_vector(errors[:, 3:]) @ STEP[:3, :3]
    camera = np.tile(STEP, (len(errors), 1, 1))
    camera[:, :3, :3], camera[:, :3, 3] = turned, STEP[:3, 3] + errors[:, :3]
    base = MOUNT @ camera @ inverse_pose(MOUNT)
    off = base[:, :3, 3] - placed.pose[:3, 3]
    np.testing.assert_allclose(placed.covariance[:3, :3], off.T @ off / len(off), atol=0.15 * small.max())
    rotation = MOUNT[:3, :3] @ small[3:, 3:] @ MOUNT[:3, :3].T
    np.testing.assert_allclose(placed.covariance[3:, 3:], rotation, atol=1e-15)


@pytest.mark.parametrize("units_per_metre", [0.2, 0.5, 1.6])
def test_without_a_scale_the_covariance_says_that_the_lever_arm_may_be_of_another_length(
    units_per_metre: float,
) -> None:
    known, sure = MOUNT.copy(), 1e-12 * VARIANCES
    known[:3, 3] *= units_per_metre
    robot = Robot()
    robot.place(answer(np.eye(4), covariance=sure))
    turned = make_pose(rotation_from_vector([0.1, 2.5, -0.3]), [0.1, 0.2, 1.0])
    placed = robot.place(answer(turned, covariance=sure))
    lever = np.linalg.norm(MOUNT[:3, 3])
    np.testing.assert_allclose(placed.covariance[:3, :3], 0.25 * lever**2 * np.eye(3), atol=1e-9)
    np.testing.assert_allclose(placed.covariance[3:], 0.0, atol=1e-10)
    # As far off as the base is if the unit is not the metre.
    off = (MOUNT @ turned @ inverse_pose(known))[:3, 3] - placed.pose[:3, 3]
    assert 0.1 < off @ np.linalg.inv(placed.covariance[:3, :3]) @ off < 4.0
    metric = robot.place(answer(turned, metric=True, covariance=sure))
    np.testing.assert_allclose(metric.covariance, 0.0, atol=1e-10)


def test_what_is_unknown_stays_unknown() -> None:
    unknown = np.eye(6) * UNKNOWN_VARIANCE
    np.testing.assert_array_equal(Robot().place(answer(STEP, True, unknown)).covariance, unknown)


def test_map_to_odom_corrects_odometry_and_leaves_its_edge_alone() -> None:
    odometry = make_pose(rotation_from_vector([0.0, 0.0, 0.4]), [5.0, 1.0, 0.0])
    robot = Robot(odometry=odometry)
    robot.place(answer(np.eye(4), metric=True))
    placed = robot.place(answer(STEP, metric=True))
    edge = edge_of(placed)
    assert (placed.parent, placed.child, edge.parent, edge.child) == ("map", "base_link", "map", "odom")
    np.testing.assert_allclose(edge.pose @ odometry, placed.pose, atol=1e-12)


@pytest.mark.parametrize("state", [TrackState.HELD, TrackState.LOST])
def test_while_the_pose_is_held_odometry_moves_the_base_in_the_map(state: TrackState) -> None:
    robot = Robot(odometry=make_pose(rotation_from_vector([0.0, 0.0, 0.4]), [5.0, 1.0, 0.0]))
    robot.place(answer(np.eye(4), metric=True))
    seen = robot.place(answer(STEP, metric=True))
    driven = make_pose(rotation_from_vector([0.0, 0.0, 0.1]), [0.7, 0.0, 0.0])
    robot.drive(driven)
    held = robot.place(replace(answer(STEP, metric=True), state=state))
    np.testing.assert_array_equal(edge_of(held).pose, edge_of(seen).pose)
    np.testing.assert_allclose(held.pose, seen.pose @ driven, atol=1e-12)
    # What is seen, or said from outside, holds again.
    for again in (answer(STEP, metric=True), replace(answer(STEP, metric=True), state=state, corrected=True)):
        robot.drive(driven)
        found = robot.place(again)
        np.testing.assert_allclose(found.pose, seen.pose, atol=1e-12)
        np.testing.assert_allclose(edge_of(found).pose @ robot.base_to_odom, seen.pose, atol=1e-12)


def test_a_new_trajectory_has_its_own_transform_from_map_to_odom() -> None:
    robot = Robot(odometry=np.eye(4))
    robot.place(answer(np.eye(4), metric=True))
    robot.place(answer(STEP, metric=True))
    robot.placement.forget()
    held = robot.place(replace(answer(np.eye(4), metric=True), state=TrackState.HELD))
    np.testing.assert_allclose(edge_of(held).pose, np.eye(4), atol=1e-12)


def test_odom_to_base() -> None:
    placed = Robot().place(answer(STEP, metric=True), TfMode.ODOM_TO_BASE)
    assert (edge_of(placed).parent, edge_of(placed).child, placed.parent) == ("odom", "base_link", "odom")


def test_without_a_scale_the_world_becomes_a_child_of_a_base_that_has_a_parent() -> None:
    robot = Robot(odometry=np.eye(4))
    placed = robot.place(answer(STEP))
    edge = edge_of(placed)
    assert (placed.parent, placed.child, edge.parent, edge.child) == (
        "raxels_world",
        "base_link",
        "base_link",
        "raxels_world",
    )
    np.testing.assert_allclose(edge.pose @ placed.pose, np.eye(4), atol=1e-12)
    assert edge_of(Robot(mount=False).place(answer(STEP), TfMode.WORLD_TO_BASE, invert=True)).child == "raxels_world"


@pytest.mark.parametrize("mode", [TfMode.MAP_TO_ODOM, TfMode.ODOM_TO_BASE])
def test_metric_transforms_wait_for_the_scale_and_the_base(mode: TfMode) -> None:
    placed = Robot(odometry=np.eye(4)).place(answer(STEP), mode)
    assert placed.edge is None
    assert placed.parent == "raxels_world"
    assert "scale is not known yet" in placed.refusal
    placed = Robot(mount=False).place(answer(STEP, metric=True), mode)
    assert placed.edge is None
    assert "base_link" in placed.refusal


def test_without_odometry_there_is_no_map_to_odom_and_the_message_says_why() -> None:
    placed = Robot().place(answer(STEP, metric=True), TfMode.MAP_TO_ODOM)
    assert placed.edge is None
    assert "odom" in placed.refusal


@pytest.mark.parametrize("unscaled", [Unscaled.UNKNOWN, Unscaled.WITHHOLD])
def test_a_base_that_stands_apart_waits_for_metres_where_these_are_wanted(unscaled: Unscaled) -> None:
    robot = Robot(unscaled=unscaled)
    placed = robot.place(answer(STEP))
    assert placed.edge is None
    assert placed.refusal.startswith("no edge to base_link, which is ")
    assert placed.refusal.endswith("while the scale is not known; see scale.mode and odometry.unscaled")
    metric = replace(answer(STEP), scale=Scale(ScaleSource.FIXED, 1.0, 0.01))
    assert edge_of(robot.place(metric)).child == "base_link"
    # The camera itself has no lever.
    assert edge_of(Robot(mount=False, unscaled=unscaled).place(answer(STEP))).child == EYE


def test_off() -> None:
    placed = Robot().place(answer(STEP, metric=True), TfMode.OFF)
    assert (placed.edge, placed.refusal, placed.child) == (None, "", "base_link")


def test_a_pose_before_the_first_answer_is_refused() -> None:
    with pytest.raises(FrameError, match="no pose has been published yet"):
        Robot().placement.camera_pose(np.eye(4), VARIANCES, "raxels_world")


def test_the_world_of_the_base_survives_a_while_without_its_place() -> None:
    robot = Robot()
    robot.place(answer(np.eye(4)))
    before = robot.place(answer(STEP)).pose
    unknown = Placement(FrameNames(), FrameTree(), lambda child, parent: "")
    known, robot.placement._transforms = robot.placement._transforms, unknown._transforms
    assert robot.place(answer(STEP)).child == EYE
    robot.placement._transforms = known
    np.testing.assert_allclose(robot.place(answer(STEP)).pose, before, atol=1e-12)


@given(VECTORS, VECTORS)
def test_a_pose_of_the_base_is_converted_back_to_the_camera(turn: FloatArray, shift: FloatArray) -> None:
    robot, camera = Robot(), make_pose(rotation_from_vector(turn), shift)
    robot.place(answer(np.eye(4), metric=True))
    placed = robot.place(answer(camera, metric=True))
    back, covariance = robot.placement.camera_pose(placed.pose, placed.covariance, "/raxels_world")
    np.testing.assert_allclose(back, camera, atol=1e-9)
    np.testing.assert_allclose(covariance, VARIANCES, atol=1e-6)
    with pytest.raises(FrameError, match=r"frame 'map' is not the frame in which poses are published.*'raxels_world'"):
        robot.placement.camera_pose(placed.pose, VARIANCES, "map")
