"""rig_finder: the rig is put together from lenses, TF and stereo P; what is missing or moves is named."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.frame_tree import UnknownFrameError
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.nodes.pose.rig_finder import RigFinder, SeenBy

LENS = PinholeCamera(320, 240, 256.0, 256.0, 159.5, 119.5)
MOUNT = make_pose(np.eye(3), (0.12, 0.0, 0.0))


class Tree:
    """TF that knows some mounts in the left camera."""

    def __init__(self, **mounts: FloatArray) -> None:
        self.mounts = mounts

    def lookup(self, target: str, source: str, stamp_ns: int = 0) -> FloatArray:
        if target == "left_optical" and source.removesuffix("_optical") in self.mounts:
            return self.mounts[source.removesuffix("_optical")]
        raise UnknownFrameError(f"no frame {source}")


class Scene:
    """A finder, what it has said, and its time."""

    def __init__(self, tree: Tree, *names: str) -> None:
        self.said: list[str] = []
        self.now = 0.0
        self.finder = RigFinder(("left", *names), tree, False, self.said.append, clock=lambda: self.now)

    def see(self, **others: SeenBy) -> bool:
        self.now += 2.0
        return self.finder.see(seen("left"), others, 1)


def seen(name: str, camera: PinholeCamera | None = LENS, tx: float | None = None) -> SeenBy:
    p = [256.0, 0, 160, tx or 0.0, 0, 256.0, 120, 0, 0, 0, 1, 0]
    info = None if tx is None else SimpleNamespace(p=p, r=np.eye(3).ravel())
    return SeenBy(f"{name}_optical", camera, info, "" if camera else "waiting for camera_info")


def test_the_rig_is_there_with_all_cameras_and_then_stays() -> None:
    scene = Scene(Tree(right=MOUNT), "right")
    assert not scene.see()
    assert not scene.finder.is_complete
    assert scene.see(right=seen("right"))
    assert scene.finder.is_complete
    assert scene.finder.rig is not None
    np.testing.assert_array_equal(scene.finder.rig.to_leader("right"), MOUNT)
    assert not scene.see(right=seen("right"))
    assert not scene.see()
    assert (scene.finder.left_out, scene.said) == ({}, [])


def test_a_lens_that_is_not_known_leaves_its_camera_out_and_a_new_one_is_another_rig() -> None:
    scene = Scene(Tree(right=MOUNT, top=make_pose(np.eye(3), (0, 0.1, 0))), "right", "top")
    assert scene.see(right=seen("right"), top=seen("top", None))
    assert scene.finder.left_out == {"top": "waiting for camera_info"}
    assert not scene.finder.is_complete
    assert scene.see(right=seen("right"), top=seen("top"))
    assert scene.finder.rig is not None
    assert (scene.finder.rig.names, scene.finder.left_out) == (("left", "right", "top"), {})
    zoomed = PinholeCamera(320, 240, 300.0, 300.0, 159.5, 119.5)
    assert scene.see(right=seen("right", zoomed), top=seen("top"))
    assert scene.finder.rig["right"].camera == zoomed


def test_where_tf_knows_nothing_a_stereo_pair_tells_and_that_is_said() -> None:
    scene = Scene(Tree(), "right")
    leader = seen("left", tx=0.0)
    assert scene.finder.see(leader, {"right": seen("right", tx=-256.0 * 0.12)}, 1)
    assert scene.finder.rig is not None
    assert scene.finder.rig.baseline_m("left", "right") == pytest.approx(0.12)
    (words,) = scene.said
    assert words.startswith("camera 'right' stands 120.0 mm from 'left' by P of their camera_info, because TF does not")


def test_a_camera_of_which_nobody_says_where_it_stands_is_named_once() -> None:
    scene = Scene(Tree(), "right")
    for _ in range(3):
        assert not scene.see(right=seen("right"))
    assert scene.finder.left_out["right"].startswith("where it stands is not known: no frame right_optical; publish it")
    assert len(scene.said) == 1


def test_a_mount_that_moves_is_named_and_stays() -> None:
    tree = Tree(right=MOUNT)
    scene = Scene(tree, "right")
    scene.see(right=seen("right"))
    tree.mounts["right"] = MOUNT @ make_pose(rotation_from_vector(np.array([0.0, 0.02, 0.0])), (0.01, 0.0, 0.0))
    assert not scene.see(right=seen("right"))
    assert "TF has moved it by 10.0 mm and 1.15 deg" in scene.finder.left_out["right"]
    tree.mounts["right"] = MOUNT
    assert not scene.see(right=seen("right"))
    assert scene.finder.left_out == {}


def test_p_of_a_pair_that_contradicts_tf_is_named_and_tf_is_gone_by() -> None:
    scene = Scene(Tree(right=MOUNT), "right")
    leader, right = seen("left", tx=0.0), seen("right", tx=-256.0 * 0.06)
    for _ in range(2):
        scene.now += 2.0
        scene.finder.see(leader, {"right": right}, 1)
        assert scene.finder.left_out["right"].startswith(
            "TF puts them 120.0 mm apart and P of their camera_info 60.0 mm"
        )
    assert scene.finder.rig is not None
    assert scene.finder.rig.baseline_m("left", "right") == pytest.approx(0.12)
    assert len(scene.said) == 1


def test_two_cameras_in_one_place_are_no_rig() -> None:
    scene = Scene(Tree(right=np.eye(4)), "right")
    assert not scene.see(right=seen("right"))
    assert scene.finder.rig is None
    assert "mounted in the same place" in scene.said[0]


def test_after_a_change_of_cameras_all_is_looked_for_again() -> None:
    scene = Scene(Tree(right=MOUNT), "right")
    scene.see(right=seen("right"))
    scene.finder.forget()
    assert scene.finder.rig is None
    assert scene.see(right=seen("right"))
