"""doctor.graph: real publishers of this process, listened to over DDS, and what is said of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from threading import Event
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")

import rclpy
from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_testing import Probe
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from raxels_interfaces.msg import PoseStatus
from ros2_raxels.doctor.cameras import judge_cameras
from ros2_raxels.doctor.clocks import judge_clocks
from ros2_raxels.doctor.findings import Finding
from ros2_raxels.doctor.frames import judge_frames
from ros2_raxels.doctor.graph import GraphListener
from ros2_raxels.doctor.seen import Graph
from ros2_raxels.doctor.topics import judge_topics
from ros2_raxels.nodes.common.messages import image_message, stamp_message
from ros2_raxels.nodes.common.tf_broadcaster import tf_qos
from ros2_raxels.recordings.image_codec import encode_compressed

pytestmark = pytest.mark.ros

PERIOD_S = 0.05
DECADE_S = 10 * 365.25 * 86400
K = [60.0, 0.0, 32.0, 0.0, 60.0, 24.0, 0.0, 0.0, 1.0]
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)


PICTURE = np.zeros((48, 64), np.uint8)
JPEG = encode_compressed(np.zeros((48, 64, 3), np.uint8), "jpeg")


class Script:
    """Nodes that publish the same things again and again; each camera is wrong in its own way."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._context = probe.node.context
        self._nodes: dict[str, Any] = {}
        self._steps: list[Any] = []
        self._ending = Event()
        self._thread = threading.Thread(target=self._publish, daemon=True)

    def node(self, name: str, *parameters: Parameter) -> Any:
        if name not in self._nodes:
            self._nodes[name] = rclpy.create_node(name, context=self._context, parameter_overrides=[*parameters])
        return self._nodes[name]

    def camera(
        self,
        name: str,
        topic: str = "image_raw",
        *,
        late_s: float = 0.0,
        latched: bool = False,
        compressed: bool = False,
        **info: Any,
    ) -> None:
        """Images of 64x48, with a camera_info that has these fields; a latched one is sent once, before."""
        node = self.node(name)
        kind, name_of = (CompressedImage, f"{topic}/compressed") if compressed else (Image, topic)
        images = node.create_publisher(kind, f"/{name}/{name_of}", QoSProfile(depth=5))
        infos = node.create_publisher(CameraInfo, f"/{name}/camera_info", LATCHED if latched else QoSProfile(depth=5))
        fields = {"width": 64, "height": 48, "k": K, "distortion_model": "plumb_bob", **info}
        if latched:
            infos.publish(CameraInfo(header=Header(frame_id=name), **fields))

        def step() -> None:
            header = Header(frame_id=name, stamp=stamp_message(time.time_ns() - round(late_s * 1e9)))
            if compressed:
                images.publish(CompressedImage(header=header, format="jpeg", data=JPEG))
            else:
                images.publish(image_message(PICTURE, header))
            if not latched:
                infos.publish(CameraInfo(header=header, **fields))

        self._steps.append(step)

    def tf(self, owner: str, parent: str, child: str) -> None:
        publisher = self.node(owner).create_publisher(TFMessage, "/tf", tf_qos())

        def step() -> None:
            transform = TransformStamped(header=Header(frame_id=parent), child_frame_id=child)
            transform.header.stamp = stamp_message(time.time_ns())
            transform.transform.rotation.w = 1.0
            publisher.publish(TFMessage(transforms=[transform]))

        self._steps.append(step)

    def reader(self, name: str, kind: Any, topic: str, qos: QoSProfile) -> None:
        """One of our nodes, by what it publishes."""
        publisher = self.node(name).create_publisher(PoseStatus, f"/{name}/status", 5)
        self._steps.append(lambda: publisher.publish(PoseStatus(processing_s=0.02)))
        self.node(name).create_subscription(kind, topic, lambda _: None, qos)

    def start(self) -> None:
        self._thread.start()

    def _publish(self) -> None:
        while not self._ending.wait(PERIOD_S):
            for step in self._steps:
                step()

    def close(self) -> None:
        self._ending.set()
        self._thread.join(3.0)
        for node in self._nodes.values():
            node.destroy_node()


@pytest.fixture(scope="module")
def script(module_probe: Probe) -> Iterator[Script]:
    script = Script(module_probe)
    script.camera("good")
    script.camera("latched", latched=True)
    script.camera("zeros", k=[0.0] * 9)
    script.camera("small", width=128, height=96)
    script.camera("old", late_s=DECADE_S)
    script.camera("rect", "image_rect", d=[0.1, 0.0, 0.0, 0.0, 0.0])
    for name in ("good", "latched", "zeros", "small", "old"):
        script.reader(f"pose_{name}", Image, f"/{name}/image_raw", QoSProfile(depth=5))
    script.reader("pose_rect", Image, "/rect/image_rect", QoSProfile(depth=5))
    script.reader("pose_latched", CameraInfo, "/latched/camera_info", QoSProfile(depth=5))
    for topic in ("/good/camera_info", "/latched/camera_info"):
        for qos in (QoSProfile(depth=5), LATCHED):
            script.reader("pose_both", CameraInfo, topic, qos)
    script.reader("impatient", Image, "/good/image_raw", QoSProfile(depth=5, deadline=Duration(seconds=0.01)))
    script.tf("wheels", "odom", "base_link")
    script.tf("amcl", "map", "base_link")
    script.tf("amcl", "world", "map")
    script.tf("beacon", "world", "map")
    script.node("simulated", Parameter("use_sim_time", value=True))
    script.camera("packed", compressed=True)
    script.reader("pose_packed", CompressedImage, "/packed/image_raw/compressed", QoSProfile(depth=5))
    script.start()
    yield script
    script.close()


