"""resection: a frame against keyframes, from given starts and from those of the prior."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from made_up_tracks import FOCAL_PX, FRAMES, cameras, tracks_of
from walk import (
    CAMERA,
    Walk,
    follow,
)

from ros2_raxels.estimation.hypotheses import PoseHypotheses
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import (
    FloatArray,
    make_pose,
    relative_pose,
    rotation_angle_rad,
    rotation_from_vector,
)
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.tracks import Evidence
from ros2_raxels.tracking.frame import Keyframe, StreamFrame
from ros2_raxels.tracking.resection import FrameSolver
from ros2_raxels.tracking.tracker import Tracker


class Prior:
    """A denoiser that knows the truth, and can be asked what it was given."""

    def __init__(self, poses: FloatArray) -> None:
        self.poses, self.given = poses, []

    def describe(self) -> str:
        return "the truth"

    def denoise(self, evidence: Evidence, bearings: FloatArray, hypotheses: PoseHypotheses) -> PoseHypotheses:
        self.given.append(hypotheses.camera_to_first[0])
        clip = relative_pose(self.poses[0], self.poses)
        clip[:, :3, 3] /= np.linalg.norm(clip[:, :3, 3], axis=1).max()
        return PoseHypotheses(np.concatenate([hypotheses.camera_to_first, clip[None]]))


def test_the_prior_finds_a_frame_that_constant_velocity_misses(walk: Walk, scale: float) -> None:
    """Its pose comes in units of its own, and is put into those of the keyframes."""
    tracker = Tracker()
    follow(tracker, walk[:14])
    anchors = [keyframe.number for keyframe in tracker._live.keyframes.window]
    frame = StreamFrame(14, 0, tracker._matcher.look(walk.images[20]), CAMERA)
    evidence = tracker._live.mapper.shared.between(tracker._live.keyframes.window, frame)
    prior = Prior(walk.poses[[*anchors, 20]])
    astray = tracker._live.motion.camera_to_world @ make_pose(rotation_from_vector([0.0, 0.3, 0.0]), [0.3, 0.0, 0.0])
    starts, weights = tracker._solver._denoised_starts(prior, tracker._live.keyframes.window, evidence, astray)
    assert weights is None
    given = relative_pose(tracker._live.keyframes.window[0].camera_to_world, astray)
    np.testing.assert_allclose(prior.given[0][-1][:3, :3], given[:3, :3], atol=1e-6)
    truth = relative_pose(walk.poses[0], walk.poses[20])
    assert np.linalg.norm(scale * starts[-1][:3, 3] - truth[:3, 3]) < 0.03 * walk.depth_m
    assert np.degrees(rotation_angle_rad(starts[-1][:3, :3].T @ truth[:3, :3])) < 1.0


# ----------------------------------------------------------------------------------------------------- exact tracks


def against_three() -> tuple[list[Keyframe], Evidence, FloatArray]:
    """Keyframes where three cameras stand, exact tracks of these and a fourth one, and where that stands."""
    rng = np.random.default_rng(4)
    poses = cameras(rng)
    evidence, _ = tracks_of(rng, poses)
    camera = PinholeCamera(320, 240, FOCAL_PX, FOCAL_PX, 159.5, 119.5)
    blank = Features(np.zeros((240, 320), np.uint8))
    anchors = [
        Keyframe(StreamFrame(k, k, blank, camera), poses[k], np.zeros((7, 7)), np.zeros(0)) for k in range(FRAMES - 1)
    ]
    return anchors, evidence, poses[-1]


def test_exact_tracks_give_the_exact_pose_from_a_start_that_is_off() -> None:
    anchors, evidence, truth = against_three()
    start = truth @ make_pose(rotation_from_vector([0.02, -0.03, 0.01]), [0.1, 0.05, -0.1])
    solved = FrameSolver(None, sure=0.6).solve_from([start], anchors, evidence)
    np.testing.assert_allclose(solved.camera_to_world, truth, atol=1e-6)
    seen = int((evidence.seen[:, -1] & (evidence.anchor < FRAMES - 1)).sum())
    assert solved.quality.inliers == solved.quality.correspondences == seen
    assert solved.quality.residual_px < 1e-4
    assert solved.quality.confidence == 1.0


def test_the_best_of_several_starts_is_taken() -> None:
    anchors, evidence, truth = against_three()
    astray = truth @ make_pose(rotation_from_vector([0.0, 2.5, 0.0]), [3.0, 0.0, 0.0])
    solved = FrameSolver(None, sure=0.6).solve([astray, truth], anchors, evidence, step=0.5)
    assert solved is not None
    np.testing.assert_allclose(solved.camera_to_world, truth, atol=1e-6)


def test_where_no_start_is_right_two_views_give_one() -> None:
    anchors, evidence, truth = against_three()
    astray = truth @ make_pose(rotation_from_vector([0.0, 2.5, 0.0]), [3.0, 0.0, 0.0])
    step = float(np.linalg.norm(truth[:3, 3] - anchors[-1].camera_to_world[:3, 3]))
    solved = FrameSolver(None, sure=0.6).solve([astray], anchors, evidence, step)
    assert solved is not None
    np.testing.assert_allclose(solved.camera_to_world, truth, atol=1e-5)


def test_too_few_tracks_say_nothing() -> None:
    anchors, evidence, truth = against_three()
    few = replace(evidence, anchor=evidence.anchor[:7])
    assert FrameSolver(None, sure=0.6).solve([truth], anchors, few, 0.1) is None
