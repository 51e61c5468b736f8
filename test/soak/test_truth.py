"""Published poses are compared with the truth, each world in a frame and a unit of its own."""

from __future__ import annotations

import pytest
from soak_records import quiet_record, verdict, walked_record

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")


from ros2_raxels.soak.report import summarise
from ros2_raxels.soak.truth import pose_errors


def test_poses_are_compared_with_the_truth_in_each_world():
    poses = summarise(walked_record())["poses"]
    assert poses["compared"] == len(quiet_record().answers)
    # 1 cm in each direction, of an extent of 10.2 m.
    assert 0.1 < poses["error_p50_percent"] < 0.2
    assert poses["error_p95_percent"] <= poses["highest_percent"] < 0.6
    assert verdict(walked_record()) == []
    assert summarise(quiet_record())["poses"]["compared"] == 0
    few = walked_record(world_of_number=50)
    assert len(pose_errors(few)) == sum(s.stamp_ns >= 50 for s in few.sent if s.stamp_ns in few.answers)


def test_outliers_are_reported_and_do_not_distort_the_alignment():
    record = walked_record(wild=slice(4000, 4300))
    poses = summarise(record)["poses"]
    assert poses["wrong"] == 200
    assert poses["error_p50_percent"] < 0.2
    (words,) = verdict(record)
    assert words.startswith(
        f"200 of {poses['compared']} poses are off by more than 20 % of the path's extent, the worst by"
    )
    assert verdict(walked_record(wild=slice(4000, 4030))) == []
