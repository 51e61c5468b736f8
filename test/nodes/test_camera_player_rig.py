"""camera_player plays all cameras of a recording, and the pose node follows them as one rig, over real DDS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rig_bags import write_walk_bag
from rig_walk import RigWalk, stereo
from ros_testing import Probe, Spawn, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")
pytest.importorskip("rosbags")

from geometry_msgs.msg import PoseWithCovarianceStamped

from raxels_interfaces.msg import PoseStatus
from ros2_raxels.nodes.common.messages import pose_array, stamp_ns

pytestmark = pytest.mark.ros

COUNT = 16


def moved_m(walk: RigWalk, first: int, last: int) -> float:
    return float(np.linalg.norm(walk.base_to_world[last, :3, 3] - walk.base_to_world[first, :3, 3]))


def test_the_pose_node_follows_a_bag_of_two_cameras_in_metres(spawn: Spawn, probe: Probe, tmp_path: Path) -> None:
    walk = stereo()
    bag = write_walk_bag(tmp_path / "bag", walk, COUNT)
    remaps = [
        f"{name}/{topic}:=/camera/{name}/{of}"
        for name in walk.rig.names
        for topic, of in (("image", "image_raw"), ("camera_info", "camera_info"))
    ]
    spawn(
        "ros2_raxels.nodes.pose.pose_node",
        *("-p", "cameras:=[left, right]", "-p", "model:=none"),
        *(word for remap in remaps for word in ("-r", remap)),
    )
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
