"""Each test with a pose node of its own: TF, QoS, delivery, silence, shutdown."""

from __future__ import annotations

import gc
import signal
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ros_testing import Probe, Spawn, matched, paced, wait_until

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

import scripted_node as script
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from pose_rig import BEST_EFFORT, CAMERA, FRAME, Rig, agrees_with_truth, picture
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from raxels_interfaces.msg import PoseStatus
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.nodes.common.messages import (
    camera_info_message,
    image_message,
    pose_array,
    stamp_message,
    stamp_ns,
)
from ros2_raxels.nodes.common.subscription import FollowingSubscription
from ros2_raxels.nodes.common.tf_broadcaster import tf_qos
from ros2_raxels.nodes.pose import pose_node
from ros2_raxels.nodes.pose.pose_node import PoseNode
from ros2_raxels.nodes.pose.worker import PoseWorker
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import furnished_room
from ros2_raxels.tracking.types import TrackedPose, TrackState

pytestmark = pytest.mark.ros

LATCHED = tf_qos(static=True)

# ------------------------------------------------------------------------------------------------------------- TF


@pytest.mark.parametrize("topic", ["/tf_static", "/tf"])
def test_it_never_gives_a_frame_a_second_parent(spawn: Spawn, probe: Probe, topic: str):
    other = probe.publisher(TFMessage, topic, tf_qos(static=topic == "/tf_static"))
    edge = TransformStamped(header=Header(frame_id="mast"), child_frame_id=FRAME)
    other.publish(TFMessage(transforms=[edge]))
    rig = Rig(probe, spawn("scripted_node.py"))
    matched(other)
    wait_until(lambda: probe.node.count_subscribers(topic) >= 1 + (topic == "/tf"))
    rig.settle()
    other.publish(TFMessage(transforms=[edge]))
    # Nothing says when the node has heard it, but what it refuses.
    wait_until(lambda: not rig.solve().edges, what="an answer without an edge")
    answer = rig.solve()
    assert answer.pose is not None
    assert not answer.edges
    rig.wait_health("tf", DiagnosticStatus.ERROR, "mast", "raxels_world", FRAME)
    rig.warned(f"TF frame {FRAME} already has the parent mast, so raxels_world -> {FRAME} is not published")


# ------------------------------------------------------------------------------------- QoS, delivery, camera_info


def test_subscriptions_follow_the_publisher_in_reliability_without_losing_an_image(spawn: Spawn, probe: Probe):
    rig = Rig(probe, spawn("scripted_node.py"), qos=BEST_EFFORT)
    rig.settle()
    rig.solve()
    probe.node.destroy_publisher(rig.images)
    rig.images = matched(probe.publisher(Image, "/image", 10))

    def answered() -> bool:
        rig.send(picture())
        return len(rig.status) > before

    # The first images may come before the node has found the new publisher; from the first answer on none is lost. Each
    # is sent when the one before is answered, because only the newest of those that wait is.
    before = len(rig.status)
    wait_until(answered, what="first answer to the new publisher", every_s=0.02)
    left = 20
    while left:
        rig.answer(rig.send(picture()))
        left -= rig.follows(rig.images)
    assert "subscribing to /image as reliable" in rig.node.log
    probe.publisher(Image, "/image", BEST_EFFORT)
    rig.warned("subscribing to /image as best_effort")
    rig.solve()
    assert "repeats" not in rig.node.log
    assert "out of order" not in rig.node.log


def test_silence_is_explained(spawn: Spawn, probe: Probe):
    node = spawn("scripted_node.py", "-p", "stall_timeout_s:=0.3")
    wait_until(lambda: "no publisher on /image" in node.log, what="no publisher")
    elsewhere = probe.publisher(Image, "/front/image_raw")
    rig = Rig(probe, node)
    stalled = rig.wait_health("input", DiagnosticStatus.ERROR, "/image has a publisher (probe)", "shared memory")
    assert "FASTDDS_DEFAULT_PROFILES_FILE" in stalled.message
    rig.settle()
    assert rig.solve().pose is not None
    wait_until(lambda: any(s.state == PoseStatus.STATE_WAITING and "no image for" in s.message for s in rig.status))
    rig.warned("images arrive again on /image")
    probe.node.destroy_publisher(rig.images)
    rig.wait_health("input", DiagnosticStatus.ERROR, "no publisher on /image", elsewhere.topic_name)


