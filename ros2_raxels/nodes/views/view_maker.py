"""Makes the views of a goal: context, frames and engine in, PredictViews.Result out."""

from __future__ import annotations

import secrets
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import Any, Protocol

import cv2
import numpy as np
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CompressedImage, PointCloud2
from std_msgs.msg import Header

from ros2_raxels.estimation.estimator import Estimator
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.frame_tree import FrameError, UnknownFrameError, bare
from ros2_raxels.geometry.poses import FloatArray, inverse_pose
from ros2_raxels.nodes.common.diagnostics import worded
from ros2_raxels.nodes.common.interfaces import PredictViews
from ros2_raxels.nodes.common.messages import camera_info_message, pose_message, stamp_message
from ros2_raxels.nodes.common.parameters import Parameters
from ros2_raxels.nodes.common.tf_listener import TransformReader
from ros2_raxels.nodes.views.goal import CODES, GoalError, ViewRequest
from ros2_raxels.nodes.views.job import STATES, ViewJob, duration_message
from ros2_raxels.nodes.views.layers import ShowPoints, depth_image, error_image, point_cloud, unseen_image
from ros2_raxels.nodes.views.live_context import Arrival, LiveContext
from ros2_raxels.nodes.views.placed_frame import PlacedFrame
from ros2_raxels.nodes.views.rig_context import RigContext
from ros2_raxels.recordings.camera_info import CameraInfoError
from ros2_raxels.recordings.contrast import Stretch
from ros2_raxels.recordings.image_codec import ImageArray, ImageError, encode_compressed
from ros2_raxels.view_synthesis.arc_length import along_arc
from ros2_raxels.view_synthesis.context import ContextFrame, Mask, as_seen_by, shown_in
from ros2_raxels.view_synthesis.prediction import (
    FrameDepth,
    PredictedViews,
    PredictionCancelledError,
    PredictionRequest,
    Proceed,
)
from ros2_raxels.view_synthesis.seen_space import FrameDepths
from ros2_raxels.view_synthesis.self_consistency import Judge, check_views

_SEED_BITS = 63
_IN_UNITS = "set depth_in_units to take it in the unit of the poses"
_TF_SLICE_S = 0.05
"""Of waiting for a transform, between looks at whether the goal was cancelled."""


class Predictor(Judge, Protocol):
    """What is used of `predictor.ViewPredictor`."""

    def describe(self) -> str:
        """In a line: model, backend."""

    def predict_in_batches(self, request: PredictionRequest, *, proceed: Proceed | None) -> Iterator[PredictedViews]:
        """Views along a trajectory, a few at a time."""

    def frame_depths(
        self,
        images: Sequence[ImageArray],
        camera: PinholeCamera,
        camera_to_world: FloatArray,
        views: FloatArray,
        seen: Sequence[Mask] | None,
    ) -> FrameDepths:
        """Depths of known frames that show most of some views."""

    def frame_depth(
        self,
        images: Sequence[ImageArray],
        camera: PinholeCamera,
        camera_to_world: FloatArray,
        frame: int,
        seen: Sequence[Mask] | None,
    ) -> FrameDepth:
        """Depth of one known frame, everywhere in it."""

    def imagine(
        self,
        image: ImageArray,
        camera: PinholeCamera,
        frames: int,
        *,
        seed: int,
        steps: int | None,
        size: tuple[int, int] | None,
        proceed: Proceed | None,
    ) -> PredictedViews:
        """Video and trajectory together, from one frame."""


class Asking(Protocol):
    """The part of a `ViewJob` that preparing a scene takes."""

    request: ViewRequest
    handle: Any

    def why_stop(self) -> GoalError | None:
        """Why to end now, if it must."""


