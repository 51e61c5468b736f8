"""Listens to a ROS graph for some seconds without taking part in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from threading import Event
from typing import Any

import rclpy
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tf2_msgs.msg import TFMessage

from ros2_raxels.doctor.cameras import info_topic_beside
from ros2_raxels.doctor.seen import Arrivals, Edge, Graph, ImageTopic, InfoTopic
from ros2_raxels.geometry.frame_tree import bare
from ros2_raxels.harness.spun_node import SpunNode
from ros2_raxels.nodes.common.messages import check_image, image_array, raw_stamp_ns, stamp_ns
from ros2_raxels.nodes.common.rclpy_compat import endpoint_gid, publisher_gid, with_message_info
from ros2_raxels.nodes.common.subscription import qos_problem
from ros2_raxels.nodes.common.tf_broadcaster import insert_edges, tf_qos
from ros2_raxels.recordings.image_codec import ImageError

_NAME = "_raxels_doctor"
_STEP_S = 0.2
_DEPTH = 5
_CLOCK, _TF, _TF_STATIC = "/clock", "/tf", "/tf_static"
_IMAGE, _COMPRESSED, _INFO = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/CameraInfo")
_STATUS = "raxels_interfaces/msg/PoseStatus"
_OURS = (_STATUS, "raxels_interfaces/action/PredictViews_FeedbackMessage")
"""What only nodes of this package publish, whatever their names."""

_MOST_LISTENED = 4
_UNKNOWN = "_NODE_NAME_UNKNOWN_"
"""What an endpoint's node is called before the node itself has been discovered."""

MessageInfo = dict[str, Any]


