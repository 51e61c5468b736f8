"""static_frames: the mount of a camera through the tree, the base, and frames that are told twice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bags_rig import transform_message

from ros2_raxels.geometry.poses import FloatArray, inverse_pose, make_pose, rotation_from_vector
from ros2_raxels.recordings.source import SourceError
from ros2_raxels.recordings.static_frames import StaticFrames, is_other_mount, mount_of

HEAD = make_pose(rotation_from_vector((0, 0, 0.3)), (0, 0, 1.0))
EYE = make_pose(rotation_from_vector((0.1, 0, 0)), (0.1, 0, 0))


def message(*edges: Any) -> Any:
    return SimpleNamespace(transforms=list(edges))


def told(*poses: FloatArray) -> StaticFrames:
    return StaticFrames([message(transform_message("head", "eye", pose)) for pose in poses])


def test_the_mount_is_found_through_the_tree() -> None:
    static = [message(transform_message("base_link", "head", HEAD)), message(transform_message("head", "eye", EYE))]
    found = mount_of(static, "/eye", "base_link", "bag")
    np.testing.assert_allclose(inverse_pose(found) @ HEAD @ EYE, np.eye(4), atol=1e-9)
    with pytest.raises(SourceError, match="bag: /tf_static does not tell where the camera is on the robot: "):
        mount_of(static[:1], "eye", "base_link", "bag")


@pytest.mark.parametrize("base", ["base_link", "base_footprint", "chassis"])
def test_the_base_is_known_by_its_usual_names(base: str) -> None:
    frames = StaticFrames([message(transform_message(base, "head", HEAD), transform_message("head", "eye", EYE))])
    found = frames.to_base("/eye")
    if base == "chassis":
        assert found is None
    else:
        assert found is not None
        np.testing.assert_allclose(found, HEAD @ EYE, atol=1e-9)
    assert frames.to_base("ear") is None


def test_a_frame_of_which_something_else_is_told_later_stays_where_it_was_first() -> None:
    moved = EYE.copy()
    moved[0, 3] += 0.01
    frames = told(EYE, EYE, moved)
    assert frames.changed == {"eye"}
    np.testing.assert_allclose(frames.tree.lookup("head", "eye"), EYE, atol=1e-9)
    assert not told(EYE, EYE).changed
    other_parent = StaticFrames([message(transform_message(parent, "eye", EYE)) for parent in ("head", "arm")])
    assert other_parent.changed == {"eye"}


@pytest.mark.parametrize(
    ("turn_rad", "away_m", "other"), [(0.0, 0.001, False), (0.0, 0.003, True), (0.004, 0.0, False), (0.006, 0.0, True)]
)
def test_mounts_differ_by_more_than_they_are_known(turn_rad: float, away_m: float, other: bool) -> None:
    moved = EYE @ make_pose(rotation_from_vector((0, turn_rad, 0)), (away_m, 0, 0))
    assert is_other_mount(EYE, moved) is other
