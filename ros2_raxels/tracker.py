"""Stream of frames to trajectory: keyframes, small windows, loss and recovery. Free of ROS.

A new frame is solved against the keyframes of a window, whose poses are fixed and set the scale; the inverse depths of
the tracks are solved with it. A frame that sees little of the last keyframe becomes one, and then the newer half of the
window is refined together. Everything found about a frame or a pair of frames is kept, nothing is computed twice.
"""

from __future__ import annotations

import enum
import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from ros2_raxels.estimator import ClipEstimate, Estimator, EstimatorSettings, timed
from ros2_raxels.evidence import Evidence, EvidenceSettings, Features, PairMatches
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
from ros2_raxels.proposals import two_view
from ros2_raxels.uncertainty import in_world_axes

UNKNOWN_VARIANCE = 9999.0
"""On the diagonal of what is not known: a fusing filter then gives it no weight; 0 would mean "certain"."""

_SCENE_DEPTH = 1.0
"""World unit: the median depth of the scene where the trajectory starts."""

_LEAST_STEP = 1e-3 * _SCENE_DEPTH
_INLIER_PX = 2.0
_ENOUGH_INLIERS = 40.0
_LOOK_AT = 12
_SHARED = 0.25
_STREAM = EvidenceSettings(keypoint_reach=0.5)
_RESECT = RefineSettings(widths_px=(20.0, 12.0, 8.0, 5.0, 3.0, 2.0), iterations=6)
_POLISH = RefineSettings(widths_px=(3.0, 2.0), iterations=4)
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
        start_motion: image motion, as a share of the image width, after which the first cameras are solved.
        start_frames: they are solved after so many frames too, if the image moved by a quarter of that.
        keyframe_motion: image motion since the last keyframe, as a share of the image width, that makes a new one.
        keyframe_overlap: so does seeing less than this share of the last keyframe.
        stored_keyframes: older keyframes kept for recovery after a loss.
        restart_frames: after so many frames LOST a new trajectory is begun where the last one ended.
        estimator: the stages below.
    """

    confidence_min: float = 0.2
    sure: float = 0.6
    lost_frames: int = 5
    window: int = 3
    start_motion: float = 0.05
    start_frames: int = 20
    keyframe_motion: float = 0.08
    keyframe_overlap: float = 0.5
    stored_keyframes: int = 100
    restart_frames: int = 30
    estimator: EstimatorSettings = field(default_factory=lambda: EstimatorSettings(evidence=_STREAM))


@dataclass(eq=False)
class _View:
    """A frame that later frames are compared with."""

    number: int
    stamp_ns: int
    features: Features
    camera: PinholeCamera
    camera_to_world: FloatArray


@dataclass(frozen=True)
class _Solve:
    """One frame against the window."""

    camera_to_world: FloatArray
    covariance: FloatArray
    confidence: float
    residual_px: float
    correspondences: int
    inliers: int
    spread_rotation_rad: float = 0.0
    spread_translation: float = 0.0


class Tracker:
    """Poses for a stream of frames of one camera.

    Raises nothing for bad *content* (black, blurred, unrelated images): that is a state. Raises ValueError for images
    of the wrong shape or dtype.
    """

    engine_id = "evidence and guidance, no denoiser"

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self._estimator = Estimator(self.settings.estimator)
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
        self._pending: list[_View] = []
        self._window: list[_View] = []
        self._stored: deque[_View] = deque(maxlen=self.settings.stored_keyframes)
        self._matches: dict[tuple[int, int], PairMatches] = {}

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
        with timed(stage_s, "look"):
            features = self._matcher.look(image)
            camera = None if camera is None else features.working_camera(camera)
        view = _View(self._next_number, stamp_ns, features, self._intrinsics(features, camera), self._pose)
        self._next_number += 1
        if not self._window:
            answer = self._initialise(view, stamp_ns, camera is not None, stage_s)
        else:
            answer = self._follow(view, stamp_ns, stage_s)
        self._prune_matches()
        return replace(answer, residual_px=answer.residual_px * image.shape[1] / features.grey.shape[1])

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

    def _initialise(self, view: _View, stamp_ns: int, focal_known: bool, stage_s: dict[str, float]) -> TrackedPose:
        if not self._pending:
            self._pending.append(view)
            return self._unsolved(stamp_ns, TrackState.INITIALISING, "first frame; waiting for motion", stage_s)
        with timed(stage_s, "evidence"):
            motion, overlap = self._image_motion(self._pending[0], view)
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

    def _start(self, view: _View, stamp_ns: int, focal_known: bool, stage_s: dict[str, float]) -> TrackedPose:
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

    def _place(self, views: Sequence[_View], clip: ClipEstimate) -> None:
        """Clip units to world units: the median depth becomes `_SCENE_DEPTH`, also where a trajectory restarts."""
        depth = clip.inverse_depth[(clip.evidence.anchor == 0) & (clip.inverse_depth > 0)]
        scale = _SCENE_DEPTH * (float(np.median(depth)) if len(depth) else 1.0)
        first_to_world = views[0].camera_to_world
        for view, pose, camera in zip(views, clip.camera_to_first, clip.cameras, strict=True):
            moved = make_pose(pose[:3, :3], pose[:3, 3] * scale)
            view.camera_to_world, view.camera = first_to_world @ moved, camera
        self._window = list(views)[-self.settings.window :]
        self._stored.extend(views[: -self.settings.window])

    # -- following

    def _follow(self, view: _View, stamp_ns: int, stage_s: dict[str, float]) -> TrackedPose:
        lost = self._bad_frames >= self.settings.lost_frames
        anchors = self._recovery_views(view) if lost else self._window
        with timed(stage_s, "evidence"):
            evidence, apart = self._new_evidence(anchors, view, lost)
        with timed(stage_s, "solve"):
            solved = self._solve(view, anchors, evidence)
        if solved is None or solved.confidence < self.settings.confidence_min:
            return self._missed(view, stamp_ns, solved, stage_s)
        if lost:
            self._go_back_to(anchors)
        self._motion = inverse_pose(self._pose) @ solved.camera_to_world if self._bad_frames == 0 else np.eye(4)
        self._bad_frames = 0
        view.camera_to_world = solved.camera_to_world
        with timed(stage_s, "keyframe"):
            motion, overlap = self._image_motion(self._window[-1], view)
            keyframe = motion > self.settings.keyframe_motion or overlap < self.settings.keyframe_overlap
            # Thorough looks one after the other would cost more than a keyframe that ends them.
            keyframe |= apart and self._was_apart
            if keyframe:
                self._add_keyframe(view)
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

    def _solve(self, view: _View, anchors: Sequence[_View], evidence: Evidence) -> _Solve | None:
        """Constant velocity and standing still first; where they explain the frame badly, two-view geometry as well."""
        if len(evidence.anchor) < 8:
            return None
        starts = [self._pose @ self._motion, self._pose]
        solved = self._solve_from(starts, anchors, evidence)
        if solved.confidence < self.settings.sure:
            rival = self._two_view_start(anchors, evidence)
            if rival is not None:
                solved = self._solve_from([solved.camera_to_world, *starts, rival], anchors, evidence)
        return solved

    def _solve_from(self, starts: Sequence[FloatArray], anchors: Sequence[_View], evidence: Evidence) -> _Solve:
        new = len(anchors)
        poses: FloatArray = np.array([[*(v.camera_to_world for v in anchors), start] for start in starts])
        fixed = np.arange(new + 1) < new
        # Depths come from the keyframes first, so that a wrong start cannot bend them.
        among = np.ones(evidence.seen.shape)
        among[:, new] = 0.0
        known = (evidence.seen[:, :new].sum(axis=1) > 1).astype(float)[:, None] * (1.0 - among)
        if known.sum() > 12:
            depths = triangulate(evidence, poses, among)
            poses = refine(
                evidence, poses, _RESECT, weights=known, inverse_depth=depths, fixed=fixed, keep_depths=True
            ).camera_to_first
        return _summary(refine(evidence, poses, _POLISH, fixed=fixed), evidence, new)

    def _two_view_start(self, anchors: Sequence[_View], evidence: Evidence) -> FloatArray | None:
        """Two-view pose to the newest keyframe, as far away as constant velocity says."""
        first, second = evidence.pair(len(anchors) - 1, len(anchors))
        relative = two_view(first, second, 1.0 / float(evidence.focal_px[-1]))
        if relative is None:
            return None
        last, expected = anchors[-1].camera_to_world, self._pose @ self._motion
        step = max(float(np.linalg.norm(last[:3, 3] - expected[:3, 3])), _LEAST_STEP)
        start: FloatArray = last @ make_pose(relative[:3, :3], relative[:3, 3] * step)
        return start

    def _missed(self, view: _View, stamp_ns: int, solved: _Solve | None, stage_s: dict[str, float]) -> TrackedPose:
        self._bad_frames += 1
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
        return self._unsolved(stamp_ns, TrackState.LOST, f"lost for {self._bad_frames} frames: {reason}", stage_s)

    def _restart(self, view: _View) -> None:
        self._forget_views()
        self._motion = np.eye(4)
        self._pending = [view]

    def _unsolved(
        self, stamp_ns: int, state: TrackState, message: str, stage_s: dict[str, float], confidence: float = 0.0
    ) -> TrackedPose:
        covariance = self._covariance if state is TrackState.HELD else np.eye(6) * UNKNOWN_VARIANCE
        return TrackedPose(stamp_ns, self._pose, covariance, state, confidence, message=message, stage_s=stage_s)

    # -- keyframes

    def _add_keyframe(self, view: _View) -> None:
        self._window.append(view)
        if len(self._window) > self.settings.window:
            self._refine_window()
            self._stored.append(self._window.pop(0))

    def _refine_window(self) -> None:
        views = self._window
        evidence = self._evidence(views)
        fixed = np.arange(len(views)) < max(2, len(views) // 2)
        poses = np.array([[v.camera_to_world for v in views]])
        refined = refine(evidence, poses, _WINDOW, fixed=fixed)
        for view, pose in zip(views, refined.camera_to_first[0], strict=True):
            view.camera_to_world = make_pose(nearest_rotation(pose[:3, :3]), pose[:3, 3])

    def _recovery_views(self, view: _View) -> list[_View]:
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

    def _go_back_to(self, anchors: Sequence[_View]) -> None:
        others = [v for v in (*self._stored, *self._window) if v not in anchors]
        self._stored.clear()
        self._stored.extend(others)
        self._window = list(anchors)

    # -- evidence

    def _pairs(self, pairs: Sequence[tuple[_View, _View]], thorough: bool) -> None:
        known = [self._matches.get((a.number, b.number)) for a, b in pairs]
        found = self._matcher.match_all([(a.features, b.features) for a, b in pairs], known, thorough)
        for (a, b), matches in zip(pairs, found, strict=True):
            self._matches[a.number, b.number] = matches

    def _new_evidence(self, anchors: Sequence[_View], view: _View, lost: bool) -> tuple[Evidence, bool]:
        """Of the new frame with the keyframes, and whether they had too little in common for a quick look."""
        self._pairs(_all_pairs(anchors), thorough=True)
        pairs = [(anchor, view) for anchor in anchors]
        self._pairs(pairs, thorough=False)
        last = anchors[-1].number
        apart = self._matches[last, view.number].reach < self.settings.keyframe_overlap
        # Flow from a keyframe that shares none with the others (the first after a recovery, or of another image size)
        # has no depth, and the scale would be lost there.
        shared = max((self._matches[anchor.number, last].reach for anchor in anchors[:-1]), default=1.0)
        if lost or apart or shared < _SHARED:
            self._pairs(pairs, thorough=True)
        return self._evidence([*anchors, view], must_see=len(anchors)), apart

    def _evidence(self, views: Sequence[_View], must_see: int | None = None) -> Evidence:
        pairs = _all_pairs(views)
        if must_see is None:
            self._pairs(pairs, thorough=True)
        position = {v.number: k for k, v in enumerate(views)}
        matches = {(position[a.number], position[b.number]): self._matches[a.number, b.number] for a, b in pairs}
        return self._matcher.assemble([v.features for v in views], [v.camera for v in views], matches, must_see)

    def _image_motion(self, a: _View, b: _View) -> tuple[float, float]:
        """Median flow as a share of the image width, and the share of the flow grid (or keypoints) found again."""
        self._pairs([(a, b)], thorough=False)
        matches = self._matches[a.number, b.number]
        width = a.features.grey.shape[1]
        followed = np.isfinite(matches.flow[:, 0])
        if followed.sum() >= 8:
            start = self._matcher.grid(a.features.grey.shape)
            moved = np.linalg.norm(matches.flow[followed] - start[followed], axis=1)
            return float(np.median(moved)) / width, float(followed.mean())
        self._pairs([(a, b)], thorough=True)
        index = self._matches[a.number, b.number].keypoints
        found = np.flatnonzero(index >= 0) if index is not None else np.zeros(0, int)
        if index is None or len(found) < 8:
            return 0.0, 0.0
        start, end = (self._matcher.keypoints(v.features).pixels for v in (a, b))
        moved = np.linalg.norm(end[index[found]] - start[found], axis=1)
        return float(np.median(moved)) / width, len(found) / len(index)

    def _prune_matches(self) -> None:
        kept = {v.number for v in (*self._window, *self._pending, *self._stored)}
        self._matches = {pair: found for pair, found in self._matches.items() if kept.issuperset(pair)}


def _between(views: Sequence[_View], solved: Sequence[_View]) -> tuple[tuple[int, FloatArray], ...]:
    """Poses of all views by time between the solved ones: they lie a few frames apart, where motion is smooth."""
    poses = []
    for view in views:
        after = next((s for s in solved if s.number >= view.number), solved[-1])
        before = next((s for s in reversed(solved) if s.number <= view.number), solved[0])
        gap = max(after.stamp_ns - before.stamp_ns, 1)
        share = min(max((view.stamp_ns - before.stamp_ns) / gap, 0.0), 1.0)
        poses.append((view.stamp_ns, interpolate_pose(before.camera_to_world, after.camera_to_world, share)))
    return tuple(poses)


def _all_pairs(views: Sequence[_View]) -> list[tuple[_View, _View]]:
    return list(itertools.combinations(views, 2))


def _spread_out(views: Sequence[_View], count: int) -> list[_View]:
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
        refined.camera_to_first[0, new],
        _covariance(refined.information[0, 6 * new : 6 * new + 6, 6 * new : 6 * new + 6], refined, new),
        share * min(1.0, inliers / _ENOUGH_INLIERS),
        float(np.median(residual[agree])) if inliers else float("nan"),
        observed,
        inliers,
        float(rotation_angle_rad(motion[:, :3, :3]).max()),
        float(np.linalg.norm(motion[:, :3, 3], axis=1).max()),
    )


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
