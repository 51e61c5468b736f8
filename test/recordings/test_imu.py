"""imu: readings of a time with its ends between readings, none where some are missing, and every wrong file named."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ros2_raxels.geometry.poses import make_pose, rotation_from_vector
from ros2_raxels.recordings.imu import ImuReadings, RecordedImu, imu_readings, read_imu
from ros2_raxels.recordings.source import SourceError

MS = 1_000_000


def written(folder: Path, *rows: str) -> Path:
    file = folder / "imu.csv"
    file.write_text("\n".join(rows))
    return file


def ramp(*times_ms: int) -> ImuReadings:
    """Turn rates about x that are the time, s; and accelerations along z that are ten times that."""
    stamps_ns = np.array(times_ms, np.int64) * MS
    rate = np.zeros((len(times_ms), 3))
    rate[:, 0] = stamps_ns * 1e-9
    return ImuReadings(stamps_ns, rate, rate[:, ::-1] * 10)


def test_readings_of_a_time_begin_and_end_with_it() -> None:
    found = ramp(1000, 1010, 1020, 1030).between(1005 * MS, 1022 * MS)
    assert found is not None
    assert found.stamps_ns.tolist() == [1005 * MS, 1010 * MS, 1020 * MS, 1022 * MS]
    np.testing.assert_allclose(found.turn_rate[:, 0], [1.005, 1.01, 1.02, 1.022])
    np.testing.assert_allclose(found.acceleration[:, 2], [10.05, 10.1, 10.2, 10.22])
    # Images come a little before the readings of their time: the newest one holds.
    late = ramp(1000, 1010).between(1005 * MS, 1040 * MS)
    assert late is not None
    np.testing.assert_allclose(late.turn_rate[:, 0], [1.005, 1.01, 1.01])


@pytest.mark.parametrize(("begin_ms", "end_ms"), [(990, 1010), (1010, 1200), (1010, 1010), (1110, 1170), (1020, 1100)])
def test_there_are_none_before_the_first_in_a_gap_or_long_after_the_last(begin_ms: int, end_ms: int) -> None:
    assert ramp(1000, 1010, 1020, 1100, 1110).between(begin_ms * MS, end_ms * MS) is None


def test_a_gyro_that_has_reached_its_end_says_nothing() -> None:
    readings = ramp(*range(1000, 1100, 10))
    readings.turn_rate[4:8, 1] = 4.36
    assert readings.between(1000 * MS, 1030 * MS) is not None
    assert readings.between(1000 * MS, 1080 * MS) is None
    readings.turn_rate[4:8, 1] = 0.0
    assert readings.between(1000 * MS, 1080 * MS) is not None


def test_an_accelerometer_that_has_reached_its_end_says_nothing() -> None:
    stamps_ns = np.arange(20, dtype=np.int64) * 5 * MS
    push = np.random.default_rng(0).normal(0, 1.0, (20, 3))
    push[8:13, 1] = -19.61
    readings = ImuReadings(stamps_ns, np.zeros((20, 3)), push)
    assert readings.between(45 * MS, 60 * MS) is None
    assert readings.between(0, 30 * MS) is not None
    push[8:13, 1] = -9.81
    assert readings.between(45 * MS, 60 * MS) is not None


def test_a_mounted_imu_reads_in_the_axes_of_the_camera() -> None:
    mount = make_pose(rotation_from_vector([0.0, 0.0, np.pi / 2]), [0.1, 0.2, 0.3])
    imu = RecordedImu(ramp(1000, 1010, 1020), mount, "imu.csv")
    np.testing.assert_allclose(imu.place, [0.1, 0.2, 0.3])
    found = imu.between(1000 * MS, 1010 * MS)
    assert found is not None
    np.testing.assert_allclose(found.turn_rate, [[0.0, 1.0, 0.0], [0.0, 1.01, 0.0]], atol=1e-12)
    np.testing.assert_allclose(found.acceleration[:, 2], [10.0, 10.1])
    assert imu.why_silent(9_000 * MS) == "imu.csv covers 1 to 1.02 s, and not 9 s; give both one clock"
    assert imu.why_silent(1_010 * MS) == "imu.csv has a gap or is saturated at 1.01 s"


def test_a_file_is_read_by_the_names_of_its_columns(tmp_path: Path) -> None:
    found = read_imu(written(tmp_path, "az,ay,ax,gz,gy,gx,t", "9.8,0,1,3,2,1,0.5", "9.8,0,1,3,2,1,0.6"))
    assert found.stamps_ns.tolist() == [500 * MS, 600 * MS]
    np.testing.assert_allclose(found.turn_rate[0], [1, 2, 3])
    np.testing.assert_allclose(found.acceleration[1], [1, 0, 9.8])


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has no column 'az'; its first line must name t, gx, gy, gz, ax, ay, az"):
        read_imu(written(tmp_path, "t,gx,gy,gz,ax,ay", "0,0,0,0,0,0", "1,0,0,0,0,0"))


def message(rate: float, frame: str = "/imu_link") -> Any:
    axes = [SimpleNamespace(x=rate, y=0.0, z=0.0), SimpleNamespace(x=0.0, y=0.0, z=9.81)]
    return SimpleNamespace(
        angular_velocity=axes[0], linear_acceleration=axes[1], header=SimpleNamespace(frame_id=frame)
    )


def test_messages_that_are_of_no_use_are_passed_over() -> None:
    stamped = [(1, message(0.1)), (1, message(9.0)), (0, message(9.0)), (2, message(np.nan)), (3, message(0.3))]
    readings, frame = imu_readings(stamped, "bag: /imu")
    assert frame == "imu_link"
    assert readings.stamps_ns.tolist() == [1, 3]
    np.testing.assert_allclose(readings.turn_rate[:, 0], [0.1, 0.3])
    np.testing.assert_allclose(readings.acceleration[:, 2], [9.81, 9.81])
    with pytest.raises(SourceError, match="bag: /imu holds 1 readings that can be used"):
        imu_readings(stamped[:2], "bag: /imu")
