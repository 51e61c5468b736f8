"""nodes.views.placed_frame: poses of goals are of the frame that the pose node speaks of."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.action")

from views_rig import BASE, EYE, MAP, Tree, at

from ros2_raxels.geometry.frame_tree import FrameError, UnknownFrameError
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.nodes.views.goal import CODES, GoalError, code_name
from ros2_raxels.nodes.views.placed_frame import PlacedFrame

pytestmark = pytest.mark.ros


class Asked:
    """A tree in which nothing moves, and how often a transform was waited for in it."""

    def __init__(self) -> None:
        self.tree, self.waited = Tree(), 0
        self.tree.place(MAP, EYE, at())
        self.child = ""

    def placed(self, base: str = BASE) -> PlacedFrame:
        return PlacedFrame(self.tree, base, lambda: self.child)

    def wait_for(self, target: str, source: str, stamp_ns: int) -> FloatArray:
        self.waited += 1
        try:
            return self.tree.lookup(target, source, stamp_ns)
        except FrameError as error:
            code = CODES.UNKNOWN_FRAME if isinstance(error, UnknownFrameError) else CODES.NO_TRANSFORM
            raise GoalError(code, str(error)) from error

    def find(self, placed: PlacedFrame, first: str = "") -> tuple[str, FloatArray]:
        return placed.find(EYE, 5, self.wait_for, first)

    def refusal(self, placed: PlacedFrame) -> str:
        with pytest.raises(GoalError) as caught:
            self.find(placed)
        return f"{code_name(caught.value.code)}: {caught.value}"


@pytest.fixture
def asked() -> Asked:
    return Asked()


def check(found: tuple[str, FloatArray], name: str, pose: FloatArray) -> None:
    assert found[0] == name
    np.testing.assert_allclose(found[1], pose, atol=1e-12)


@pytest.mark.parametrize("child", ["", EYE, BASE, "elsewhere"])
def test_a_base_that_tf_connects_is_what_poses_are_of(asked: Asked, child: str) -> None:
    asked.child = child
    asked.tree.place(EYE, BASE, at(0.3))
    placed = asked.placed()
    check(asked.find(placed), BASE, at(-0.3))
    assert placed.words == BASE


def test_without_a_base_poses_are_of_the_camera_as_those_of_the_pose_node(asked: Asked) -> None:
    asked.child = EYE
    placed = asked.placed()
    check(asked.find(placed), EYE, at())
    assert asked.waited == 0
    assert placed.words == f"{EYE}, because the pose node's poses are of it, and TF does not connect it with {BASE}"


def test_the_pose_nodes_own_base_counts_where_there_is_no_other(asked: Asked) -> None:
    asked.child = "chassis"
    asked.tree.place(EYE, "chassis", at(0.2))
    check(asked.find(asked.placed()), "chassis", at(-0.2))


def test_without_a_pose_node_a_base_is_waited_for_once_and_taken_when_it_comes(asked: Asked) -> None:
    placed = asked.placed()
    for _ in range(3):
        check(asked.find(placed), EYE, at())
    assert asked.waited == 1
    assert placed.words == f"{EYE}, because TF has no {BASE}"
    asked.tree.place(EYE, BASE, at(0.3))
    check(asked.find(placed), BASE, at(-0.3))
    assert placed.words == BASE


def test_an_empty_name_is_a_camera_without_a_robot(asked: Asked) -> None:
    asked.tree.place(EYE, BASE, at(0.3))
    check(asked.find(asked.placed("")), EYE, at())


def test_a_base_of_another_name_that_tf_does_not_know_is_an_unknown_frame(asked: Asked) -> None:
    assert asked.refusal(asked.placed("base_lnik")) == (
        "UNKNOWN_FRAME: TF has never heard of frame 'base_lnik'; it knows eye_optical_frame, map; set base_frame to "
        "the robot's base, or to '' for poses of the camera"
    )


def test_a_base_without_a_camera_on_it_is_no_transform(asked: Asked) -> None:
    asked.tree.place("odom", BASE, at())
    assert asked.refusal(asked.placed()).startswith("NO_TRANSFORM: ")
    asked.child = EYE
    check(asked.find(asked.placed()), EYE, at())


def test_without_a_base_poses_are_of_the_first_camera_of_a_rig(asked: Asked) -> None:
    asked.tree.place(MAP, "first_optical_frame", at(0.25))
    for base, child, why in (
        ("", "", "base_frame is empty"),
        (BASE, "", f"TF has no {BASE}"),
        (BASE, "first_optical_frame", ""),
    ):
        asked.child = child
        placed = asked.placed(base)
        check(asked.find(placed, "first_optical_frame"), "first_optical_frame", at(-0.25))
        assert placed.words == "first_optical_frame" + (f", because {why}" if why else "")
