"""nodes.pose.frame_changes: each change of frames or mount is said once, with what was before."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.nodes.pose.frame_changes import FrameChanges

WORLD, BASE, EYE, MISSING = "raxels_world", "base_link", "eye", "TF has never heard of frame 'eye'"
HERE = np.eye(4)


class Camera:
    """Frames of a pose after the other; time is set by hand."""

    now_s = 100.0

    def __init__(self) -> None:
        self._changes = FrameChanges(lambda: self.now_s)

    def on_base(self, mount: FloatArray = HERE, parent: str = WORLD) -> str:
        return self._changes.of(parent, BASE, EYE, mount, "")

    def alone(self, optical: str = EYE) -> str:
        return self._changes.of(WORLD, optical, optical, HERE, MISSING)


@pytest.fixture
def camera() -> Camera:
    return Camera()


def test_the_first_and_the_same_are_no_change(camera: Camera) -> None:
    assert [camera.on_base() for _ in range(3)] == [""] * 3


def test_a_base_that_appears_and_vanishes(camera: Camera) -> None:
    camera.alone()
    assert camera.on_base() == (
        "poses are now those of base_link in raxels_world, no longer of eye in raxels_world: TF now says where eye is "
        "on base_link; the origin of raxels_world is where base_link began"
    )
    assert camera.on_base() == ""
    assert camera.alone() == (
        f"poses are now those of eye in raxels_world, no longer of base_link in raxels_world: {MISSING}; the origin of "
        "raxels_world is where eye began"
    )


def test_another_camera(camera: Camera) -> None:
    camera.alone()
    assert camera.alone("rear").startswith("poses are now those of rear in raxels_world, no longer of eye in raxels_")


def test_another_world(camera: Camera) -> None:
    camera.on_base()
    assert camera.on_base(parent="map") == "poses of base_link are now in map, no longer in raxels_world"


def test_a_mount_that_changes(camera: Camera) -> None:
    camera.on_base()
    turned = make_pose(rotation_from_vector([0.0, np.radians(12.0), 0.0]), [0.03, 0.0, 0.0])
    assert camera.on_base(turned) == (
        "the camera's place on base_link in TF has changed by 0.030 m and 12.0 deg: poses of base_link follow it"
    )
    assert camera.on_base(turned) == ""
    assert camera.on_base(make_pose(turned[:3, :3], [0.035, 0.0, 0.0])) == "", "less than a centimetre"


def test_a_joint_that_moves_is_said_when_it_begins_to(camera: Camera) -> None:
    camera.on_base()
    said = []
    for step in range(1, 200):
        camera.now_s += 0.1
        said.append(camera.on_base(make_pose(rotation_from_vector([0.0, 0.0, 0.004 * step]), [0.0, 0.0, 0.0])))
    assert len(list(filter(None, said))) == 1
    camera.now_s += 10.0
    assert camera.on_base()
