"""Makes keyframes of solved frames: matches both ways, depths, bundle adjustment of the newest, thinning out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ros2_raxels.estimation.bundle_adjustment import PlacePrior, RefineSettings, refine
from ros2_raxels.estimation.estimator import ClipEstimate
from ros2_raxels.estimation.inliers import FEWEST_MATCHES, INLIER_PX
from ros2_raxels.geometry.poses import FloatArray, relative_pose
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.matching.tracks import FLOW, Evidence, PairMatches
from ros2_raxels.tracking.depth_check import DepthCheck
from ros2_raxels.tracking.depth_handover import handed_on
from ros2_raxels.tracking.depth_prior import DepthPrior, PointDepths
from ros2_raxels.tracking.doubt import are_off
from ros2_raxels.tracking.eye import Eye
from ros2_raxels.tracking.focal_check import FocalCheck, told_of_focal
from ros2_raxels.tracking.frame import Keyframe, Seen, SolvedFrame, StreamFrame, grown
from ros2_raxels.tracking.gravity import Up
from ros2_raxels.tracking.keyframe_map import KeyframeMap, distance
from ros2_raxels.tracking.metric_scale import Scale, ScaleSource
from ros2_raxels.tracking.path_prior import EARLIER, PathSensors
from ros2_raxels.tracking.place_index import PlaceIndex
from ros2_raxels.tracking.rig_tracks import RigTracks, side_frame
from ros2_raxels.tracking.shared_matches import SharedMatches
from ros2_raxels.tracking.shutter_check import ShutterCheck
from ros2_raxels.tracking.window_refinement import refine_shape

_BUNDLE = RefineSettings(widths_px=(2.0, 1.0, 0.6), iterations=8)
_BUNDLE_TRACKS = 1200
_ANEW = RefineSettings(widths_px=(6.0, 4.0, 2.0, 1.0, 0.6), iterations=14)
_ZOOMS = 3
"""So often at most a focal length is corrected at once, what it is told by refined in between."""

_GOOD_MEASURE = 0.05
"""Relative standard deviation of a measured depth that tells a scale."""

_DEPTHS_ALONE = RefineSettings(widths_px=(INLIER_PX,), iterations=0)

_ENOUGH_MEASURED = 0.15
"""Share of the flow grid of a first frame whose depths must be known: as many as let a next frame be looked for."""

_ENOUGH_KEYPOINTS = 20
"""Of a first frame: with fewer there is nothing by which a next one could be solved."""


@dataclass(frozen=True)
class MapSettings:
    """How many keyframes, and how they are used.

    Attributes:
        window: keyframes that a new frame is solved against.
        bundle: newest keyframes that are refined together.
        stored: older keyframes kept for loops and for recovery after a loss; beyond that they are thinned out.
        history: whether the map knows where dropped keyframes are now; takes half a kilobyte for each.
    """

    window: int = 3
    bundle: int = 7
    stored: int = 300
    history: bool = False


@dataclass(frozen=True)
class _Sketch:
    """A keyframe that frames are solved against before it is complete.

    Attributes:
        others: numbers of the keyframes that it is to be refined with.
        known: what was known of its pairs before.
    """

    others: Sequence[int]
    known: dict[tuple[int, int], PairMatches]


Sketches = Mapping[int, _Sketch]
"""By the numbers of their keyframes, the oldest first."""


class Mapper:
    """Grows a map.

    Args:
        matcher: of all frames.
        settings: see there.

    Attributes:
        keyframes: the map.
        shared: what its keyframes, and the frames that are solved against them, have in common.
        rig: the same of the other cameras of a rig; None of a single camera.
        depth_check: whether depth images are those of the images.
        shutter_check: whether images are read row after row.
        focal_check: whether the focal length is the true one.
        path_sensors: what else tells how far the camera has moved, while the world is in metres by that.
        up: against gravity, in the world of the present trajectory; None while that is not known.
    """

    def __init__(
        self,
        matcher: Matcher,
        settings: MapSettings,
        keyframes: KeyframeMap | None = None,
        rig: RigTracks | None = None,
    ) -> None:
        self.settings, self.depth_check, self.shutter_check = settings, DepthCheck(), ShutterCheck()
        self.focal_check = FocalCheck()
        self.keyframes = keyframes or KeyframeMap()
        self.shared, self.rig = SharedMatches(matcher), rig
        self.path_sensors: PathSensors | None = None
        self.up: Up | None = None
        self._matcher = matcher
        self._places: dict[str, PlaceIndex] = {"": PlaceIndex()}
        """By the camera that has seen them."""
        self._sketched: Sketches = {}
        for keyframe in self.keyframes.all:
            self._remember(keyframe)
            self._forget_details([keyframe])

    def aside(self, matcher: Matcher) -> Mapper:
        """A mapper of a copy of the map, which may work in another thread, with a matcher of its own."""
        beside = Mapper(matcher, self.settings)
        beside.keyframes, beside.shared = self.keyframes.copy(), self.shared.copy(matcher)
        beside._places, beside._sketched = _copied(self._places), self._sketched
        beside.depth_check, beside.shutter_check = self.depth_check, self.shutter_check
        beside.focal_check = self.focal_check
        beside.path_sensors, beside.up = self.path_sensors, self.up
        beside.rig = self.rig and self.rig.copy(matcher)
        return beside

    def take_over(self, grown_copy: Mapper) -> None:
        """Go on with what a copy has become; see `KeyframeMap.take_over`."""
        self.keyframes.take_over(grown_copy.keyframes)
        self.shared.take_over(grown_copy.shared)
        self._places, self._sketched = _copied(grown_copy._places), grown_copy._sketched
        self.depth_check, self.shutter_check = grown_copy.depth_check, grown_copy.shutter_check
        self.focal_check = grown_copy.focal_check
        if self.rig is not None and grown_copy.rig is not None:
            self.rig.take_over(grown_copy.rig)

    def begin(
        self, frames: Sequence[SolvedFrame], clip: ClipEstimate, clip_to_unit: float, unit: float, seen_by: str = ""
    ) -> None:
        """The first keyframes of a trajectory, and the depths that were solved with them.

        Args:
            frames: solved; poses in world units.
            clip: what they were solved from.
            clip_to_unit: world units of one clip unit.
            unit: see `Trajectory`.
            seen_by: by which camera of the rig, by name; empty for the first one. Depths of others are found anew.
        """
        self.keyframes.begin([self._keyframe(frame) for frame in frames], unit, self.settings.window)
        begun = [self.keyframes.keyframes[frame.frame.number] for frame in frames]
        for keyframe in begun:
            self._remember(keyframe)
        if not seen_by:
            self._judge(begun, clip.evidence, range(len(begun)))
            self.keyframes.learn(begun, clip.evidence, clip.inverse_depth / clip_to_unit, clip.inverse_depth > 0)
        if self.rig is not None:
            self.rig.begin(self.keyframes.window)
        self._thin_out()

    def begin_from(self, frame: SolvedFrame) -> float:
        """The first keyframe of a trajectory in metres, alone, from depths that a sensor has measured; says the unit.

        Args:
            frame: solved; its pose in metres. See `sees_depths`.
        """
        keyframe = self._keyframe(frame, in_metres=True)
        unit = 1.0 / float(np.nanmedian(keyframe.inverse_depth))
        self.keyframes.begin([keyframe], unit, self.settings.window)
        self._remember(keyframe)
        if self.rig is not None:
            self.rig.begin([keyframe], in_metres=True)
        self._thin_out()
        return unit

    def sees_depths(self, frame: Seen) -> bool:
        """Whether a sensor has measured so many depths of a frame, and it shows so much, that a map can begin there."""
        known = np.isfinite(self._measured_depths(frame))
        if known.sum() < FEWEST_MATCHES or known.mean() < _ENOUGH_MEASURED:
            return False
        return len(self._matcher.keypoints(frame.features).pixels) >= _ENOUGH_KEYPOINTS

    def add(self, frame: SolvedFrame) -> Keyframe:
        """Make the newest keyframe of a frame, and refine the newest ones together."""
        others = self.recent
        keyframe = self._newest(frame)
        self.shared.both_ways(others, keyframe, keyframe.camera_to_world)
        self._judge_newest(keyframe, others)
        self._measure(keyframe, others)
        self._measure_sides(keyframe, others)
        self._remember(keyframe)
        return self._settled(others, keyframe)

    def sketch(self, frame: SolvedFrame) -> Keyframe:
        """Make the newest keyframe of a frame with what the window alone says of it, for frames to go on with.

        In a third of the time of `add`; `complete` does the rest.
        """
        window, others = self.keyframes.window, self.recent
        keyframe = self._newest(frame)
        sketch = _Sketch([other.number for other in others], self.shared.known_of(keyframe.number))
        self.shared.sketch(window, keyframe, keyframe.camera_to_world)
        self._measure(keyframe, window)
        self._measure_sides(keyframe, window, keypoints=False)
        self._connect_window()
        self._sketched = {**self._sketched, keyframe.number: sketch}
        return keyframe

    def complete(self) -> Keyframe:
        """Make of all sketched keyframes what `add` makes of one; says the newest. Not where none is sketched."""
        sketched, self._sketched = self._sketched, {}
        for number, sketch in sketched.items():
            # Another copy of the map holds the same keyframe, and frames are being solved against it.
            keyframe = self.keyframes.keyframes[number]
            keyframe = replace(keyframe, inverse_depth=self._measured_depths(keyframe))
            self.keyframes.put(keyframe)
            others, before = self._among_present(sketch.others), self.shared.known_of(number)
            self.shared.put_back(number, sketch.known)
            self.shared.both_ways(others, keyframe, keyframe.camera_to_world)
            self.shared.connect(self.keyframes.window)
            # Where there is little to see, a thorough look finds less than one near the expected.
            self.shared.keep_better(before)
            self._judge_newest(keyframe, others)
            self._measure(keyframe, others)
            self._measure_sides(keyframe, others)
            self._remember(keyframe)
        return self._settled(others, keyframe)

    @property
    def sketched(self) -> int:
        """How many keyframes there are that `complete` would work on."""
        return len(self._sketched)

    def leave_sketches(self, newest: int = 0) -> None:
        """Keyframes stay as they are sketched, all but so many of the newest."""
        left = len(self._sketched) - newest
        self._sketched = dict(list(self._sketched.items())[left:]) if left > 0 else self._sketched

    def hand_over_sketches(self) -> Sketches:
        """What a copy completes is not completed here as well, unless it is `take_back`-en."""
        handed, self._sketched = self._sketched, {}
        return handed

    def take_back(self, sketches: Sketches) -> None:
        """They were not completed after all."""
        self._sketched = {**sketches, **self._sketched}

    def _newest(self, frame: SolvedFrame) -> Keyframe:
        """Put a keyframe of a frame at the end of the window; what is seen from there is not known yet."""
        parent, trajectory = self.keyframes.window[-1].number, self.keyframes.present
        in_metres = self.keyframes.trajectories[trajectory].scale.is_of_depths
        keyframe = self._keyframe(frame, parent, trajectory, in_metres=in_metres)
        window = self.keyframes.window
        if keyframe.depth is None and not self.shared.hands_on(window, keyframe):
            told = handed_on(window, keyframe, self._matcher.grid(keyframe.features.grey.shape))
            keyframe = replace(keyframe, handed_on=told)
        self.keyframes.put(keyframe)
        self.keyframes.window_numbers = [*self.keyframes.window_numbers, keyframe.number][-self.settings.window :]
        return keyframe

    def _settled(self, others: Sequence[Keyframe], keyframe: Keyframe) -> Keyframe:
        """Refine the newest keyframe with others; what it is then."""
        self._refine([*others, keyframe])
        self._thin_out()
        self._forget_details(self.keyframes.stored[: -self.settings.bundle])
        self._connect_window()
        return self.keyframes.keyframes[keyframe.number]

    def _connect_window(self) -> None:
        """See that what the next frame is solved against is compared with each other."""
        self.shared.connect(self.keyframes.window)
        if self.rig is not None:
            self.rig.connect(self.keyframes.window)

    def _among_present(self, numbers: Iterable[int]) -> list[Keyframe]:
        return [self.keyframes.keyframes[n] for n in numbers if n in self.keyframes.keyframes]

    @property
    def recent(self) -> list[Keyframe]:
        """Those that the next keyframe is refined with, in order."""
        window = self.keyframes.window
        return [*self.keyframes.before(window[0], self.settings.bundle - self.settings.window), *window]

    def image_motion(self, newest: StreamFrame | None, frame: StreamFrame, least_overlap: float) -> tuple[float, float]:
        """`SharedMatches.image_motion` since the last keyframe; by another camera of a rig where the first one is dark.

        Args:
            newest: that is to become the last keyframe; None where that is in the window.
            frame: that is on.
            least_overlap: with less, whether the first camera is dark is asked.
        """
        window = self.keyframes.window
        found = _motion_since(self.shared, window, newest, frame)
        if found[1] >= least_overlap or self.rig is None:
            return found
        name = self.rig.lit([newest or window[-1].frame, frame])
        if not name:
            return found
        views, since = self.rig.views(name, window), newest and side_frame(newest, name)
        return _motion_since(self.rig.shared(name), views, since, side_frame(frame, name))

    def insert(self, frame: SolvedFrame, parent: int, near: Sequence[Keyframe]) -> None:
        """Make a keyframe of a frame that is not where the trajectory is now, beside those near it."""
        trajectory = near[0].trajectory
        in_metres = self.keyframes.trajectories[trajectory].scale.is_of_depths
        keyframe = self._keyframe(frame, parent, trajectory, in_metres=in_metres)
        self.shared.both_ways(near, keyframe, keyframe.camera_to_world)
        self._judge_newest(keyframe, near)
        self._measure(keyframe, near)
        self._remember(keyframe)
        self.keyframes.put(keyframe)
        self._forget_details([keyframe])
        self._thin_out()

    def most_alike(
        self, frame: StreamFrame | Keyframe, besides: Iterable[Keyframe] = ()
    ) -> tuple[Keyframe | None, int]:
        """The keyframe that shows most of what a frame shows, except some, and its votes; None without any."""
        excluded, camera = {k.number for k in besides}, self._camera_of(frame)
        seen, places = self._seen_by(camera, frame), self._places.get(camera, PlaceIndex())
        votes = places.votes(self._matcher.keypoints(seen.features))
        allowed = {n: v for n, v in votes.items() if n in self.keyframes.keyframes and n not in excluded}
        best = max(allowed, key=lambda n: allowed[n], default=-1)
        return (self.keyframes.keyframes[best], allowed[best]) if allowed.get(best) else (None, 0)

    def around(self, keyframe: Keyframe, besides: Iterable[Keyframe] = ()) -> list[Keyframe]:
        """As many keyframes as a window has, see `KeyframeMap.around`."""
        return self.keyframes.around(keyframe, self.settings.window, besides)

    def points(self, keyframe: Keyframe) -> FloatArray:
        """(K, 3) points of a keyframe's flow grid whose depths are known, in its optical frame, world units."""
        known = keyframe.inverse_depth > 0
        rays = keyframe.camera.rays(self._matcher.grid(keyframe.features.grey.shape)[known])
        return np.asarray(rays / keyframe.inverse_depth[known, None])

    def _keyframe(
        self, solved: SolvedFrame, parent: int | None = None, trajectory: int = 0, *, in_metres: bool = False
    ) -> Keyframe:
        """A keyframe with the depths of its grid that a sensor has measured, if the trajectory is in metres."""
        frame = solved.frame if in_metres else replace(solved.frame, depth=None)
        depths = self._measured_depths(frame)
        pose, velocity = solved.camera_to_world, solved.velocity
        return Keyframe(frame, pose, solved.covariance, depths, parent, trajectory, velocity=velocity)

    def _measured_depths(self, frame: Seen) -> FloatArray:
        """(G,) inverse depths of the flow grid that a sensor has measured, 1/m; NaN where it has not."""
        grid = self._matcher.grid(frame.features.grey.shape)
        return np.full(len(grid), np.nan) if frame.depth is None else frame.depth.at(grid, frame.camera)[0]

    def _judge_newest(self, keyframe: Keyframe, others: Sequence[Keyframe]) -> None:
        """Find out what moves on its own in a keyframe that others are compared with."""
        frames = [*others, keyframe]
        self._judge(frames, self.shared.seen_in_last(frames), [len(others)])

    def _measure(self, keyframe: Keyframe, others: Sequence[Keyframe]) -> None:
        """Give a keyframe the depths of all points of its grid that were found in others, poses as they are."""
        evidence = self.shared.starting_in_last([*others, keyframe])
        if len(evidence.anchor) >= FEWEST_MATCHES:
            poses: FloatArray = np.array([[k.camera_to_world for k in (*others, keyframe)]])
            found = refine(evidence, poses, _DEPTHS_ALONE)
            agrees = np.nanmedian(found.residual_px[0], axis=1) < INLIER_PX
            agrees &= evidence.kind == FLOW
            keyframe.inverse_depth[evidence.index[agrees]] = found.inverse_depth[0][agrees]

    def _measure_sides(self, keyframe: Keyframe, others: Sequence[Keyframe], keypoints: bool = True) -> None:
        """The same for the other cameras of a rig."""
        if self.rig is not None:
            self.rig.measure(others, keyframe, keypoints)

    def _judge(self, frames: Sequence[Keyframe], evidence: Evidence, positions: Sequence[int]) -> None:
        """Find out what moves on its own in some of the keyframes of evidence, poses as they are."""
        if len(evidence.anchor) < FEWEST_MATCHES:
            return
        found = refine(evidence, np.array([[k.camera_to_world for k in frames]]), _DEPTHS_ALONE)
        off, doubted = are_off(found.residual_px[0]), self.shared.starts_in_doubt(frames, evidence)
        at_first = len(positions) == len(frames)
        for position in positions:
            seen = evidence.seen[:, position]
            places = evidence.pixels[seen, position]
            self.shared.doubt(frames[position], places, off[seen], doubted[seen], at_first)

    def _refine(self, frames: Sequence[Keyframe]) -> None:
        """Keyframes together; the unit and the place are handed on, see `window_refinement`."""
        prior = self._place_prior(frames)
        held = 1 if prior is not None or all(keyframe.depth is not None for keyframe in frames) else 2
        if len(frames) <= held:
            return
        among = self.shared.among if self.rig is None else partial(self.rig.among, self.shared)
        evidence = among(frames, _BUNDLE_TRACKS)
        fixed = np.arange(len(frames)) < held
        found = None if self.rig is None else self.rig.refine(frames, evidence, _BUNDLE_TRACKS, _BUNDLE, fixed)
        if found is None and held > 1 and evidence.known is None:
            found = self._refine_shape(frames, evidence)
        if found is not None:
            poses, inverse_depth, residual_px = found
        else:
            start: FloatArray = np.array([[k.camera_to_world for k in frames]])
            refined = refine(evidence, start, _BUNDLE, fixed=fixed, prior=prior)
            poses, inverse_depth, residual_px = (
                a[0] for a in (refined.camera_to_first, refined.inverse_depth, refined.residual_px)
            )
        velocities, heights = [k.velocity for k in frames], [k.camera.height for k in frames]
        self.shutter_check = self.shutter_check.seen(evidence, poses, inverse_depth, velocities, heights)
        for keyframe, pose in zip(frames, poses, strict=True):
            self.keyframes.move_keyframe(keyframe.number, pose)
        agrees = np.nanmin(residual_px, axis=1) < INLIER_PX
        self.keyframes.learn(frames, evidence, inverse_depth, agrees)
        if all(keyframe.depth is not None and keyframe.depth.source is ScaleSource.DEPTH for keyframe in frames):
            self.depth_check = self.depth_check.seen(evidence, poses)
            if self.depth_check.trouble:
                self._refine_without_depths(frames, evidence)
        if self.rig is None and evidence.known is None:
            self._see_focal(frames, evidence, inverse_depth, residual_px)

    def _see_focal(
        self, frames: Sequence[Keyframe], evidence: Evidence, inverse_depth: FloatArray, residual_px: FloatArray
    ) -> None:
        """Find out what refined keyframes tell of the focal length, and correct it where it is surely wrong."""
        for _ in range(_ZOOMS):
            frames = self._as_now(frames)
            numbers, cameras = [k.number for k in frames], [k.camera for k in frames]
            poses: FloatArray = np.array([k.camera_to_world for k in frames])
            told = told_of_focal(numbers, evidence, poses, inverse_depth, residual_px, cameras)
            self.focal_check = self.focal_check.seen(told)
            if not self.focal_check.is_wrong:
                return
            log_scale, _ = self.focal_check.off
            self.focal_check = self.focal_check.corrected(log_scale)
            self.keyframes.zoom(log_scale)
            frames = self._as_now(frames)
            evidence = self.shared.among(frames, _BUNDLE_TRACKS)
            inverse_depth, residual_px = self._refine_anew(frames, evidence)

    def _as_now(self, frames: Sequence[Keyframe]) -> list[Keyframe]:
        return [self.keyframes.keyframes[keyframe.number] for keyframe in frames]

    def _refine_shape(
        self, frames: Sequence[Keyframe], evidence: Evidence
    ) -> tuple[FloatArray, FloatArray, FloatArray] | None:
        """See `refine_shape`; the keyframe with which a trajectory began stays where it is."""
        known = np.full(len(evidence.anchor), np.nan)
        for position, keyframe in enumerate(frames):
            mine = (evidence.kind == FLOW) & (evidence.anchor == position)
            known[mine] = keyframe.inverse_depth[evidence.index[mine]]
        start = np.array([keyframe.camera_to_world for keyframe in frames])
        # Of a trajectory that was joined to an older one it is no longer where the world is.
        begun = frames[0].parent is None and frames[0].number == frames[0].trajectory
        return refine_shape(evidence, start, known, _BUNDLE, holds_first=begun)

    def _place_prior(self, frames: Sequence[Keyframe]) -> PlacePrior | None:
        """Of keyframes of the present trajectory, by other sensors; None where depths tell the unit, or nothing."""
        if self.path_sensors is None or not self.follows_sensors or any(k.depth is not None for k in frames):
            return None
        earlier = self.keyframes.before(frames[0], EARLIER)
        return self.path_sensors.prior([*earlier, *frames], len(frames), self.keyframes.unit)

    def has_one_unit(self, known: Keyframe, keyframe: Keyframe) -> bool:
        """Whether lengths around an older keyframe and around the newest one are known to be in the same unit."""
        by_depths = known.depth is not None and keyframe.depth is not None
        return by_depths or (self.follows_sensors and known.trajectory == keyframe.trajectory)

    @property
    def follows_sensors(self) -> bool:
        """Whether the refinement of keyframes holds the unit by `path_sensors`; a rig knows how far it has moved."""
        return self.path_sensors is not None and (self.rig is None or not self.rig.rig.others)

    def _refine_without_depths(self, frames: Sequence[Keyframe], evidence: Evidence) -> None:
        """Nothing that a sensor has measured is believed any more: keyframes as matches alone have them."""
        for keyframe in self.keyframes.all:
            unknown = np.full(len(keyframe.inverse_depth), np.nan)
            self.keyframes.put(replace(keyframe, frame=replace(keyframe.frame, depth=None), inverse_depth=unknown))
        self.keyframes.know_scale(self.keyframes.present, Scale())
        self._refine_anew(frames, replace(evidence, known=None))

    def _refine_anew(self, frames: Sequence[Keyframe], evidence: Evidence) -> tuple[FloatArray, FloatArray]:
        """Keyframes together, far from where they are; inverse depths (P,) and residuals (P, N), px.

        The first one stays, and so does the distance to the one furthest from it.
        """
        first = self.keyframes.keyframes[frames[0].number].camera_to_world
        start = relative_pose(first, np.array([self.keyframes.keyframes[k.number].camera_to_world for k in frames]))
        size = float(np.linalg.norm(start[:, :3, 3], axis=1).max())
        refined = refine(evidence, start[None], _ANEW)
        for keyframe, pose in zip(frames, refined.camera_to_first[0], strict=True):
            self.keyframes.move_keyframe(keyframe.number, first @ grown(pose, float(np.log(size))))
        agrees = np.nanmin(refined.residual_px[0], axis=1) < INLIER_PX
        inverse_depth = refined.inverse_depth[0] / size
        self.keyframes.learn(frames, evidence, inverse_depth, agrees)
        return inverse_depth, refined.residual_px[0]

    def depth_stretch(self, keyframe: Keyframe, prior: DepthPrior) -> tuple[float, float] | None:
        """Logarithm of metres per unit by what a sensor has measured of a keyframe that was solved without, and sigma.

        None where few depths are known both ways.
        """
        measured, sigma = prior.at(self._matcher.grid(keyframe.features.grey.shape), keyframe.camera)
        both = (keyframe.inverse_depth > 0) & (measured > 0) & (sigma < _GOOD_MEASURE * measured)
        if both.sum() < FEWEST_MATCHES:
            return None
        ratio = np.log(keyframe.inverse_depth[both] / measured[both])
        stretch = float(np.median(ratio))
        spread = 1.4826 * float(np.median(np.abs(ratio - stretch)))
        return stretch, float(np.hypot(1.2533 * spread / np.sqrt(both.sum()), prior.scale_sigma))

    def eye(self, keyframe: Keyframe) -> Eye:
        """The camera that shows something of a keyframe: the first one, or another one where that is dark."""
        camera = self._camera_of(keyframe)
        if self.rig is None or not camera:
            return Eye(self.shared)
        return Eye(self.rig.shared(camera), self.rig, camera)

    def _camera_of(self, frame: StreamFrame | Keyframe) -> str:
        """Its name; empty for the first one."""
        return "" if self.rig is None else self.rig.lit([_whole(frame)])

    @staticmethod
    def _seen_by(camera: str, frame: StreamFrame | Keyframe) -> Seen:
        return side_frame(_whole(frame), camera) if camera else frame

    def _remember(self, keyframe: Keyframe) -> None:
        camera = self._camera_of(keyframe)
        seen = self._seen_by(camera, keyframe)
        places = self._places.setdefault(camera, PlaceIndex())
        places.add(keyframe.number, self._matcher.keypoints(seen.features))

    def _forget_details(self, keyframes: Iterable[Keyframe]) -> None:
        """Keypoints, full images and depth images take megabytes a frame."""
        for keyframe in keyframes:
            keyframe.features.forget_details()
            for side in keyframe.frame.sides.values():
                side.features.forget_details()
            if keyframe.depth is not None and not isinstance(keyframe.depth, PointDepths):
                grid = self._matcher.grid(keyframe.features.grey.shape)
                kept = PointDepths.of(keyframe.depth, grid, keyframe.camera)
                self.keyframes.put(replace(keyframe, frame=replace(keyframe.frame, depth=kept)))

    def _thin_out(self) -> None:
        """Where there are too many, those go first whose neighbours stand closest to each other."""
        while len(stored := self.keyframes.stored) > self.settings.stored:
            gone = stored[0]
            if len(stored) > 2:
                poses = np.array([k.camera_to_world for k in stored])
                units = np.array([self.keyframes.unit_of(k) for k in stored[1:-1]])
                gone = stored[1 + int(distance(relative_pose(poses[:-2], poses[2:]), units).argmin())]
            self.keyframes.drop(gone.number, self.settings.history)
            for places in self._places.values():
                places.forget(gone.number)


def _copied(places: Mapping[str, PlaceIndex]) -> dict[str, PlaceIndex]:
    return {camera: index.copy() for camera, index in places.items()}


def _whole(frame: StreamFrame | Keyframe) -> StreamFrame:
    """A frame with the images of all cameras."""
    return frame.frame if isinstance(frame, Keyframe) else frame


def _motion_since(
    shared: SharedMatches, window: Sequence[Keyframe], newest: StreamFrame | None, frame: StreamFrame
) -> tuple[float, float]:
    """Of one camera, since a frame that is not in the window yet, or since the last keyframe of that."""
    if newest is None:
        return shared.image_motion(window[-1], frame)
    # Until it is the last keyframe, frames are not compared with it.
    return shared.image_motion_by_way_of(window, newest, frame)