@pytest.fixture(scope="module")
def graph(script: Script) -> Graph:
    """What is heard of the script; listened to until all of it is, with a deadline."""
    listener = GraphListener(Event())
    try:
        until = time.monotonic() + 20.0
        while time.monotonic() < until:
            graph = listener.listen(0.5, lambda _: None)
            heard = [image for image in graph.heard_images if image.arrivals.count > 10]
            infos = [info for info in graph.infos.values() if info.newest is not None]
            if (
                len(heard) == 7
                and len(infos) == 7
                and len(graph.edges) == 3
                and graph.mismatches
                and graph.frame_ms
                and graph.clocks.users
            ):
                break
        return graph
    finally:
        listener.close()


def said(findings: list[Finding], about: str) -> list[Finding]:
    return [finding for finding in findings if about in finding.what]


def test_it_sees_who_is_there_and_not_itself(graph: Graph) -> None:
    assert {"/good", "/latched", "/wheels", "/pose_good"} <= set(graph.nodes)
    assert not [name for name in graph.nodes if "doctor" in name]
    assert "pose_good" in graph.ours
    assert "good" not in graph.ours
    assert graph.rmw.startswith("rmw_")
    assert 19 < graph.frame_ms[0] < 21


def test_a_healthy_camera_is_described(graph: Graph) -> None:
    image = graph.images["/good/image_raw"]
    assert (image.width, image.height, image.encoding, image.frame) == (64, 48, "mono8", "good")
    assert (image.publishers, image.info_topic) == (("good",), "/good/camera_info")
    assert image.arrivals.count > 10
    assert image.arrivals.sent >= image.arrivals.count
    assert 2 < image.arrivals.rate_hz < 1.05 / PERIOD_S
    assert not said(judge_cameras(graph), "/good")
    assert not said(judge_clocks(graph), "/good")


def test_nothing_is_published_and_images_are_heard_best_effort(script: Script, graph: Graph) -> None:
    listener = GraphListener(Event())
    try:
        listener.listen(1.0, lambda _: None)
        node, name = listener.node, listener.node.get_name()
        published = {topic for topic, _ in node.get_publisher_names_and_types_by_node(name, "/")}
        # Every rclpy node has this one.
        assert published <= {"/parameter_events"}
        assert node.get_service_names_and_types_by_node(name, "/") == []
        infos = node.get_subscriptions_info_by_topic("/good/image_raw")
        (ours,) = [info for info in infos if info.node_name == name]
        assert ours.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    finally:
        listener.close()


def test_a_latched_camera_info_is_heard_and_its_volatile_reader_named(graph: Graph) -> None:
    info = graph.infos["/latched/camera_info"]
    assert (info.is_latched, info.arrivals.count, info.late_readers) == (True, 1, ("pose_latched",))
    assert info.newest.k[0] == 60.0
    (found,) = said(judge_cameras(graph), "/latched")
    assert found.what.startswith(
        "/latched/camera_info is latched (transient local), and pose_latched subscribes as volatile"
    )


def test_a_node_that_subscribes_to_kept_messages_and_to_others_misses_none(graph: Graph) -> None:
    assert not said([*judge_topics(graph), *judge_cameras(graph)], "pose_both")


def test_qos_that_does_not_fit_is_named(graph: Graph) -> None:
    (found,) = said(judge_topics(graph), "impatient")
    assert found.what.startswith("impatient gets no message: QoS of /good/image_raw from good is incompatible: ")
    assert "deadline" in found.what.lower()


def test_two_parents_and_two_publishers_in_tf_are_named(graph: Graph) -> None:
    (parents,) = said(judge_frames(graph, "base_link"), "parents")
    assert parents.what == "TF frame base_link has 2 parents: map, odom"
    assert parents.value == "map -> base_link from amcl; odom -> base_link from wheels"
    (owners,) = said(judge_frames(graph, "base_link"), "publishers")
    assert owners.what == "TF edge world -> map has 2 publishers and jumps between them"
    assert owners.value == "amcl, beacon"


@pytest.mark.parametrize(
    ("camera", "what", "value"),
    [
        ("zeros", "/zeros/camera_info cannot be used", "K is all zeros: the camera is not calibrated"),
        (
            "small",
            "/small/camera_info does not describe the images of /small/image_raw",
            "images are 64x48 px, camera_info describes 128x96 px",
        ),
        (
            "rect",
            "/rect/image_rect is rectified by its name, but the D of /rect/camera_info is not zero",
            "D is 0.1, 0, 0, 0, 0",
        ),
    ],
)
def test_a_wrong_camera_info_is_named(graph: Graph, camera: str, what: str, value: str) -> None:
    (found,) = said(judge_cameras(graph), f"/{camera}/")
    assert found.what.removesuffix(": the distortion would be removed twice") == what
    assert found.value.startswith(value)


def test_stamps_a_decade_off_are_named(graph: Graph) -> None:
    (found,) = said(judge_clocks(graph), "another clock")
    assert found.what == "images of /old/image_raw are stamped by another clock than the wall clock"
    assert found.value == "10.0 years behind it"


def test_compressed_images_are_described_and_have_the_same_camera_info(graph: Graph) -> None:
    image = graph.images["/packed/image_raw/compressed"]
    assert (image.width, image.height, image.encoding, image.frame) == (64, 48, "jpeg", "packed")
    assert (image.readers, image.info_topic) == (("pose_packed",), "/packed/camera_info")
    assert not said(judge_cameras(graph), "/packed")


def test_a_node_that_waits_for_simulated_time_is_named(graph: Graph) -> None:
    (found,) = said(judge_clocks(graph), "use_sim_time")
    assert found.what == "use_sim_time is set but nobody publishes /clock, so that time stands still"
    assert found.value == "simulated"