def test_images_that_cannot_fit_into_shared_memory_are_named_with_their_size(
    spawn: Spawn, probe: Probe, monkeypatch: pytest.MonkeyPatch
):
    for name in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"):
        monkeypatch.delenv(name, raising=False)
    rig = Rig(probe, spawn("scripted_node.py", "-p", "stall_timeout_s:=0.3"))
    info = camera_info_message(CAMERA.resized(640, 480), Header(frame_id=FRAME))
    words = (
        "/image has a publisher (probe) but nothing arrives: an image of 640x480 px in colour takes 900 KiB",
        "the shared memory segment of Fast DDS has 512 KiB by default; start both sides with FASTDDS_DEFAULT_PROFILES",
        "(here FASTDDS_DEFAULT_PROFILES_FILE is not set, FASTRTPS_DEFAULT_PROFILES_FILE is not set)",
    )

    def said() -> bool:
        rig.send_info(info)
        return any(all(w in s.message for w in words) for s in rig.health("input"))

    wait_until(said, what="the size of an image")


def test_a_publisher_of_another_qos_is_named_until_the_subscription_has_followed(probe: Probe):
    probe.publisher(Image, "/eye", 5)
    subscription = FollowingSubscription(probe.node, Image, "/eye", lambda _: None)
    idle = "/eye has a publisher (probe) but nothing arrives: it is idle"
    wait_until(lambda: idle in subscription.why_silent(), what="a publisher")
    subscription.update()
    probe.publisher(Image, "/eye", BEST_EFFORT)
    wait_until(lambda: "QoS of /eye from probe is incompatible" in subscription.why_silent(), what="another QoS")
    offered = "it offers best effort reliability, the subscription asks for reliable; change the publisher"
    assert offered in subscription.why_silent()
    subscription.update()
    assert idle in subscription.why_silent()


@pytest.mark.parametrize(
    ("kind", "qos", "reason"),
    [
        pytest.param(CameraInfo, 5, "it is idle; let it publish", id="idle"),
        pytest.param(CameraInfo, LATCHED, "it is transient local but has published nothing yet; let it", id="latched"),
        pytest.param(
            CameraInfo,
            QoSProfile(depth=1, durability=LATCHED.durability, reliability=BEST_EFFORT.reliability),
            "it is transient local but best effort, so that it keeps nothing for others; make it reliable",
            id="kept by nobody",
        ),
        pytest.param(Image, LATCHED, "it is transient local and this subscription volatile, so that what", id="image"),
    ],
)
def test_what_durability_explains_is_not_blamed_on_shared_memory(probe: Probe, kind: Any, qos: Any, reason: str):
    probe.publisher(kind, "/eye", qos)
    subscription = FollowingSubscription(probe.node, kind, "/eye", lambda _: None, kept=kind is CameraInfo)
    words = f"/eye has a publisher (probe) but nothing arrives: {reason}"
    wait_until(lambda: words in subscription.why_silent(), what=reason)
    assert "shared memory" not in subscription.why_silent()


def test_a_missing_scale_is_explained(spawn: Spawn, probe: Probe):
    rig = Rig(probe, spawn("scripted_node.py", "-p", "scale.mode:=odom"))
    rig.wait_health(
        "scale", DiagnosticStatus.WARN, "the scale is not known yet (scale.mode is odom): no publisher on /odom"
    )
    probe.publisher(Odometry, "/odom")
    rig.wait_health(
        "scale", DiagnosticStatus.WARN, "(scale.mode is odom): /odom has a publisher (probe) but nothing arrives"
    )