@dataclass(eq=False)
class Scene:
    """What a goal means in the world frame.

    Attributes:
        images, to_world: context, oldest first, all as the camera of the views sees them.
        own: which of them that camera took itself.
        seen: see `PredictionRequest`.
        camera: of the views, without distortion.
        optical: its frame.
        trajectory: (T, 4, 4) optical frames; empty to imagine.
        world_to_answer: into the frame in which poses are given back.
        answer_frame: its name.
        stamp_ns: moment of the views.
        optical_to_placed: 4x4, into the frame that the poses of the request place.
    """

    images: list[ImageArray]
    to_world: FloatArray
    own: list[int]
    seen: list[Mask] | None
    camera: PinholeCamera
    optical: str
    trajectory: FloatArray
    world_to_answer: FloatArray
    answer_frame: str
    stamp_ns: int
    optical_to_placed: FloatArray


@dataclass(frozen=True, eq=False)
class _Context:
    """What views are made from.

    Attributes:
        frames: with poses, oldest first; one, perhaps without, to imagine from.
        camera: of the views, without distortion.
        optical: its frame.
    """

    frames: list[ContextFrame]
    camera: PinholeCamera
    optical: str

    @property
    def newest(self) -> ContextFrame:
        """Of all cameras."""
        return self.frames[-1]

    @classmethod
    def of(cls, frames: Sequence[ContextFrame], own: ContextFrame) -> _Context:
        """Of frames in any order, for views of the camera that took one of them."""
        return cls(sorted(frames, key=attrgetter("stamp_ns")), own.camera, own.frame_id)


