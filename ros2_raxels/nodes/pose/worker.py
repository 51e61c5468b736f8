"""The one thread that uses the tracker: from an image or a request to its answer."""

from __future__ import annotations

import math
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.frame_tree import FrameError
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.geometry.rig import Rig
from ros2_raxels.nodes.common.diagnostics import Problems, Traffic, worded
from ros2_raxels.nodes.common.messages import image_array, stamp_ns
from ros2_raxels.nodes.common.parameters import Parameters
from ros2_raxels.nodes.pose.depth import DepthListener
from ros2_raxels.nodes.pose.intake import FrameGate, FrameRejectedError, NewestSlot, NotCalibratedError, Verdict, Work
from ros2_raxels.nodes.pose.intrinsics import Intrinsics
from ros2_raxels.nodes.pose.load import Load
from ros2_raxels.nodes.pose.masks import FIRST, Masks
from ros2_raxels.nodes.pose.outputs import Counters, PoseOutputs
from ros2_raxels.nodes.pose.placement import Transforms
from ros2_raxels.nodes.pose.rig_intake import Beside, RigIntake
from ros2_raxels.recordings.contrast import Stretch
from ros2_raxels.recordings.image_codec import ImageError
from ros2_raxels.recordings.image_mask import Mask
from ros2_raxels.tracking.background import StuckError
from ros2_raxels.tracking.depth_prior import DepthPrior
from ros2_raxels.tracking.map_update import MappingState
from ros2_raxels.tracking.metric_scale import Scale
from ros2_raxels.tracking.types import TrackedPose, TrackState

WORKER_ENDED = "the worker has stopped after an internal error; deactivate and activate the node"


class TrackerLike(Protocol):
    """What the node needs of a tracker."""

    @property
    def engine_id(self) -> str:
        """What it computes with."""

    def reset(self) -> None:
        """Forget everything."""

    @property
    def depth_trouble(self) -> str:
        """Why depth images are left out; any thread may ask."""

    @property
    def lens_trouble(self) -> str:
        """What is wrong with how images are taken; any thread may ask."""

    @property
    def sensor_remarks(self) -> tuple[str, ...]:
        """Which of wheels and IMU were left out since the last reset, and why; any thread may ask."""

    def use_mask(self, mask: Mask | None, camera: str = "") -> None:
        """Use other pixels of the first camera, or of another one by name."""

    def use_rig(self, rig: Rig | None) -> None:
        """Forget everything, and go on with these cameras."""

    def track(
        self,
        image: np.ndarray,
        stamp_ns: int,
        camera: Camera | None,
        depth: DepthPrior | None = None,
        *,
        others: Mapping[str, np.ndarray] | None = None,
    ) -> TrackedPose:
        """Pose of one image, with those of other cameras by name."""

    def tell_period(self, period_s: float | None) -> None:
        """Say how often images come, with those that replace each other."""

    def improve(self) -> None:
        """What can be done after the pose has been passed on."""

    @property
    def mapping(self) -> MappingState:
        """How the making of keyframes is; any thread may ask."""

    def set_pose(self, camera_to_world: FloatArray, covariance: FloatArray) -> None:
        """Say where the camera is."""

    def point_up(self, up_in_camera: FloatArray) -> None:
        """Say where up is, in the optical frame."""

    def keyframes_to_save(self, path: Path) -> Callable[[], int]:
        """What writes the keyframes of now, in any thread, and says how many."""

    @property
    def map_remark(self) -> str:
        """What of the map that was loaded last is not used, in a line."""

    def load_keyframes(self, path: Path) -> int:
        """Read keyframes; how many."""


@dataclass(frozen=True)
class Arrival:
    """An image as it came, with the camera_info of its stamp, or that was newest then."""

    message: Any
    info: CameraInfo | None
    others: Mapping[str, Beside] = field(default_factory=dict)
    instead: str = ""
    """Name of the camera of the rig that it is of, where that takes the place of the first one."""


