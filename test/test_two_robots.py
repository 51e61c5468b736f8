"""Two robots on one network: namespaces, frames of their own, and nothing of one in the other."""

from __future__ import annotations

import pytest
from ros_testing import Probe, Spawn, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

from geometry_msgs.msg import TransformStamped
from pose_rig import Rig, next_stamp_ns, picture
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from raxels_interfaces.msg import PoseStatus
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.nodes.common.messages import camera_info_message, image_message, stamp_ns

pytestmark = pytest.mark.ros


class Robot:
    """A pose node in a namespace, with frames that begin with its name, and its camera."""

    def __init__(self, name: str, focal: float, probe: Probe, spawn: Spawn) -> None:
        self.name, self.eye, self.world = name, f"{name}/eye", f"{name}/raxels_world"
        self.info = camera_info_message(PinholeCamera(64, 48, focal, focal, 31.5, 23.5), Header(frame_id=self.eye))
        frames = ("-p", f"tf.world_frame:={self.world}", "-p", f"tf.base_frame:={name}/base_link")
        self.rig = Rig(probe, spawn("scripted_node.py", "-r", f"__ns:=/{name}", *frames), f"/{name}")
        self.sent: list[int] = []

    def settle(self) -> None:
        """Send until the node answers."""
        wait_until(lambda: self.step() and self._answered(), what=f"first answer of {self.name}", every_s=0.05)

    def _answered(self) -> bool:
        return any(s.state == PoseStatus.STATE_TRACKING for s in self.rig.status)

    def step(self) -> int:
        """Publish the next frame; its stamp."""
        self.rig.send_info(self.info)
        image = image_message(picture(), Header(frame_id=self.eye))
        self.sent.append(self.rig.send(image, next_stamp_ns()))
        return self.sent[-1]

    def answer(self) -> PoseStatus:
        """Publish the next frame and wait for its status."""
        return self.rig.answer(self.step())


@pytest.fixture(scope="module")
def robots(module_probe: Probe, module_spawn: Spawn) -> tuple[Robot, Robot]:
    robots = Robot("ada", 60.0, module_probe, module_spawn), Robot("bob", 90.0, module_probe, module_spawn)
    for robot in robots:
        robot.settle()
    return robots


def test_each_robot_answers_its_own_camera_in_its_own_frames(robots: tuple[Robot, Robot]):
    ada, bob = robots
    before = [int(r.answer().message.split()[1]) for r in robots]
    for number in range(1, 9):
        for robot, focal, count in zip(robots, ("60", "90"), before, strict=True):
            status = robot.answer()
            assert status.message.startswith(f"count {count + number} focal {focal} ")
            assert (status.header.frame_id, status.child_frame_id) == (robot.world, robot.eye)
    for robot, other in ((ada, bob), (bob, ada)):
        own = {stamp_ns(message.header.stamp) for message in robot.rig.poses}
        assert own <= set(robot.sent)
        assert not own & set(other.sent)


def test_on_the_tf_that_they_share_each_publishes_only_its_own_edge(robots: tuple[Robot, Robot]):
    for _ in range(5):
        for robot in robots:
            robot.answer()
    expected = {robot.eye: robot for robot in robots}

    def edges() -> list[TransformStamped]:
        # Both rigs hear the same /tf.
        return [edge for message in robots[0].rig.edges for edge in message.transforms]

    wait_until(lambda: {edge.child_frame_id for edge in edges()} == set(expected), what="edges of both")
    for edge in edges():
        robot = expected[edge.child_frame_id]
        assert edge.header.frame_id == robot.world
        assert stamp_ns(edge.header.stamp) in robot.sent
    assert not any("already has the parent" in robot.rig.node.log for robot in robots)


def test_what_is_asked_of_one_leaves_the_other_alone(robots: tuple[Robot, Robot], module_probe: Probe):
    ada, bob = robots
    before = int(bob.answer().message.split()[1])
    assert module_probe.call(Trigger, "/ada/raxels_pose/reset", Trigger.Request()).success
    wait_until(lambda: "tracking reset" in ada.rig.node.log, what="reset of ada")
    assert ada.answer().message.startswith("count 1 ")
    assert bob.answer().message.startswith(f"count {before + 1} ")
    assert "tracking reset" not in bob.rig.node.log


def test_the_diagnostics_name_the_robot(robots: tuple[Robot, Robot]):
    rig = robots[0].rig
    wanted = {f"{name}/raxels_pose: {part}" for name in ("ada", "bob") for part in ("input", "tracking", "tf")}
    wait_until(lambda: wanted <= {s.name for m in rig.diagnostics for s in m.status}, what="diagnostics of both")
