"""Poses are assigned to the frames they belong to, and the numbers are those of the frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from demo_runs import FRAMES, RATE_HZ, heard_of, lonely_summary, recording

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces")

from ros2_raxels.demo.picture import draw
from ros2_raxels.demo.summary import summarise


@pytest.mark.parametrize("heard_from", [0, 7])
@pytest.mark.parametrize("speed", [1.0, 0.5])
def test_poses_are_assigned_to_their_frames_although_the_first_stamps_were_missed(
    heard_from: int, speed: float
) -> None:
    jitter_ns = np.random.default_rng(0).integers(0, 4_000_000, FRAMES)
    wall_ns = [1_700_000_000_000_000_000 + round(i / RATE_HZ / speed * 1e9) + int(jitter_ns[i]) for i in range(FRAMES)]
    summary = summarise(heard_of(wall_ns, heard_from, range(9, 28, 3)), recording(), FRAMES, speed, False)
    assert summary.indices == list(range(9, 28, 3))
    assert summary.coverage == pytest.approx(7 / FRAMES)
    assert summary.error is not None
    assert summary.error.translation_rmse < 1e-9
    assert summary.error.scale == pytest.approx(5.0)
    assert summary.rotation_rmse_deg < 1e-5
    assert summary.latency_percentiles_s == pytest.approx((0.018, 0.0261))


def test_covariances_are_turned_and_scaled_with_the_poses_that_are_drawn() -> None:
    source_ns = recording().stamps_ns
    summary = summarise(heard_of(source_ns, 0, range(2, 20)), recording(), FRAMES, 1.0, True)
    drawn = summary.drawn_covariance()
    assert drawn.shape == (18, 3, 3)
    # Five times as large as published, in other axes, the same of all poses.
    for covariance in drawn:
        assert np.sqrt(np.linalg.eigvalsh(covariance)) == pytest.approx([0.05, 0.10, 0.15])
        np.testing.assert_allclose(covariance, drawn[0], atol=1e-9)


def test_without_covariances_nothing_is_drawn_of_them() -> None:
    summary = lonely_summary(range(5, 9), published={})
    assert np.isnan(summary.drawn_covariance()).all()


def test_source_stamps_name_the_frame_and_say_nothing_of_latency() -> None:
    source_ns = recording().stamps_ns
    summary = summarise(heard_of(source_ns, 5, range(2, 20)), recording(), FRAMES, 1.0, True)
    assert summary.indices == list(range(2, 20))
    assert summary.latency_percentiles_s is None
    assert summary.record()["latency_p50_s"] is None


@pytest.mark.parametrize(("answered", "changes"), [(range(0), {}), (range(9, 28), {"published_ns": []})])
def test_without_poses_of_known_frames_there_are_numbers_but_no_picture(
    tmp_path: Path, answered: range, changes: dict[str, Any]
) -> None:
    summary = lonely_summary(answered, **changes)
    assert (summary.indices, summary.poses.shape, summary.coverage) == ([], (0, 4, 4), 0.0)
    assert summary.latency_percentiles_s is None
    record = summary.record()
    assert (record["poses"], record["frames_delivered"], record["frames_played"]) == (0, FRAMES, FRAMES)
    with pytest.raises(ValueError, match="none of the 50 frames has a pose"):
        draw(summary, tmp_path / "demo.png")
    assert not list(tmp_path.iterdir())
