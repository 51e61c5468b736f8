"""``raxels_pose``: images in; pose, odometry, path, status, TF and diagnostics out."""

from __future__ import annotations

import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from ros2_raxels.engine import EngineError
from ros2_raxels.estimation.learned_prior import STREAM, load_denoiser
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.frame_tree import FrameError
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.nodes.common import diagnostics
from ros2_raxels.nodes.common.diagnostics import Health
from ros2_raxels.nodes.common.lifecycle import ManagedNode
from ros2_raxels.nodes.common.messages import check_image, image_array, stamp_ns
from ros2_raxels.nodes.common.parameters import (
    METRIC_FRAMES,
    ParameterError,
    Parameters,
    engine_options,
    must_have_engine,
)
from ros2_raxels.nodes.common.runner import run
from ros2_raxels.nodes.common.subscription import CameraInfos, Listener, image_subscription
from ros2_raxels.nodes.common.tf_listener import make_reader
from ros2_raxels.nodes.pose.intake import Errand, FrameGate, NewestSlot, OneCamera, Verdict, Work
from ros2_raxels.nodes.pose.odometry import OdometryListener
from ros2_raxels.nodes.pose.outputs import Counters, PoseOutputs
from ros2_raxels.nodes.pose.parameters import POSE_NODE, POSE_TABLE
from ros2_raxels.nodes.pose.services import NOT_ACTIVE, PoseServices, keyframe_folder
from ros2_raxels.recordings.camera_info import CameraInfoError, camera_from_info
from ros2_raxels.recordings.contrast import Stretch
from ros2_raxels.recordings.image_codec import ImageError
from ros2_raxels.tracking.metric_scale import Odometry, Scale, ScaleSettings, ScaleSource
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import LostPolicy, TrackedPose, TrackerSettings, TrackState

_WATCH_PERIOD_S = 0.25
_WORKER_ENDED = "nothing is worked on after an internal error; deactivate and activate the node"


class FrameRejectedError(ValueError):
    """An image that the tracker must not see, or cannot go on with; one line says why."""


class TrackerLike(Protocol):
    """What the node needs of a tracker."""

    @property
    def engine_id(self) -> str:
        """What it computes with."""

    def reset(self) -> None:
        """Forget everything."""

    def track(self, image: np.ndarray, stamp_ns: int, camera: PinholeCamera | None) -> TrackedPose:
        """Pose of one image."""

    def improve(self) -> None:
        """What can be done after the pose has been passed on."""

    def set_pose(self, camera_to_world: FloatArray, covariance: FloatArray) -> None:
        """Say where the camera is."""

    def point_up(self, up_in_camera: FloatArray) -> None:
        """Say where up is, in the optical frame."""

    def save_keyframes(self, path: Path) -> int:
        """Write keyframes; how many."""

    def load_keyframes(self, path: Path) -> int:
        """Read keyframes; how many."""


MakeTracker = Callable[[TrackerSettings, str, Odometry], TrackerLike]
"""Of settings, a model card, and where odometry is asked for."""


@dataclass(frozen=True)
class _Arrival:
    """An image as it came, with the camera_info of its stamp, or that was newest then."""

    message: Any
    info: CameraInfo | None