def test_without_camera_info_it_estimates_the_focal_length_and_restarts_when_one_arrives(spawn: Spawn, probe: Probe):
    rig = Rig(probe, spawn("scripted_node.py", "-p", "camera_info_timeout_s:=0.5"))
    probe.node.destroy_publisher(rig.infos)
    early = []

    def is_waiting() -> bool:
        early.append(rig.send(picture()))
        return "waiting for a usable camera_info" in rig.node.log

    wait_until(is_waiting)
    before = list(early)

    def answers() -> list[PoseStatus]:
        return [status for status in rig.status if status.state != PoseStatus.STATE_WAITING]

    wait_until(lambda: rig.send(picture()) and answers(), what="answer without camera_info", every_s=0.05)
    assert not any(rig.stamped(rig.status, stamp) for stamp in before)
    assert answers()[0].message.startswith("count 1 focal estimated")
    rig.wait_health("input", DiagnosticStatus.WARN, "focal length is estimated")
    rig.infos = matched(probe.publisher(CameraInfo, "/camera_info"))
    rig.send_info()
    rig.taken()
    assert rig.solve().status.message.startswith("count 1 focal 60")
    rig.warned("camera_info arrived")


class _Patient(script.ScriptedTracker):
    """Is busy with an image until it is told to go on."""

    begun, go_on = threading.Event(), threading.Event()

    def track(self, image: np.ndarray, stamp_ns: int, camera: PinholeCamera | None, depth: Any = None) -> TrackedPose:
        self.begun.set()
        self.go_on.wait(10.0)
        return super().track(image, stamp_ns, camera)


class _Here:
    """A pose node in this process, with a tracker that is busy until it is told to go on, and a camera."""

    def __init__(self, probe: Probe, stall_timeout_s: float = 60.0) -> None:
        _Patient.begun.clear()
        _Patient.go_on.clear()
        stall = Parameter("stall_timeout_s", value=stall_timeout_s)
        self._executor = probe.node.executor
        self.node = PoseNode(_Patient, context=probe.node.context, parameter_overrides=[stall])
        self.node.start()
        self._executor.add_node(self.node)
        self.status: list[PoseStatus] = probe.collect(PoseStatus, "/raxels_pose/status")
        self._images = matched(probe.publisher(Image, "/image"))
        self._infos = matched(probe.publisher(CameraInfo, "/camera_info"))

    def send_info(self, stamp: int, focal: float) -> None:
        """Until the node has it."""
        camera = PinholeCamera(CAMERA.width, CAMERA.height, focal, focal, CAMERA.cx, CAMERA.cy)
        self._infos.publish(camera_info_message(camera, self._header(stamp)))
        cameras = self.node._intrinsics
        wait_until(lambda: (kept := cameras.newest) and stamp_ns(kept.header.stamp) == stamp, what="camera_info")

    def send(self, stamp: int) -> None:
        """Until the node has it."""
        before = self.node._worker.traffic.received
        self._images.publish(image_message(picture(), self._header(stamp)))
        wait_until(lambda: self.node._worker.traffic.received > before, what="image")

    @staticmethod
    def _header(stamp: int) -> Header:
        return Header(frame_id=FRAME, stamp=stamp_message(stamp))

    def message(self, stamp: int) -> str:
        """What the status of an image says."""
        return wait_until(lambda: Rig.stamped(self.status, stamp), what="status").message

    def close(self) -> None:
        _Patient.go_on.set()
        self._executor.remove_node(self.node)
        self.node.stop()
        self.node.destroy_node()
        # For others it is there until nothing refers to it, and in a circle it does itself.
        del self.node
        gc.collect()


@pytest.fixture
def here(probe: Probe, request: pytest.FixtureRequest) -> Iterator[_Here]:
    found = _Here(probe, **getattr(request, "param", {}))
    yield found
    found.close()


def test_a_camera_info_just_after_its_image_is_used_for_that_image(here: _Here):
    here.send_info(1, 60.0)
    here.send(1)
    assert _Patient.begun.wait(5.0)
    here.send(2)
    here.send_info(2, 90.0)
    _Patient.go_on.set()
    assert here.message(1) == "count 1 focal 60 lost.frames 5"
    assert here.message(2) == "count 2 focal 90 lost.frames 5"


