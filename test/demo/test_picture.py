"""The picture of the demo shows the path, frames and raxels, whatever is known of the recording."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from demo_runs import WALK, lonely_summary, rig_recording, summary_for_picture, summary_of

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces")

from ros2_raxels.demo.picture import draw
from ros2_raxels.geometry.camera import PinholeCamera


@pytest.mark.parametrize(
    ("has_truth", "camera"),
    [(True, WALK.camera), (False, None), (True, PinholeCamera(400, 100, 200, 200, 199.5, 49.5)),
     (True, PinholeCamera(90, 160, 100, 100, 44.5, 79.5))],
)  # fmt: skip
def test_the_picture_shows_frames_and_raxels(tmp_path: Path, has_truth: bool, camera: PinholeCamera | None) -> None:
    draw(summary_for_picture(has_truth, camera), tmp_path / "demo.png")
    picture = cv2.imread(str(tmp_path / "demo.png"))
    assert picture.shape == (1590, 2400, 3)
    # The raxels are the only thing with all hues at full area.
    strip = cv2.cvtColor(picture[950:1500], cv2.COLOR_BGR2HSV)
    vivid = strip[(strip[..., 1] > 90) & (strip[..., 2] > 90)]
    assert len(vivid) > 40_000
    assert len(np.unique(vivid[:, 0] // 15)) > 6


def test_all_cameras_of_a_rig_are_shown_with_their_raxels(tmp_path: Path) -> None:
    draw(summary_of(rig_recording()), tmp_path / "demo.png")
    picture = cv2.imread(str(tmp_path / "demo.png"))
    assert picture.shape == (1590, 2400, 3)
    # Image and negative beside each other, and below them rays that look elsewhere.
    top, left, wide = 947, 79, 365
    first, second = (picture[top + 120 : top + 200, x + 40 : x + 300] for x in (left, left + wide))
    assert abs(float(first.mean()) + float(second.mean()) - 255.0) < 8.0
    below = [picture[top + 400 : top + 480, x + 40 : x + 300].mean(axis=(0, 1)) for x in (left, left + wide)]
    assert np.abs(below[0] - below[1]).max() > 40.0


def test_one_pose_without_frames_latency_or_confidence_is_drawn(tmp_path: Path) -> None:
    summary = lonely_summary(range(5, 6), confidence={})
    assert (summary.indices, summary.error) == ([5], None)
    draw(replace(summary, latency_s=np.array([])), tmp_path / "demo.png")
    assert cv2.imread(str(tmp_path / "demo.png")).shape == (1590, 2400, 3)
