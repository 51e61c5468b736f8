"""The map that frames are solved against, kept one with the camera's motion and its metres while it grows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from ros2_raxels.geometry.covariance import compounded, in_other_unit, with_unit, with_unit_variance
from ros2_raxels.geometry.poses import FloatArray, inverse_pose, relative_pose
from ros2_raxels.geometry.rig import Rig
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.tracking.frame import Keyframe, SolvedFrame, StreamFrame, beside, grown, scaled_about
from ros2_raxels.tracking.keyframe_map import KeyframeMap
from ros2_raxels.tracking.map_update import KeyframeMaker, MapStage, MapUpdate
from ros2_raxels.tracking.mapping import Mapper, MapSettings
from ros2_raxels.tracking.metric_scale import MEASURED_DEPTHS, MetricScale, ScaleSource
from ros2_raxels.tracking.motion_model import MotionModel
from ros2_raxels.tracking.motion_sensors import MotionSensors, Moved
from ros2_raxels.tracking.pose_covariance import ModelError, by_focal, credibility, of_focal, published
from ros2_raxels.tracking.rig_scale import RigScale
from ros2_raxels.tracking.rig_tracks import RigTracks
from ros2_raxels.tracking.types import STATED_PLACE, TrackedPose, TrackerSettings, TrackState

_MOST_SKETCHED = 2
"""Keyframes: the next one waits until these are complete, since what they make of depths and poses is rough."""


class LiveMap:
    """A map, where the camera is in it, and what is to become of it.

    Keyframes are made of a copy of it, in real time by a thread of its own. All else is done between two frames.

    Args:
        settings: of the tracker.
        matcher: of all frames.
        maker: of keyframes.
        rig: of cameras fixed to each other; None for one camera.
        metric: what is known of metres.
        sensors: what wheels and gyro say of motions.
        keyframes: to go on with.
        start: camera_to_world (4x4) of the next frame as far as it is known, and its covariance (6x6).

    Attributes:
        mapper: grows the map.
        motion: of the camera.
        metric: see above.
        coming: a solved frame that is to become a keyframe; None for none.
        turned: 4x4, by how much the camera has turned before there are depths, since the first frame that is waited
            with.
        is_corrected: whether the world has been moved since this was last asked for by `completed`.
        depth_trouble: why depths that come with frames are left out, in a line; empty where they are not.
        model_error: what the stream has shown of it.
    """

    def __init__(
        self,
        settings: TrackerSettings,
        matcher: Matcher,
        maker: KeyframeMaker,
        rig: Rig | None,
        metric: MetricScale,
        sensors: MotionSensors,
        keyframes: KeyframeMap,
        start: tuple[FloatArray, FloatArray],
    ) -> None:
        self._settings, self.maker, self.metric, self._sensors = settings, maker, metric, sensors
        map_settings = MapSettings(settings.window, settings.bundle, settings.stored_keyframes, settings.history)
        self.mapper = Mapper(matcher, map_settings, keyframes, None if rig is None else RigTracks(matcher, rig))
        maker.forget()
        self.coming: SolvedFrame | None = None
        self.begin_motion(*start, 0)
        self._way: tuple[Keyframe | None, FloatArray] = None, np.zeros(6)
        self.is_corrected, self.depth_trouble, self.model_error = False, "", ModelError()

    @property
    def keyframes(self) -> KeyframeMap:
        """The map."""
        return self.mapper.keyframes

    def begin_motion(self, camera_to_world: FloatArray, covariance: FloatArray, stamp_ns: int) -> None:
        """The camera is there (4x4), with a covariance (6x6), and nothing is known of where it came from."""
        self.motion = MotionModel(camera_to_world, covariance, stamp_ns, self.sensed)
        self.turned: FloatArray = np.eye(4)

    def sensed(self, begin_ns: int, end_ns: int) -> Moved:
        """What wheels and gyro say of a motion; a translation only while the world is in metres."""
        moved = self._sensors.between(begin_ns, end_ns)
        return moved if self.metric.scale.is_metric else moved.without_translation()

    def completed(self, answer: TrackedPose, is_focal_stated: bool) -> TrackedPose:
        """An answer with its motion, its scale, and where it is beside a keyframe.

        Args:
            answer: see there.
            is_focal_stated: see `FocalCheck.mean_square`.
        """
        corrected, self.is_corrected = self.is_corrected, False
        is_tracking, window = answer.state is TrackState.TRACKING, self.keyframes.window
        depth = self.keyframes.unit if window else self.metric.depth_of_scene
        model = self.model_error.covariance(depth, self.keyframes.drift_seen)
        focal = of_focal(self._by_focal(answer), self.mapper.focal_check.mean_square(is_focal_stated))
        covariance = published(answer.covariance, focal, model)
        return replace(
            answer,
            covariance=covariance,
            credibility=credibility(covariance, depth),
            stated=STATED_PLACE * depth,
            corrected=corrected,
            motion=self.motion.recent_motion(self.keyframes.unit) if is_tracking and window else answer.motion,
            scale=answer.scale if answer.scale.is_metric else self.metric.scale,
            keyframe_pose=beside(window[-1], answer.camera_to_world) if window else None,
        )

    def _by_focal(self, answer: TrackedPose) -> FloatArray:
        """(6,) see `by_focal`, of the way that the camera came."""
        window = self.keyframes.window
        if not window:
            return by_focal(np.array([np.eye(4), answer.camera_to_world]))
        last = window[-1]
        if self._way[0] is not last:
            self._way = last, by_focal(np.array([k.camera_to_world for k in self.keyframes.came_by(last)]))
        return by_focal(np.array([last.camera_to_world, answer.camera_to_world]), self._way[1])

    def forget_matches(self, waiting: Iterable[StreamFrame]) -> None:
        """Of frames that are neither keyframes nor will become one, nor wait for first cameras."""
        kept = [frame.number for frame in waiting]
        kept += [solved.frame.number for solved in (self.coming, self.maker.frame) if solved is not None]
        self.mapper.shared.forget_all_but([*self.keyframes.keyframes, *kept])
        if self.mapper.rig is not None:
            self.mapper.rig.forget_all_but([*self.keyframes.keyframes, *kept], self.keyframes.keyframes)

    # -- keyframes

    def hurry(self) -> None:
        """Put off what can wait for a keyframe that cannot."""
        if self.mapper.sketched < _MOST_SKETCHED:
            self.maker.put_off(self.mapper)
            # Under a load like this those of before are never completed, and stay as they are.
            self.mapper.leave_sketches(_MOST_SKETCHED - 1)

    def improve(self) -> None:
        """Begin what is to be done now, and take over what is; see `Tracker.improve`."""
        self._take_over_what_is_done()
        if not self.maker.is_busy:
            self._begin_mapping()
        if not self._settings.real_time:
            self._take_over_what_is_done()

    def catch_up(self) -> None:
        """Before a frame is looked at, which no trouble with the map may touch in real time."""
        if not self._settings.real_time:
            self.improve()
        elif self.maker.is_ready:
            self._take_over_what_is_done()

    def finish(self) -> None:
        """Make keyframes of all frames that are to become some, however long it takes."""
        self.improve()
        while self.maker.is_busy or self.coming is not None or self.mapper.sketched or self.maker.has_to_compare:
            self.maker.wait()
            self.improve()

    def drop_keyframes_to_be(self) -> None:
        """They were solved against a window that is left now."""
        self.coming = None
        self.maker.drop()
        self.mapper.leave_sketches()

    def _begin_mapping(self) -> None:
        """A keyframe to be goes first: frames see less and less of the last one."""
        if self.coming is not None and self.mapper.sketched < _MOST_SKETCHED:
            frame, self.coming = self.coming, None
            self.leave_scale()
            self.maker.begin(self.mapper, frame)
        elif self.mapper.sketched:
            self.leave_scale()
            self.maker.complete(self.mapper)
        elif self.maker.has_to_compare:
            self.maker.compare(self.mapper)

    def _take_over_what_is_done(self) -> None:
        update = self.maker.finished()
        if update is not None:
            self._take_over(update)

    def _take_over(self, update: MapUpdate) -> None:
        """Go on with the map in which a keyframe was made; the camera stays where it is beside that."""
        correction_before = self.mapper.focal_check.log_correction
        self.mapper.take_over(update.mapper)
        self._zoom_since(correction_before)
        if self.mapper.depth_check.trouble and not self.depth_trouble:
            self._leave_depths_out(self.mapper.depth_check.trouble)
        if update.growth is not None:
            self._see_loop(update.growth, update.joined)
        self._follow_keyframe(update)
        if update.stage is MapStage.COMPLETE and self._settings.scale.source is ScaleSource.HEIGHT:
            self._see_ground(self.keyframes.keyframes[update.keyframe])
        depth = None if self.depth_trouble else update.frame.frame.depth
        if depth is not None and depth.source in MEASURED_DEPTHS and not self.metric.scale.is_metric:
            # They came only after a map was begun without: no depth image, or one eye alone.
            told = self.mapper.depth_stretch(self.keyframes.keyframes[update.keyframe], depth)
            if told is not None:
                self.metric.see_depths(depth.source, *told)

    def _follow_keyframe(self, update: MapUpdate) -> None:
        """The newest pose moves with the keyframe, and so does a frame that is to become the next one."""
        keyframe, was, newest = self.keyframes.keyframes[update.keyframe], update.frame, self.motion
        if np.array_equal(was.camera_to_world, newest.camera_to_world):
            pose, covariance = keyframe.camera_to_world, newest.covariance
            if np.array_equal(was.covariance[:6, :6], covariance):
                covariance = keyframe.covariance[:6, :6]
        else:
            covariance = with_unit(newest.covariance, 0.0)
            pose, covariance = _moved_with(keyframe, update, newest.camera_to_world, covariance)
        newest.correct(pose, covariance[:6, :6])
        if self.coming is not None:
            pose, covariance = _moved_with(keyframe, update, self.coming.camera_to_world, self.coming.covariance)
            self.coming = replace(self.coming, camera_to_world=pose, covariance=covariance)

    # -- other places and units

    def go_back_to(self, anchors: Sequence[Keyframe]) -> None:
        """A known place after a loss, in the unit of its trajectory, which may be in metres where the last was not."""
        self.drop_keyframes_to_be()
        self.leave_scale()
        left = self.keyframes.present
        self.keyframes.go_back_to(anchors)
        if self.keyframes.present == left:
            self.metric.forget_lengths()
        else:
            self.metric.adopt(self.keyframes.trajectories[self.keyframes.present].scale)
        self.motion.jump()
        self.is_corrected = True

    def leave_trajectory(self) -> None:
        """The next one begins where the camera is thought to be; the keyframes stay, and may be found again."""
        self.drop_keyframes_to_be()
        self.leave_scale()
        self.keyframes.end_trajectory()
        self.motion.stop()

    def move(self, camera_to_world: FloatArray, covariance: FloatArray) -> None:
        """The newest frame is there (4x4), with a covariance (6x6): the world is moved, nothing is forgotten."""
        # Before there are depths, motion is that of the first frame that is waited with.
        start = camera_to_world @ inverse_pose(self.turned)
        self.keyframes.move(start @ inverse_pose(self.motion.camera_to_world))
        for keyframe in self.keyframes.all:
            spread = with_unit(covariance, keyframe.covariance[6, 6])
            moved = compounded(spread, camera_to_world, keyframe.camera_to_world)
            self.keyframes.know_covariance(keyframe.number, moved)
        self.motion.correct(start, covariance)
        self.motion.jump()
        self.metric.forget_path()
        self.is_corrected = True

    def leave_scale(self) -> None:
        """Tell the map what is known of metres in the present trajectory."""
        self.keyframes.know_scale(self.keyframes.present, self.metric.scale)

    def grow(self) -> None:
        """Make the world as large as metres say by now; not while a copy of the map is at work, but soon after."""
        if self.maker.is_at_work:
            return
        was_metric, by_depths = self.metric.scale.is_metric, self.metric.is_told_by_depths
        here = self.motion.camera_to_world[:3, 3].copy()
        correction = self.metric.correction(here, self.keyframes.origin[:3, 3].copy())
        if correction is None:
            return
        factor, centre = correction
        if was_metric and self.metric.scale.source is ScaleSource.ODOM:
            # Drift: what lies further back was measured with another error of the unit.
            self.keyframes.stretch([k.number for k in self.mapper.recent], factor, centre)
        else:
            self.keyframes.rescale(self.keyframes.present, factor, centre)
        rig = self.mapper.rig
        if rig is not None:
            rig.scale = RigScale(is_given=True) if by_depths else rig.scale.grown(factor)
        self.motion.rescale(factor, centre)
        self.is_corrected |= not was_metric
        self._know_unit_of_newest(factor, centre)

    def _know_unit_of_newest(self, factor: float, centre: FloatArray) -> None:
        variance, rig = None, self.mapper.rig
        if self.metric.scale.is_metric:
            variance = self.metric.scale.sigma**2
        elif rig is not None and rig.scale.tells:
            # Not metres yet, and yet known to so much; a guess that something else made better is one still.
            variance = rig.scale.sigma**2
        if variance is not None:
            for keyframe in self.keyframes.window:
                self.keyframes.know_covariance(keyframe.number, with_unit_variance(keyframe.covariance, variance))
        if self.coming is not None:
            covariance = in_other_unit(self.coming.covariance, factor)
            covariance = covariance if variance is None else with_unit_variance(covariance, variance)
            pose = scaled_about(self.coming.camera_to_world, factor, centre)
            self.coming = replace(self.coming, camera_to_world=pose, covariance=covariance)

    def _zoom_since(self, log_correction: float) -> None:
        """All keyframes may be seen through another focal length than with a correction, given by its logarithm."""
        factor = float(np.exp(self.mapper.focal_check.log_correction - log_correction))
        if factor == 1.0:
            return
        if self.coming is not None:
            frame = self.coming.frame
            self.coming = replace(self.coming, frame=replace(frame, camera=frame.camera.zoomed(factor)))
        self.motion.jump()
        self.is_corrected = True

    def _leave_depths_out(self, trouble: str) -> None:
        """From here on poses are as without them, and in metres no longer."""
        self.depth_trouble = trouble
        self.metric.begin()
        self.leave_scale()
        self.is_corrected = True

    def _see_loop(self, growth: float, joined: bool) -> None:
        known = self.keyframes.trajectories[self.keyframes.present].scale
        if joined and known.is_metric:
            self.metric.adopt(known)
        else:
            self.metric.see_growth(growth)
        if self.mapper.rig is not None:
            self.mapper.rig.scale = self.mapper.rig.scale.grown(growth)
        self.motion.grow_step(growth)
        self.is_corrected = True

    def _see_ground(self, keyframe: Keyframe) -> None:
        if keyframe.parent is not None:
            parent = self.keyframes.keyframes[keyframe.parent]
            step = relative_pose(keyframe.camera_to_world, parent.camera_to_world)[:3, 3]
            self.metric.see_ground(self.mapper.points(keyframe), step)


def _moved_with(
    keyframe: Keyframe, update: MapUpdate, camera_to_world: FloatArray, covariance: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """A pose (4x4) and its covariance (7x7) after a frame has become a keyframe and the map has given way around it."""
    since, log_growth = relative_pose(update.frame.camera_to_world, camera_to_world), keyframe.log_growth
    log_growth -= update.log_growth
    return keyframe.camera_to_world @ grown(since, log_growth), in_other_unit(covariance, float(np.exp(log_growth)))