class PoseNode(ManagedNode[TrackerLike]):
    """Feeds a tracker with the newest image and publishes its answers.

    The executor's thread only stores messages. One worker thread owns the tracker, so that a slow solve delays
    neither parameters nor diagnostics, and images that arrive meanwhile replace each other.

    Args:
        make_tracker: the default is the real one.
        options: of ``rclpy.lifecycle.LifecycleNode``.
    """

    def __init__(self, make_tracker: MakeTracker | None = None, **options: Any) -> None:
        super().__init__(POSE_NODE, POSE_TABLE, **options)
        self._make_tracker = make_tracker or self._real_tracker
        self._odometry: OdometryListener | None = None

    # ------------------------------------------------------------------------------------------------- life cycle

    def load(self) -> TrackerLike:
        """The tracker, its denoiser ready to run.

        Raises:
            ParameterError: names of frames cannot be used together, or the model not at all.
        """
        _check_frames(self._settings)
        return self._make_tracker(_tracker_settings(self._settings), self._settings.text("model"), self._camera_to_odom)

    def _real_tracker(self, settings: TrackerSettings, model: str, odometry: Odometry) -> Tracker:
        """With the denoiser that is asked for; a robot whose installed one cannot run goes on without.

        Raises:
            ParameterError: the card that the parameter names cannot be used.
        """
        try:
            denoiser = load_denoiser(model, STREAM, engine_options(self, self._settings))
        except EngineError as error:
            if model or must_have_engine(self._settings):
                raise ParameterError(f"model = {model!r} cannot be used: {error}") from error
            self.get_logger().error(f"goes on without the denoiser: {error}")
            denoiser = None
        if denoiser is None:
            self.get_logger().info("engine: none, on correspondences and geometry alone")
        return Tracker(settings, denoiser, odometry)

    def configure(self, loaded: TrackerLike, undo: ExitStack) -> None:
        """Make what the tracker's world needs: publishers, services, TF, and what the images were like so far.

        TF is listened to from here on, so that an active node knows at once which frames have parents.
        """
        self._tracker = loaded
        undo.callback(self._forget_tracker)
        self._transforms = make_reader(self)
        undo.callback(self._transforms.destroy)
        self._outputs = PoseOutputs(self, self._settings, self._transforms, loaded.engine_id)
        undo.callback(self._outputs.destroy)
        folder = keyframe_folder(self._settings.text("keyframes.folder"))
        reset = partial(self._reset, "asked for through ~/reset")
        requests = PoseServices(self, loaded, self._outputs.placement, self._run, reset, folder)
        undo.callback(requests.destroy)
        self._gate = FrameGate()
        self._camera: PinholeCamera | None = None
        self._converted: CameraInfo | None = None
        self._optical = ""

    def _forget_tracker(self) -> None:
        del self._tracker, self._transforms, self._outputs

    def activate(self, undo: ExitStack) -> None:
        """Listen, and start to work."""
        self._slot: NewestSlot[_Arrival] = NewestSlot()
        self._one_camera = OneCamera()
        self._traffic = diagnostics.Traffic()
        # A state and why, exchanged as a whole: the worker and the executor's thread set and read them.
        self._said = (TrackState.WAITING, "no image yet")
        self._scale = Scale()
        self._failures: Counter[str] = Counter()
        self._stalled = ""
        self._cameras = CameraInfos()
        self._first_image_at = 0.0
        self._without_camera = ""
        self._stretch = Stretch()
        self._arrived_at = time.monotonic()
        self._begin(partial(self._work, self._slot))
        undo.callback(self._slot.close)
        self._listen(undo)
        watch = self.create_timer(_WATCH_PERIOD_S, self._watch, clock=self._steady)
        undo.callback(self.destroy_timer, watch)

    def _listen(self, undo: ExitStack) -> None:
        if self._settings.text("scale.mode") == "odom":
            self._odometry = OdometryListener(self, self._optical_to, self._problems.report)
            undo.callback(self._ignore_odometry, self._odometry)
        # camera_info first: of two messages that wait, the executor serves that of the older subscription first.
        self._infos = Listener(self, CameraInfo, "camera_info", self._cameras.add)
        undo.callback(self._infos.destroy)
        self._images = image_subscription(self, self._settings.text("image_transport"), self._on_image)
        undo.callback(self._images.destroy)

    def _ignore_odometry(self, listener: OdometryListener) -> None:
        listener.destroy()
        self._odometry = None

    # ------------------------------------------------------------------------------------------ executor's thread

    def _on_image(self, message: Any) -> None:
        self._arrived_at = time.monotonic()
        self._traffic.received += 1
        # Before it can take the place of a good image that waits.
        if refusal := self._refusal(message):
            self._traffic.refused += 1
            self._problems.report(refusal)
        elif self._slot.put(_Arrival(message, self._cameras.of(message.header))):
            self._traffic.replaced += 1

    def _refusal(self, message: Any) -> str:
        try:
            check_image(message)
        except ImageError as error:
            return str(error)
        patience_s = self._settings.number("stall_timeout_s")
        return self._one_camera.refusal(self._outputs.optical(message.header), patience_s)

    def _run(self, errand: Errand) -> str:
        """Why the worker will not do it; empty when it will."""
        if not self._active:
            return NOT_ACTIVE
        return "" if self._slot.run_errand(errand) else _WORKER_ENDED

    def _watch(self) -> None:
        self._images.update()
        self._infos.update()
        if self._odometry is not None:
            self._odometry.subscription.update()
        # A publisher that has only just appeared is given its time before it is called silent.
        silent_s = time.monotonic() - max(self._arrived_at, self._images.publisher_since)
        if silent_s > self._settings.number("stall_timeout_s"):
            self._report_stall(silent_s)
        elif self._stalled:
            self._stalled = ""
            self.get_logger().info(f"images arrive again on {self._images.topic}")

    def _report_stall(self, silent_s: float) -> None:
        was_stalled, reason = bool(self._stalled), self._images.why_silent(self._cameras.newest)
        self._stalled = f"no image for {silent_s:.1f} s: {reason}"
        self._problems.report(self._stalled)
        # Once more when the worker has answered an image from before: it is as long ago as the others.
        if not was_stalled or self._said[0] is not TrackState.WAITING:
            self._said = (TrackState.WAITING, self._stalled)
            self._outputs.announce(TrackState.WAITING, self._stalled, self._counters())

    def _engine_health(self) -> Health:
        return Health("engine", diagnostics.OK, self._tracker.engine_id)

    def _work_health(self) -> list[Health]:
        return [self._input_health(), self._tracking_health(), self._scale_health(), self._tf_health()]

    def _input_health(self) -> Health:
        values = self._traffic.values() | {"last problem": self._problems.last}
        if self._stalled:
            return Health("input", diagnostics.ERROR, self._stalled, values)
        words = "; ".join(filter(None, [self._without_camera, self._problems.last if self._problems.recent else ""]))
        return Health("input", diagnostics.WARN if words else diagnostics.OK, words, values)

    def _tracking_health(self) -> Health:
        state, message = self._said
        values = {"state": state.name}
        if state is TrackState.TRACKING:
            return Health("tracking", diagnostics.OK, message, values)
        level = diagnostics.ERROR if state is TrackState.LOST else diagnostics.WARN
        return Health("tracking", level, f"{state.name}: {message}".rstrip(": "), values)

    def _scale_health(self) -> Health:
        mode, scale = self._settings.text("scale.mode"), self._scale
        values = {"source": mode, "metres per unit": f"{scale.metres_per_unit:.6g}", "sigma": f"{scale.sigma:.6g}"}
        if scale.is_metric:
            return Health("scale", diagnostics.OK, "poses are in metres", values)
        if mode == "none":
            return Health("scale", diagnostics.OK, "poses have a unit of their own (scale.mode is none)", values)
        why = f": {silence}" if self._odometry is not None and (silence := self._odometry.why_silent()) else ""
        return Health("scale", diagnostics.WARN, f"no metres yet by scale.mode {mode}{why}", values)

    def _tf_health(self) -> Health:
        refusal = self._outputs.tf_refusal
        return Health("tf", diagnostics.ERROR if refusal else diagnostics.OK, refusal)

    # -------------------------------------------------------------------------------------------- worker's thread

    def _work(self, slot: NewestSlot[_Arrival]) -> None:
        try:
            while (work := slot.take()) is not None:
                self._do(slot, work)
        finally:
            # There are some only after what no step may catch. Who asked for them must not wait for ever.
            slot.abandon(_WORKER_ENDED)

    def _do(self, slot: NewestSlot[_Arrival], work: Work[_Arrival]) -> None:
        for errand in work.errands:
            self._guarded(slot, "request not answered", errand.carry_out)
        if work.item is not None:
            self._guarded(slot, "image not answered", partial(self._handle, work.item))

    def _guarded(self, slot: NewestSlot[_Arrival], name: str, step: Callable[[], None]) -> None:
        """Whatever goes wrong in a step may not end the thread, nor take other steps with it."""
        try:
            step()
        except Exception as error:
            # Publishing fails once the context is down, which is no news.
            if not slot.closed:
                self._problems.report(f"internal error, {name}: {diagnostics.worded(error)}")
                self.get_logger().debug(traceback.format_exc())

    def _handle(self, arrival: _Arrival) -> None:
        """Count an image once: processed when it is solved, whatever becomes of its answer, else rejected."""
        begun = time.perf_counter()
        try:
            answer, camera = self._solve(arrival)
        except Exception as error:
            self._traffic.rejected += 1
            if not isinstance(error, (ImageError, FrameRejectedError)):
                raise
            self._problems.report(str(error))
            return
        self._traffic.processed += 1
        self._publish(answer, arrival.message.header, camera, time.perf_counter() - begun)

    def _publish(self, answer: TrackedPose, header: Header, camera: PinholeCamera | None, processing_s: float) -> None:
        self._outputs.publish(answer, header, camera)
        latency_s = self.get_clock().now().nanoseconds * 1e-9 - answer.stamp_ns * 1e-9
        self._traffic.latencies.add(latency_s)
        self._outputs.report(answer, header, self._counters(latency_s, processing_s))
        self._set_state(answer.state, answer.message)
        self._scale = answer.scale
        if self._outputs.tf_refusal:
            self._problems.report(self._outputs.tf_refusal)
        if answer.keyframe:
            self._improve()

    def _optical_to(self, frame: str, stamp: int) -> FloatArray:
        return self._transforms.lookup(frame, self._optical, stamp)

    def _camera_to_odom(self, stamp: int) -> FloatArray | None:
        # Read once: the executor's thread ends it while the worker is still busy.
        odometry = self._odometry
        return None if odometry is None else odometry.camera_to_odom(stamp)

    def _point_up(self, stamp: int) -> None:
        if self._settings.text("scale.mode") != "height" or not self._settings.text("tf.base_frame"):
            return
        try:
            self._tracker.point_up(self._optical_to(self._settings.text("tf.base_frame"), stamp)[2, :3])
        except FrameError as error:
            self._problems.report(f"the camera is taken as level: {error}")

    def _solve(self, arrival: _Arrival) -> tuple[TrackedPose, PinholeCamera | None]:
        header = arrival.message.header
        stamp = stamp_ns(header.stamp)
        self._optical = self._outputs.optical(header)
        self._point_up(stamp)
        verdict = self._gate.check_frame(self._optical)
        self._obey(verdict)
        if verdict.reset:
            # What is known of the lens is the other camera's; its message, still the newest, is not taken again.
            self._camera, self._first_image_at, self._without_camera = None, 0.0, ""
            self._stretch = Stretch()
        self._obey(self._gate.check_stamp(stamp, self._settings.number("stamp_jump_back_s")))
        camera = self._camera_of(arrival)
        image = image_array(arrival.message, self._stretch)
        height, width = image.shape[:2]
        self._obey(self._gate.check_image(width, height, camera))
        self._gate.admit(self._optical, stamp, width, height, camera)
        return self._track(image, stamp, camera), camera

    def _obey(self, verdict: Verdict) -> None:
        if verdict.drop:
            raise FrameRejectedError(verdict.drop)
        if verdict.reset:
            self._reset(verdict.reset)

    def _camera_of(self, arrival: _Arrival) -> PinholeCamera | None:
        """Intrinsics to use for an image: the last usable ones, or None after having waited for some in vain."""
        # Asked once more: that of the image may have come right after it.
        problem = self._convert(self._cameras.of(arrival.message.header, arrival.info))
        if problem and (self._camera or self._without_camera):
            self._problems.report(problem)
        if self._camera is not None:
            self._without_camera = ""
            return self._camera
        if self._without_camera:
            return None
        self._first_image_at = self._first_image_at or time.monotonic()
        waited_s = time.monotonic() - self._first_image_at
        why = problem or self._infos.why_silent()
        if waited_s < self._settings.number("camera_info_timeout_s"):
            raise FrameRejectedError(f"waiting for a usable camera_info: {why}")
        self._without_camera = f"no usable camera_info after {waited_s:.1f} s, the focal length is estimated: {why}"
        self.get_logger().warning(self._without_camera)
        return None

    def _convert(self, info: CameraInfo | None) -> str:
        """Take over the intrinsics of a message; the reason if they are of no use, which leaves the old ones."""
        if info is None or info is self._converted:
            return ""
        try:
            self._camera = camera_from_info(info, self._settings.flag("image_rectified"))
        except CameraInfoError as error:
            return f"{self._infos.topic}: {error}"
        self._converted = info
        return ""

    def _track(self, image: np.ndarray, stamp: int, camera: PinholeCamera | None) -> TrackedPose:
        with self._counting_failures("image"):
            answer = self._tracker.track(image, stamp, camera)
            if not (np.isfinite(answer.camera_to_world).all() and np.isfinite(answer.covariance).all()):
                raise ValueError("its pose or covariance is not finite")
        return answer

    def _improve(self) -> None:
        """The image has its answer: what goes wrong now is no reason to reject it."""
        try:
            with self._counting_failures("keyframe"):
                self._tracker.improve()
        except FrameRejectedError as error:
            self._problems.report(str(error))

    @contextmanager
    def _counting_failures(self, what: str) -> Iterator[None]:
        """Whatever the tracker raises becomes FrameRejectedError; many in a row reset it."""
        try:
            yield
        except Exception as error:
            self.get_logger().debug(traceback.format_exc())
            self._failures[what] += 1
            if self._failures[what] >= self._settings.integer("lost.frames"):
                self._reset(f"the tracker failed on {self._failures[what]} {what}s in a row")
            raise FrameRejectedError(f"the tracker failed on this {what}: {diagnostics.worded(error)}") from error
        self._failures[what] = 0

    def _reset(self, reason: str) -> None:
        self._tracker.reset()
        self._gate.forget()
        self._outputs.forget()
        self._failures.clear()
        message = f"tracking reset: {reason}"
        self.get_logger().warning(message)
        self._set_state(TrackState.WAITING, message)
        self._outputs.announce(TrackState.WAITING, message, self._counters())

    def _set_state(self, state: TrackState, message: str) -> None:
        (before, _), self._said = self._said, (state, message)
        if state is not before:
            self.get_logger().info(f"{before.name} -> {state.name}" + (f": {message}" if message else ""))

    def _counters(self, latency_s: float = 0.0, processing_s: float = 0.0) -> Counters:
        traffic = self._traffic
        # Received last: the executor goes on counting, and no more frames may seem processed and dropped than received.
        processed, dropped = traffic.processed, traffic.dropped
        return Counters(traffic.received, processed, dropped, latency_s, processing_s)