class GraphListener(SpunNode):
    """Sees who is there, and hears images, camera_info, TF, /clock and the status of pose nodes.

    It offers no service, publishes nothing (but for the ``/parameter_events`` that rclpy has every node publish at its
    start), and subscribes best effort with a small depth. Only for messages that are kept for late subscriptions, and
    for TF, it asks for reliability: they are small and come once.

    Args:
        interrupted: set once the user wants it to end.

    Attributes:
        graph: what was seen so far.
    """

    def __init__(self, interrupted: Event) -> None:
        super().__init__(
            _NAME,
            interrupted,
            enable_rosout=False,
            start_parameter_services=False,
            use_global_arguments=False,
            parameter_overrides=[Parameter("start_type_description_service", value=False)],
        )
        self.graph = Graph(rmw=rclpy.get_rmw_implementation_identifier())
        self._heard: set[str] = set()
        self._owners: dict[tuple[str, bytes], str] = {}

    def listen(self, seconds: float, say: Callable[[float], None]) -> Graph:
        """Listen for so long.

        Args:
            seconds: at least so long, s.
            say: told now and then how long it has been, s.

        Raises:
            KeyboardInterrupt: it was interrupted.
        """
        begun = time.monotonic()
        while (passed := time.monotonic() - begun) < seconds:
            say(passed)
            self._look()
            self.spin(min(_STEP_S, seconds - passed))
        self._look()
        self.graph.seconds = time.monotonic() - begun
        return self.graph

    def _look(self) -> None:
        """See who is there, and subscribe to what is new."""
        node, graph = self.node, self.graph
        graph.topics = {topic: [*types] for topic, types in node.get_topic_names_and_types()}
        graph.nodes = sorted(
            f"{space.rstrip('/')}/{name}"
            for name, space in node.get_node_names_and_namespaces()
            if not name.startswith("_")
        )
        publishers = {topic: node.get_publishers_info_by_topic(topic) for topic in graph.topics}
        readers = {
            topic: [info for info in node.get_subscriptions_info_by_topic(topic) if info.node_name != _NAME]
            for topic in graph.topics
        }
        ours = {i.node_name for infos in publishers.values() for i in infos if i.topic_type in _OURS}
        graph.ours = tuple(sorted(ours))
        self._look_at_owners(publishers)
        for topic, types in graph.topics.items():
            for kind in types:
                self._look_at_topic(topic, kind, publishers[topic], readers[topic])
        self._pair(readers)
        graph.mismatches = self._mismatches(publishers, readers)
        graph.clocks.publishers = _nodes(publishers.get(_CLOCK, []))
        graph.clocks.users = _nodes(readers.get(_CLOCK, []))
        self._subscribe(publishers)

    def _look_at_owners(self, publishers: dict[str, list[Any]]) -> None:
        for topic in (_TF, _TF_STATIC):
            for info in publishers.get(topic, []):
                if info.node_name != _UNKNOWN:
                    self._owners[topic, endpoint_gid(info)] = info.node_name
        for edge in self.graph.edges.values():
            topic = _TF_STATIC if edge.is_static else _TF
            known = {self._owners[topic, of] for of in edge.publishers if (topic, of) in self._owners}
            edge.owners = known or {name for (of, _), name in self._owners.items() if of == topic}

    def _look_at_topic(self, topic: str, kind: str, publishers: list[Any], readers: list[Any]) -> None:
        graph = self.graph
        names, ours = _nodes(publishers), tuple(name for name in _nodes(readers) if name in graph.ours)
        if kind in (_IMAGE, _COMPRESSED) and not set(names) & set(graph.ours):
            image = graph.images.setdefault(topic, ImageTopic(topic, kind))
            image.publishers, image.readers = names, ours
        elif kind == _INFO:
            info = graph.infos.setdefault(topic, InfoTopic(topic))
            info.publishers = names
            info.is_latched = any(map(_is_latched, publishers))
            # A node may have a second subscription, for what publishers keep.
            in_time = {i.node_name for i in readers if _is_latched(i)}
            info.late_readers = tuple(name for name in dict.fromkeys(ours) if name not in in_time)

    def _pair(self, readers: dict[str, list[Any]]) -> None:
        """Each topic of images with its camera_info: that which its reader takes, else that beside it."""
        graph = self.graph
        for image in graph.images.values():
            taken = [topic for topic in graph.infos if set(_nodes(readers.get(topic, []))) & set(image.readers)]
            image.info_topic = taken[0] if taken else info_topic_beside(image.topic)

    def _mismatches(
        self, publishers: dict[str, list[Any]], readers: dict[str, list[Any]]
    ) -> list[tuple[str, str, bool]]:
        graph = self.graph
        found = set()
        for topic in graph.topics:
            for name in {reader.node_name for reader in readers[topic]}:
                if name not in graph.ours and topic not in graph.images and topic not in graph.infos:
                    continue
                # Of a node with several subscriptions one is enough.
                wanted = [reader.qos_profile for reader in readers[topic] if reader.node_name == name]
                for publisher in publishers[topic]:
                    reasons = [qos_problem(topic, publisher, qos) for qos in wanted]
                    if all(reasons):
                        found.add((name, reasons[0], name in graph.ours))
        return sorted(found)

    def _subscribe(self, publishers: dict[str, list[Any]]) -> None:
        """To what is new; a topic of images wakes its publisher up, so that only those that matter are chosen."""
        published = [image for image in self.graph.images.values() if image.publishers]
        # Compressing takes the camera's time.
        raw = [image for image in published if image.kind == _IMAGE]
        for image in [image for image in published if image.readers] or (raw or published)[:_MOST_LISTENED]:
            image.is_listened_to = True
            kind = Image if image.kind == _IMAGE else CompressedImage
            self._hear(kind, image.topic, _best_effort(), partial(self._on_image, image, kind), raw=True)
        for info in self.graph.infos.values():
            if info.publishers:
                qos = _of_info(publishers[info.topic])
                self._hear(CameraInfo, info.topic, qos, partial(self._on_info, info))
        for topic in (_TF, _TF_STATIC):
            if publishers.get(topic):
                static = topic == _TF_STATIC
                self._hear(TFMessage, topic, tf_qos(static), partial(self._on_edges, static))
        if publishers.get(_CLOCK):
            self._hear(Clock, _CLOCK, _best_effort(), self._on_clock)
        self._hear_status()

    def _hear_status(self) -> None:
        topics = [topic for topic, kinds in self.graph.topics.items() if _STATUS in kinds]
        if topics:
            try:
                from raxels_interfaces.msg import PoseStatus
            except ImportError:
                return  # said by `judge_software`
            for topic in topics:
                self._hear(PoseStatus, topic, _best_effort(), self._on_status)

    def _hear(self, kind: Any, topic: str, qos: QoSProfile, callback: Callable[..., None], raw: bool = False) -> None:
        if topic not in self._heard:
            self._heard.add(topic)
            self.node.create_subscription(kind, topic, with_message_info(callback), qos, raw=raw)

    @property
    def _now_ns(self) -> int:
        newest = self.graph.clocks.newest_ns
        return time.time_ns() if newest is None else newest

    def _arrived(self, arrivals: Arrivals, at_ns: int, about: MessageInfo) -> None:
        arrivals.add(
            at_ns, self._now_ns, time.monotonic(), publisher_gid(about), about.get("publication_sequence_number")
        )

    def _on_image(self, image: ImageTopic, kind: Any, serialized: bytes, about: MessageInfo) -> None:
        self._arrived(image.arrivals, raw_stamp_ns(serialized), about)
        image.size_bytes = max(image.size_bytes, len(serialized))
        if image.arrivals.count == 1:
            _describe(image, deserialize_message(serialized, kind))

    def _on_info(self, info: InfoTopic, message: Any, about: MessageInfo) -> None:
        self._arrived(info.arrivals, stamp_ns(message.header.stamp), about)
        info.newest = message

    def _on_edges(self, static: bool, message: Any, about: MessageInfo) -> None:
        graph, publisher = self.graph, publisher_gid(about)
        graph.refused_edges.update(insert_edges(graph.tree, message, static))
        for transform in message.transforms:
            parent, child = bare(transform.header.frame_id), bare(transform.child_frame_id)
            edge = graph.edges.setdefault((parent, child, static), Edge(parent, child, static))
            edge.publishers.add(publisher)
            edge.stamp_ns, edge.clock_ns = stamp_ns(transform.header.stamp), self._now_ns

    def _on_clock(self, message: Any, _: MessageInfo) -> None:
        self.graph.clocks.newest_ns = stamp_ns(message.clock)

    def _on_status(self, message: Any, _: MessageInfo) -> None:
        if message.processing_s > 0:
            self.graph.frame_ms.append(1e3 * float(message.processing_s))


def _describe(image: ImageTopic, message: Any) -> None:
    """What the first message shows; later ones are counted only."""
    image.frame = message.header.frame_id
    try:
        if isinstance(message, CompressedImage):
            image.encoding = message.format
            image.height, image.width = image_array(message).shape[:2]
        else:
            image.encoding, image.width, image.height = message.encoding, int(message.width), int(message.height)
            check_image(message)
    except ImageError as error:
        image.refusal = str(error)


def _nodes(infos: list[Any]) -> tuple[str, ...]:
    """Names of endpoints' nodes; a node with two endpoints is named twice."""
    return tuple(sorted(info.node_name for info in infos if info.node_name != _NAME))


def _is_latched(info: Any) -> bool:
    return bool(info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL)


def _best_effort() -> QoSProfile:
    return QoSProfile(depth=_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)


def _of_info(publishers: list[Any]) -> QoSProfile:
    """Such that kept messages come where a publisher keeps them."""
    latched = [info for info in publishers if _is_latched(info)]
    if not latched or any(info.qos_profile.reliability != ReliabilityPolicy.RELIABLE for info in latched):
        return _best_effort()
    return tf_qos(static=True)
