"""camera_player plays all cameras of a recording; the pose node follows them as one rig, and views are made of all."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from rig_bags import write_walk_bag
from rig_walk import RigWalk, stereo
from ros_testing import Probe, Spawn, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")
pytest.importorskip("rosbags")

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped

from raxels_interfaces.msg import PoseStatus
from ros2_raxels.client import ViewClient, ViewClientError, make_goal
from ros2_raxels.geometry.poses import inverse_pose
from ros2_raxels.nodes.common.messages import pose_array, stamp_ns

pytestmark = pytest.mark.ros

COUNT = 16


OF_RIG = [
    *("-p", "cameras:=[left, right]"),
    *(
        word
        for name in ("left", "right")
        for topic, of in (("image", "image_raw"), ("camera_info", "camera_info"))
        for word in ("-r", f"{name}/{topic}:=/camera/{name}/{of}")
    ),
]


def moved_m(walk: RigWalk, first: int, last: int) -> float:
    return float(np.linalg.norm(walk.base_to_world[last, :3, 3] - walk.base_to_world[first, :3, 3]))


def test_the_pose_node_follows_a_bag_of_two_cameras_in_metres(spawn: Spawn, probe: Probe, tmp_path: Path) -> None:
    walk = stereo()
    bag = write_walk_bag(tmp_path / "bag", walk, COUNT)
    spawn("ros2_raxels.nodes.pose.pose_node", *OF_RIG, "-p", "model:=none")
    status = probe.collect(PoseStatus, "/raxels_pose/status")
    poses = probe.collect(PoseWithCovarianceStamped, "/raxels_pose/pose")
    options = [f"source:={bag}", "speed:=0.25", "use_source_stamps:=true", "wait_timeout_s:=60.0"]
    player = spawn("ros2_raxels.nodes.camera_player", *(word for option in options for word in ("-p", option)))
    assert player.wait(60.0) == 0, player.log
    assert "cameras left (/left/image_raw), right (/right/image_raw)" in player.log
    numbers = {walk.stamp_ns(k): k for k in range(COUNT)}
    last = walk.stamp_ns(COUNT - 1)
    wait_until(lambda: any(stamp_ns(s.header.stamp) == last for s in status), 30.0, "answer to the last moment")
    answered = [s for s in status if stamp_ns(s.header.stamp) in numbers and s.state == PoseStatus.STATE_TRACKING]
    assert len(answered) >= COUNT // 2
    assert all(s.scale_is_metric and s.scale_source == PoseStatus.SCALE_STEREO for s in answered)
    found = {numbers[stamp_ns(p.header.stamp)]: pose_array(p.pose.pose) for p in poses}
    ends = min(found), max(found)
    way = np.linalg.norm(found[ends[1]][:3, 3] - found[ends[0]][:3, 3])
    # Of the base: /tf_static of the player tells where it is.
    assert way == pytest.approx(moved_m(walk, *ends), rel=0.04)


def test_views_of_the_second_camera_are_made_of_what_both_have_seen(spawn: Spawn, probe: Probe, tmp_path: Path) -> None:
    walk = stereo()
    bag = write_walk_bag(tmp_path / "bag", walk, COUNT)
    spawn("ros2_raxels.nodes.pose.pose_node", *OF_RIG, "-p", "model:=none")
    quick = ["-p", "self_consistency:=false", "-p", "context.least_motion:=0.03", "-p", "image_format:=png"]
    server = spawn("ros2_raxels.nodes.views.view_server", *OF_RIG, *quick)
    health = probe.collect(DiagnosticArray, "/diagnostics")
    poses = probe.collect(PoseWithCovarianceStamped, "/raxels_pose/pose")
    options = [f"source:={bag}", "speed:=0.25", "use_source_stamps:=true", "wait_timeout_s:=60.0"]
    player = spawn("ros2_raxels.nodes.camera_player", *(word for option in options for word in ("-p", option)))
    assert player.wait(60.0) == 0, player.log
    last = walk.stamp_ns(COUNT - 1)
    (end,) = wait_until(lambda: [p for p in poses if stamp_ns(p.header.stamp) == last], 30.0, "pose of the last moment")
    context = [s for m in health for s in m.status if s.name == "raxels_views: context"]
    assert {"camera left", "camera right"} <= {pair.key for status in context for pair in status.values}
    ahead = [COUNT, COUNT + 2]
    to_end = inverse_pose(walk.base_to_world[COUNT - 1])
    there = pose_array(end.pose.pose) @ to_end @ walk.base_to_world[ahead]
    with ViewClient() as client:
        goal = make_goal(there, "raxels_world", place_base=True, reference_ns=last, size=(240, 180), camera="right")
        views = client.predict(goal)
        assert views.ok, views.message
        with pytest.raises(ViewClientError, match="rejected"):
            client.predict(make_goal(there, "raxels_world", reference_ns=last, camera="rear"))
    wait_until(
        lambda: "camera = 'rear' is unknown: the cameras are left, right" in server.log, what="why it was refused"
    )
    assert views.optical_frame == "right_optical_frame"
    np.testing.assert_allclose(views.poses, there @ walk.rig["right"].camera_to_base, atol=1e-6)
    for image, moment in zip(views.images, ahead, strict=True):
        truth = walk.images[moment]["right"]
        known = max(cv2.PSNR(walk.images[COUNT - 1][name], truth) for name in walk.rig.names)
        assert cv2.PSNR(image, truth) > known + 3.0
