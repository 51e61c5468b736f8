"""The picture of a soak is drawn of long runs and of ones that had hardly begun."""

from __future__ import annotations

from pathlib import Path

import pytest
from soak_records import quiet_record

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")


from ros2_raxels.soak.picture import draw
from ros2_raxels.soak.record import NodeCounts, Record
from ros2_raxels.soak.report import summarise


@pytest.mark.parametrize("seconds", [600.0, 3.0])
def test_the_picture_is_drawn_for_long_and_for_barely_started_runs(tmp_path: Path, seconds: float):
    record = quiet_record()
    record.seconds = seconds
    record.sent = [s for s in record.sent if s.at_s < seconds]
    report = {**summarise(record), "broken": []}
    draw(record, report, tmp_path / "soak.png")
    assert (tmp_path / "soak.png").stat().st_size > 50_000
    empty = Record(0.5, [], [], 0, {}, NodeCounts(), {"raxels_pose": []}, [], {})
    draw(empty, {**summarise(empty), "broken": ["x"]}, tmp_path / "empty.png")
