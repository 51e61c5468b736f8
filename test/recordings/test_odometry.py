"""odometry: places between readings, nothing where there are none, and every wrong file named."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ros2_raxels.geometry.poses import make_pose, quaternion_from_rotation, rotation_from_vector
from ros2_raxels.recordings.odometry import base_poses, read_wheels
from ros2_raxels.recordings.source import SourceError


def written(folder: Path, *rows: str) -> Path:
    file = folder / "odom.csv"
    file.write_text("\n".join(rows))
    return file


def test_places_are_found_between_readings_the_short_way_round(tmp_path: Path) -> None:
    wheels = read_wheels(written(tmp_path, "v,t,x,y,yaw", "9,1.0,0,0,3.0", "9,1.2,2,1,-3.0", "9,1.4,4,1,-2.8"))
    at_reading = wheels.at(1_200_000_000)
    assert at_reading is not None
    np.testing.assert_allclose(at_reading, make_pose(rotation_from_vector((0, 0, -3.0)), (2, 1, 0)), atol=1e-9)
    between = wheels.at(1_100_000_000)
    assert between is not None
    np.testing.assert_allclose(between, make_pose(rotation_from_vector((0, 0, np.pi)), (1, 0.5, 0)), atol=1e-9)


def test_nothing_is_known_outside_the_readings_or_in_a_gap(tmp_path: Path) -> None:
    wheels = read_wheels(written(tmp_path, "t,x,y,yaw", "1,0,0,0", "1.4,1,0,0", "3,2,0,0", "3.4,3,0,0"))
    known = [wheels.at(round(t * 1e9)) is not None for t in (0.9, 1.0, 1.2, 2.0, 3.0, 3.2, 3.4, 3.5)]
    assert known == [False, True, True, False, True, True, True, False]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["t,x,y,yaw", "0,0,0,0"], "has 1 rows below its header, too few to tell a motion; give two or more"),
        (["t,x,y", "0,0,0", "1,0,0"], "has no column 'yaw'; its first line must name t, x, y, yaw"),
        (["t,x,y,yaw", "0,0,0,0", "1,0,wide,0"], "row 2: y = 'wide' must be a finite number"),
        (["t,x,y,yaw", "0,0,0,0", "1,0,0"], "row 2: yaw = None must be a finite number"),
        (["t,x,y,yaw", "0,nan,0,0", "1,0,0,0"], "row 1: x = 'nan' must be a finite number"),
        (["t,x,y,yaw", "0,0,0,0", "2,0,0,0", "2,0,0,0"], "row 3: t = 2 s is not after the one before; sort them"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, rows: list[str], words: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_wheels(written(tmp_path, *rows))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.csv cannot be read"):
        read_wheels(tmp_path / "gone.csv")
    (tmp_path / "odom.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SourceError, match=r"odom\.csv cannot be read"):
        read_wheels(tmp_path / "odom.csv")


def test_readings_of_another_clock_are_named(tmp_path: Path) -> None:
    wheels = read_wheels(written(tmp_path, "t,x,y,yaw", "10,0,0,0", "10.4,1,0,0"))
    wheels.check_covers(8_000_000_000, "wheels")
    wheels.check_covers(10_300_000_000, "wheels")
    for begin_ns in (4_000_000_000, 11_000_000_000):
        with pytest.raises(SourceError, match=r"wheels covers 10 to 10\.4 s, and frames begin at"):
            wheels.check_covers(begin_ns, "wheels")


def test_a_camera_goes_with_its_base(tmp_path: Path) -> None:
    mount = make_pose(rotation_from_vector((0.1, 0.2, 0.3)), (0.5, 0.0, 1.0))
    camera = read_wheels(written(tmp_path, "t,x,y,yaw", "0,0,0,0", "0.4,4,0,0")).seen_from(mount)
    found = camera(100_000_000)
    assert found is not None
    np.testing.assert_allclose(found, make_pose(np.eye(3), (1, 0, 0)) @ mount, atol=1e-9)
    assert camera(500_000_000) is None


def pose_of(pose: np.ndarray) -> tuple[Any, Any]:
    x, y, z, w = quaternion_from_rotation(pose[:3, :3])
    return SimpleNamespace(**dict(zip("xyz", pose[:3, 3], strict=True))), SimpleNamespace(x=x, y=y, z=z, w=w)


def reading(pose: np.ndarray) -> Any:
    position, orientation = pose_of(pose)
    inner = SimpleNamespace(pose=SimpleNamespace(position=position, orientation=orientation))
    return SimpleNamespace(pose=inner, child_frame_id="/base_link")


def test_messages_are_read_and_those_that_are_none_passed_over() -> None:
    nowhere = make_pose(np.eye(3), (np.nan, 0, 0))
    poses = [make_pose(rotation_from_vector((0, 0, 0.1 * k)), (k, 0, 0)) for k in range(4)]
    stamped = [(0, reading(poses[0])), (100, reading(nowhere)), (200, reading(poses[2])), (200, reading(poses[3]))]
    found, base = base_poses(stamped, "bag: /odom")
    assert base == "base_link"
    middle = found.at(100)
    assert middle is not None
    np.testing.assert_allclose(middle, poses[1], atol=1e-9)
    with pytest.raises(SourceError, match="bag: /odom holds 1 poses that can be used"):
        base_poses(stamped[:2], "bag: /odom")
