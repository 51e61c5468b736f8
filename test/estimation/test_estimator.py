"""The estimator on rendered clips with known cameras, with and without intrinsics, with and without a prior."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pytest
from learned_rig import FakeGraphs, NearestGraph
from scipy.spatial.transform import Rotation

from ros2_raxels.engine import EngineError
from ros2_raxels.estimation import estimator as estimator_module
from ros2_raxels.estimation.bundle_adjustment import RefineSettings
from ros2_raxels.estimation.estimator import ALWAYS_LEARNED, ClipEstimate, Estimator, EstimatorSettings
from ros2_raxels.estimation.hypotheses import PoseHypotheses
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, direction_angle_rad, relative_pose, rotation_angle_rad
from ros2_raxels.matching.learned import LearnedMatcher
from ros2_raxels.matching.tracks import KEYPOINT, Evidence
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.textures import PATTERNS
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import furnished_room

Image = npt.NDArray[np.uint8]
CAMERA = PinholeCamera(320, 240, 256.0, 256.0, 159.5, 119.5)
BENT = PinholeCamera(320, 240, 240.0, 240.0, 155.0, 123.0, (-0.2, 0.05, 0.001, -0.001))


@dataclass(frozen=True)
class Clip:
    images: list[Image]
    depth_m: list[FloatArray]
    camera_to_first: FloatArray

    @property
    def count(self) -> int:
        return len(self.images)


room = lru_cache(furnished_room)


def clip_of(frames: list[int], camera: PinholeCamera = CAMERA) -> Clip:
    poses = handheld_loop(7.0, seed=1)[frames]
    seen = [render(room(3), camera, pose) for pose in poses]
    return Clip([s[0] for s in seen], [s[1] for s in seen], relative_pose(poses[0], poses))


@pytest.fixture(scope="module")
def walk() -> Clip:
    return clip_of([60, 68, 76, 84])


@pytest.fixture(scope="module")
def other_walk() -> Clip:
    return clip_of([150, 157, 164, 171])


@pytest.fixture(scope="module")
def estimator() -> Estimator:
    return Estimator()


@pytest.fixture(scope="module")
def answer(estimator: Estimator, walk: Clip) -> ClipEstimate:
    return estimator.estimate(walk.images, [CAMERA] * walk.count)


@pytest.fixture(scope="module")
def answer_without_intrinsics(estimator: Estimator, walk: Clip) -> ClipEstimate:
    return estimator.estimate(walk.images)


def rotation_error_deg(found: FloatArray, truth: FloatArray) -> float:
    return float(np.degrees(rotation_angle_rad(np.swapaxes(found[:, :3, :3], 1, 2) @ truth[:, :3, :3]).max()))


def direction_error_deg(found: FloatArray, truth: FloatArray) -> float:
    pairs = zip(found[1:, :3, 3], truth[1:, :3, 3], strict=True)
    return float(np.degrees(max(direction_angle_rad(a, b) for a, b in pairs)))


# --------------------------------------------------------------------------------------------------------- answers


def test_cameras_of_a_clip(answer: ClipEstimate, walk: Clip) -> None:
    assert rotation_error_deg(np.tile(np.eye(4), (4, 1, 1)), walk.camera_to_first) > 2
    assert rotation_error_deg(answer.camera_to_first, walk.camera_to_first) < 0.3
    assert direction_error_deg(answer.camera_to_first, walk.camera_to_first) < 2.0
    scale = np.linalg.norm(walk.camera_to_first[:, :3, 3], axis=1).max()
    np.testing.assert_allclose(answer.camera_to_first[:, :3, 3], walk.camera_to_first[:, :3, 3] / scale, atol=0.02)
    np.testing.assert_allclose(answer.camera_to_first[0], np.eye(4), atol=1e-12)
    assert answer.cameras == (CAMERA,) * 4
    assert set(answer.stage_s) == {"describe", "evidence", "propose", "guide", "assess"}
    assert min(answer.stage_s.values()) > 0


@pytest.mark.parametrize("count", [2, 3])
def test_shorter_clips(estimator: Estimator, other_walk: Clip, count: int) -> None:
    found = estimator.estimate(other_walk.images[:count], [CAMERA] * count)
    assert rotation_error_deg(found.camera_to_first, other_walk.camera_to_first[:count]) < 0.3
    assert direction_error_deg(found.camera_to_first, other_walk.camera_to_first[:count]) < 2.0
    assert found.confidence.shape == (count,)
    assert found.confidence.min() > 0.5


def test_distorted_cameras(estimator: Estimator) -> None:
    clip = clip_of([60, 68, 76], BENT)
    found = estimator.estimate(clip.images, [BENT] * 3)
    assert rotation_error_deg(found.camera_to_first, clip.camera_to_first) < 0.3
    assert direction_error_deg(found.camera_to_first, clip.camera_to_first) < 2.0
    straight = PinholeCamera(320, 240, 240.0, 240.0, 155.0, 123.0)
    ignored = estimator.estimate(clip.images, [straight] * 3)
    assert np.nanmedian(ignored.residual_px) > 1.3 * np.nanmedian(found.residual_px)


def test_depths_belong_to_the_scene(answer: ClipEstimate, walk: Clip) -> None:
    unit_m = np.linalg.norm(walk.camera_to_first[:, :3, 3], axis=1).max()
    evidence = answer.evidence
    column, row = evidence.pixels[np.arange(len(evidence.anchor)), evidence.anchor].round().astype(int).T
    truth = np.array(walk.depth_m)[evidence.anchor, row, column]
    known = answer.inverse_depth > 0
    assert known.mean() > 0.9
    error = np.abs(unit_m / answer.inverse_depth[known] / truth[known] - 1)
    assert np.median(error) < 0.03


@pytest.fixture(scope="module")
def turn() -> Clip:
    """A camera that turns where it stands."""
    poses = np.repeat(handheld_loop(7.0, seed=1)[60:61], 3, axis=0)
    poses[:, :3, :3] @= Rotation.from_euler("yx", [[0, 0], [4, 1], [8, -2]], degrees=True).as_matrix()
    seen = [render(room(3), CAMERA, pose) for pose in poses]
    return Clip([s[0] for s in seen], [s[1] for s in seen], relative_pose(poses[0], poses))


@pytest.fixture(scope="module")
def answer_of_turn(estimator: Estimator, turn: Clip) -> ClipEstimate:
    return estimator.estimate(turn.images, [CAMERA] * 3)


def test_a_camera_that_only_turns_has_its_rotations(answer_of_turn: ClipEstimate, turn: Clip) -> None:
    assert rotation_error_deg(answer_of_turn.camera_to_first, turn.camera_to_first) < 0.2


def test_a_camera_that_only_turns_is_not_sure_of_where_it_is(
    answer_of_turn: ClipEstimate, answer: ClipEstimate
) -> None:
    assert answer_of_turn.parallax_px.max() < 1.0 < 3.0 < answer.parallax_px.min()
    assert answer_of_turn.confidence.max() < 0.2 < 0.5 < answer.confidence.min()


def test_focal_length_without_intrinsics(answer_without_intrinsics: ClipEstimate, walk: Clip) -> None:
    found = answer_without_intrinsics
    for camera in found.cameras:
        assert camera.fx == pytest.approx(256.0, rel=0.15)
        assert camera.fy == pytest.approx(256.0, rel=0.15)
        assert (camera.width, camera.height, camera.cx, camera.cy) == (320, 240, 159.5, 119.5)
    assert rotation_error_deg(found.camera_to_first, walk.camera_to_first) < 0.6


def test_another_focal_length_without_intrinsics(estimator: Estimator) -> None:
    """The answer comes from the images, not from the usual lens."""
    long_lens = PinholeCamera(320, 240, 420.0, 420.0, 159.5, 119.5)
    clip = clip_of([60, 68, 76, 84], long_lens)
    found = estimator.estimate(clip.images)
    assert found.cameras[0].fx == pytest.approx(420.0, rel=0.15)


def test_large_images_give_the_camera_of_the_image_as_given(estimator: Estimator, walk: Clip) -> None:
    large = [np.kron(image, np.ones((2, 2, 1), np.uint8)) for image in walk.images]
    camera = CAMERA.resized(640, 480)
    found = estimator.estimate(large, [camera] * 4)
    assert found.cameras == (camera,) * 4
    assert found.evidence.pixels[..., 0][found.evidence.seen].max() < 400
    assert rotation_error_deg(found.camera_to_first, walk.camera_to_first) < 0.3
    guessed = estimator.estimate(large)
    assert (guessed.cameras[0].width, guessed.cameras[0].height) == (640, 480)
    assert guessed.cameras[0].fx == pytest.approx(512.0, rel=0.15)


# ------------------------------------------------------------------------------------------------------ confidence


def test_confidence_of_related_frames(answer: ClipEstimate) -> None:
    assert answer.confidence.min() > 0.5
    assert answer.confidence.max() <= 1.0
    assert (answer.inliers <= answer.observations).all()
    assert (answer.inliers > 0.8 * answer.observations).all()
    assert np.nanmax(answer.residual_px) < 0.5
    assert np.degrees(answer.spread_rotation_rad.max()) < 1.0


def test_confidence_of_unrelated_frames(estimator: Estimator, walk: Clip) -> None:
    walls = [PATTERNS[name](np.random.default_rng(0), 0)[:240, :320] for name in ("bricks", "marble")]
    images = [walk.images[0], *walls]
    for cameras in ([CAMERA] * 3, None):
        assert estimator.estimate(images, cameras).confidence.max() < 0.2


@pytest.mark.parametrize("cameras", [[CAMERA] * 3, None], ids=["known", "unknown"])
@pytest.mark.parametrize("level", [0, 128])
def test_frames_without_content_are_a_guess_and_no_error(
    estimator: Estimator, cameras: list[PinholeCamera] | None, level: int
) -> None:
    found = estimator.estimate([np.full((240, 320), level, np.uint8)] * 3, cameras)
    np.testing.assert_array_equal(found.confidence, 0.0)
    np.testing.assert_array_equal(found.observations, 0)
    assert np.isnan(found.residual_px).all()
    np.testing.assert_allclose(found.camera_to_first, np.tile(np.eye(4), (3, 1, 1)), atol=1e-12)


def test_one_black_frame_does_not_spoil_the_others(estimator: Estimator, walk: Clip) -> None:
    images = [*walk.images[:3], np.zeros((240, 320, 3), np.uint8)]
    found = estimator.estimate(images, [CAMERA] * 4)
    assert rotation_error_deg(found.camera_to_first[:3], walk.camera_to_first[:3]) < 0.3
    assert found.confidence[:3].min() > 0.5
    assert found.confidence[3] < 0.2


def test_the_same_frame_again_has_not_turned(estimator: Estimator, walk: Clip) -> None:
    found = estimator.estimate([walk.images[0]] * 3, [CAMERA] * 3)
    assert np.degrees(rotation_angle_rad(found.camera_to_first[:, :3, :3]).max()) < 0.1
    assert np.isfinite(found.camera_to_first).all()


def test_the_answer_is_the_same_every_time(answer: ClipEstimate, walk: Clip) -> None:
    again = Estimator().estimate(walk.images, [CAMERA] * 4)
    np.testing.assert_array_equal(again.camera_to_first, answer.camera_to_first)
    np.testing.assert_array_equal(again.confidence, answer.confidence)


# --------------------------------------------------------------------------------------------- something else moves


@pytest.fixture(scope="module")
def passed_by(walk: Clip) -> list[Image]:
    """The walk with a wall of bricks that slides past, 40 % of the picture wide, 9 px a frame."""
    bricks = PATTERNS["bricks"](np.random.default_rng(4), 1)[:240, :420]
    images = [image.copy() for image in walk.images]
    for k, image in enumerate(images):
        left = 80 + 9 * k
        image[:, left : left + 128] = bricks[:, :128]
    return images


@pytest.fixture(scope="module")
def answer_when_passed(estimator: Estimator, passed_by: list[Image]) -> ClipEstimate:
    return estimator.estimate(passed_by, [CAMERA] * 4)


def test_a_wall_that_slides_past_does_not_move_the_camera(answer_when_passed: ClipEstimate, walk: Clip) -> None:
    assert rotation_error_deg(answer_when_passed.camera_to_first, walk.camera_to_first) < 0.5
    assert direction_error_deg(answer_when_passed.camera_to_first, walk.camera_to_first) < 4.0


def test_observations_of_what_moves_are_marked(answer_when_passed: ClipEstimate, answer: ClipEstimate) -> None:
    assert not answer.second_motion.any()
    evidence, second = answer_when_passed.evidence, answer_when_passed.second_motion
    assert second.shape == evidence.seen.shape
    column = evidence.pixels[..., 0]
    wall = evidence.seen & (column > 84 + 9 * np.arange(4)) & (column < 204 + 9 * np.arange(4))
    on_wall = wall.sum(axis=1) == evidence.seen.sum(axis=1)
    beside = ~wall.any(axis=1)
    observed = evidence.seen & (np.arange(4) != evidence.anchor[:, None])
    assert second[on_wall[:, None] & observed].mean() > 0.6
    assert second[beside].mean() < 0.05


def test_what_moves_costs_confidence_and_widens_the_covariance(
    answer_when_passed: ClipEstimate, answer: ClipEstimate
) -> None:
    assert 0.1 < answer_when_passed.confidence.max() < 0.75 * answer.confidence.min()
    found, still = (np.sqrt(np.einsum("nii->ni", a.covariance)[1:]) for a in (answer_when_passed, answer))
    assert (found > 1.5 * still).all()


# -------------------------------------------------------------------------------------------------------- bad input


def test_bad_input_is_refused_with_the_reason(estimator: Estimator, walk: Clip) -> None:
    images, cameras = walk.images, [CAMERA] * 4
    with pytest.raises(ValueError, match=r"1 image\(s\) has no motion"):
        estimator.estimate(images[:1], cameras[:1])
    with pytest.raises(ValueError, match=r"0 image\(s\) has no motion"):
        estimator.estimate([])
    with pytest.raises(ValueError, match="4 images but 3 cameras"):
        estimator.estimate(images, cameras[:3])
    with pytest.raises(ValueError, match="image 2 is 320x240 px but its camera is 640x480 px"):
        estimator.estimate(images, [CAMERA, CAMERA, CAMERA.resized(640, 480), CAMERA])
    with pytest.raises(ValueError, match=r"\(240, 320, 3\) and type float64"):
        estimator.estimate([image / 255 for image in images], cameras)
    with pytest.raises(ValueError, match=r"\(240, 320, 4\)"):
        estimator.estimate([np.zeros((240, 320, 4), np.uint8)] * 2, cameras[:2])
    with pytest.raises(ValueError, match="empty"):
        estimator.estimate([np.zeros((0, 320), np.uint8)] * 2)


# --------------------------------------------------------------------------------------------------------- denoiser


ALWAYS_ASK = EstimatorSettings(sure=2.0)


class FakeDenoiser:
    """Answers with given cameras, and trusts the observations of tracks that start in some columns."""

    def __init__(self, cameras_to_first: FloatArray, columns: tuple[float, float] | None = None) -> None:
        self.cameras_to_first, self.columns = cameras_to_first, columns
        self.calls: list[tuple[Evidence, FloatArray, PoseHypotheses]] = []

    def describe(self) -> str:
        return "fake"

    def denoise(self, evidence: Evidence, bearings: FloatArray, hypotheses: PoseHypotheses) -> PoseHypotheses:
        self.calls.append((evidence, bearings, hypotheses))
        inlier = None
        if self.columns is not None:
            start = evidence.pixels[np.arange(len(evidence.anchor)), evidence.anchor, 0]
            trusted = (start >= self.columns[0]) & (start < self.columns[1])
            inlier = np.repeat(trusted[:, None].astype(float), evidence.frames, axis=1)
        return PoseHypotheses(self.cameras_to_first, inlier)


def test_where_geometry_is_sure_the_denoiser_is_not_asked(walk: Clip, answer: ClipEstimate) -> None:
    denoiser = FakeDenoiser(turned(walk.camera_to_first, 1.5)[None])
    found = Estimator(denoiser=denoiser).estimate(walk.images, [CAMERA] * 4)
    assert not denoiser.calls
    np.testing.assert_array_equal(found.camera_to_first, answer.camera_to_first)


def turned(poses: FloatArray, degrees: float) -> FloatArray:
    poses = poses.copy()
    turn = Rotation.from_euler("yxz", np.array([1.0, -1.0, 1.0]) * degrees / np.sqrt(3), degrees=True).as_matrix()
    poses[1:, :3, :3] = poses[1:, :3, :3] @ turn
    return poses


def test_the_denoiser_sees_the_clip_and_its_answer_is_guided(walk: Clip) -> None:
    start = turned(walk.camera_to_first, 1.5)[None]
    denoiser = FakeDenoiser(start)
    found = Estimator(ALWAYS_ASK, denoiser).estimate(walk.images, [CAMERA] * 4)
    ((evidence, bearings, given),) = denoiser.calls
    assert evidence.frames == 4
    assert bearings.shape == (4, 12, 16, 3)
    np.testing.assert_allclose(np.linalg.norm(bearings, axis=-1), 1.0, atol=1e-12)
    hypotheses = len(given.camera_to_first)
    # One for each pair of frames.
    assert 1 <= hypotheses <= 6
    assert given.camera_to_first.shape == (hypotheses, 4, 4, 4)
    assert given.inlier is None
    np.testing.assert_allclose(given.camera_to_first[:, 0], np.tile(np.eye(4), (hypotheses, 1, 1)), atol=1e-9)
    assert rotation_error_deg(start[0], walk.camera_to_first) == pytest.approx(1.5, abs=0.1)
    assert rotation_error_deg(found.camera_to_first, walk.camera_to_first) < 0.3
    assert direction_error_deg(found.camera_to_first, walk.camera_to_first) < 2.0


def test_hypotheses_that_explain_as_much_cost_confidence(turn: Clip) -> None:
    """Without parallax up will do as well as down: the hypotheses disagree, so confidence is low."""
    rivals = np.repeat(turn.camera_to_first[None], 2, axis=0)
    rivals[0, 1:, 1, 3], rivals[1, 1:, 1, 3] = (0.5, 1.0), (-0.5, -1.0)
    # Without refinement they stay where they are, each with the best depths for it: far away.
    as_given = EstimatorSettings(refine=RefineSettings(iterations=0))
    sure, unsure = (
        Estimator(as_given, FakeDenoiser(given)).estimate(turn.images, [CAMERA] * 3) for given in (rivals[:1], rivals)
    )
    assert sure.confidence.min() > 0.0
    np.testing.assert_array_equal(sure.spread_direction_rad, 0.0)
    np.testing.assert_allclose(unsure.spread_direction_rad, [0.0, np.pi, np.pi])
    np.testing.assert_allclose(unsure.confidence[1:], sure.confidence[1:] * np.exp(-np.pi / 0.5), rtol=1e-6)


def test_the_denoiser_judges_which_observations_count(walk: Clip, other_walk: Clip) -> None:
    """The left three fifths of every image move as one camera, the rest as another: inlier probabilities decide."""
    images = [
        np.concatenate([a[:, :192], b[:, 192:]], axis=1) for a, b in zip(walk.images, other_walk.images, strict=True)
    ]
    both = np.array([turned(clip.camera_to_first, 0.5) for clip in (walk, other_walk)])
    assert rotation_error_deg(walk.camera_to_first, other_walk.camera_to_first) > 2.0
    answers = {}
    for columns in (None, (0.0, 180.0), (204.0, 320.0)):
        answers[columns] = Estimator(denoiser=FakeDenoiser(both, columns)).estimate(images, [CAMERA] * 4)
    truth = {None: walk, (0.0, 180.0): walk, (204.0, 320.0): other_walk}
    for columns, found in answers.items():
        assert rotation_error_deg(found.camera_to_first, truth[columns].camera_to_first) < 0.7
        assert direction_error_deg(found.camera_to_first, truth[columns].camera_to_first) < 5.0


# ------------------------------------------------------------------------------------------- the learned matcher


def with_learned(weak: float, stage: NearestGraph, said: list[str] | None = None) -> Estimator:
    settings = replace(EstimatorSettings(), weak=weak)
    matcher = LearnedMatcher(FakeGraphs(stages=[stage]))
    return Estimator(settings, learned=matcher, warn=[].append if said is None else said.append)


def test_keypoints_are_compared_where_flow_does_not_reach_far(walk: Clip, other_walk: Clip) -> None:
    estimator = Estimator()
    near = [walk.images[0][:, k : 300 + k] for k in (0, 4, 8)]
    apart = [walk.images[0], other_walk.images[0]]
    for images, needed in ((near, False), (apart, True)):
        frames = estimator.matcher.look_all(images)
        matches = estimator.matcher.match_every_pair(frames)
        assert {found.reach < 0.5 for found in matches.values()} == {needed}
        assert {frame.keypoints is not None for frame in frames} == {needed}


def test_a_clip_with_good_evidence_does_without_the_learned_matcher(answer: ClipEstimate, walk: Clip) -> None:
    stage = NearestGraph()
    found = with_learned(0.5, stage).estimate(walk.images, [CAMERA] * 4)
    assert stage.asked == []
    assert not found.is_learned
    np.testing.assert_array_equal(found.camera_to_first, answer.camera_to_first)


def test_weak_evidence_is_replaced_unless_the_answer_is_clearly_less_sure(
    answer: ClipEstimate, walk: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = NearestGraph(amiss=True)
    estimator = with_learned(1.5, stage)
    found = estimator.estimate(walk.images, [CAMERA] * 4)
    assert len(stage.asked) == 6, "every pair, once"
    assert found.stage_s["learned"] > 0
    assert not found.is_learned
    np.testing.assert_array_equal(found.camera_to_first, answer.camera_to_first)
    monkeypatch.setattr(estimator_module, "_CLEARLY_LESS", 1.0)
    found = estimator.estimate(walk.images, [CAMERA] * 4)
    assert found.is_learned
    assert found.confidence.min() < answer.confidence.min() - 0.1


def test_something_that_moves_is_no_weak_evidence(answer_when_passed: ClipEstimate, passed_by: list[Image]) -> None:
    stage = NearestGraph()
    found = with_learned(1.5, stage).estimate(passed_by, [CAMERA] * 4)
    assert found.second_motion.any()
    assert stage.asked == []
    np.testing.assert_array_equal(found.camera_to_first, answer_when_passed.camera_to_first)


def test_learned_keypoints_alone_where_they_are_asked_for(answer: ClipEstimate, walk: Clip) -> None:
    estimator = with_learned(ALWAYS_LEARNED, NearestGraph())
    found = estimator.estimate(walk.images, [CAMERA] * 4)
    assert found.is_learned
    assert rotation_error_deg(found.camera_to_first, walk.camera_to_first) < 0.5
    tracks = found.evidence.kind == KEYPOINT
    assert tracks.sum() > 50
    assert not np.array_equal(found.evidence.pixels[tracks], answer.evidence.pixels[answer.evidence.kind == KEYPOINT])
    assert found.cameras == (CAMERA,) * 4
    unknown = estimator.estimate(walk.images)
    assert unknown.is_learned
    assert abs(unknown.cameras[0].fx / CAMERA.fx - 1) < 0.15


def test_a_learned_matcher_that_fails_is_named_once_and_not_asked_again(answer: ClipEstimate, walk: Clip) -> None:
    said: list[str] = []
    estimator = with_learned(ALWAYS_LEARNED, NearestGraph(error=EngineError("out of memory")), said)
    for _ in range(2):
        found = estimator.estimate(walk.images, [CAMERA] * 4)
        assert not found.is_learned
        np.testing.assert_array_equal(found.camera_to_first, answer.camera_to_first)
    assert said == ["matcher: classic from now on, because the learned one failed: out of memory"]