class ViewMaker:
    """Makes the views of one goal after the other. For use by one thread.

    Args:
        predictor: see there; None when it could not be loaded, for the reason `unloaded`.
        reader: of TF.
        rig: frames of the cameras.
        settings: parameters of the node.
        is_metric: whether the world frame's unit is the metre.
        now_ns: the node's clock, which may be simulated.
        child_of_pose: child frame of the pose node's poses; empty where it is not known.
        unloaded: why there is no predictor.
        show_points: is given what makes the points of a result, PointCloud2, to be called if anybody listens.
    """

    def __init__(
        self,
        predictor: Predictor | None,
        reader: TransformReader,
        rig: RigContext,
        settings: Parameters,
        is_metric: Callable[[], bool],
        now_ns: Callable[[], int],
        child_of_pose: Callable[[], str],
        unloaded: str = "",
        show_points: ShowPoints | None = None,
    ) -> None:
        self._predictor, self._unloaded = predictor, unloaded
        self._show_points = show_points
        self._reader, self._rig = reader, rig
        self._settings, self._is_metric, self._now_ns = settings, is_metric, now_ns
        self._world = bare(settings.text("world_frame"))
        self._placed_frame = PlacedFrame(reader, settings.text("base_frame"), child_of_pose)
        self._estimator = Estimator()

    @property
    def placed_frame(self) -> str:
        """Which frame the poses of goals place, and why where it is not the base; empty before the first."""
        return self._placed_frame.words

    def make(self, job: ViewJob) -> Any:
        """The result of a goal, whatever happens: PredictViews.Result with a code and, unless it is NONE, words."""
        result = PredictViews.Result(seed_used=job.request.seed or 1 + secrets.randbelow(2**_SEED_BITS))
        try:
            self._serve(job, result)
        except GoalError as error:
            result.error_code, result.error_msg = error.code, str(error)
        except Exception as error:
            result.error_code, result.error_msg = CODES.INTERNAL, f"internal error: {worded(error)}"
        return result

    def _serve(self, job: ViewJob, result: Any) -> None:
        if job.why_stop() is None:
            self._work(job, result)
        self._end(job, result)

    def _end(self, job: ViewJob, result: Any) -> None:
        if job.stopped is not None:
            words = f"{job.stopped}; {len(result.views)} of {job.request.views} views are there"
            raise GoalError(job.stopped.code, words)

    def _work(self, job: ViewJob, result: Any) -> None:
        job.enter(STATES.STATE_PREPARING)
        if self._predictor is None:
            raise GoalError(CODES.ENGINE_FAILED, f"no model is loaded: {self._unloaded}")
        result.model_id = self._predictor.describe()
        scene = self._prepare(job)
        self._check_unit(job.request)
        batches = self._denoise(self._predictor, job, scene, result)
        if self._show_points is not None and batches:
            self._show_points(partial(_points, scene, batches))
        if self._settings.flag("self_consistency") and job.why_stop() is None:
            job.enter(STATES.STATE_CHECKING)
            self._check(self._predictor, job, scene, batches, result)

    # ------------------------------------------------------------------------------------------------- preparing

    def scene(self, job: Asking) -> Scene:
        """What a request means in the world.

        Raises:
            GoalError: it means nothing, or not enough is known yet.
        """
        return self._prepare(job)

    def _prepare(self, job: Asking) -> Scene:
        request = job.request
        context = self._context(job)
        frames, newest = context.frames, context.newest
        stamp = request.reference_ns or newest.stamp_ns
        images = as_seen_by(context.camera, frames)
        own = [k for k, frame in enumerate(frames) if frame.frame_id == context.optical]
        seen = shown_in(context.camera, [frame.camera for frame in frames])
        to_world = np.array([np.eye(4) if f.camera_to_world is None else f.camera_to_world for f in frames])
        if request.imagines:
            answer_frame = newest.frame_id if newest.camera_to_world is None else self._world
            return Scene(
                images,
                to_world,
                own,
                seen,
                context.camera,
                context.optical,
                np.zeros((0, 4, 4)),
                np.eye(4),
                answer_frame,
                stamp,
                np.eye(4),
            )
        placed, optical = self._placed(job, context.optical, stamp)
        self._check_reach(placed, newest)
        trajectory = along_arc(placed, request.views) if request.spread else placed
        into_answer = inverse_pose(self._in_world(job, request.answer_frame, stamp))
        return Scene(
            images,
            to_world,
            own,
            seen,
            context.camera,
            context.optical,
            trajectory,
            into_answer,
            request.answer_frame,
            stamp,
            optical,
        )

    def _context(self, job: Asking) -> _Context:
        request, goal = job.request, job.handle.request
        return self._brought(job, goal) if goal.context else self._kept(job, request)

    def _brought(self, job: Asking, goal: Any) -> _Context:
        """Of the images of the goal itself."""
        request = job.request
        infos = list(goal.context_camera_info) * (len(goal.context) if len(goal.context_camera_info) == 1 else 1)
        arrivals = [Arrival(i, info) for i, info in zip(goal.context, infos, strict=True)]
        arrivals = [a for a in arrivals if a.stamp_ns <= (request.reference_ns or a.stamp_ns)]
        own = [k for k, a in enumerate(arrivals) if a.frame_id == (request.camera or a.frame_id)]
        if not own:
            whose = f" of {request.camera}" if request.camera else ""
            words = f"all context images{whose} are later than reference_time = {request.reference_ns} ns"
            raise GoalError(CODES.NO_CONTEXT, f"{words}; give a later time, or 0")
        self._check_age(arrivals[-1].stamp_ns, request)
        stretch, newest = Stretch(), arrivals[own[-1]]
        if request.imagines:
            frame = self._decoded(newest, self._pose_if_known(newest), stretch, CODES.INVALID_GOAL)
            return _Context.of([frame], frame)
        frames = [self._decoded(a, self._pose_of(job, a), stretch, CODES.INVALID_GOAL) for a in arrivals]
        return _Context.of(frames, frames[own[-1]])

    def _kept(self, job: Asking, request: ViewRequest) -> _Context:
        """Of all cameras that have images."""
        live = self._rig[request.camera]
        recent, kept = live.until(request.reference_ns)
        if request.imagines:
            self._check_age((recent or kept)[-1].stamp_ns, request)
            newest = recent[-1] if recent else None
            frame = self._as_bright(live, newest, self._pose_if_known(newest)) if newest else kept[-1]
            return _Context.of([frame], frame)
        others = self._of_others(live, request)
        newest_ns = max([(recent or kept)[-1].stamp_ns, *(frame.stamp_ns for frame in others)])
        self._check_age(newest_ns, request)
        try:
            own = self._with_newest(job, live, recent, kept)
        except GoalError:
            # A camera that fell silent: what the others have seen since shows what it would.
            if not recent or not others or newest_ns - recent[-1].stamp_ns <= self._max_age_ns:
                raise
            own = list(kept)
        oldest_ns = newest_ns - self._settings.number("context.keep_s") * 1e9
        frames = [frame for frame in (*own, *others) if frame.stamp_ns >= oldest_ns]
        if own:
            return _Context.of(frames, own[-1])
        try:
            camera = live.lens_of(recent[-1])
        except CameraInfoError as error:
            raise GoalError(CODES.NO_CONTEXT, f"context image cannot be used: {error}") from error
        return replace(_Context.of(frames, frames[-1]), camera=camera, optical=recent[-1].frame_id)

    def _of_others(self, live: LiveContext, request: ViewRequest) -> list[ContextFrame]:
        """Frames of the other cameras of the rig, as far as their poses are known now."""
        found = list[ContextFrame]()
        for other in self._rig.cameras.values():
            if other is live:
                continue
            try:
                recent, kept = other.until(request.reference_ns)
                found += self._as_placed(other, recent, kept)
            except GoalError:
                # Without it there are views all the same; /diagnostics says which camera adds nothing, and why.
                continue
        return found

    def _as_placed(
        self, live: LiveContext, recent: Sequence[Arrival], kept: Sequence[ContextFrame]
    ) -> list[ContextFrame]:
        """The frames that are kept, and the newest image of which the pose is known."""
        newest, pose = self._newest_placed(recent)
        if newest is None:
            return list(kept)
        older = [frame for frame in kept if frame.stamp_ns < newest.stamp_ns]
        return [*older, self._as_bright(live, newest, pose)]

    def _newest_placed(self, recent: Sequence[Arrival]) -> tuple[Arrival | None, FloatArray | None]:
        bound_ns = recent[-1].stamp_ns - self._max_age_ns if recent else 0
        placed = ((a, self._pose_if_known(a)) for a in reversed(recent) if a.stamp_ns >= bound_ns)
        return next(((a, pose) for a, pose in placed if pose is not None), (None, None))

    @property
    def _max_age_ns(self) -> float:
        return self._settings.number("context.max_age_s") * 1e9

    def _with_newest(
        self, job: Asking, live: LiveContext, recent: Sequence[Arrival], kept: Sequence[ContextFrame]
    ) -> list[ContextFrame]:
        """The frames that are kept, and the newest image of which the pose is known, or soon will be."""
        if not recent:
            return list(kept)
        try:
            self._pose_of(job, recent[-1])
        except GoalError:
            # The pose node passes over images when it is busy; one before will do, if it is not too old.
            if self._newest_placed(recent)[0] is None:
                raise
        return self._as_placed(live, recent, kept)

    def _as_bright(self, live: LiveContext, arrival: Arrival, pose: FloatArray | None) -> ContextFrame:
        """Decoded, as bright as the frames that are kept."""
        return self._decoded(arrival, pose, live.stretch, CODES.NO_CONTEXT)

    def _decoded(self, arrival: Arrival, pose: FloatArray | None, stretch: Stretch, code: int) -> ContextFrame:
        try:
            return arrival.frame(self._settings.flag("image_rectified"), pose, stretch)
        except (CameraInfoError, ImageError) as error:
            raise GoalError(code, f"context image cannot be used: {error}") from error

    def _check_age(self, newest_ns: int, request: ViewRequest) -> None:
        bound_s, age_s = self._settings.number("context.max_age_s"), self._age_s(newest_ns, request)
        if age_s > bound_s:
            raise GoalError(
                CODES.STALE_CONTEXT,
                f"the newest image is {age_s:.3f} s old, the bound is {bound_s:g} s (context.max_age_s): check "
                "that images arrive, or set reference_time",
            )

    def _age_s(self, stamp: int, request: ViewRequest) -> float:
        return ((request.reference_ns or self._now_ns()) - stamp) * 1e-9

    def _pose_of(self, job: Asking, arrival: Arrival) -> FloatArray:
        if not arrival.frame_id:
            raise GoalError(CODES.UNKNOWN_FRAME, "images have an empty frame_id: set the camera driver's frame_id")
        return self._in_world(job, arrival.frame_id, arrival.stamp_ns)

    def _pose_if_known(self, arrival: Arrival) -> FloatArray | None:
        try:
            return self._reader.lookup(self._world, arrival.frame_id, arrival.stamp_ns)
        except FrameError:
            return None

    def _in_world(self, job: Asking, frame: str, stamp: int) -> FloatArray:
        return np.eye(4) if frame == self._world else self._lookup(job, self._world, frame, stamp)

    def _lookup(self, job: Asking, target: str, source: str, stamp: int) -> FloatArray:
        until = time.monotonic() + self._settings.number("tf_timeout_s")
        while True:
            try:
                return self._reader.wait_for(target, source, stamp, _TF_SLICE_S)
            except FrameError as error:
                if stop := job.why_stop():
                    raise stop from error
                if time.monotonic() >= until:
                    code = CODES.UNKNOWN_FRAME if isinstance(error, UnknownFrameError) else CODES.NO_TRANSFORM
                    raise GoalError(code, str(error)) from error

    def _placed(self, job: Asking, camera: str, stamp: int) -> tuple[FloatArray, FloatArray]:
        """(N, 4, 4) optical frames in the world for the poses of the trajectory, and optical_to_placed."""
        request = job.request
        base: str = camera
        optical: FloatArray = np.eye(4)
        if request.is_base:
            first = "" if job.handle.request.context else self._rig[""].frame_id
            base, optical = self._placed_frame.find(camera, stamp, partial(self._lookup, job), first)
        self._check_scale(request, base, optical)
        frames = {frame: self._in_world(job, frame, stamp) for frame in dict.fromkeys(request.frames)}
        placed = [frames[f] @ pose @ optical for f, pose in zip(request.frames, request.poses, strict=True)]
        return np.array(placed), optical

    def _check_scale(self, request: ViewRequest, base: str, optical_to_base: FloatArray) -> None:
        in_metres = [frame for frame in request.frames if frame != self._world]
        if optical_to_base[:3, 3].any():
            in_metres.append(base)
        if in_metres and not self._is_metric():
            raise GoalError(
                CODES.UNKNOWN_SCALE,
                f"{in_metres[0]} is in metres, but the scale of {self._world} is not known: give poses of the optical "
                f"frame in {self._world}, or let the pose node find the scale",
            )

    def _check_unit(self, request: ViewRequest) -> None:
        if not request.depth or request.depth_in_units:
            return
        if request.imagines:
            raise GoalError(
                CODES.UNKNOWN_SCALE, f"what is imagined has no scale, so its depth is not in m: {_IN_UNITS}"
            )
        if not self._is_metric():
            raise GoalError(
                CODES.UNKNOWN_SCALE,
                f"depth is wanted in m, but the scale of {self._world} is not known: let the pose node find it, or "
                f"{_IN_UNITS}",
            )

    def _check_reach(self, placed: FloatArray, newest: ContextFrame) -> None:
        assert newest.camera_to_world is not None
        away = np.linalg.norm(placed[:, :3, 3] - newest.camera_to_world[:3, 3], axis=1)
        bound = self._settings.number("max_distance")
        if away.max() > bound:
            raise GoalError(
                CODES.INVALID_GOAL,
                f"trajectory.poses[{int(away.argmax())}] is {away.max():.6g} away from the newest context frame, the "
                f"bound is {bound:g} (max_distance): nothing is known of what would be seen there",
            )

    # -------------------------------------------------------------------------------------- denoising and checking

    def _denoise(self, predictor: Predictor, job: ViewJob, scene: Scene, result: Any) -> list[PredictedViews]:
        steps = job.request.steps or self._settings.integer("imagine_steps" if job.request.imagines else "steps")
        batches, spent_s, begun = [], 0.0, time.perf_counter()
        for views in _batches(predictor, job, scene, int(result.seed_used), steps):
            spent_s += time.perf_counter() - begun
            result.inference_time = duration_message(spent_s)
            batches.append(views)
            self._add(job, scene, views, result)
            self._add_layers(job.request, scene, views, result)
            begun = time.perf_counter()
        return batches

    def _add(self, job: ViewJob, scene: Scene, views: PredictedViews, result: Any) -> None:
        camera = views.camera.resized(*job.request.size) if job.request.size else views.camera
        header = Header(stamp=stamp_message(scene.stamp_ns), frame_id=scene.optical)
        result.camera_info = camera_info_message(camera, header)
        in_answer = scene.world_to_answer @ views.camera_to_world
        for image, pose, confidence in zip(views.images, in_answer, views.confidence, strict=True):
            result.views.append(self._picture(image, camera, header))
            stamped = Header(stamp=header.stamp, frame_id=scene.answer_frame)
            result.view_poses.append(PoseStamped(header=stamped, pose=pose_message(pose)))
            result.confidence.append(float(confidence))
            result.self_consistency_rotation.append(float("nan"))
            result.self_consistency_translation.append(float("nan"))
            job.finished_view(len(result.views), result.views[-1], result.view_poses[-1])

    def _add_layers(self, request: ViewRequest, scene: Scene, views: PredictedViews, result: Any) -> None:
        header = Header(stamp=stamp_message(scene.stamp_ns), frame_id=scene.optical)
        size = request.size or (views.camera.width, views.camera.height)
        if request.depth:
            if views.depth is None:
                raise GoalError(CODES.ENGINE_FAILED, "the model tells no depth; export it again with this version")
            result.depth_is_metric = self._is_metric() and not request.imagines
            result.depths.extend(depth_image(depth, size, header) for depth in views.depth)
        if request.error:
            result.errors.extend(error_image(error, size, header) for error in views.expected_error)
        if request.unseen:
            result.unseen.extend(unseen_image(share, size, header) for share in views.made_up)

    def _picture(self, image: ImageArray, camera: PinholeCamera, header: Header) -> CompressedImage:
        format = self._settings.text("image_format")
        size = (camera.width, camera.height)
        if image.shape[1::-1] != size:
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8)
        message = CompressedImage(header=header, format=format)
        message.data.frombytes(encode_compressed(image, format))
        return message

    def _check(
        self, predictor: Predictor, job: ViewJob, scene: Scene, batches: Sequence[PredictedViews], result: Any
    ) -> None:
        first = 0
        for views in batches:
            if job.why_stop() is not None:
                return
            found = check_views(predictor, self._estimator, scene.images, scene.to_world, views, scene.own)
            last = first + len(found.confidence)
            result.self_consistency_rotation[first:last] = array("f", found.rotation_rad)
            result.self_consistency_translation[first:last] = array("f", found.distance)
            result.confidence[first:last] = array("f", found.confidence)
            first = last


