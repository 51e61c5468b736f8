"""tracker: a rendered walk, and all that a camera does to a tracker."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from conftest import DATA
from walk import (
    BLACK,
    CAMERA,
    COUNT,
    FIRST_NS,
    HELD,
    INITIALISING,
    LOST,
    STEP_NS,
    TRACKING,
    Walk,
    follow,
    path_m,
    similarity,
    solved_from,
    states,
)

from ros2_raxels.geometry.covariance import UNKNOWN_VARIANCE
from ros2_raxels.geometry.poses import (
    inverse_pose,
    make_pose,
    relative_pose,
    rotation_angle_rad,
    rotation_from_vector,
)
from ros2_raxels.geometry.trajectory import align_similarity
from ros2_raxels.recordings.open import open_source
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.textures import PATTERNS
from ros2_raxels.scenes.world import furnished_room
from ros2_raxels.tracking.frame import StreamFrame
from ros2_raxels.tracking.metric_scale import USUAL_DEPTH_M
from ros2_raxels.tracking.resection import FrameSolve
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import LostPolicy, Motion, TrackedPose, TrackerSettings

RECORDED = DATA / "dev" / "7s_1000"


# ------------------------------------------------------------------------------------------------------- trajectory


def test_a_walk(walk: Walk, tracked: list[TrackedPose]) -> None:
    begun = solved_from(tracked)
    assert 1 <= begun < 15
    assert states(tracked) == [TRACKING] * COUNT
    assert [f.stamp_ns for f in tracked] == [FIRST_NS + k * STEP_NS for k in range(COUNT)]
    positions = np.array([f.camera_to_world[:3, 3] for f in tracked[begun:]])
    scale, remaining = similarity(positions, walk.poses[begun:, :3, 3])
    path = path_m(walk.poses[begun:])
    assert path > 1.2
    assert remaining < 0.02 * path
    # The first frame is the world. The unit is guessed by the median depth of its tracks, which are not spread evenly.
    assert scale == pytest.approx(walk.depth_m / USUAL_DEPTH_M, rel=0.25)
    off, turn = walk.error(tracked[begun:], list(range(begun, COUNT)), scale)
    assert off < 0.02
    assert turn < 1.0


def test_what_comes_with_a_pose(tracked: list[TrackedPose]) -> None:
    for found in tracked:
        pose = found.camera_to_world
        np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-9)
        np.testing.assert_allclose(found.covariance, found.covariance.T)
        if not found.has_depth:
            assert found.message
            np.testing.assert_array_equal(pose[:3, 3], np.zeros(3))
        else:
            assert 0.5 < found.confidence <= 1.0
            assert found.message == ""
            assert np.linalg.eigvalsh(found.covariance).min() > 0
            assert np.diag(found.covariance).max() < 0.05**2
            assert 0.8 * found.solve.correspondences < found.solve.inliers <= found.solve.correspondences
            assert 0 < found.solve.residual_px < 1
        assert found.stage_s["look"] > 0
    assert 2 <= sum(f.keyframe for f in tracked) < COUNT // 3


def test_residuals_are_in_pixels_of_the_image_as_given(walk: Walk) -> None:
    """The same working image from a small and from a large original, whose points are measured in more pixels."""
    large = [cv2.resize(image, (748, 562), interpolation=cv2.INTER_CUBIC) for image in walk[:12]]
    small = [Tracker()._matcher.look(image).grey for image in large]
    assert small[0].shape == (281, 374)
    of_large, of_small = (
        follow(Tracker(), images, CAMERA.resized(images[0].shape[1], images[0].shape[0])) for images in (large, small)
    )
    np.testing.assert_allclose(of_large[-1].camera_to_world, of_small[-1].camera_to_world, atol=0.01)
    assert of_small[-1].state is TRACKING
    assert of_large[-1].solve.residual_px == pytest.approx(2 * of_small[-1].solve.residual_px, rel=0.5)


def test_a_still_camera_does_not_drift(walk: Walk) -> None:
    found = follow(Tracker(), [*walk[:16], *[walk.images[15]] * 30])
    assert set(states(found[16:])) == {TRACKING}
    still = np.array([f.camera_to_world for f in found[15:]])
    # One unit is the scene's depth.
    assert np.linalg.norm(still[:, :3, 3] - still[0, :3, 3], axis=1).max() < 0.01
    assert np.degrees(rotation_angle_rad(still[0, :3, :3].T @ still[:, :3, :3])).max() < 0.2


def test_the_tracker_says_what_it_computes_with(walk: Walk) -> None:
    assert Tracker().engine_id == "evidence and guidance, no denoiser"

    class Named:
        def describe(self) -> str:
            return "the truth"

    assert Tracker(denoiser=Named()).engine_id == "the truth"  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------------- loss, recovery


def test_a_covered_lens(walk: Walk, scale: float) -> None:
    """Two black frames are held; many are a loss; a known place ends it."""
    found = follow(Tracker(), [*walk[:16], BLACK, BLACK, *walk[18:36], *[BLACK] * 12, *walk[:26][:14:-1]])
    glance, before, covered, after = found[16:18], found[18:36], found[36:48], found[48:]
    assert states(glance) == [HELD] * 2
    assert set(states(before)) == {TRACKING}
    off, turn = walk.error(before, list(range(18, 36)), scale)
    assert off < 0.02
    assert turn < 1.0
    assert states(covered) == [HELD] * 4 + [LOST] * 8
    for held in covered:
        np.testing.assert_array_equal(held.camera_to_world, before[-1].camera_to_world)
        assert held.confidence < 0.2
        assert held.message
    uncertain = [np.diag(f.covariance) for f in [before[-1], *covered[:4]]]
    grown = np.subtract(uncertain[1:], uncertain[0])
    assert (grown[0] > 0).all()
    # What is not known is the velocity: the standard deviation grows with the frames.
    np.testing.assert_allclose(grown, np.outer(np.square([1.0, 2.0, 3.0, 4.0]), grown[0]))
    for lost in covered[4:]:
        np.testing.assert_array_equal(lost.covariance, UNKNOWN_VARIANCE * np.eye(6))
    # It was there before, but not just before the loss.
    frames = list(range(25, 14, -1))
    again = states(after).index(TRACKING)
    assert again < 10
    assert set(states(after[again:])) == {TRACKING}
    off, turn = walk.error(after[again:], frames[again:], scale)
    assert off < 0.02
    assert turn < 1.0
    assert np.diag(after[-1].covariance).max() < 0.05**2


def test_a_lens_covered_for_long_ends_no_trajectory(walk: Walk, scale: float) -> None:
    tracker = Tracker(TrackerSettings(restart_frames=5))
    found = follow(tracker, [*walk[:20], *[BLACK] * 40, *walk[14:22]])
    assert set(states(found[25:60])) == {LOST}
    assert "nothing to be seen" in found[59].message
    back = found[60:]
    begun = states(back).index(TRACKING)
    assert begun < 3
    assert set(states(back[begun:])) == {TRACKING}
    off, turn = walk.error(back[begun:], list(range(14 + begun, 22)), scale)
    assert off < 0.02
    assert turn < 1.0


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(not RECORDED.is_dir(), reason="recorded data is not there")
def test_a_lens_covered_for_3_s_of_a_recording() -> None:
    recorded = list(open_source(RECORDED))
    frames = recorded[200:620]
    covered = slice(300, 390)
    tracker, found = Tracker(), []
    for k, frame in enumerate(frames):
        image = np.zeros_like(frame.image) if covered.start <= k < covered.stop else frame.image
        found.append(tracker.track(image, frame.stamp_ns, frame.camera))
    begun = solved_from(found)
    before = [k for k in range(begun, covered.start) if found[k].state is TRACKING]
    assert len(before) > 250
    assert states(found[covered]) == [HELD] * 4 + [LOST] * 86
    for lost in found[covered][4:]:
        np.testing.assert_array_equal(lost.covariance, UNKNOWN_VARIANCE * np.eye(6))
    # The kitchen has been seen before from there.
    again = covered.stop + states(found[covered.stop :]).index(TRACKING)
    assert again < covered.stop + 30
    assert set(states(found[again:])) == {TRACKING}
    truth = np.array([frame.camera_to_world[:3, 3] for frame in frames if frame.camera_to_world is not None])
    positions = np.array([f.camera_to_world[:3, 3] for f in found])
    scale, rotation, offset = align_similarity(positions[before], truth[before])
    off_m = np.linalg.norm(scale * positions @ rotation.T + offset - truth, axis=1)
    # No more than the drift over the whole recording, a percent of its path.
    whole = np.array([frame.camera_to_world for frame in recorded if frame.camera_to_world is not None])
    assert np.median(off_m[again:]) < 0.01 * path_m(whole)


def test_no_keyframe_is_forgotten_or_kept_twice_by_recoveries(walk: Walk, scale: float) -> None:
    tracker = Tracker()
    follow(tracker, walk.images)

    def known() -> list[int]:
        return sorted(
            keyframe.number for keyframe in (*tracker._live.keyframes.stored, *tracker._live.keyframes.window)
        )

    numbers = known()
    assert len(numbers) > 5
    for frames in (range(3, 9), range(50, 58), range(18, 24)):
        assert states(follow(tracker, [BLACK] * 6))[-1] is LOST
        back = follow(tracker, walk[list(frames)])
        begun = states(back).index(TRACKING)
        assert begun < 3
        assert set(states(back[begun:])) == {TRACKING}
        off, turn = walk.error(back[begun:], list(frames)[begun:], scale)
        assert off < 0.02
        assert turn < 1.0
        assert len(set(known())) == len(known())
        assert set(numbers) <= set(known())


def test_unrelated_images_are_not_tracked(walk: Walk) -> None:
    rng = np.random.default_rng(0)
    wall = PATTERNS["bricks"](rng, 0)[:240, :320]
    noise = rng.integers(0, 255, (3, *BLACK.shape)).astype(np.uint8)
    tracker = Tracker()
    found = follow(tracker, [*walk[:12], wall, *noise, wall, wall])
    assert states(found[12:]) == [HELD] * 4 + [LOST] * 2
    # The wall has not turned from one image to the next. The last frame before it has become a keyframe, and its pose
    # has been refined.
    np.testing.assert_allclose(found[-1].camera_to_world, tracker.pose_now(found[11]), atol=1e-6)


def test_the_frame_before_one_that_is_not_found_becomes_a_keyframe(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = Tracker()
    seen = next(
        k
        for k, image in enumerate(walk.images)
        if not tracker.track(image, FIRST_NS + k * STEP_NS, CAMERA).keyframe and k > 20
    )
    windows: list[list[int]] = []
    look = tracker._search.following

    def not_at_first(frame: StreamFrame, stage_s: dict[str, float]) -> tuple[FrameSolve | None, bool]:
        windows.append(list(tracker._live.keyframes.window_numbers))
        return look(frame, stage_s) if len(windows) > 1 else (None, False)

    monkeypatch.setattr(tracker._search, "following", not_at_first)
    found = tracker.track(walk.images[seen + 1], FIRST_NS + (seen + 1) * STEP_NS, CAMERA)
    assert found.state is TRACKING
    assert windows == [windows[0], [*windows[0][1:], seen]]
    assert windows[0][-1] < seen


def test_after_a_long_loss_a_new_trajectory_begins_where_the_last_one_ended(walk: Walk) -> None:
    tracker = Tracker(TrackerSettings(lost_frames=2, restart_frames=3))
    elsewhere = list(np.random.default_rng(0).integers(0, 255, (5, *BLACK.shape)).astype(np.uint8))
    found = follow(tracker, [*walk[:12], *elsewhere, *[image[:, ::-1] for image in walk[30:46]]])
    assert states(found[12:17]) == [HELD] + [LOST] * 4
    # The last frame of it became a keyframe when the next was not found, and its pose has been refined.
    last, after = tracker.pose_now(found[11]), found[17:]
    np.testing.assert_allclose(last, found[11].camera_to_world, atol=2e-3)
    begun = states(after).index(TRACKING)
    assert states(after) == [INITIALISING] * begun + [TRACKING] * (16 - begun)
    assert "new trajectory" in found[16].message
    for waiting in after[:begun]:
        np.testing.assert_allclose(waiting.camera_to_world, last, atol=1e-12)
    # How far the camera went meanwhile is not known: five frames at the speed before the loss.
    before = np.array([f.camera_to_world for f in found[6:12]])
    gone = 5 * np.linalg.norm(relative_pose(before[:-1], before[1:])[:, :3, 3], axis=1).max()
    assert gone < np.sqrt(np.diag(after[begun].covariance)[:3]).min() < 1.2 * gone
    step = inverse_pose(last) @ np.array([f.camera_to_world for f in after[begun:]])
    # A mirrored room is another room, and its camera moves as a mirrored one.
    mirrored = relative_pose(walk.poses[30], walk.poses[30 + begun : 46])[:, :3, 3] * (-1, 1, 1)
    scale, _ = similarity(step[:, :3, 3], mirrored)
    np.testing.assert_allclose(scale * step[:, :3, 3], mirrored, atol=0.05 * np.abs(mirrored).max())


# ------------------------------------------------------------------------------------------------------ first frames


def test_reset_forgets_everything(walk: Walk) -> None:
    fresh = follow(Tracker(), walk[30:42])
    tracker = Tracker()
    follow(tracker, walk[:8])
    tracker.reset()
    assert tracker.camera is None
    again = follow(tracker, walk[30:42])
    assert states(again) == states(fresh)
    assert not again[0].has_depth
    for a, b in zip(again, fresh, strict=True):
        np.testing.assert_array_equal(a.camera_to_world, b.camera_to_world)
        np.testing.assert_array_equal(a.covariance, b.covariance)


# ---------------------------------------------------------------------------------------------------------- bad input


def test_bad_input_is_refused_and_leaves_no_trace(walk: Walk, tracked: list[TrackedPose]) -> None:
    tracker = Tracker()
    found = follow(tracker, walk[:12])
    with pytest.raises(ValueError, match="image is 160x120 px but its camera is 320x240 px"):
        tracker.track(BLACK[:120, :160], 0, CAMERA)
    with pytest.raises(ValueError, match="image is 320x240 px but its camera is 640x480 px"):
        tracker.track(walk.images[12], 0, CAMERA.resized(640, 480))
    with pytest.raises(ValueError, match=r"\(240, 320, 3\) and type float64"):
        tracker.track(walk.images[12] / 255, 0, CAMERA)
    with pytest.raises(ValueError, match=r"\(240, 320, 4\)"):
        tracker.track(np.zeros((240, 320, 4), np.uint8), 0, None)
    with pytest.raises(ValueError, match="empty"):
        tracker.track(np.zeros((0, 320), np.uint8), 0, None)
    found += follow(tracker, walk[12:16])
    for a, b in zip(found, tracked[:16], strict=True):
        np.testing.assert_array_equal(a.camera_to_world, b.camera_to_world)


# ------------------------------------------------------------------------------------------------------------- memory


def test_memory_is_bounded(walk: Walk) -> None:
    settings = TrackerSettings(stored_keyframes=2)
    tracker = Tracker(settings)
    small = [cv2.resize(image, (160, 120), interpolation=cv2.INTER_AREA) for image in walk[::2]]
    kept, keyframes = [], 0
    for image in [*small, *small[-2::-1]]:
        found = tracker.track(image, 0, CAMERA.resized(160, 120))
        keyframes += found.keyframe
        kept.append(len(tracker._live.mapper.shared))
        assert len(tracker._live.keyframes.stored) <= settings.stored_keyframes
        assert len(tracker._live.keyframes.window) <= settings.window
    assert found.state is TRACKING
    # One more waits to become a keyframe.
    most = settings.stored_keyframes + settings.window + 1
    assert keyframes > 2 * most
    assert max(kept) <= most * (most - 1) // 2


# ----------------------------------------------------------------------------------------------- loops, maps, metres


def test_a_place_passed_many_times_is_found_again_at_its_own_scale(walk: Walk) -> None:
    """Many keyframes stand on one spot there: the lengths between those say nothing."""
    rng = np.random.default_rng(0)
    way = [k for k in [*range(30), *range(28, 0, -1)] * 6 if rng.random() < 0.8]
    looks = [range(begin, begin + 8) for begin in (10, 16)]
    seen = [*way, *(k for look in looks for k in [-1] * 6 + [*look])]
    found = follow(Tracker(TrackerSettings(restart_frames=1000)), [BLACK if k < 0 else walk.images[k] for k in seen])
    truth = np.array([relative_pose(walk.poses[0], walk.poses[max(k, 0)])[:3, 3] for k in seen])
    places = np.array([f.camera_to_world[:3, 3] for f in found])
    scale, _ = similarity(truth[len(way) - 60 : len(way)], places[len(way) - 60 : len(way)])
    again = np.array([k >= 0 for k in seen])
    again[: len(way)] = False
    assert set(states([f for f, is_again in zip(found, again, strict=True) if is_again])) == {TRACKING}
    assert np.linalg.norm(places[again] - scale * truth[again], axis=1).max() < 0.01


@pytest.mark.parametrize("policy", [LostPolicy.STOP, LostPolicy.HOLD])
def test_nothing_is_begun_anew_unless_asked_for(walk: Walk, policy: LostPolicy) -> None:
    tracker = Tracker(TrackerSettings(lost_frames=2, restart_frames=3, lost_policy=policy))
    noise = list(np.random.default_rng(0).integers(0, 255, (12, *BLACK.shape)).astype(np.uint8))
    found = follow(tracker, [*walk[:12], *noise, *walk[10:13]])
    assert states(found[13:24]) == [LOST] * 11
    assert states(found)[-1] is TRACKING


def test_what_the_camera_does_is_said(walk: Walk) -> None:
    still = follow(Tracker(), [*walk[:16], *[walk.images[15]] * 14])
    assert still[15].motion is Motion.MOVING
    assert still[-1].motion is Motion.STILL
    assert still[0].motion is Motion.STILL
    room = furnished_room(3)
    turns = [
        render(room, CAMERA, walk.poses[15] @ make_pose(rotation_from_vector([0.0, 0.02 * k, 0.0]), np.zeros(3)))[0]
        for k in range(1, 15)
    ]
    turned = follow(Tracker(), [*walk[:16], *turns])
    assert turned[-1].state is TRACKING
    assert turned[-1].motion is Motion.TURNING
    place = relative_pose(turned[15].camera_to_world, turned[-1].camera_to_world)
    assert np.linalg.norm(place[:3, 3]) < 0.01


def test_sudden_light_is_survived(walk: Walk, scale: float) -> None:
    bright = [np.clip(image * 1.5 + 20.0, 0, 255).astype(np.uint8) for image in walk[20:40]]
    found = follow(Tracker(), [*walk[:20], *bright])
    assert set(states(found[20:])) <= {TRACKING, HELD}
    assert states(found[22:]) == [TRACKING] * 18
    off, turn = walk.error(found[22:], list(range(22, 40)), scale)
    assert off < 0.03
    assert turn < 1.0


def test_uncertainty_grows_along_the_way_and_covers_the_error(walk: Walk, tracked: list[TrackedPose]) -> None:
    begun = solved_from(tracked)
    sigma = [float(np.sqrt(np.trace(f.covariance[:3, :3]))) for f in tracked[begun:]]
    assert sigma[-1] > 1.02 * sigma[0]
    positions = np.array([f.camera_to_world[:3, 3] for f in tracked[begun:]])
    scale, _ = similarity(positions[:20], walk.poses[begun : begun + 20, :3, 3])
    truth = relative_pose(walk.poses[0], walk.poses[begun:])[:, :3, 3] / scale
    assert (np.linalg.norm(positions - truth, axis=1) < 2.0 * np.array(sigma)).all()
