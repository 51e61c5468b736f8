"""tracker: a rendered walk, and all that a camera does to a tracker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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
    Image,
    Walk,
    follow,
    path_m,
    similarity,
    solved_from,
    states,
)

from ros2_raxels.geometry.covariance import UNKNOWN_VARIANCE
from ros2_raxels.geometry.poses import (
    FloatArray,
    inverse_pose,
    make_pose,
    relative_pose,
    rotation_angle_rad,
    rotation_from_vector,
    rotation_vector,
)
from ros2_raxels.geometry.trajectory import align_similarity
from ros2_raxels.recordings.open import open_source
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.textures import PATTERNS
from ros2_raxels.scenes.world import furnished_room
from ros2_raxels.tracking.budget import Budget
from ros2_raxels.tracking.metric_scale import ScaleSettings, ScaleSource
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
    # The first frame is the world, and the median depth of its tracks (which are not spread evenly) is the unit.
    assert scale == pytest.approx(walk.depth_m, rel=0.25)
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


def test_before_there_are_depths_the_pose_is_within_what_is_said_of_it(
    walk: Walk, tracked: list[TrackedPose], scale: float
) -> None:
    begun = solved_from(tracked)
    truth = relative_pose(walk.poses[0], walk.poses[:begun])
    for found, true in zip(tracked[:begun], truth, strict=True):
        sigma = np.sqrt(np.diag(found.covariance))
        assert (sigma[:3] * scale < 0.05 * walk.depth_m).all()
        off = found.camera_to_world[:3, 3] - true[:3, 3] / scale
        turned = rotation_vector(found.camera_to_world[:3, :3] @ true[:3, :3].T)
        assert (np.abs(np.concatenate([off, turned])) < 2.5 * sigma).all()


def test_frames_before_the_start_are_told_afterwards(walk: Walk, tracked: list[TrackedPose], scale: float) -> None:
    begun = solved_from(tracked)
    assert [k for k, f in enumerate(tracked) if f.earlier] == [begun]
    # The step from a camera that was said to stand is no motion.
    assert [k for k, f in enumerate(tracked[: begun + 3]) if f.corrected] == [begun]
    earlier = tracked[begun].earlier
    frames = [(stamp - FIRST_NS) // STEP_NS for stamp, _ in earlier]
    assert frames == list(range(begun))
    truth = relative_pose(walk.poses[0], walk.poses[frames])
    for (_, pose), true in zip(earlier, truth, strict=True):
        assert np.linalg.norm(scale * pose[:3, 3] - true[:3, 3]) < 0.01 * walk.depth_m
        assert np.degrees(rotation_angle_rad(pose[:3, :3].T @ true[:3, :3])) < 0.5


def test_focal_length_without_intrinsics(walk: Walk) -> None:
    tracker = Tracker()
    found = follow(tracker, walk[:24], None)
    begun = solved_from(found)
    assert states(found[begun:]) == [TRACKING] * (24 - begun)
    assert tracker.camera is not None
    assert tracker.camera.fx == pytest.approx(256.0, rel=0.15)
    positions = np.array([f.camera_to_world[:3, 3] for f in found[begun:]])
    assert similarity(positions, walk.poses[begun:24, :3, 3])[1] < 0.03 * path_m(walk.poses[begun:24])


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


def test_a_camera_that_never_moves_stands_from_the_first_frame(walk: Walk) -> None:
    noise = np.random.default_rng(0).normal(0, 2, (25, *BLACK.shape))
    images = [(walk.images[0] + n).clip(0, 255).astype(np.uint8) for n in noise]
    found = follow(Tracker(), images)
    assert set(states(found)) == {TRACKING}
    assert {f.motion for f in found} == {Motion.STILL}
    for still in found:
        np.testing.assert_array_equal(still.camera_to_world[:3, 3], np.zeros(3))
        assert np.degrees(rotation_angle_rad(still.camera_to_world[:3, :3])) < 0.05
        assert np.sqrt(np.diag(still.covariance)).max() < 0.005
        assert not still.scale.is_metric
        assert still.confidence > 0.9
    assert "moved" in found[-1].message


def test_poses_do_not_depend_on_when_keyframes_are_made(walk: Walk, tracked: list[TrackedPose]) -> None:
    tracker, found = Tracker(), []
    for k, image in enumerate(walk[:30]):
        found.append(tracker.track(image, FIRST_NS + k * STEP_NS, CAMERA))
        if k % 3:
            tracker.improve()
    assert sum(f.keyframe for f in found) > 2
    for a, b in zip(found, tracked[:30], strict=True):
        np.testing.assert_array_equal(a.camera_to_world, b.camera_to_world)


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


def test_ground_known_from_long_ago(walk: Walk, scale: float) -> None:
    """The last keyframes see the right of the scene alone; after the loss only its left is to be seen."""

    def between(left: int, right: int, images: list[Image]) -> list[Image]:
        seen = (np.arange(320) >= left) & (np.arange(320) < right)
        return [np.where(seen[:, None], image, np.uint8(0)) for image in images]

    images = [*walk[:16], *between(96, 320, walk[16:46]), *[BLACK] * 6, *between(0, 150, walk[2:10])]
    found = follow(Tracker(), images)
    assert found[51].state is LOST
    begun = states(found[52:]).index(TRACKING)
    assert set(states(found[52 + begun :])) == {TRACKING}
    off, turn = walk.error(found[52 + begun :], list(range(2 + begun, 10)), scale)
    assert off < 0.02
    assert turn < 1.0


def test_no_keyframe_is_forgotten_or_kept_twice_by_recoveries(walk: Walk, scale: float) -> None:
    tracker = Tracker()
    follow(tracker, walk.images)

    def known() -> list[int]:
        return sorted(keyframe.number for keyframe in (*tracker._map.stored, *tracker._map.window))

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


def test_frames_after_a_recovery_far_from_all_keyframes(walk: Walk) -> None:
    """The first keyframe there shares no flow with the others, and yet the frames that follow it have depth."""
    tracker = Tracker(TrackerSettings(stored_keyframes=1))
    found = follow(tracker, walk[24:60])
    chosen = [k for k, f in enumerate(found) if f.state is TRACKING]
    positions = np.array([found[k].camera_to_world[:3, 3] for k in chosen])
    scale, _ = similarity(positions, walk.poses[24:60][chosen, :3, 3])
    assert states(follow(tracker, [BLACK] * 6))[-1] is LOST
    back = follow(tracker, walk[24:34])
    begun = states(back).index(TRACKING)
    assert begun < 3
    assert set(states(back[begun:])) == {TRACKING}
    truth = relative_pose(walk.poses[24], walk.poses[24 + begun : 34])
    poses = np.array([f.camera_to_world for f in back[begun:]])
    assert np.linalg.norm(scale * poses[:, :3, 3] - truth[:, :3, 3], axis=1).max() < 0.02 * walk.depth_m
    turn = rotation_angle_rad(np.swapaxes(poses[:, :3, :3], 1, 2) @ truth[:, :3, :3])
    assert np.degrees(turn).max() < 1.0


def test_unrelated_images_are_not_tracked(walk: Walk) -> None:
    rng = np.random.default_rng(0)
    wall = PATTERNS["bricks"](rng, 0)[:240, :320]
    noise = rng.integers(0, 255, (3, *BLACK.shape)).astype(np.uint8)
    found = follow(Tracker(), [*walk[:12], wall, *noise, wall, wall])
    assert states(found[12:]) == [HELD] * 4 + [LOST] * 2
    np.testing.assert_array_equal(found[-1].camera_to_world, found[11].camera_to_world)


def test_after_a_long_loss_a_new_trajectory_begins_where_the_last_one_ended(walk: Walk) -> None:
    tracker = Tracker(TrackerSettings(lost_frames=2, restart_frames=3))
    elsewhere = list(np.random.default_rng(0).integers(0, 255, (5, *BLACK.shape)).astype(np.uint8))
    found = follow(tracker, [*walk[:12], *elsewhere, *[image[:, ::-1] for image in walk[30:46]]])
    assert states(found[12:17]) == [HELD] + [LOST] * 4
    last, after = found[11].camera_to_world, found[17:]
    begun = states(after).index(TRACKING)
    assert states(after) == [INITIALISING] * begun + [TRACKING] * (16 - begun)
    assert "new trajectory" in found[16].message
    for waiting in after[:begun]:
        np.testing.assert_array_equal(waiting.camera_to_world, last)
    # How far the camera went meanwhile is not known: five frames at the speed before the loss.
    gone = 5 * np.linalg.norm(relative_pose(found[10].camera_to_world, last)[:3, 3])
    assert gone < np.sqrt(np.diag(after[begun].covariance)[:3]).min() < 1.2 * gone
    step = inverse_pose(last) @ np.array([f.camera_to_world for f in after[begun:]])
    # A mirrored room is another room, and its camera moves as a mirrored one.
    mirrored = relative_pose(walk.poses[30], walk.poses[30 + begun : 46])[:, :3, 3] * (-1, 1, 1)
    scale, _ = similarity(step[:, :3, 3], mirrored)
    np.testing.assert_allclose(scale * step[:, :3, 3], mirrored, atol=0.05 * np.abs(mirrored).max())


# ------------------------------------------------------------------------------------------------------ first frames


@pytest.mark.parametrize("first", [1, 6])
def test_black_frames_first(walk: Walk, scale: float, first: int) -> None:
    found = follow(Tracker(), [*[BLACK] * first, *walk[:14]])
    assert set(states(found[:first])) == {INITIALISING}
    begun = solved_from(found)
    assert begun < first + 10
    assert set(states(found[begun:])) == {TRACKING}
    # Whatever frame became the origin, poses relative to each other are right.
    last = relative_pose(found[begun].camera_to_world, found[-1].camera_to_world)
    truth = relative_pose(walk.poses[begun - first], walk.poses[13])
    assert np.degrees(rotation_angle_rad(last[:3, :3].T @ truth[:3, :3])) < 0.5
    cosine = last[:3, 3] @ truth[:3, 3] / np.linalg.norm(last[:3, 3]) / np.linalg.norm(truth[:3, 3])
    assert cosine > np.cos(np.radians(3))


@pytest.fixture(scope="module")
def turning(walk: Walk) -> list[Image]:
    """A camera that turns to the right on the spot, by 2 degrees from frame to frame."""
    room, rights = furnished_room(3), [rotation_from_vector([0.0, np.radians(2.0 * k), 0.0]) for k in range(9)]
    return [render(room, CAMERA, walk.poses[0] @ make_pose(right, np.zeros(3)))[0] for right in rights]


def test_a_camera_that_only_turns_is_turned_and_does_not_start(walk: Walk, turning: list[Image]) -> None:
    tracker = Tracker()
    found = follow(tracker, turning)
    assert set(states(found)) == {TRACKING}
    assert all("sideways" in f.message for f in found[2:])
    for k, turned in enumerate(found):
        assert not turned.has_depth
        np.testing.assert_array_equal(turned.camera_to_world[:3, 3], np.zeros(3))
        off = turned.camera_to_world[:3, :3].T @ rotation_from_vector([0.0, np.radians(2.0 * k), 0.0])
        assert np.degrees(rotation_angle_rad(off)) < 0.3
        assert rotation_angle_rad(off) < 2.0 * np.sqrt(turned.covariance[4, 4])
    # And it still starts when there is something to start from.
    last = follow(tracker, walk[:14])[-1]
    assert (last.state, last.has_depth) == (TRACKING, True)


def test_a_pose_set_while_the_camera_turns_is_that_of_the_newest_frame(turning: list[Image]) -> None:
    tracker = Tracker()
    follow(tracker, turning[:8])
    there = make_pose(rotation_from_vector([0.0, 1.0, 0.0]), [5.0, 0.0, -3.0])
    tracker.set_pose(there, np.eye(6) * 1e-4)
    after = tracker.track(turning[8], FIRST_NS + 8 * STEP_NS, CAMERA)
    assert (after.state, after.has_depth, after.corrected) == (TRACKING, False, True)
    moved = relative_pose(there, after.camera_to_world)
    assert np.linalg.norm(moved[:3, 3]) < 1e-9
    off = moved[:3, :3].T @ rotation_from_vector([0.0, np.radians(2.0), 0.0])
    assert np.degrees(rotation_angle_rad(off)) < 0.3
    assert np.trace(after.covariance) > 6e-4


def test_nothing_but_black_is_no_error() -> None:
    for camera in (CAMERA, None):
        assert set(states(follow(Tracker(), [BLACK] * 12, camera))) == {INITIALISING}


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


def test_a_camera_that_changes_its_resolution_is_followed(walk: Walk, scale: float) -> None:
    tracker = Tracker()
    follow(tracker, walk[:14])
    small = [cv2.resize(image, (256, 192), interpolation=cv2.INTER_AREA) for image in walk[14:26]]
    found = follow(tracker, small, CAMERA.resized(256, 192))
    assert set(states(found)) == {TRACKING}
    off, turn = walk.error(found, list(range(14, 26)), scale)
    assert off < 0.01
    assert turn < 0.6


def test_without_time_a_frame_is_not_looked_at_thoroughly_and_what_is_lost_is_found_all_the_same(walk: Walk) -> None:
    """A machine on which each frame takes longer than its period, and a thorough look ten times as long."""

    class Slow(Budget):
        def has_time_for(self, look: str) -> bool:
            self.refused = True
            return False

    tracker = Tracker()
    tracker._budget, looked = Slow(limited=True), []
    thoroughly = tracker._solve_thoroughly
    tracker._solve_thoroughly = lambda *of: (looked.append(of[0].number), thoroughly(*of))[1]  # type: ignore[method-assign, func-returns-value]
    found = follow(tracker, [*walk[:16], *[BLACK] * 6, *walk[16:22]])
    covered, back = found[16:22], found[22:]
    assert states(covered) == [HELD] * 4 + [LOST] * 2
    assert looked[0] == 21
    assert all("no time for a thorough look at this rate" in held.message for held in covered[:4])
    assert "no time" not in covered[5].message
    assert states(back)[-4:] == [TRACKING] * 4


def test_stamps_that_jitter_by_half_a_period_cost_no_pose(walk: Walk, scale: float) -> None:
    """Constant velocity leads up to half a step astray."""
    rng, tracker = np.random.default_rng(0), Tracker()
    stamps_ns = [FIRST_NS + k * STEP_NS + int(rng.uniform(-0.45, 0.45) * STEP_NS) for k in range(30)]
    assert 0 < min(np.diff(stamps_ns)) < 0.6 * STEP_NS
    found = [tracker.track(image, stamp_ns, CAMERA) for image, stamp_ns in zip(walk[:30], stamps_ns, strict=True)]
    begun = solved_from(found)
    assert set(states(found[begun:])) == {TRACKING}
    off, turn = walk.error(found[begun:], list(range(begun, 30)), scale)
    assert off < 0.02
    assert turn < 1.0


# ------------------------------------------------------------------------------------------------------------- memory


def test_memory_is_bounded(walk: Walk) -> None:
    settings = TrackerSettings(stored_keyframes=2)
    tracker = Tracker(settings)
    small = [cv2.resize(image, (160, 120), interpolation=cv2.INTER_AREA) for image in walk[::2]]
    kept, keyframes = [], 0
    for image in [*small, *small[-2::-1]]:
        found = tracker.track(image, 0, CAMERA.resized(160, 120))
        keyframes += found.keyframe
        kept.append(len(tracker._mapper.shared))
        assert len(tracker._map.stored) <= settings.stored_keyframes
        assert len(tracker._map.window) <= settings.window
    assert found.state is TRACKING
    # One more waits to become a keyframe.
    most = settings.stored_keyframes + settings.window + 1
    assert keyframes > 2 * most
    assert max(kept) <= most * (most - 1) // 2


# ----------------------------------------------------------------------------------------------- loops, maps, metres


def test_a_trajectory_begun_anew_is_joined_to_the_old_one_when_that_is_seen_again(walk: Walk, scale: float) -> None:
    tracker = Tracker(TrackerSettings(lost_frames=2, restart_frames=3))
    noise = list(np.random.default_rng(0).integers(0, 255, (5, *BLACK.shape)).astype(np.uint8))
    found = follow(tracker, [*walk[:20], *noise, *walk[::-1][20:]])
    back = [f for f in found[25:] if f.state is TRACKING]
    assert any(f.corrected for f in back)
    joined = back[[f.corrected for f in back].index(True) :]
    frames = [COUNT - 21 - (f.stamp_ns - FIRST_NS) // STEP_NS + 25 for f in joined]
    off, turn = walk.error(joined, frames, scale)
    assert off < 0.05
    assert turn < 2.0


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


def test_odometry_makes_metres(walk: Walk) -> None:
    """The camera's true path, in another frame, as odometry; poses of before are in the unit of before."""
    elsewhere = make_pose(rotation_from_vector([0.3, 0.1, 2.0]), [10.0, -4.0, 1.0])

    def odometry(stamp_ns: int) -> FloatArray:
        return elsewhere @ walk.poses[(stamp_ns - FIRST_NS) // STEP_NS]

    settings = TrackerSettings(scale=ScaleSettings(ScaleSource.ODOM))
    tracker = Tracker(settings, odometry=odometry)
    found = follow(tracker, walk.images)
    metric = [k for k, f in enumerate(found) if f.state is TRACKING and f.scale.is_metric]
    assert metric[0] < 30
    assert metric == list(range(metric[0], COUNT))
    # From one answer on, the world is in metres and says so; that step is no motion.
    assert found[metric[0]].corrected
    off, turn = walk.error([found[k] for k in metric], metric, 1.0)
    assert off < 0.02
    assert turn < 1.0
    assert found[-1].scale.metres_per_unit == pytest.approx(walk.depth_m, rel=0.25)
    assert found[-1].scale.sigma < 0.05
    # In the end the frames of before are known in metres, too.
    begun = solved_from(found)
    assert begun <= metric[0]
    now = [replace(f, camera_to_world=tracker.pose_now(f)) for f in found[begun:]]
    off, turn = walk.error(now, list(range(begun, COUNT)), 1.0)
    assert off < 0.02
    assert turn < 1.0


class PartlyMetric:
    """A tracker whose odometry, the camera's true path, is there for some of the frames that it is given only."""

    def __init__(self, walk: Walk) -> None:
        self.poses: list[FloatArray | None] = []
        self._walk = walk
        settings = TrackerSettings(lost_frames=2, restart_frames=3, scale=ScaleSettings(ScaleSource.ODOM))
        self._tracker = Tracker(settings, odometry=lambda stamp_ns: self.poses[(stamp_ns - FIRST_NS) // STEP_NS])
        self._noise = np.random.default_rng(0)

    def see(self, images: list[Image], frames: Sequence[int], *, with_odometry: bool) -> list[TrackedPose]:
        begun = len(self.poses)
        self.poses += [self._walk.poses[k] if with_odometry else None for k in frames]
        return [self._tracker.track(im, FIRST_NS + (begun + k) * STEP_NS, CAMERA) for k, im in enumerate(images)]

    def see_nothing(self, count: int) -> None:
        noise = list(self._noise.integers(0, 255, (count, *BLACK.shape)).astype(np.uint8))
        self.see(noise, range(count), with_odometry=False)


@pytest.mark.parametrize("first", [True, False])
def test_back_on_a_known_place_poses_are_in_metres_if_those_of_that_trajectory_were(walk: Walk, first: bool) -> None:
    tracker = PartlyMetric(walk)
    assert tracker.see(walk[:30], range(30), with_odometry=first)[-1].scale.is_metric == first
    tracker.see_nothing(5)
    mirrored = [image[:, ::-1] for image in walk[30:]]
    assert tracker.see(mirrored, range(30, COUNT), with_odometry=not first)[-1].scale.is_metric != first
    tracker.see_nothing(3)
    back = tracker.see(walk[20:28], range(20, 28), with_odometry=False)
    begun = states(back).index(TRACKING)
    assert {f.scale.is_metric for f in back[begun:]} == {first}
    if first:
        off, turn = walk.error(back[begun:], list(range(20 + begun, 28)), 1.0)
        assert off < 0.02
        assert turn < 1.0


@pytest.mark.parametrize("first", [True, False])
def test_two_trajectories_are_joined_in_metres_if_either_was_in_metres(walk: Walk, first: bool) -> None:
    tracker = PartlyMetric(walk)
    tracker.see(walk[:24], range(24), with_odometry=first)
    tracker.see_nothing(5)
    away = range(COUNT - 1, -1, -1)
    found = tracker.see(walk[list(away)], away, with_odometry=not first)
    joined = [k for k, f in enumerate(found) if f.state is TRACKING and f.corrected][-1]
    assert joined < COUNT - 10
    assert found[joined - 1].scale.is_metric != first
    assert {f.scale.is_metric for f in found[joined:]} == {True}
    off, turn = walk.error(found[joined:], list(away[joined:]), 1.0)
    assert off < 0.05
    assert turn < 2.0


@pytest.mark.parametrize("stored", [2, 300])
def test_what_is_known_at_the_end_of_all_frames(walk: Walk, stored: int) -> None:
    """Beside their keyframes, also beside those that were thinned out, and after the world has been moved."""
    tracker = Tracker(TrackerSettings(stored_keyframes=stored, history=True))
    found = follow(tracker, walk.images)
    begun = solved_from(found)
    frames = list(range(begun, COUNT))
    positions = np.array([tracker.pose_now(f)[:3, 3] for f in found[begun:]])
    scale, _ = similarity(positions, walk.poses[frames, :3, 3])
    now = [replace(f, camera_to_world=tracker.pose_now(f)) for f in found[begun:]]
    off, turn = walk.error(now, frames, scale)
    assert off < 0.02
    assert turn < 1.0
    motion = make_pose(rotation_from_vector([0.0, 0.5, 0.0]), [1.0, 2.0, 3.0])
    tracker.set_pose(motion @ tracker.pose_now(found[-1]), np.eye(6))
    for f, before in zip(found[begun:], now, strict=True):
        np.testing.assert_allclose(tracker.pose_now(f), motion @ before.camera_to_world, atol=1e-6)


def test_a_pose_set_from_outside(walk: Walk, scale: float) -> None:
    tracker = Tracker()
    follow(tracker, walk[:20])
    there = make_pose(rotation_from_vector([0.0, 1.0, 0.0]), [5.0, 0.0, -3.0])
    tracker.set_pose(there, np.diag([0.04] * 3 + [0.01] * 3))
    after = [tracker.track(image, FIRST_NS + (20 + k) * STEP_NS, CAMERA) for k, image in enumerate(walk[20:26])]
    assert after[0].corrected
    assert not after[1].corrected
    moved = relative_pose(there, after[-1].camera_to_world)
    truth = relative_pose(walk.poses[19], walk.poses[25])
    assert np.linalg.norm(scale * moved[:3, 3] - truth[:3, 3]) < 0.02 * walk.depth_m
    assert np.degrees(rotation_angle_rad(moved[:3, :3].T @ truth[:3, :3])) < 1.0
    assert np.diag(after[-1].covariance)[:3].min() >= 0.04
    # A turn that is not known moves what is far away.
    oldest = tracker._map.all[0]
    lever = np.linalg.norm(oldest.camera_to_world[:3, 3] - there[:3, 3])
    assert np.trace(oldest.covariance[:3, :3]) == pytest.approx(3 * 0.04 + 2 * 0.01 * lever**2, rel=0.05)


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