def _within(size: tuple[int, int] | None, camera: PinholeCamera) -> tuple[int, int] | None:
    """The size that views are made in: the known images have no more pixels to give."""
    return None if size is None else (min(size[0], camera.width), min(size[1], camera.height))


def _points(scene: Scene, batches: Sequence[PredictedViews]) -> PointCloud2:
    header = Header(stamp=stamp_message(scene.stamp_ns), frame_id=scene.answer_frame)
    return point_cloud(batches, scene.world_to_answer, header)


def _batches(predictor: Predictor, job: ViewJob, scene: Scene, seed: int, steps: int) -> Iterator[PredictedViews]:
    try:
        size = _within(job.request.size, scene.camera)
        if not job.request.imagines:
            known = (scene.images, scene.camera, scene.to_world)
            request = PredictionRequest(*known, scene.trajectory, seed, steps, size, seen=scene.seen)
            yield from predictor.predict_in_batches(request, proceed=job.proceed)
            return
        views = predictor.imagine(
            scene.images[-1], scene.camera, job.request.views, seed=seed, steps=steps, size=size, proceed=job.proceed
        )
        yield replace(views, camera_to_world=scene.to_world[-1] @ views.camera_to_world)
    except PredictionCancelledError:
        return
    except Exception as error:
        # Whatever a backend raises: out of memory, a driver that went away, a shape it does not take.
        raise GoalError(CODES.ENGINE_FAILED, f"the engine failed: {worded(error)}") from error