class PoseWorker:
    """Gives images to a tracker and publishes its answers. For use by one thread, except where it says otherwise.

    Args:
        node: whose logger and clock are used.
        tracker: nobody else uses it.
        outputs: of its answers.
        transforms: TF, which tells where up is.
        intrinsics: of the images.
        settings: parameters of the node.
        problems: told of all that goes wrong.
        clock: steady, s.
        rig: the other cameras, where there are several.
        masks: of the cameras; None for none.

    Attributes:
        traffic: counters; who hands images over counts those that are received, refused and replaced.
        load: likewise.
        said: the state and why, exchanged as a whole: any thread may read it.
        scale: of the last answer; any thread may read it.
        depth: finds the depth image of an image; None while none are heard. Its owner exchanges it.
    """

    def __init__(
        self,
        node: Node,
        tracker: TrackerLike,
        outputs: PoseOutputs,
        transforms: Transforms,
        intrinsics: Intrinsics,
        settings: Parameters,
        problems: Problems,
        clock: Callable[[], float] = time.monotonic,
        rig: RigIntake | None = None,
        masks: Masks | None = None,
    ) -> None:
        self._clock = clock
        self._rig, self._masks = rig, masks
        self._node, self._tracker, self._outputs = node, tracker, outputs
        self._transforms, self._intrinsics = transforms, intrinsics
        self._settings, self._problems = settings, problems
        self._gate = FrameGate()
        self._optical, self._made = "", 0
        self.depth: DepthListener | None = None
        self.begin()

    @property
    def engine_id(self) -> str:
        """What the tracker computes with; any thread may ask."""
        return self._tracker.engine_id

    @property
    def mapping(self) -> MappingState:
        """How the making of keyframes is; any thread may ask."""
        return self._tracker.mapping

    @property
    def depth_trouble(self) -> str:
        """Why the tracker leaves depth images out, in one line; any thread may ask."""
        return self._tracker.depth_trouble

    @property
    def lens_trouble(self) -> str:
        """What the tracker finds wrong with how images are taken, in one line; any thread may ask."""
        return self._tracker.lens_trouble

    @property
    def sensor_remarks(self) -> tuple[str, ...]:
        """Which of wheels and IMU the tracker has left out, and why, a line each; any thread may ask."""
        return self._tracker.sensor_remarks

    def begin(self) -> None:
        """Count anew. While nobody is at work, any thread may call it; the tracker goes on where it was."""
        self.traffic, self.load = Traffic(), Load()
        self.said = (TrackState.WAITING, "no image yet")
        self.scale = Scale()
        self._answered_at = -math.inf
        self._failures: Counter[str] = Counter()
        self._stretch = Stretch()

    def work(self, slot: NewestSlot[Arrival]) -> None:
        """Take images and requests from a slot until it is closed."""
        try:
            while (work := slot.take()) is not None:
                self._do(slot, work)
        finally:
            # There are some only after what no step may catch. Who asked for them must not wait for ever.
            slot.abandon(WORKER_ENDED)

    def _do(self, slot: NewestSlot[Arrival], work: Work[Arrival]) -> None:
        for errand in work.errands:
            self._guarded(slot, "request not answered", errand.carry_out)
        if work.item is not None:
            self._guarded(slot, "image not answered", partial(self._handle, work.item))

    def _guarded(self, slot: NewestSlot[Arrival], name: str, step: Callable[[], None]) -> None:
        """Whatever goes wrong in a step may not end the thread, nor take other steps with it."""
        try:
            step()
        except Exception as error:
            # Publishing fails once the context is down, which is no news.
            if not slot.closed:
                self._problems.report(f"internal error, {name}: {worded(error)}")
                self._node.get_logger().debug(traceback.format_exc())

    # ------------------------------------------------------------------------------------------------- one image

    def _handle(self, arrival: Arrival) -> None:
        """Count an image once: processed when it is solved, whatever becomes of its answer, else rejected."""
        begun = time.perf_counter()
        try:
            answer, camera = self._solve(arrival)
        except Exception as error:
            self.traffic.rejected += 1
            if not isinstance(error, (ImageError, FrameRejectedError)):
                raise
            self._problems.report(str(error))
            if isinstance(error, NotCalibratedError) or self._has_no_answers:
                self._wait(str(error))
            return
        self.traffic.processed += 1
        self._answered_at = self._clock()
        self.load.see_answer(time.perf_counter() - begun)
        self._publish(answer, arrival.message.header, camera, time.perf_counter() - begun)

    @property
    def _has_no_answers(self) -> bool:
        """Whether images were rejected for so long that the state of the last answer is that of nothing any more."""
        return self._clock() - self._answered_at > self._settings.number("stall_timeout_s")

    def _solve(self, arrival: Arrival) -> tuple[TrackedPose, Camera | None]:
        header = arrival.message.header
        stamp = stamp_ns(header.stamp)
        self._optical = self._outputs.optical(header)
        self._point_up(stamp)
        verdict = self._gate.check_frame(self._optical)
        self._obey(verdict)
        if verdict.reset:
            self._intrinsics.forget()
            if self._rig is not None:
                self._rig.forget()
            self._stretch = Stretch()
        self._obey(self._gate.check_stamp(stamp, self._settings.number("stamp_jump_back_s")))
        lens = self._rig.intrinsics[arrival.instead] if self._rig and arrival.instead else self._intrinsics
        camera = lens.of(header, arrival.info)
        image = image_array(arrival.message, self._stretch, grey=True)
        height, width = image.shape[:2]
        self._obey(self._gate.check_image(width, height, camera))
        others: Mapping[str, np.ndarray] = {}
        if self._rig is not None:
            others, changed = self._rig.images(arrival, self._optical, camera)
            if changed:
                self._outputs.rig = self._rig.finder.rig
                self._tracker.use_rig(self._rig.finder.rig)
                self._reset_outputs(f"the rig is {', '.join(self._rig.names)} now")
            self._rig.check(image, others, changed)
        self._gate.admit(self._optical, stamp, width, height, camera)
        if self._masks is not None:
            for name, seen in {FIRST: image, **others}.items():
                self._masks.use(self._tracker, name, *seen.shape[:2], of=name or arrival.instead)
        return self._track(image, stamp, camera, self._depth(stamp, width, height), others), camera

    def _depth(self, stamp: int, width: int, height: int) -> DepthPrior | None:
        # Read once: the executor's thread ends it while the worker is still busy.
        depth = self.depth
        return None if depth is None else depth.of(stamp, self._optical, width, height)

    def _obey(self, verdict: Verdict) -> None:
        if verdict.drop:
            raise FrameRejectedError(verdict.drop)
        if verdict.reset:
            self.reset(verdict.reset)

    def _point_up(self, stamp: int) -> None:
        if self._settings.text("scale.mode") != "height" or not self._settings.text("tf.base_frame"):
            return
        try:
            self._tracker.point_up(self.optical_to(self._settings.text("tf.base_frame"), stamp)[2, :3])
        except FrameError as error:
            self._problems.report(f"the camera is assumed to be level: {error}")

    def optical_to(self, frame: str, stamp: int) -> FloatArray:
        """4x4 of the optical frame of the newest image in a frame of the robot, at a stamp, ns; raises FrameError."""
        return self._transforms.lookup(frame, self._optical, stamp)

    def _publish(self, answer: TrackedPose, header: Header, camera: Camera | None, processing_s: float) -> None:
        self._outputs.publish(answer, header, camera)
        latency_s = self._node.get_clock().now().nanoseconds * 1e-9 - answer.stamp_ns * 1e-9
        self.traffic.latencies.add(latency_s)
        self._outputs.report(answer, header, self._counters(latency_s, processing_s))
        self.set_state(answer.state, answer.message)
        self._say_scale(answer.scale)
        if self._outputs.tf_refusal:
            self._problems.report(self._outputs.tf_refusal)
        self._improve()

    def _say_scale(self, scale: Scale) -> None:
        """Remember what is known of metres, and log where they come from, when that changes."""
        before, self.scale = self.scale, scale
        if (before.source, before.is_metric) == (scale.source, scale.is_metric):
            return
        if scale.is_metric:
            named = scale.source.name.lower()
            self._node.get_logger().info(f"poses are in metres, by {named}, to {100 * scale.sigma:.2g} %")
        elif before.is_metric:
            self._node.get_logger().warning("poses are not in metres any more")

    # ----------------------------------------------------------------------------------------------- the tracker

    def _track(
        self,
        image: np.ndarray,
        stamp: int,
        camera: Camera | None,
        depth: DepthPrior | None,
        others: Mapping[str, np.ndarray],
    ) -> TrackedPose:
        """Whatever the tracker raises becomes FrameRejectedError; many in a row reset it."""
        self._tracker.tell_period(self.load.period_s)
        try:
            if others:
                answer = self._tracker.track(image, stamp, camera, depth, others=others)
            else:
                answer = self._tracker.track(image, stamp, camera, depth)
            if not (np.isfinite(answer.camera_to_world).all() and np.isfinite(answer.covariance).all()):
                raise ValueError("its pose or covariance is not finite")
        except Exception as error:
            raise FrameRejectedError(self._failed("image", error)) from error
        self._failures["image"] = 0
        return answer

    def _improve(self) -> None:
        """The image has its answer: what goes wrong with the map now is no reason to reject it."""
        made = self._tracker.mapping.made
        if made > self._made:
            # Also one that was taken over with an image. Images of which no keyframe is made prove nothing.
            self._made, self._failures["keyframe"] = made, 0
        try:
            self._tracker.improve()
        except StuckError as error:
            self._problems.report(f"poses go on without a new keyframe: {error}")
        except Exception as error:
            self._problems.report(self._failed("keyframe", error))

    def _failed(self, what: str, error: Exception) -> str:
        """What is to be said of it; many in a row reset the tracker."""
        self._node.get_logger().debug("".join(traceback.format_exception(error)))
        self._failures[what] += 1
        if self._failures[what] >= self._settings.integer("lost.frames"):
            self.reset(f"the tracker failed on {self._failures[what]} {what}s in a row")
        return f"the tracker failed on this {what}: {worded(error)}"

    def reset(self, reason: str) -> None:
        """Begin a new trajectory with the next image, and say why."""
        self._tracker.reset()
        self._reset_outputs(reason)

    def _reset_outputs(self, reason: str) -> None:
        """The tracker begins anew: say why."""
        self._gate.forget()
        self._outputs.forget()
        self._failures.clear()
        self.traffic.resets += 1
        message = f"tracking reset: {reason}"
        self._node.get_logger().warning(message)
        self.set_state(TrackState.WAITING, message)
        self._announce(TrackState.WAITING, message)

    # ------------------------------------------------------------------------------------------------- the state

    def set_state(self, state: TrackState, message: str) -> None:
        """Remember what was answered, and log a change."""
        (before, _), self.said = self.said, (state, message)
        if state is not before:
            self._node.get_logger().info(f"{before.name} -> {state.name}" + (f": {message}" if message else ""))

    def _wait(self, why: str) -> None:
        """Say why images come and there is no pose; once while it stays the same."""
        if self.said != (TrackState.WAITING, why):
            self.set_state(TrackState.WAITING, why)
            self._announce(TrackState.WAITING, why)

    def wait_for_images(self, why: str) -> None:
        """Say that none come; any thread may call it."""
        self.said = (TrackState.WAITING, why)
        self._announce(TrackState.WAITING, why)

    def _announce(self, state: TrackState, message: str) -> None:
        self._outputs.announce(state, message, self._counters())

    def _counters(self, latency_s: float = 0.0, processing_s: float = 0.0) -> Counters:
        traffic = self.traffic
        # Received last: the executor goes on counting, and no more frames may seem processed and dropped than received.
        processed, dropped = traffic.processed, traffic.dropped
        return Counters(traffic.received, processed, dropped, traffic.resets, latency_s, processing_s)
