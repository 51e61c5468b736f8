"""frame_state: lines as the yardstick reads them, written at once, and a file that is whole or not there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ros2_raxels.geometry.poses import make_pose, rotation_from_vector
from ros2_raxels.tracking.frame_state import DROPPED, FrameState, writing_states


def test_a_line_has_seconds_a_quaternion_and_the_covariance_row_by_row() -> None:
    pose = make_pose(rotation_from_vector((0.0, 0.0, np.pi / 2)), (1.0, 2.0, 3.0))
    covariance = np.arange(36.0).reshape(6, 6)
    record = json.loads(FrameState(1_500_000_000, "TRACKING", pose, covariance, 0.75, True).line())
    assert record["pose"] == pytest.approx([1.0, 2.0, 3.0, 0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)])
    del record["pose"]
    assert record == {
        "stamp": 1.5,
        "state": "TRACKING",
        "covariance": list(range(36)),
        "confidence": 0.75,
        "metric": True,
        "stated": None,
    }


def test_a_frame_without_a_pose_has_none_and_an_unknown_covariance() -> None:
    line = FrameState(0, DROPPED).line()
    record = json.loads(line)
    assert (record["state"], record["pose"], record["confidence"], record["metric"]) == ("DROPPED", None, 0.0, False)
    np.testing.assert_array_equal(np.reshape(record["covariance"], (6, 6)), np.eye(6) * 9999.0)
    assert "\n" not in line


def test_lines_are_there_as_they_are_written_and_the_file_at_the_end(tmp_path: Path) -> None:
    out = tmp_path / "states.jsonl"
    with writing_states(out) as write:
        for count in (1, 2):
            write(FrameState(count, "LOST"))
            assert not out.exists()
            (unfinished,) = tmp_path.iterdir()
            assert len(unfinished.read_text().splitlines()) == count
    assert [json.loads(line)["stamp"] for line in out.read_text().splitlines()] == [1e-9, 2e-9]


def test_what_ends_badly_leaves_the_file_of_before(tmp_path: Path) -> None:
    out = tmp_path / "states.jsonl"
    out.write_text("of an earlier run\n")

    def breaks_off() -> None:
        with writing_states(out) as write:
            write(FrameState(0, "LOST"))
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        breaks_off()
    assert [path.name for path in tmp_path.iterdir()] == ["states.jsonl"]
    assert out.read_text() == "of an earlier run\n"
