"""wheel_odometry: places between readings, nothing where there are none, and every wrong file named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ros2_raxels.geometry.poses import make_pose, rotation_from_vector
from ros2_raxels.recordings.source import SourceError
from ros2_raxels.recordings.wheel_odometry import WheelOdometry


def written(folder: Path, *rows: str) -> Path:
    file = folder / "odom.csv"
    file.write_text("\n".join(rows))
    return file


def test_places_are_found_between_readings_the_short_way_round(tmp_path: Path) -> None:
    wheels = WheelOdometry.read(written(tmp_path, "v,t,x,y,yaw", "9,1.0,0,0,3.0", "9,1.2,2,1,-3.0", "9,1.4,4,1,-2.8"))
    assert wheels.covers_s == pytest.approx((1.0, 1.4))
    at_reading = wheels.base_to_odom(1_200_000_000)
    assert at_reading is not None
    np.testing.assert_allclose(at_reading, make_pose(rotation_from_vector((0, 0, -3.0)), (2, 1, 0)), atol=1e-9)
    between = wheels.base_to_odom(1_100_000_000)
    assert between is not None
    np.testing.assert_allclose(between, make_pose(rotation_from_vector((0, 0, np.pi)), (1, 0.5, 0)), atol=1e-9)


def test_nothing_is_known_outside_the_readings_or_in_a_gap(tmp_path: Path) -> None:
    wheels = WheelOdometry.read(written(tmp_path, "t,x,y,yaw", "1,0,0,0", "1.4,1,0,0", "3,2,0,0", "3.4,3,0,0"))
    known = [wheels.base_to_odom(round(t * 1e9)) is not None for t in (0.9, 1.0, 1.2, 2.0, 3.0, 3.2, 3.4, 3.5)]
    assert known == [False, True, True, False, True, True, True, False]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["t,x,y,yaw", "0,0,0,0"], "has 1 rows below its header; it takes two readings at least"),
        (["t,x,y", "0,0,0", "1,0,0"], "has no column 'yaw'; its first line must name t, x, y, yaw"),
        (["t,x,y,yaw", "0,0,0,0", "1,0,wide,0"], "row 2: y = 'wide' must be a finite number"),
        (["t,x,y,yaw", "0,0,0,0", "1,0,0"], "row 2: yaw = None must be a finite number"),
        (["t,x,y,yaw", "0,nan,0,0", "1,0,0,0"], "row 1: x = 'nan' must be a finite number"),
        (["t,x,y,yaw", "0,0,0,0", "2,0,0,0", "2,0,0,0"], "row 3: t = 2 s is not after the one before; sort them"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, rows: list[str], words: str) -> None:
    with pytest.raises(SourceError) as caught:
        WheelOdometry.read(written(tmp_path, *rows))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.csv cannot be read"):
        WheelOdometry.read(tmp_path / "gone.csv")
    (tmp_path / "odom.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SourceError, match=r"odom\.csv cannot be read"):
        WheelOdometry.read(tmp_path / "odom.csv")
