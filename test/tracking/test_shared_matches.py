"""keyframes: matches looked for where known depths and an expected pose say that they are, against true flow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, relative_pose
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.matching.tracks import FLOW, KEYPOINT, EvidenceSettings
from ros2_raxels.scenes.clips import exact_flow
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import furnished_room
from ros2_raxels.tracking.frame import Keyframe, SolvedFrame, StreamFrame
from ros2_raxels.tracking.keyframe_map import KeyframeMap
from ros2_raxels.tracking.mapping import Mapper, MapSettings
from ros2_raxels.tracking.shared_matches import SharedMatches

CAMERA = PinholeCamera(320, 240, 256.0, 256.0, 159.5, 119.5)
FRAMES = (0, 8, 16, 20)


class Scene:
    """Frames of a handheld camera in a room, with what is true about them, m."""

    def __init__(self) -> None:
        self.matcher = Matcher(EvidenceSettings(keypoint_reach=0.5))
        room, self.poses = furnished_room(3), handheld_loop(7.0, 15.0, seed=1)[list(FRAMES)]
        seen = [render(room, CAMERA, pose) for pose in self.poses]
        self.features, self.depths = [self.matcher.look(s[0]) for s in seen], [s[1] for s in seen]
        self.grid = self.matcher.grid((240, 320)).astype(int)

    def frames(self, share: float = 0.0) -> list[Keyframe]:
        """With their true depths at a share of the points."""
        return [
            Keyframe(
                StreamFrame(k, k, self.features[k], CAMERA), self.poses[k], np.zeros((7, 7)), self.depths_at(k, share)
            )
            for k in range(len(FRAMES))
        ]

    def depths_at(self, frame: int, share: float) -> FloatArray:
        known = np.random.default_rng(frame).random(len(self.grid)) < share
        return np.where(known, self.inverse_depth(frame), np.nan)

    def inverse_depth(self, frame: int) -> FloatArray:
        """Of the flow grid of a frame."""
        return np.asarray(1.0 / self.depths[frame][self.grid[:, 1], self.grid[:, 0]], float)

    def true_px(self, source: int, target: int) -> FloatArray:
        """Where the flow grid of one frame lies in another, NaN where it is hidden."""
        moved = relative_pose(self.poses[target], self.poses[source])
        flow = exact_flow(CAMERA, self.depths[source], self.depths[target], moved)
        return self.grid + flow[self.grid[:, 1], self.grid[:, 0]]


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


def errors_px(scene: Scene, shared: SharedMatches, source: int, target: int, back: bool = False) -> FloatArray:
    matches = shared._matches[min(source, target), max(source, target)]
    found = matches.flow_back if back else matches.flow
    error = np.linalg.norm(found - scene.true_px(source, target), axis=1)
    return error[np.isfinite(error)]


@pytest.mark.parametrize("share", [1.0, 0.4])
def test_points_are_found_where_they_are_though_the_expected_pose_is_off(scene: Scene, share: float) -> None:
    """Expected some pixels beside where they are, found to a fraction of one; unknown depths come from neighbours."""
    frames = scene.frames(share)
    shared = SharedMatches(scene.matcher)
    expected = frames[3].camera_to_world.copy()
    expected[:3, 3] += (0.03, -0.02, 0.02)
    truth = scene.true_px(2, 3)
    guess = shared._predicted(frames[2], frames[3], expected)
    assert guess is not None
    assert 2.0 < np.nanmedian(np.linalg.norm(guess.pixels - truth, axis=1)) < 10.0
    evidence = shared.expected(frames[:3], frames[3], expected)
    assert evidence is not None
    assert evidence.seen[:, 3].all()
    error = errors_px(scene, shared, 2, 3)
    assert len(error) > 0.6 * np.isfinite(truth[:, 0]).sum()
    assert np.median(error) < 0.25
    # As exact as without any expectation.
    shared.forget_pairs(frames[3])
    shared.between(frames[:3], frames[3])
    assert np.median(error) < 1.1 * np.median(errors_px(scene, shared, 2, 3))


def test_a_new_keyframe_looks_back_and_measures_its_own_points(scene: Scene) -> None:
    frames = scene.frames(1.0)
    keyframes = KeyframeMap()
    keyframes.begin(frames[:3], 1.0, window=3)
    mapper = Mapper(scene.matcher, MapSettings(), keyframes)
    added = mapper.add(SolvedFrame(frames[3].frame, frames[3].camera_to_world, np.zeros((7, 7))))
    error = errors_px(scene, mapper.shared, 3, 2, back=True)
    assert len(error) > 0.5 * len(scene.grid)
    assert np.median(error) < 0.25
    found, truth = added.inverse_depth, scene.inverse_depth(3)
    known = np.isfinite(found)
    assert known.mean() > 0.5
    assert np.median(np.abs(found[known] / truth[known] - 1.0)) < 0.05


class ThoroughLooks:
    """Counts the pairs that a matcher looks at over the whole image."""

    def __init__(self, matcher: Matcher, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, both = 0, matcher._flow_both
        monkeypatch.setattr(matcher, "_flow_both", lambda *of: (self._see(), both(*of))[1])

    def _see(self) -> None:
        self.count += 1


def test_a_sketch_takes_no_thorough_look_at_what_hardly_anything_is_shared_with(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    *anchors, newest = scene.frames(1.0)
    # The first one looks the other way.
    behind = anchors[0].camera_to_world @ np.diag([-1.0, 1.0, -1.0, 1.0])
    anchors[0] = replace(anchors[0], camera_to_world=behind)
    shared, looks = SharedMatches(scene.matcher), ThoroughLooks(scene.matcher, monkeypatch)
    shared.sketch(anchors, newest, newest.camera_to_world)
    shared.connect([anchors[0], newest])
    shared.connect([anchors[2], newest])
    assert looks.count == 0
    assert shared._matches[0, 3].reach == 0.0
    assert len(errors_px(scene, shared, 3, 2, back=True)) > 0.5 * len(scene.grid)
    # Where the newest one is not found either, the pose may be wrong, and a look is needed.
    astray = SharedMatches(scene.matcher)
    astray.sketch(anchors, newest, newest.camera_to_world @ np.diag([-1.0, 1.0, -1.0, 1.0]))
    astray.connect([anchors[2], newest])
    assert looks.count == 1


def test_of_two_looks_the_flow_that_reached_further_is_kept(scene: Scene) -> None:
    *anchors, newest = scene.frames(1.0)
    shared = SharedMatches(scene.matcher)
    shared.sketch(anchors, newest, newest.camera_to_world)
    sketched = shared.known_of(newest.number)
    few = {pair: replace(found, flow=np.full_like(found.flow, np.nan)) for pair, found in sketched.items()}
    index, score = np.arange(3), np.ones(3)
    shared.put_back(newest.number, few | {(2, 3): replace(few[2, 3], keypoints=index, keypoint_score=score)})
    shared.keep_better(sketched)
    for pair, found in sketched.items():
        np.testing.assert_array_equal(shared._matches[pair].flow, found.flow)
    assert shared._matches[2, 3].keypoints is index
    shared.keep_better(few)
    assert shared._matches[2, 3].reach == sketched[2, 3].reach > 0.5


def test_depths_that_frames_have_told_of_lead_on_where_keyframes_share_nothing(scene: Scene) -> None:
    *anchors, newest = scene.frames(1.0)
    shared = SharedMatches(scene.matcher)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        shared._matches[a, b] = scene.matcher.nothing_shared(scene.features[a], scene.features[b])
    assert shared.expected(anchors, newest, newest.camera_to_world) is not None
    anchors[2] = replace(anchors[2], inverse_depth=scene.depths_at(2, 0.2))
    assert shared.expected(anchors, newest, newest.camera_to_world) is None


def test_without_depths_nothing_is_expected(scene: Scene) -> None:
    frames = scene.frames()
    shared = SharedMatches(scene.matcher)
    assert shared.expected(frames[:3], frames[3], frames[3].camera_to_world) is None
    frames = scene.frames(0.05)
    assert shared.expected(frames[:3], frames[3], frames[3].camera_to_world) is None


def test_a_pose_that_is_far_off_finds_nothing(scene: Scene) -> None:
    frames = scene.frames(1.0)
    behind = frames[3].camera_to_world.copy()
    behind[:3, :3] = behind[:3, :3] @ np.diag([-1.0, 1.0, -1.0])
    assert SharedMatches(scene.matcher).expected(frames[:3], frames[3], behind) is None


def test_what_was_found_in_a_frame_can_be_forgotten(scene: Scene) -> None:
    frames = scene.frames(1.0)
    shared = SharedMatches(scene.matcher)
    assert shared.expected(frames[:3], frames[3], frames[3].camera_to_world) is not None
    assert len(shared) == 6
    shared.forget_pairs(frames[3])
    assert len(shared) == 3
    shared.forget_all_but([k.number for k in frames[1:]])
    assert len(shared) == 1


def test_the_motion_between_two_frames_is_known_from_what_both_share_with_a_keyframe(scene: Scene) -> None:
    frames = scene.frames(1.0)
    shared = SharedMatches(scene.matcher)
    for frame in frames[2:]:
        shared.between(frames[:2], frame)
    known = len(shared)
    motion, overlap = shared.image_motion_by_way_of(frames[:2], frames[2], frames[3])
    assert len(shared) == known
    true_motion, true_overlap = SharedMatches(scene.matcher).image_motion(frames[2], frames[3])
    assert motion == pytest.approx(true_motion, abs=0.01)
    assert overlap == pytest.approx(true_overlap, abs=0.15)
    # Where no keyframe knows both, they are looked at.
    shared.forget_pairs(frames[3])
    assert shared.image_motion_by_way_of(frames[:2], frames[2], frames[3]) == (true_motion, true_overlap)


def test_of_a_frame_a_part_is_looked_for_and_of_a_keyframe_everything(scene: Scene) -> None:
    matcher = Matcher(EvidenceSettings(keypoint_reach=0.5, tracks=150))
    frames, shared = scene.frames(1.0), SharedMatches(matcher)
    evidence = shared.expected(frames[:3], frames[3], frames[3].camera_to_world)
    assert evidence is not None
    assert 100 < len(evidence.anchor) <= 150
    asked = shared._matches[2, 3].asked
    assert asked is not None
    assert asked.sum() == pytest.approx(1.4 * 150 / 3, abs=3)
    shared.both_ways(frames[:3], frames[3], frames[3].camera_to_world)
    assert shared._matches[2, 3].asked is None
    assert np.isfinite(shared._matches[2, 3].flow[:, 0]).sum() > 2 * asked.sum()


def test_points_that_were_not_looked_for_are_not_missed(scene: Scene) -> None:
    """All of them in one frame, a part in the next: as many of that part are found again as of all."""
    matcher = Matcher(EvidenceSettings(keypoint_reach=0.5, tracks=150))
    frames, overlaps = scene.frames(1.0), []
    for look in (
        lambda s: s.between(frames[:2], frames[3]),
        lambda s: s.expected(frames[:2], frames[3], scene.poses[3]),
    ):
        shared = SharedMatches(matcher)
        shared.between(frames[:2], frames[2])
        look(shared)
        overlaps.append(shared.image_motion_by_way_of(frames[:2], frames[2], frames[3])[1])
    assert overlaps[1] == pytest.approx(overlaps[0], abs=0.1)


def test_a_turn_is_told_where_a_small_part_of_the_image_may_be_used(scene: Scene) -> None:
    usable = np.zeros((240, 320), bool)
    usable[:, :90] = True
    a, b = (StreamFrame(k, k, Features(scene.features[2].grey, usable=usable), CAMERA) for k in range(2))
    turn = SharedMatches(scene.matcher).turn(a, b)
    assert turn is not None
    assert turn.moved_rad < 1e-3


WALL_PX, WALL_STEP_PX = 110, 12


def wall_at(number: int) -> slice:
    """Columns of a wall that passes before the camera."""
    left = 60 + WALL_STEP_PX * number
    return slice(left, left + WALL_PX)


@pytest.fixture(scope="module")
def passed_by() -> Mapper:
    """A map of three keyframes and a new one, poses as they are, in which a wall passes by."""
    scene = Scene()
    grain = np.random.default_rng(5).integers(0, 255, (60, WALL_PX // 4 + 1, 3), np.uint8)
    wall = np.kron(grain, np.ones((4, 4, 1), np.uint8))[:, :WALL_PX]
    for k, features in enumerate(scene.features):
        image = np.stack([features.grey] * 3, axis=-1)
        image[:, wall_at(k)] = wall
        scene.features[k] = scene.matcher.look(image)
    frames = scene.frames(1.0)
    keyframes = KeyframeMap()
    keyframes.begin(frames[:3], 1.0, window=3)
    mapper = Mapper(scene.matcher, MapSettings(), keyframes)
    # It came in bit by bit.
    inside = scene.grid[:, 0] < wall_at(2).stop
    inside &= scene.grid[:, 0] >= wall_at(2).start
    mapper.shared.doubt(frames[2], scene.grid.astype(float), inside, inside, at_first=True)
    mapper.add(SolvedFrame(frames[3].frame, frames[3].camera_to_world, np.zeros((7, 7))))
    return mapper


def test_what_moves_on_its_own_is_in_doubt_in_the_next_keyframe_too(passed_by: Mapper) -> None:
    newest = passed_by.keyframes.window[-1]
    assert passed_by.shared.any_doubt([newest])
    columns = passed_by.shared._matcher.grid((240, 320))[passed_by.shared._doubt[newest.number], 0]
    on_wall = (columns >= wall_at(3).start - 20) & (columns < wall_at(3).stop + 20)
    assert on_wall.mean() > 0.9
    assert len(columns) > 0.5 * WALL_PX * 240 / 16**2


def test_nothing_is_solved_with_what_is_in_doubt_unless_it_is_trusted_for_a_while(passed_by: Mapper) -> None:
    window = passed_by.keyframes.window
    frame, anchors = window[-1], window[:-1]
    evidence = passed_by.shared.between(anchors, frame)
    starts = evidence.pixels[evidence.anchor == len(anchors) - 1, len(anchors) - 1, 0]
    inside = (starts > wall_at(2).start + 16) & (starts < wall_at(2).stop - 16)
    assert len(starts) > 30
    assert inside.sum() == 0
    with passed_by.shared.trusting():
        trusted = passed_by.shared.between(anchors, frame)
    assert len(trusted.anchor) > len(evidence.anchor) + 10
    assert passed_by.shared.any_doubt(anchors)
    assert passed_by.shared.copy(passed_by.shared._matcher).any_doubt(anchors)


def test_flow_alone_is_taken_where_there_is_enough_of_it(scene: Scene) -> None:
    frames = scene.frames()
    shared = SharedMatches(Matcher(EvidenceSettings(keypoint_reach=1.1)))
    shared.connect(frames)
    every = shared.among(frames, 100_000)
    flow, keypoints = ((every.kind == kind).sum() for kind in (FLOW, KEYPOINT))
    assert min(flow, keypoints) > 50
    some = shared.flow_among(frames, 60)
    assert (some.kind == FLOW).all()
    assert len(some.anchor) == 60
    # From all frames alike, not from the first ones alone.
    assert set(some.anchor) == set(every.anchor[every.kind == FLOW])
    filled = shared.flow_among(frames, int(flow) + 20)
    assert ((filled.kind == FLOW).sum(), (filled.kind == KEYPOINT).sum()) == (flow, 20)
