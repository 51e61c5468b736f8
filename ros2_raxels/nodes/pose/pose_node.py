"""``raxels_pose``: images in; pose, odometry, path, status, TF and diagnostics out."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ros2_raxels.engine import EngineError
from ros2_raxels.estimation.learned_matcher import CLASSIC, LEARNED, load_matcher
from ros2_raxels.estimation.learned_prior import STREAM, load_denoiser
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.nodes.common import diagnostics
from ros2_raxels.nodes.common.diagnostics import Health
from ros2_raxels.nodes.common.lifecycle import ManagedNode
from ros2_raxels.nodes.common.messages import check_image, image_array, image_message, stamp_message, stamp_ns
from ros2_raxels.nodes.common.parameters import ParameterError, check_cameras, engine_options, must_have_engine
from ros2_raxels.nodes.common.runner import run
from ros2_raxels.nodes.common.subscription import image_subscription
from ros2_raxels.nodes.common.tf_listener import make_reader
from ros2_raxels.nodes.pose.depth import DepthListener
from ros2_raxels.nodes.pose.imu import HeardImu, ImuListener
from ros2_raxels.nodes.pose.intake import Errand, NewestSlot, OneCamera
from ros2_raxels.nodes.pose.intrinsics import Intrinsics
from ros2_raxels.nodes.pose.masks import FIRST, Masks, mask_files
from ros2_raxels.nodes.pose.odometry import OdometryListener
from ros2_raxels.nodes.pose.outputs import PoseOutputs
from ros2_raxels.nodes.pose.parameters import POSE_NODE, POSE_TABLE, check_frames, tracker_settings
from ros2_raxels.nodes.pose.rig_finder import RigFinder
from ros2_raxels.nodes.pose.rig_intake import RigIntake
from ros2_raxels.nodes.pose.rig_listener import RigListener
from ros2_raxels.nodes.pose.services import NOT_ACTIVE, PoseServices, keyframe_folder
from ros2_raxels.nodes.pose.stamp_clock import StampClock
from ros2_raxels.nodes.pose.worker import WORKER_ENDED, Arrival, PoseWorker, TrackerLike
from ros2_raxels.recordings.grouping import Group
from ros2_raxels.recordings.image_codec import ImageError
from ros2_raxels.tracking.learned_look import LearnedLook
from ros2_raxels.tracking.metric_scale import Odometry
from ros2_raxels.tracking.tracker import Tracker
from ros2_raxels.tracking.types import TrackerSettings, TrackState

_WATCH_PERIOD_S = 0.25
_SHOWN_S = 10.0
"""How long the diagnostics warn of a change that is over."""

MakeTracker = Callable[[TrackerSettings, str, Odometry], TrackerLike]
"""Of settings, a model card, and where odometry is asked for."""


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
        self._imu: ImuListener | None = None
        self._depth: DepthListener | None = None
        self._learned: LearnedLook | None = None

    # ------------------------------------------------------------------------------------------------- life cycle

    def load(self) -> TrackerLike:
        """The tracker, its denoiser ready to run.

        Raises:
            ParameterError: names of frames cannot be used together, or the model not at all.
        """
        check_frames(self._settings)
        check_cameras(self._settings)
        self._mask_files = mask_files(self._settings, self._problems.report)
        return self._make_tracker(tracker_settings(self._settings), self._settings.text("model"), self._camera_to_odom)

    def _real_tracker(self, settings: TrackerSettings, model: str, odometry: Odometry) -> Tracker:
        """With the denoiser that is asked for; a robot whose installed one cannot run goes on without.

        Raises:
            ParameterError: the card that the parameter names, or the learned matcher that it asks for, cannot be used.
        """
        self._learned = self._learned_look()
        try:
            denoiser = load_denoiser(model, STREAM, engine_options(self, self._settings))
        except EngineError as error:
            if model or must_have_engine(self._settings):
                raise ParameterError(f"model = {model!r} cannot be used: {error}") from error
            self.get_logger().error(f"continuing without the denoiser: {error}")
            denoiser = None
        if denoiser is None:
            self.get_logger().info("engine: none; running on correspondences and geometry alone")
        imu = HeardImu(lambda: self._imu)
        return Tracker(settings, denoiser, odometry, self._mask_files.get(FIRST), imu, learned=self._learned)

    def _learned_look(self) -> LearnedLook | None:
        """By the learned matcher, if the parameter has it so and it was imported."""
        asked = self._settings.text("matcher")
        try:
            # Frames need the other core.
            matcher = load_matcher(asked, self._problems.report, threads=1)
        except EngineError as error:
            raise ParameterError(f"matcher = {asked!r} cannot be used: {error}") from error
        return None if matcher is None else LearnedLook(matcher, self._problems.report)

    def configure(self, loaded: TrackerLike, undo: ExitStack) -> None:
        """Make what the tracker's world needs: publishers, services, TF, and what the images were like so far.

        TF is listened to from here on, so that an active node knows at once which frames have parents.
        """
        self._transforms = make_reader(self)
        undo.callback(self._transforms.destroy)
        self._outputs = PoseOutputs(self, self._settings, self._transforms, loaded.engine_id)
        undo.callback(self._outputs.destroy)
        names = self._settings.texts("cameras")
        leader = names[0] if names else ""
        self._intrinsics = Intrinsics(self, self._settings, self._problems.report, camera=leader)
        self._rig_listener, rig = None, None
        if len(names) > 1:
            self._rig_listener = RigListener(self, self._settings, names, self._problems.report)
            rectified = self._settings.flag("image_rectified")
            patience_s = self._settings.number("camera_info_timeout_s")
            finder = RigFinder(names, self._transforms, rectified, self.get_logger().warning)
            say = self.get_logger().info
            rig = RigIntake(finder, self._rig_listener.intrinsics, patience_s, self._problems.report, say=say)
        self._rig = rig
        self._masks = Masks(self._mask_files, names if len(names) > 1 else (), self._problems.report)
        self._worker = PoseWorker(
            self,
            loaded,
            self._outputs,
            self._transforms,
            self._intrinsics,
            self._settings,
            self._problems,
            rig=rig,
            masks=self._masks,
        )
        undo.callback(self._forget_tracker)
        folder = keyframe_folder(self._settings.text("keyframes.folder"))
        requests = PoseServices(self, loaded, self._outputs.placement, self._run, self._reset, folder)
        undo.callback(requests.destroy)

    def _forget_tracker(self) -> None:
        del self._worker, self._intrinsics, self._rig, self._rig_listener, self._masks

    def activate(self, undo: ExitStack) -> None:
        """Listen, and start to work."""
        self._slot: NewestSlot[Arrival] = NewestSlot()
        self._one_camera = OneCamera()
        self._leader_seen: Any = None
        self._instead, self._instead_at = "", 0.0
        self._stamps = StampClock(self)
        self._stalled = ""
        self._arrived_at = self._leader_at = time.monotonic()
        self._worker.begin()
        self._begin(partial(self._worker.work, self._slot))
        undo.callback(self._slot.close)
        self._listen(undo)
        watch = self.create_timer(_WATCH_PERIOD_S, self._watch, clock=self._steady)
        undo.callback(self.destroy_timer, watch)

    def _listen(self, undo: ExitStack) -> None:
        if self._settings.text("scale.mode") in ("auto", "odom"):
            self._odometry = OdometryListener(self, self._optical_to, self._problems.report)
            undo.callback(self._ignore_odometry, self._odometry)
        if self._settings.text("scale.mode") in ("auto", "depth"):
            self._depth = DepthListener(self, self._settings, self._optical_to, self._problems.report)
            self._worker.depth = self._depth
            undo.callback(self._ignore_depth, self._depth)
        self._imu = ImuListener(self, self._optical_to, self._problems.report)
        undo.callback(self._ignore_imu, self._imu)
        self._masks.listen(self)
        undo.callback(self._masks.destroy)
        # camera_info first: of two messages that wait, the executor serves that of the older subscription first.
        self._infos = self._intrinsics.listen()
        undo.callback(self._infos.destroy)
        names = self._settings.texts("cameras")
        if self._rig_listener is not None:
            self._rig_listener.listen(self._on_group)
            undo.callback(self._rig_listener.destroy)
        transport = self._settings.text("image_transport")
        self._images = image_subscription(self, transport, self._on_image, names[0] if names else "")
        undo.callback(self._images.destroy)

    def _ignore_odometry(self, listener: OdometryListener) -> None:
        listener.destroy()
        self._odometry = None

    def _ignore_depth(self, listener: DepthListener) -> None:
        listener.destroy()
        self._depth = self._worker.depth = None

    def _ignore_imu(self, listener: ImuListener) -> None:
        listener.destroy()
        self._imu = None

    # Through the node, so that callbacks which the executor still refers to do not hold the engine.

    def _optical_to(self, frame: str, stamp: int) -> FloatArray:
        return self._worker.optical_to(frame, stamp)

    def _reset(self) -> None:
        self._worker.reset("requested through ~/reset")

    def _camera_to_odom(self, stamp: int) -> FloatArray | None:
        # Read once: the executor's thread ends it while the worker is still busy.
        odometry = self._odometry
        return None if odometry is None else odometry.camera_to_odom(stamp)

    # ------------------------------------------------------------------------------------------ executor's thread

    def _on_image(self, message: Any) -> None:
        self._arrived_at = self._leader_at = time.monotonic()
        self._stamps.see(stamp_ns(message.header.stamp))
        traffic = self._worker.traffic
        traffic.received += 1
        # Before it can take the place of a good image that waits.
        if refusal := self._refusal(message):
            traffic.refused += 1
            self._problems.report(refusal)
            return
        if self._rig_listener is None:
            self._hand_over(Arrival(message, self._intrinsics.heard_for(message.header)))
            return
        self._leader_seen = message
        self._rig_listener.see_leader(message)

    def _on_group(self, group: Group[Any]) -> None:
        """Images of one moment; where the first camera has none, it sees nothing."""
        assert self._rig_listener is not None
        leader = self._settings.texts("cameras")[0]
        message = group.items.get(leader)
        if message is None:
            if self._leader_seen is None:
                self._lead_by_another(group)
                return
            self._arrived_at = time.monotonic()
            self._worker.traffic.received += 1
            message = _nothing_seen(self._leader_seen, group.stamp_ns)
        beside = self._rig_listener.beside(group)
        self._hand_over(Arrival(message, self._intrinsics.heard_for(message.header), beside))

    def _lead_by_another(self, group: Group[Any]) -> None:
        """Another camera takes the place of a first one that has sent nothing: how that sees, nobody knows."""
        assert self._rig_listener is not None
        now, patience_s = time.monotonic(), self._settings.number("stall_timeout_s")
        if self._instead not in group.items:
            if now - max(self._leader_at, self._instead_at) < patience_s:
                return
            self._instead = next(iter(group.items))
            self._problems.report(
                f"camera {self._settings.texts('cameras')[0]!r} has sent no image; poses are those of "
                f"{self._instead!r} until it does, and begin anew then"
            )
        self._arrived_at = self._instead_at = now
        self._worker.traffic.received += 1
        beside = self._rig_listener.beside(group)
        instead = beside.pop(self._instead)
        self._hand_over(Arrival(instead.message, instead.info, beside, self._instead))

    def _hand_over(self, arrival: Arrival) -> None:
        replaced = self._slot.put(arrival)
        self._worker.traffic.replaced += replaced
        self._worker.load.see_image(stamp_ns(arrival.message.header.stamp), replaced)

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
        return "" if self._slot.run_errand(errand) else WORKER_ENDED

    def _watch(self) -> None:
        self._images.update()
        self._infos.update()
        if self._rig_listener is not None:
            self._rig_listener.update()
        self._masks.update()
        self._stamps.look()
        if self._odometry is not None:
            self._odometry.subscription.update()
        if self._imu is not None:
            self._imu.subscription.update()
        if self._depth is not None:
            self._depth.update()
        # A publisher that has only just appeared is given its time before it is called silent.
        silent_s = time.monotonic() - max(self._arrived_at, self._images.publisher_since)
        if silent_s > self._settings.number("stall_timeout_s"):
            self._report_stall(silent_s)
        elif self._stalled:
            self._stalled = ""
            self.get_logger().info(f"images arrive again on {self._images.topic}")

    def _report_stall(self, silent_s: float) -> None:
        was_stalled, reason = bool(self._stalled), self._images.why_silent(self._intrinsics.newest)
        self._stalled = f"no image for {silent_s:.1f} s: {reason}"
        self._problems.report(self._stalled)
        # Once more when the worker has answered an image from before: it is as long ago as the others.
        if not was_stalled or self._worker.said[0] is not TrackState.WAITING:
            self._worker.wait_for_images(self._stalled)

    def _engine_health(self) -> Health:
        learned = self._learned is not None and self._learned.works
        return Health("engine", diagnostics.OK, self._worker.engine_id, {"matcher": LEARNED if learned else CLASSIC})

    def _work_health(self) -> list[Health]:
        return [
            self._input_health(),
            *self._cameras_health(),
            self._clock_health(),
            self._load_health(),
            self._tracking_health(),
            self._mapping_health(),
            self._scale_health(),
            *self._depth_health(),
            *self._lens_health(),
            *self._sensors_health(),
            self._tf_health(),
        ]

    def _input_health(self) -> Health:
        values = self._worker.traffic.values() | {"last problem": self._problems.last}
        if self._stalled:
            return Health("input", diagnostics.ERROR, self._stalled, values)
        recent = self._problems.last if self._problems.recent else ""
        words = "; ".join(
            filter(None, [self._intrinsics.missing, self._intrinsics.doubt, *self._masks.left_out.values(), recent])
        )
        return Health("input", diagnostics.WARN if words else diagnostics.OK, words, values)

    def _cameras_health(self) -> list[Health]:
        if self._rig_listener is None or self._rig is None:
            return []
        finder = self._rig.finder
        silent_s = time.monotonic() - max(self._leader_at, self._images.publisher_since)
        first = ""
        if silent_s > self._settings.number("stall_timeout_s"):
            first = f"no image for {silent_s:.1f} s: {self._images.why_silent(self._intrinsics.newest)}"
        return [self._rig_listener.health(finder.left_out, finder.is_complete, first, self._rig.contradicts)]

    def _clock_health(self) -> Health:
        problem = self._stamps.problem
        return Health("clock", diagnostics.WARN if problem else diagnostics.OK, problem, self._stamps.values)

    def _load_health(self) -> Health:
        load = self._worker.load
        return Health("load", diagnostics.WARN if load.trouble else diagnostics.OK, load.trouble, load.values())

    def _mapping_health(self) -> Health:
        mapping = self._worker.mapping
        return Health(
            "mapping", diagnostics.WARN if mapping.trouble else diagnostics.OK, mapping.trouble, mapping.values()
        )

    def _tracking_health(self) -> Health:
        state, message = self._worker.said
        values = {"state": state.name}
        if state is TrackState.TRACKING:
            return Health("tracking", diagnostics.OK, message, values)
        level = diagnostics.ERROR if state is TrackState.LOST else diagnostics.WARN
        return Health("tracking", level, f"{state.name}: {message}".rstrip(": "), values)

    def _scale_health(self) -> Health:
        mode, scale = self._settings.text("scale.mode"), self._worker.scale
        source = scale.source.name.lower() if mode == "auto" else mode
        values = {"source": source, "metres per unit": f"{scale.metres_per_unit:.6g}", "sigma": f"{scale.sigma:.6g}"}
        if scale.is_metric:
            return Health("scale", diagnostics.OK, "poses are in metres", values)
        if mode == "auto" and not self._knows_metres():
            words = "poses have their own unit (scale.mode is auto, and nothing is heard that knows metres)"
            return Health("scale", diagnostics.OK, words, values)
        if mode == "none":
            return Health("scale", diagnostics.OK, "poses have their own unit (scale.mode is none)", values)
        why = f": {silence}" if self._odometry is not None and (silence := self._odometry.why_silent()) else ""
        return Health("scale", diagnostics.WARN, f"the scale is not known yet (scale.mode is {mode}){why}", values)

    def _depth_health(self) -> list[Health]:
        if self._depth is None:
            return []
        words = self._worker.depth_trouble or self._depth.trouble()
        return [Health("depth", diagnostics.WARN if words else diagnostics.OK, words, self._depth.values())]

    def _lens_health(self) -> list[Health]:
        words = self._worker.lens_trouble
        return [Health("lens", diagnostics.WARN, words)] if words else []

    def _sensors_health(self) -> list[Health]:
        remarks = self._worker.sensor_remarks
        return [Health("sensors", diagnostics.WARN, "; ".join(remarks))] if remarks else []

    def _knows_metres(self) -> bool:
        """Whether anything that `auto` would take is published."""
        heard = (self._odometry, self._imu, self._depth)
        return any(listener is not None and listener.subscription.publishers for listener in heard)

    def _tf_health(self) -> Health:
        refusal, conflict = self._outputs.tf_refusal, self._outputs.tf_conflict()
        change, changed_at = self._outputs.frame_change
        values = {"last change": change} if change else {}
        if conflict:
            self._problems.report(conflict)
        shown = change if time.monotonic() - changed_at < _SHOWN_S else ""
        if refusal or conflict:
            return Health("tf", diagnostics.ERROR, "; ".join(filter(None, [refusal, conflict, shown])), values)
        if shown:
            return Health("tf", diagnostics.WARN, shown, values)
        return Health("tf", diagnostics.OK, "", values)


def _nothing_seen(like: Any, stamp: int) -> Image:
    """A black image of a camera that has sent none at a stamp, ns."""
    header = Header(frame_id=like.header.frame_id, stamp=stamp_message(stamp))
    height, width = image_array(like, grey=True).shape[:2]
    return image_message(np.zeros((height, width), np.uint8), header)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; see `runner.run` for the exit status."""
    return run(PoseNode, arguments)


if __name__ == "__main__":
    sys.exit(main())
