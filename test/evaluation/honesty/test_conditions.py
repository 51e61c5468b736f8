"""Conditions of the battery: which frames are left, and what has become of them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ros2_raxels.evaluation.honesty.conditions import CONDITIONS, at_rate, with_something_moving
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.recordings.source import Frame

WIDTH, HEIGHT, FRAMES, RATE_HZ = 160, 120, 450, 30.0
CAMERA = PinholeCamera(WIDTH, HEIGHT, 140.0, 141.0, 80.0, 60.0)
IMAGE = np.random.default_rng(0).integers(60, 190, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    """All with the same image."""
    return [Frame(k, 5_000_000_000 + round(k * 1e9 / RATE_HZ), IMAGE, CAMERA, None, str(k)) for k in range(FRAMES)]


@pytest.mark.parametrize("name", CONDITIONS)
def test_every_condition_gives_the_same_frames_each_time_and_leaves_those_given(frames: list[Frame], name: str) -> None:
    before = IMAGE.copy()
    once, again = (list(CONDITIONS[name].change(frames[:120])) for _ in range(2))
    assert [f.index for f in once] == [f.index for f in again]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(once, again, strict=True))
    assert [f.stamp_ns for f in once] == [frames[f.index].stamp_ns for f in once]
    np.testing.assert_array_equal(before, IMAGE)
    assert CONDITIONS[name].name == name


def test_a_third_of_the_frames_is_missing_in_bursts_of_half_a_second(frames: list[Frame]) -> None:
    kept = [f.index for f in CONDITIONS["gaps"].change(frames)]
    assert kept[:30] == list(range(30))
    assert len(kept) == pytest.approx(FRAMES * 2 / 3, abs=10)
    missing = np.diff(kept) - 1
    assert set(missing[missing > 0].tolist()) <= {14, 15, 16, 29, 30, 31}
    assert (missing > 0).sum() >= 8


def test_a_lower_rate_has_even_frames(frames: list[Frame]) -> None:
    kept = [f.index for f in CONDITIONS["5hz"].change(frames)]
    assert kept == list(range(0, FRAMES, 6))
    assert [f.index for f in at_rate(100.0)(frames)] == list(range(FRAMES))


def test_a_wrong_focal_length_is_told_and_the_image_is_the_same(frames: list[Frame]) -> None:
    found = next(CONDITIONS["focal"].change(frames))
    assert found.camera is not None
    assert (found.camera.fx, found.camera.fy) == (pytest.approx(147.0), pytest.approx(148.05))
    assert found.image is IMAGE


def test_exposure_changes_in_steps(frames: list[Frame]) -> None:
    means = np.array([f.image.mean() for f in CONDITIONS["exposure"].change(frames)])
    steps = np.flatnonzero(np.abs(np.diff(means)) > 1.0) + 1
    assert steps.tolist() == list(range(60, FRAMES, 60))


def test_a_third_is_blurred(frames: list[Frame]) -> None:
    sharp = cv2.Laplacian(IMAGE, cv2.CV_64F).var()
    blurred = [cv2.Laplacian(f.image, cv2.CV_64F).var() < 0.6 * sharp for f in CONDITIONS["blur"].change(frames)]
    assert len(blurred) == FRAMES
    assert np.mean(blurred) == pytest.approx(1 / 3, abs=0.03)


@pytest.mark.parametrize("share", [0.2, 0.6])
def test_what_moves_covers_its_share_and_passes_through(frames: list[Frame], share: float) -> None:
    changed = np.array(
        [(f.image != IMAGE).any(axis=2).mean(axis=0) > 0.5 for f in with_something_moving(share)(frames)]
    )
    covered = changed.mean(axis=1)
    assert covered.max() == pytest.approx(share, abs=0.05)
    assert (covered[:30] == 0).all()
    assert (covered > 0).mean() > 0.5
    full = np.flatnonzero(np.abs(covered - covered.max()) < 0.01)
    places = changed[full].argmax(axis=1)
    assert np.ptp(places) > 0.3 * WIDTH
    # The wall is one piece.
    assert (np.abs(np.diff(changed[full].astype(int), axis=1)).sum(axis=1) <= 2).all()
