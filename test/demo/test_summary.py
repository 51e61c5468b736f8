"""Poses are assigned to the frames they belong to, and the numbers are those of the frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from demo_runs import FRAMES, RATE_HZ, heard_of, lonely_summary, recording, rig_recording
from rig_sets import write_walk_set
from rig_walk import sides

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces")

from ros2_raxels.demo.picture import draw
from ros2_raxels.demo.summary import read_recording, summarise
from ros2_raxels.geometry.poses import FloatArray, inverse_pose
from ros2_raxels.recordings.open import open_source


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


def test_poses_of_a_rig_are_those_of_its_base_and_each_camera_stands_where_it_is_mounted() -> None:
    played = rig_recording()
    assert played.truth is not None
    heard = heard_of(played.stamps_ns, 0, range(1, FRAMES))
    to_base = inverse_pose(played.shown[0].mount)
    heard.poses = {stamp: pose @ _in_unit(to_base, 0.2) for stamp, pose in heard.poses.items()}
    summary = summarise(heard, played, FRAMES, 1.0, True)
    assert summary.error is not None
    assert summary.error.translation_rmse < 1e-9
    estimate, truth = summary.drawn()
    assert truth is not None
    # The base has body axes already.
    np.testing.assert_allclose(truth[0], np.eye(4), atol=1e-9)
    np.testing.assert_allclose(estimate, truth[1:], atol=1e-6)
    assert [one.name for one in played.shown] == ["left", "right"]
    np.testing.assert_allclose(
        (estimate[0] @ played.shown[0].mount)[:3, :3] @ [0, 0, 1], _ahead(truth[1], 0.8), atol=1e-6
    )


def _in_unit(pose: FloatArray, units: float) -> FloatArray:
    scaled = pose.copy()
    scaled[:3, 3] *= units
    return scaled


def _ahead(base: FloatArray, turned_rad: float) -> FloatArray:
    return np.asarray(base[:3, :3] @ [np.cos(turned_rad), np.sin(turned_rad), 0.0])


def test_all_images_of_a_moment_are_kept_and_a_missing_one_is_black(tmp_path: Path) -> None:
    walk = sides()
    folder = write_walk_set(tmp_path / "set", walk, 3)
    sorted((folder / "right").iterdir())[1].unlink()
    played = read_recording(open_source(str(folder)), 3)
    assert played.rig is not None
    assert played.truth is not None
    np.testing.assert_allclose(played.truth, walk.base_to_world[:3], atol=1e-6)
    both, one = played.images[0], played.images[1]
    assert [image.shape for image in both] == [image.shape for image in one]
    assert min(image.max() for image in (*both, one[0])) > 0
    assert one[1].max() == 0


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