@pytest.mark.parametrize("here", [{"stall_timeout_s": 0.5}], indirect=True)
def test_a_late_answer_does_not_hide_the_silence_of_the_camera(here: _Here):
    here.send_info(1, 60.0)
    here.send(1)
    assert _Patient.begun.wait(5.0)
    silent = "no image for"
    wait_until(lambda: here.status and here.status[-1].message.startswith(silent), what="silence")
    _Patient.go_on.set()
    assert here.message(1).startswith("count 1 ")
    wait_until(lambda: here.status[-1].message.startswith(silent), what="silence again")
    assert here.node._tracking_health().level == DiagnosticStatus.WARN


class _Shown(PoseWorker):
    """Notes down what the diagnostics would show of tracking after each change of the worker."""

    node: PoseNode | None = None
    shown: list[tuple[str, str]]

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if self.node is not None:
            health = self.node._tracking_health()
            self.shown.append((health.values["state"], health.message))


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before there is a node."""
    monkeypatch.setattr(pose_node, "PoseWorker", _Shown)


def test_state_and_reason_in_the_diagnostics_always_belong_together(watched: None, here: _Here):
    worker = here.node._worker
    worker.shown = []
    worker.node = here.node
    worker.set_state(TrackState.TRACKING, "on its way")
    worker.set_state(TrackState.LOST, "in the dark")
    expected = [("WAITING", "WAITING: no image yet"), ("TRACKING", "on its way"), ("LOST", "LOST: in the dark")]
    assert list(dict.fromkeys(worker.shown)) == expected


class _Ended(PoseNode):
    """Odometry that another thread ends right after it was looked at."""

    looked = False

    @property
    def _odometry(self) -> Any:
        self.looked, looked = True, self.looked
        return None if looked else SimpleNamespace(camera_to_odom=lambda _: np.eye(4))

    @_odometry.setter
    def _odometry(self, listener: Any) -> None:
        self.looked = False


def test_odometry_that_is_closed_while_the_worker_queries_it_is_no_failure(probe: Probe):
    node = _Ended(_Patient, context=probe.node.context)
    try:
        np.testing.assert_array_equal(node._camera_to_odom(1), np.eye(4))
        assert node._camera_to_odom(2) is None
    finally:
        node.destroy_node()
        del node
        gc.collect()


def test_compressed_images_in_a_namespace(spawn: Spawn, probe: Probe):
    compressed = ("-r", "__ns:=/robot", "-p", "image_transport:=compressed")
    node = spawn("scripted_node.py", *compressed, "-r", "image:=/robot/eye")
    wait_until(lambda: probe.node.count_subscribers("/robot/eye/compressed"), what="subscription of the transport")
    node.kill()
    node = spawn("scripted_node.py", *compressed)
    rig = Rig(probe, node, "/robot", image_type=CompressedImage)
    rig.settle()
    assert rig.solve().status.state == PoseStatus.STATE_TRACKING


@pytest.mark.slow
@pytest.mark.parametrize("qos", [pytest.param(5, id="reliable"), pytest.param(BEST_EFFORT, id="best_effort")])
def test_640x480_at_30_hz_is_delivered(spawn: Spawn, probe: Probe, qos: Any):
    big = CAMERA.resized(640, 480)
    rig = Rig(probe, spawn("scripted_node.py"), qos=qos)
    rig.settle(camera_info_message(big, Header(frame_id=FRAME)))
    before = rig.answer(rig.send(picture(script.INITIALISE, 640, 480)))
    message = image_message(picture(width=640, height=480), Header(frame_id=FRAME))
    stamps = []
    for index in paced(30.0, 150):
        message.header.stamp = stamp_message(time.time_ns())
        stamps.append(stamp_ns(message.header.stamp))
        rig.images.publish(message)
        # Never more on the way than the subscription has room for: a node that gets no processor for a while is not a
        # transport that loses images.
        third = stamps[max(0, index - 3)]
        wait_until(lambda third=third: stamp_ns(rig.status[-1].header.stamp) >= third, what="answers")
    ended = time.monotonic()
    wait_until(lambda: rig.stamped(rig.status, stamps[-1]) or time.monotonic() - ended > 3.0, what="last image")
    delivered = {stamp_ns(status.header.stamp) for status in rig.status} & set(stamps)
    last = rig.answer(max(delivered))
    received = last.frames_received - before.frames_received
    replaced = last.frames_dropped - before.frames_dropped
    print(f"{len(stamps)} sent, {received} received, {len(delivered)} solved, {replaced} replaced")
    assert received >= 0.99 * len(stamps)
    # None vanishes: what is not solved was replaced by a newer one, which a busy machine makes happen now and then.
    assert received == len(delivered) + replaced
    assert len(delivered) >= 0.9 * len(stamps)
    latencies_ms = np.array([s.latency_s for s in rig.status if s.frames_processed > 1]) * 1e3
    p50, p95 = np.percentile(latencies_ms, (50, 95))
    print(f"stamp to status p50 {p50:.2f} ms p95 {p95:.2f} ms")
    assert p50 < 20.0


# ---------------------------------------------------------------------------------------------------- diagnostics


def test_diagnostics_of_a_node_at_work(spawn: Spawn, probe: Probe):
    node = spawn("scripted_node.py", "-p", "scale.mode:=fixed")
    rig = Rig(probe, node)
    rig.settle()
    rig.reset()
    since = len(rig.diagnostics)

    def at_work() -> dict[str, Any]:
        sent = time.time_ns()
        rig.solve(stamp=sent)
        took_ms.append((time.time_ns() - sent) * 1e-6)
        # The images with made-up stamps that the node was found by are less than a twentieth by then.
        present = (v for v in values_of("input") if float(v["latency p95 (ms)"]) <= max(took_ms))
        return next((v for v in present if float(v["rate out (Hz)"]) > 3.0), {})

    def values_of(part: str) -> list[dict[str, str]]:
        return [{pair.key: pair.value for pair in status.values} for status in rig.health(part, since)]

    took_ms: list[float] = []
    values = wait_until(at_work, 40.0, what="a rate")
    assert float(values["rate out (Hz)"]) <= float(values["rate in (Hz)"]) + 1.0 < 60.0
    assert 0.0 < float(values["latency p50 (ms)"]) <= float(values["latency p95 (ms)"])
    rejected = int(values["frames rejected"])
    rig.send(picture(script.RAISE), time.time_ns())
    wait_until(lambda: int(values_of("input")[-1]["frames rejected"]) == rejected + 1, what="a frame rejected")
    rig.solve(stamp=time.time_ns())
    assert "ZeroDivisionError: as the image asked" in values_of("input")[-1]["last problem"]
    assert "as the image asked" in rig.wait_health("input", DiagnosticStatus.WARN).message
    assert values_of("tracking")[-1] == {"state": "TRACKING"}
    assert float(values_of("load")[-1]["answer takes (ms)"]) > 0.0
    assert values_of("scale")[-1] == {"source": "fixed", "metres per unit": "2", "sigma": "0.01"}
    assert values_of("engine")[-1] == {"matcher": "classic"}
    said = {part: rig.health(part)[-1] for part in ("lifecycle", "engine", "mapping", "scale", "tf", "memory")}
    assert {part: status.message for part, status in said.items()} == {
        "lifecycle": "active",
        "engine": "scripted",
        "mapping": "ok",
        "scale": "poses are in metres",
        "tf": "ok",
        "memory": "ok",
    }
    assert {status.level for status in said.values()} == {DiagnosticStatus.OK}
    memory = values_of("memory")[-1]
    assert float(memory["resident (MiB)"]) == pytest.approx(node.rss_mib, rel=0.1)
    assert float(memory["peak (MiB)"]) >= float(memory["resident (MiB)"])


# ------------------------------------------------------------------------------------------------------- shutdown


@pytest.mark.parametrize(("number", "busy"), [(signal.SIGINT, False), (signal.SIGINT, True), (signal.SIGTERM, True)])
def test_signals_end_it_cleanly_within_a_second(spawn: Spawn, probe: Probe, number: int, busy: bool):
    node = spawn("scripted_node.py")
    rig = Rig(probe, node)
    rig.settle()
    rig.solve()
    if busy:
        rig.send_busy()
    code, seconds = node.stop(number)
    assert code == 0, node.log
    assert seconds < 1.0 + 0.5, "half a second is for a busy test machine"
    assert "Traceback" not in node.log


# --------------------------------------------------------------------------------------------------- real tracker


def test_the_installed_node_answers_every_image(spawn: Spawn, probe: Probe):
    rig = Rig(probe, spawn("ros2_raxels.nodes.pose.pose_node"))
    rig.settle()
    texture = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    for _ in range(3):
        answer = rig.answer(rig.send(texture))
        assert answer.state != PoseStatus.STATE_WAITING
        assert 0.0 <= answer.confidence <= 1.0
    # Images that come before the first camera_info are waited with. Nothing is to be seen in the first of the others.
    first = next(status for status in rig.status if status.state != PoseStatus.STATE_WAITING)
    assert first.state == PoseStatus.STATE_INITIALISING
    assert rig.stamped(rig.poses, stamp_ns(first.header.stamp)) is None
    assert first.engine_id.startswith("compact: ONNX Runtime")


def test_without_the_denoiser(spawn: Spawn, probe: Probe):
    rig = Rig(probe, spawn("ros2_raxels.nodes.pose.pose_node", "-p", "model:=none"))
    rig.settle()
    assert rig.answer(rig.send(picture(0))).engine_id == "evidence and guidance, no denoiser"


def test_a_model_that_cannot_be_used_is_named(spawn: Spawn, probe: Probe):
    node = spawn("ros2_raxels.nodes.pose.pose_node", "-p", "model:=/nowhere/card.json")
    assert node.wait() == 2
    assert "model = '/nowhere/card.json' cannot be used: /nowhere/card.json is not a model card" in node.log
    assert "Traceback" not in node.log


def test_a_mask_that_cannot_be_used_is_named(spawn: Spawn, probe: Probe):
    node = spawn("ros2_raxels.nodes.pose.pose_node", "-p", "model:=none", "-p", "mask:=/nowhere/mask.png")
    assert node.wait() == 2
    assert "mask = '/nowhere/mask.png': /nowhere/mask.png cannot be read" in node.log
    assert "Traceback" not in node.log


@pytest.mark.slow
def test_poses_of_a_rendered_walk_agree_with_the_truth(spawn: Spawn, probe: Probe):
    camera, world = PinholeCamera(320, 240, 260.0, 260.0, 159.5, 119.5), furnished_room()
    truth = handheld_loop(seconds=10.0, rate_hz=10.0)[:20]
    rig = Rig(probe, spawn("ros2_raxels.nodes.pose.pose_node"))
    info = camera_info_message(camera, Header(frame_id=FRAME))
    first, _ = render(world, camera, truth[0])
    rig.settle(info, first)
    # A camera that stands has a pose from the first frame, and that is where the world begins.
    standing = wait_until(lambda: rig.stamped(rig.poses, stamp_ns(rig.status[0].header.stamp)), what="first pose")
    assert (rig.status[0].state, rig.status[0].scale_is_metric) == (PoseStatus.STATE_TRACKING, False)
    assert standing.header.frame_id == "raxels_world"
    np.testing.assert_array_equal(pose_array(standing.pose.pose)[:3, 3], np.zeros(3))
    assert 0 < np.diag(np.reshape(standing.pose.covariance, (6, 6))).max() < 0.01**2
    poses = {}
    for index, camera_to_world in enumerate(truth):
        rig.send_info(info)
        stamp = rig.send(render(world, camera, camera_to_world)[0])
        answer = rig.answer(stamp)
        # A message says that there is no map yet.
        if answer.state == PoseStatus.STATE_TRACKING and not answer.message:
            message = wait_until(lambda stamp=stamp: rig.stamped(rig.poses, stamp), what="pose")
            poses[index] = message.pose.pose
    assert len(poses) >= 10
    agrees_with_truth(poses, truth)
