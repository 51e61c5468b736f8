"""Stream of frames to trajectory: keyframes, small windows, loss and recovery. Free of ROS.

A new frame is solved against the keyframes of a window, whose poses are fixed and set the scale; the inverse depths of
the tracks are solved with it. A frame that sees little of the last keyframe becomes one, and then the newer half of the
window is refined together. Everything found about a frame or a pair of frames is kept, nothing is computed twice.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from ros2_raxels.estimator import (
    ClipEstimate,
    Denoiser,
    Estimator,
    EstimatorSettings,
    RaxelHypotheses,
    possible,
    timed,
)
from ros2_raxels.evidence import Evidence, EvidenceSettings, Features
from ros2_raxels.geometry import (
    FloatArray,
    PinholeCamera,
    interpolate_pose,
    inverse_pose,
    make_pose,
    nearest_rotation,
    relative_pose,
    rotation_angle_rad,
)
from ros2_raxels.guidance import Refined, RefineSettings, refine, triangulate
from ros2_raxels.keyframes import SharedEvidence, View
from ros2_raxels.proposals import two_view
from ros2_raxels.raxel_grid import clip_bearings, decode_clip, encode_clip
from ros2_raxels.uncertainty import in_world_axes

UNKNOWN_VARIANCE = 9999.0
"""On the diagonal of what is not known: a fusing filter then gives it no weight; 0 would mean "certain"."""

_SCENE_DEPTH = 1.0
"""World unit: the median depth of the scene where the trajectory starts."""

_LEAST_STEP = 1e-3 * _SCENE_DEPTH
_INLIER_PX = 2.0
_ENOUGH_INLIERS = 40.0
_LOOK_AT = 12
_FEW = 8
_BLIND = 20
_STREAM = EvidenceSettings(keypoint_reach=0.5)
_RESECT = RefineSettings(widths_px=(20.0, 12.0, 8.0, 5.0, 3.0, 2.0), iterations=6)
_POLISH = RefineSettings(widths_px=(3.0, 2.0), iterations=4)
_BUNDLE_TRACKS = 1200
_WINDOW = RefineSettings(widths_px=(3.0, 2.0), iterations=6)


class TrackState(enum.IntEnum):
    """Values equal ``raxels_interfaces/msg/PoseStatus.STATE_*``."""

    WAITING = 0
    INITIALISING = 1
    TRACKING = 2
    HELD = 3
    LOST = 4


@dataclass(frozen=True)
class TrackedPose:
    """The answer for one frame.

    Attributes:
        stamp_ns: the image's stamp, as given.
        camera_to_world: 4x4; world is the optical frame of the first frame that the trajectory could start from.
        covariance: 6x6 of (x, y, z, rotation about world x, y, z), in pose units and rad; 9999 on the diagonal of
            what is not known.
        state: see `TrackState`; TRACKING is the only state in which the pose is a fresh estimate.
        confidence: 0 (a guess) to 1.
        residual_px: median reprojection error of the inliers in the image as given.
        correspondences, inliers: how many the solve was given and how many agree with it.
        spread_rotation_rad, spread_translation: how far the hypotheses of the solve lie apart.
        keyframe: whether this frame became one.
        earlier: (stamp_ns, camera_to_world) of frames that were INITIALISING and are known now.
        message: why the state is not TRACKING, in words; empty otherwise.
        stage_s: wall time of each stage ("look", "evidence", "solve", ...), s.
    """

    stamp_ns: int
    camera_to_world: FloatArray
    covariance: FloatArray
    state: TrackState
    confidence: float
    residual_px: float = 0.0
    correspondences: int = 0
    inliers: int = 0
    spread_rotation_rad: float = 0.0
    spread_translation: float = 0.0
    keyframe: bool = False
    earlier: tuple[tuple[int, FloatArray], ...] = ()
    message: str = ""
    stage_s: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrackerSettings:
    """What a user may tune; defaults are for a robot.

    Attributes:
        confidence_min: below it a frame counts as not tracked.
        sure: above it the first solve of a frame is taken without trying other starts.
        lost_frames: so many frames in a row below `confidence_min` mean LOST.
        window: keyframes that a new frame is solved against.
        bundle: newest keyframes that are refined together.
        start_motion: image motion, as a share of the image width, after which the first cameras are solved.
        start_frames: they are solved after so many frames too, if the image moved by a quarter of that.
        keyframe_motion: image motion since the last keyframe, as a share of the image width, that makes a new one.
        keyframe_overlap: so does seeing less than this share of the last keyframe.
        stored_keyframes: older keyframes kept for recovery after a loss.
        restart_frames: after so many frames LOST, in which there was something to be seen, a new trajectory is begun
            where the last one ended.
        estimator: the stages below.
    """

    confidence_min: float = 0.2
    sure: float = 0.6
    lost_frames: int = 5
    window: int = 3
    bundle: int = 7
    start_motion: float = 0.05
    start_frames: int = 20
    keyframe_motion: float = 0.08
    keyframe_overlap: float = 0.5
    stored_keyframes: int = 100
    restart_frames: int = 30
    estimator: EstimatorSettings = field(default_factory=lambda: EstimatorSettings(evidence=_STREAM))


@dataclass(frozen=True)
class _Solve:
    """One frame against the window."""

    camera_to_world: FloatArray
    covariance: FloatArray
    confidence: float
    residual_px: float
    correspondences: int
    inliers: int
    spread_rotation_rad: float
    spread_translation: float
    inverse_depth: FloatArray
    agrees: npt.NDArray[np.bool_]


class Tracker:
    """Poses for a stream of frames of one camera.

    Raises nothing for bad *content* (black, blurred, unrelated images): that is a state. Raises ValueError for images
    of the wrong shape or dtype.

    Args:
        settings: see there.
        denoiser: the learned prior for the first cameras, and for frames that constant velocity explains badly; None
            leaves two-view geometry alone with them.
    """

    def __init__(self, settings: TrackerSettings | None = None, denoiser: Denoiser | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self._denoiser = denoiser
        self._estimator = Estimator(self.settings.estimator, denoiser)
        self._matcher = self._estimator.matcher
        self.reset()

    def reset(self) -> None:
        """Forget everything; the next frame is the new origin."""
        self._next_number = 0
        self._pose: FloatArray = np.eye(4)
        self._motion: FloatArray = np.eye(4)
        self._covariance: FloatArray = np.zeros((6, 6))
        self._camera: PinholeCamera | None = None
        self._focal_found = False
        self._bad_frames = 0
        self._was_apart = False
        self._forget_views()

    def _forget_views(self) -> None:
        self._pending: list[View] = []
        self._coming: View | None = None
        self._window: list[View] = []
        self._stored: deque[View] = deque(maxlen=self.settings.stored_keyframes)
        self._shared = SharedEvidence(self._matcher, self.settings.keyframe_overlap)

    @property
    def engine_id(self) -> str:
        """What it computes with, in a line."""
        return "evidence and guidance, no denoiser" if self._denoiser is None else self._denoiser.describe()

    @property
    def camera(self) -> PinholeCamera | None:
        """Intrinsics in use: as given, or as estimated once there was motion."""
        return self._camera

    def track(self, image: npt.NDArray[np.uint8], stamp_ns: int, camera: PinholeCamera | None) -> TrackedPose:
        """Pose of one frame.

        Args:
            image: (height, width) or (height, width, 3) RGB, uint8.
            stamp_ns: copied into the answer.
            camera: intrinsics of this image; None lets the focal length be estimated.

        Raises:
            ValueError: an image of the wrong shape or dtype, or a camera of another size than its image.
        """
        if camera is not None and image.shape[:2] != (camera.height, camera.width):
            raise ValueError(
                f"image is {image.shape[1]}x{image.shape[0]} px but its camera is {camera.width}x{camera.height} px; "
                "use the calibration of this resolution"
            )
        stage_s: dict[str, float] = {}
        with timed(stage_s, "improve"):
            self.improve()
        with timed(stage_s, "look"):
            features = self._matcher.look(image)
            camera = None if camera is None else features.working_camera(camera)
        view = View(self._next_number, stamp_ns, features, self._intrinsics(features, camera), self._pose)
        self._next_number += 1
        if not self._window:
            answer = self._initialise(view, stamp_ns, camera is not None, stage_s)
        else:
            answer = self._follow(view, stamp_ns, stage_s)
        coming = () if self._coming is None else (self._coming,)
        self._shared.forget_all_but((*self._window, *self._pending, *self._stored, *coming))
        return replace(answer, residual_px=answer.residual_px * image.shape[1] / features.grey.shape[1])

    def improve(self) -> None:
        """Make a keyframe of the last frame if it is to be one, and refine the newest ones together.

        To be called when there is time, after the pose has been passed on; `track` catches up on what was left undone.
        """
        view, self._coming = self._coming, None
        if view is not None:
            self._add_keyframe(view)
            self._pose = view.camera_to_world

    def _intrinsics(self, features: Features, given: PinholeCamera | None) -> PinholeCamera:
        if given is not None:
            self._camera = given
        height, width = features.grey.shape
        if self._camera is None or (self._camera.height, self._camera.width) != (height, width):
            focal = 0.9 * max(height, width)
            self._camera, self._focal_found = (
                PinholeCamera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2),
                False,
            )
        return self._camera

    # -- start

    def _initialise(self, view: View, stamp_ns: int, focal_known: bool, stage_s: dict[str, float]) -> TrackedPose:
        if not self._pending:
            self._pending.append(view)
            return self._unsolved(stamp_ns, TrackState.INITIALISING, "first frame; waiting for motion", stage_s)
        with timed(stage_s, "evidence"):
            motion, overlap = self._shared.image_motion(self._pending[0], view)
        waiting = len(self._pending)
        self._pending.append(view)
        enough = self.settings.start_motion / (4.0 if waiting >= self.settings.start_frames else 1.0)
        if overlap < 0.15 and waiting == 1:
            enough = 0.0
        if motion < enough and overlap > 0.3:
            self._pending = _spread_out(self._pending, self.settings.start_frames)
            reason = f"image moved {100 * motion:.1f} % of its width; {100 * enough:.1f} % needed to start"
            return self._unsolved(stamp_ns, TrackState.INITIALISING, reason, stage_s)
        return self._start(view, stamp_ns, focal_known or self._focal_found, stage_s)

    def _start(self, view: View, stamp_ns: int, focal_known: bool, stage_s: dict[str, float]) -> TrackedPose:
        chosen = _spread_out(self._pending, self.settings.window + 1)
        cameras = [v.camera for v in chosen] if focal_known else None
        with timed(stage_s, "solve"):
            clip = self._estimator.estimate_seen([v.features for v in chosen], cameras)
        confidence = float(clip.confidence[-1])
        if confidence < self.settings.confidence_min:
            # The oldest frames may no longer overlap with the newest: start again from the middle.
            self._pending = self._pending[len(self._pending) // 2 :]
            reason = f"first cameras are too uncertain (confidence {confidence:.2f}); move sideways, not only turn"
            return self._unsolved(stamp_ns, TrackState.INITIALISING, reason, stage_s)
        self._camera, self._focal_found = clip.cameras[-1], True
        self._place(chosen, clip)
        earlier = _between(self._pending[:-1], chosen)
        self._pending, self._bad_frames = [], 0
        self._motion = np.eye(4)
        self._pose = view.camera_to_world
        self._covariance = _isotropic(clip)
        return TrackedPose(
            stamp_ns,
            self._pose,
            self._covariance,
            TrackState.TRACKING,
            confidence,
            float(np.nan_to_num(clip.residual_px[-1])),
            int(clip.observations[-1]),
            int(clip.inliers[-1]),
            float(clip.spread_rotation_rad[-1]),
            float(np.linalg.norm(view.camera_to_world[:3, 3]) * clip.spread_direction_rad[-1]),
            True,
            earlier,
            stage_s=stage_s,
        )

    def _place(self, views: Sequence[View], clip: ClipEstimate) -> None:
        """Clip units to world units: the median depth becomes `_SCENE_DEPTH`, also where a trajectory restarts."""
        depth = clip.inverse_depth[(clip.evidence.anchor == 0) & (clip.inverse_depth > 0)]
        scale = _SCENE_DEPTH * (float(np.median(depth)) if len(depth) else 1.0)
        first_to_world = views[0].camera_to_world
        for view, pose, camera in zip(views, clip.camera_to_first, clip.cameras, strict=True):
            moved = make_pose(pose[:3, :3], pose[:3, 3] * scale)
            view.camera_to_world, view.camera = first_to_world @ moved, camera
        agrees = clip.inverse_depth > 0
        self._shared.learn(views, clip.evidence, clip.inverse_depth / scale, agrees)
        self._window = list(views)[-self.settings.window :]
        self._stored.extend(views[: -self.settings.window])

    # -- following

    def _follow(self, view: View, stamp_ns: int, stage_s: dict[str, float]) -> TrackedPose:
        lost = self._bad_frames >= self.settings.lost_frames
        anchors = self._recovery_views(view) if lost else self._window
        solved, apart = self._solve_expected(view, stage_s), False
        if solved is None:
            with timed(stage_s, "evidence"):
                evidence, apart = self._shared.between(anchors, view, thorough=lost)
            with timed(stage_s, "solve"):
                solved = self._solve(anchors, evidence)
        if solved is None or solved.confidence < self.settings.confidence_min:
            return self._missed(view, stamp_ns, solved, stage_s)
        if lost:
            self._go_back_to(anchors)
        self._motion = inverse_pose(self._pose) @ solved.camera_to_world if self._bad_frames == 0 else np.eye(4)
        self._bad_frames = 0
        view.camera_to_world = solved.camera_to_world
        with timed(stage_s, "keyframe"):
            motion, overlap = self._shared.image_motion(self._window[-1], view)
            keyframe = motion > self.settings.keyframe_motion or overlap < self.settings.keyframe_overlap
            # Thorough looks one after the other would cost more than a keyframe that ends them.
            keyframe |= apart and self._was_apart
            if keyframe:
                self._coming = view
            self._was_apart = apart and not keyframe
        self._pose, self._covariance = view.camera_to_world, solved.covariance
        return TrackedPose(
            stamp_ns,
            self._pose,
            self._covariance,
            TrackState.TRACKING,
            solved.confidence,
            solved.residual_px,
            solved.correspondences,
            solved.inliers,
            solved.spread_rotation_rad,
            solved.spread_translation,
            keyframe,
            stage_s=stage_s,
        )

    def _expected_pose(self) -> FloatArray:
        """Where constant velocity leads."""
        return _orthogonal(self._pose @ self._motion)

    def _solve_expected(self, view: View, stage_s: dict[str, float]) -> _Solve | None:
        """Where constant velocity leads; None unless what is seen there agrees with it well."""
        if self._bad_frames:
            return None
        expected = self._expected_pose()
        with timed(stage_s, "evidence"):
            evidence = self._shared.expected(self._window, view, expected)
        if evidence is None or len(evidence.anchor) < _FEW:
            return None
        with timed(stage_s, "solve"):
            solved = self._solve_from([expected], self._window, evidence)
        if solved.confidence < self.settings.sure:
            self._shared.forget_pairs(view)
            return None
        self._shared.learn(self._window, evidence, solved.inverse_depth, solved.agrees)
        return solved

    def _solve(self, anchors: Sequence[View], evidence: Evidence) -> _Solve | None:
        """Constant velocity and standing still first; where they explain the frame badly, two-view geometry as well."""
        if len(evidence.anchor) < _FEW:
            return None
        starts = [self._expected_pose(), self._pose]
        solved = self._solve_from(starts, anchors, evidence)
        if solved.confidence < self.settings.sure:
            rivals, weights = self._two_view_start(anchors, evidence), None
            if self._denoiser is not None:
                denoised, weights = self._denoised_starts(self._denoiser, anchors, evidence, solved.camera_to_world)
                rivals += denoised
            if rivals:
                solved = self._solve_from([solved.camera_to_world, *starts, *rivals], anchors, evidence, weights)
        if solved.confidence >= self.settings.confidence_min:
            self._shared.learn(anchors, evidence, solved.inverse_depth, solved.agrees)
        return solved

    def _solve_from(
        self,
        starts: Sequence[FloatArray],
        anchors: Sequence[View],
        evidence: Evidence,
        weights: FloatArray | None = None,
    ) -> _Solve:
        new = len(anchors)
        poses: FloatArray = np.array([[*(v.camera_to_world for v in anchors), start] for start in starts])
        fixed = np.arange(new + 1) < new
        # Depths come from the keyframes first, so that a wrong start cannot bend them.
        among = np.ones(evidence.seen.shape)
        among[:, new] = 0.0
        known = (evidence.seen[:, :new].sum(axis=1) > 1).astype(float)[:, None] * (1.0 - among)
        if weights is not None:
            known = known * weights
        if known.sum() > 12:
            depths = triangulate(evidence, poses, among)
            poses = refine(
                evidence, poses, _RESECT, weights=known, inverse_depth=depths, fixed=fixed, keep_depths=True
            ).camera_to_first
        return _summary(refine(evidence, poses, _POLISH, weights=weights, fixed=fixed), evidence, new)

    def _two_view_start(self, anchors: Sequence[View], evidence: Evidence) -> list[FloatArray]:
        """Two-view pose to the newest keyframe, as far away as constant velocity says; none where there is none."""
        first, second = evidence.pair(len(anchors) - 1, len(anchors))
        relative = two_view(first, second, 1.0 / float(evidence.focal_px[-1]))
        if relative is None:
            return []
        last, expected = anchors[-1].camera_to_world, self._expected_pose()
        step = max(float(np.linalg.norm(last[:3, 3] - expected[:3, 3])), _LEAST_STEP)
        return [last @ make_pose(relative[:3, :3], relative[:3, 3] * step)]

    def _denoised_starts(
        self, denoiser: Denoiser, anchors: Sequence[View], evidence: Evidence, expected: FloatArray
    ) -> tuple[list[FloatArray], FloatArray | None]:
        """Poses that the prior finds likely, in the unit of the keyframes, and weights of the observations."""
        world = np.array([*(v.camera_to_world for v in anchors), expected])
        clip = relative_pose(world[0], world)
        reach, known = (float(np.linalg.norm(p[:, :3, 3], axis=1).max()) for p in (clip, clip[:-1]))
        if known < _LEAST_STEP:
            return [], None
        clip[:, :3, 3] /= reach
        bearings = clip_bearings([*(v.camera for v in anchors), anchors[-1].camera])
        out = denoiser.denoise(evidence, bearings, RaxelHypotheses(encode_clip(bearings, clip[None])))
        poses = decode_clip(bearings, out.raxels)
        found = np.linalg.norm(poses[:, :-1, :3, 3], axis=-1).max(axis=1)
        # Where the prior lets the keyframes coincide it says nothing about their unit.
        scale = np.where(found > 0.1 * known / reach, known / np.maximum(found, _LEAST_STEP), reach)
        poses[:, :, :3, 3] *= scale[:, None, None]
        return list(world[0] @ poses[:, -1]), None if out.inlier is None else possible(out.inlier)

    def _missed(self, view: View, stamp_ns: int, solved: _Solve | None, stage_s: dict[str, float]) -> TrackedPose:
        blind = self._bad_frames >= self.settings.lost_frames and self._is_blind(view)
        # A covered lens is no new place: nothing is begun there, however long it takes.
        self._bad_frames += 0 if blind else 1
        # Held poses grow worse with every frame; the motion before the loss is the best guess of how fast.
        step = max(float(np.linalg.norm(self._motion[:3, 3])), _LEAST_STEP)
        self._covariance = self._covariance + np.diag([step**2] * 3 + [0.02**2] * 3)
        confidence = solved.confidence if solved else 0.0
        reason = f"{solved.inliers if solved else 0} of {solved.correspondences if solved else 0} matches agree"
        if self._bad_frames < self.settings.lost_frames:
            return self._unsolved(stamp_ns, TrackState.HELD, f"pose held: {reason}", stage_s, confidence)
        if self._bad_frames >= self.settings.lost_frames + self.settings.restart_frames:
            self._restart(view)
            reason = "a new trajectory begins here"
        if blind:
            reason = "nothing to be seen (covered lens, darkness, blank wall)"
        return self._unsolved(stamp_ns, TrackState.LOST, f"lost for {self._bad_frames} frames: {reason}", stage_s)

    def _is_blind(self, view: View) -> bool:
        return len(self._matcher.keypoints(view.features).pixels) < _BLIND

    def _restart(self, view: View) -> None:
        self._forget_views()
        self._motion = np.eye(4)
        self._pending = [view]

    def _unsolved(
        self, stamp_ns: int, state: TrackState, message: str, stage_s: dict[str, float], confidence: float = 0.0
    ) -> TrackedPose:
        covariance = self._covariance if state is TrackState.HELD else np.eye(6) * UNKNOWN_VARIANCE
        return TrackedPose(stamp_ns, self._pose, covariance, state, confidence, message=message, stage_s=stage_s)

    # -- keyframes

    def _add_keyframe(self, view: View) -> None:
        older = list(self._stored)[self.settings.window - self.settings.bundle :] if self._stored else []
        others = [*older, *self._window]
        self._shared.both_ways(others, view)
        self._shared.measure(others, view)
        self._window.append(view)
        if len(self._window) > self.settings.window:
            self._stored.append(self._window.pop(0))
        self._refine([*others, view])
        self._shared.connect(self._window)

    def _refine(self, views: Sequence[View]) -> None:
        """Keyframes together; the oldest two hold the place and the scale."""
        if len(views) < 3:
            return
        evidence = self._shared.among(views, _BUNDLE_TRACKS)
        fixed = np.arange(len(views)) < 2
        poses = np.array([[v.camera_to_world for v in views]])
        refined = refine(evidence, poses, _WINDOW, fixed=fixed)
        for view, pose in zip(views, refined.camera_to_first[0], strict=True):
            view.camera_to_world = _orthogonal(pose)
        agrees = np.nanmin(refined.residual_px[0], axis=1) < _INLIER_PX
        self._shared.learn(views, evidence, refined.inverse_depth[0], agrees)

    def _recovery_views(self, view: View) -> list[View]:
        """The stored keyframe that has most keypoints in common with the frame, and its neighbours."""
        candidates = [*self._stored, *self._window]
        # A few a frame: recovery must not make frames late. All are seen within some frames.
        count = min(_LOOK_AT, len(candidates))
        looked_at = [candidates[(view.number * count + k) % len(candidates)] for k in range(count)]
        common = [self._matcher.common_keypoints(v.features, view.features) for v in looked_at]
        best = looked_at[int(np.argmax(common))]
        # Neighbours in space: after a recovery those in time may have been elsewhere.
        poses = np.array([v.camera_to_world for v in candidates])
        motion = relative_pose(best.camera_to_world, poses)
        apart = np.linalg.norm(motion[:, :3, 3], axis=1) / _SCENE_DEPTH + rotation_angle_rad(motion[:, :3, :3])
        nearest = np.argsort(apart, kind="stable")[: self.settings.window]
        return sorted((candidates[k] for k in nearest), key=lambda v: v.number)

    def _go_back_to(self, anchors: Sequence[View]) -> None:
        others = [v for v in (*self._stored, *self._window) if v not in anchors]
        self._stored.clear()
        self._stored.extend(others)
        self._window = list(anchors)


def _between(views: Sequence[View], solved: Sequence[View]) -> tuple[tuple[int, FloatArray], ...]:
    """Poses of all views by time between the solved ones: they lie a few frames apart, where motion is smooth."""
    poses = []
    for view in views:
        after = next((s for s in solved if s.number >= view.number), solved[-1])
        before = next((s for s in reversed(solved) if s.number <= view.number), solved[0])
        gap = max(after.stamp_ns - before.stamp_ns, 1)
        share = min(max((view.stamp_ns - before.stamp_ns) / gap, 0.0), 1.0)
        poses.append((view.stamp_ns, interpolate_pose(before.camera_to_world, after.camera_to_world, share)))
    return tuple(poses)


def _spread_out(views: Sequence[View], count: int) -> list[View]:
    """At most `count` of them, evenly spread in time, the first and last among them."""
    if len(views) <= count:
        return list(views)
    return [views[k] for k in np.unique(np.linspace(0, len(views) - 1, count).round().astype(int))]


def _summary(refined: Refined, evidence: Evidence, new: int) -> _Solve:
    residual = refined.residual_px[0, :, new]
    agree = residual < _INLIER_PX
    inliers, observed = int(agree.sum()), int(np.isfinite(residual).sum())
    share = inliers / max(observed, 1)
    rivals = refined.camera_to_first[refined.cost < 1.1 * refined.cost[0] + 1e-9, new]
    motion = relative_pose(rivals[0], rivals)
    return _Solve(
        _orthogonal(refined.camera_to_first[0, new]),
        _covariance(refined.information[0, 6 * new : 6 * new + 6, 6 * new : 6 * new + 6], refined, new),
        share * min(1.0, inliers / _ENOUGH_INLIERS),
        float(np.median(residual[agree])) if inliers else float("nan"),
        observed,
        inliers,
        float(rotation_angle_rad(motion[:, :3, :3]).max()),
        float(np.linalg.norm(motion[:, :3, 3], axis=1).max()),
        refined.inverse_depth[0],
        agree,
    )


def _orthogonal(pose: FloatArray) -> FloatArray:
    """The same without what rounding did to its rotation: extrapolated from frame to frame, that would grow."""
    return make_pose(nearest_rotation(pose[:3, :3]), pose[:3, 3])


def _covariance(information: FloatArray, refined: Refined, new: int) -> FloatArray:
    """Information of (rotation in the camera, translation) to covariance of (translation, rotation), world axes."""
    spread = np.linalg.pinv(information + 1e-9 * np.eye(6), hermitian=True)
    covariance = in_world_axes(spread, refined.camera_to_first[0, new])
    return np.asarray(np.minimum((covariance + covariance.T) / 2.0, UNKNOWN_VARIANCE))


def _isotropic(clip: ClipEstimate) -> FloatArray:
    """Covariance of the first solve: the spread of its hypotheses, and at least a percent of the scene's depth."""
    rotation = max(float(clip.spread_rotation_rad.max()), 0.005)
    translation = max(0.01, 0.1 * float(clip.spread_direction_rad.max())) * _SCENE_DEPTH
    return np.diag([translation**2] * 3 + [rotation**2] * 3)