def _tracker_settings(parameters: Parameters) -> TrackerSettings:
    scale = ScaleSettings(
        ScaleSource[parameters.text("scale.mode").upper()],
        parameters.number("scale.scene_depth_m"),
        parameters.number("scale.camera_height_m"),
    )
    return TrackerSettings(
        confidence_min=parameters.number("confidence_min"),
        lost_frames=parameters.integer("lost.frames"),
        lost_policy=LostPolicy(parameters.text("lost.policy")),
        scale=scale,
    )


def _check_frames(parameters: Parameters) -> None:
    world, child = parameters.text("tf.world_frame"), parameters.text("tf.child_frame")
    if not world or world in METRIC_FRAMES:
        raise ParameterError(
            f"tf.world_frame = {world!r} must be a frame of its own, like raxels_world: while the scale is unknown the "
            "poses are not in metres"
        )
    for name in ("world", "child", "map", "odom", "base"):
        frame = parameters.text(f"tf.{name}_frame")
        if frame.startswith("/"):
            raise ParameterError(
                f"tf.{name}_frame = {frame!r} must not begin with a slash; TF frames have no namespace"
            )
    if world == child:
        raise ParameterError(f"tf.world_frame and tf.child_frame are both {world!r}; name one of them differently")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; see `runner.run` for the exit status."""
    return run(PoseNode, arguments)


if __name__ == "__main__":
    sys.exit(main())
