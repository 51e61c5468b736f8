"""TF: publishes one edge, refuses while its child has another parent, and tells who else publishes the edge."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from tf2_msgs.msg import TFMessage

from ros2_raxels.geometry.frame_tree import KEEP_S, FrameTree, bare
from ros2_raxels.nodes.common.messages import stamp_ns
from ros2_raxels.nodes.common.rclpy_compat import endpoint_gid, publisher_gid, with_message_info

_TOPICS = ("/tf", "/tf_static")
_SENT = 300
_MOST_SENDERS = 1000
_OURS, _OTHERS = b"ours", b"others"
"""Senders in releases that do not tell whose a message is."""


class Broadcaster(Protocol):
    """What is used of ``tf2_ros.TransformBroadcaster``."""

    pub_tf: Any

    def sendTransform(self, transform: TransformStamped) -> None:
        """Publish one edge."""


class TopicBroadcaster:
    """The same on a plain publisher, for machines without tf2_ros."""

    def __init__(self, node: Node) -> None:
        self.pub_tf = node.create_publisher(TFMessage, "/tf", tf_qos())

    def sendTransform(self, transform: TransformStamped) -> None:
        """Publish one edge."""
        self.pub_tf.publish(TFMessage(transforms=[transform]))


def make_broadcaster(node: Node) -> Broadcaster:
    """tf2_ros's broadcaster where it is installed, our own otherwise; topic and QoS are the same."""
    try:
        from tf2_ros import TransformBroadcaster
    except ImportError:
        return TopicBroadcaster(node)
    broadcaster: Broadcaster = TransformBroadcaster(node)
    return broadcaster


def tf_qos(static: bool = False) -> QoSProfile:
    """QoS of /tf, or of /tf_static, as in tf2_ros."""
    return QoSProfile(
        depth=100,
        history=HistoryPolicy.KEEP_LAST,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if static else DurabilityPolicy.VOLATILE,
    )


def insert_edges(tree: FrameTree, message: TFMessage, static: bool) -> list[str]:
    """Put the edges of a message into a tree; why some were ignored, a line for each."""
    reasons = []
    for edge in message.transforms:
        at, turn = edge.transform.translation, edge.transform.rotation
        reasons.append(
            tree.insert(
                edge.header.frame_id,
                edge.child_frame_id,
                stamp_ns(edge.header.stamp),
                (at.x, at.y, at.z),
                (turn.x, turn.y, turn.z, turn.w),
                static,
            )
        )
    return [reason for reason in reasons if reason]


class EdgeSenders:
    """Who sends which edge. Safe to use from several threads.

    Args:
        node: whose own publisher is not one of the others.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._heard_at: dict[tuple[str, str], dict[bytes, float]] = {}
        self._sent: deque[tuple[str, int]] = deque(maxlen=_SENT)

    def sends(self, edge: TransformStamped) -> None:
        """This node is about to send one."""
        with self._lock:
            self._sent.append((bare(edge.child_frame_id), stamp_ns(edge.header.stamp)))

    def heard(self, message: TFMessage, static: bool, about: Mapping[str, Any]) -> None:
        """A message has come, whose edges hold for ever or for `KEEP_S`."""
        for edge in message.transforms:
            parent, child = bare(edge.header.frame_id), bare(edge.child_frame_id)
            with self._lock:
                # What a topic sends must not fill the memory.
                if len(self._heard_at) < _MOST_SENDERS or (parent, child) in self._heard_at:
                    is_ours = not static and (child, stamp_ns(edge.header.stamp)) in self._sent
                    sender = publisher_gid(about) or (_OURS if is_ours else _OTHERS)
                    senders = self._heard_at.setdefault((parent, child), {})
                    if len(senders) < _MOST_SENDERS or sender in senders:
                        senders[sender] = math.inf if static else time.monotonic()

    def others(self, parent: str, child: str) -> list[str]:
        """Names of the nodes that send this edge too; "another node" where the middleware does not tell."""
        oldest = time.monotonic() - KEEP_S
        with self._lock:
            senders = self._heard_at.get((bare(parent), bare(child)), {})
            alive = {sender for sender, at in senders.items() if at >= oldest}
        if len(alive) < 2:
            # Ours alone, or that of another before the first of ours has come back.
            return []
        own = self._node.get_fully_qualified_name()
        names = {_OURS: own, _OTHERS: "another node"}
        for topic in _TOPICS:
            for info in self._node.get_publishers_info_by_topic(topic):
                names[endpoint_gid(info)] = f"{info.node_namespace.rstrip('/')}/{info.node_name}"
        # Without a name its publisher has gone. A second one of our own name is another node.
        found = sorted(names[sender] for sender in alive if sender in names)
        if own in found:
            found.remove(own)
        return found


class EdgePublisher:
    """Publishes edges of which no child has another parent.

    Args:
        node: that publishes.
        children: frames that may come to be one, and are watched for other parents from the beginning.
    """

    def __init__(self, node: Node, children: Iterable[str] = ()) -> None:
        self._children = frozenset(bare(child).encode() for child in children if child)
        # The children whose edges are unpacked; all of them until the first question, before which it is not known
        # which others are ours. Exchanged as a whole: /tf is heard in another thread than questions are asked in.
        self._watched: frozenset[bytes] | None = None
        self._tree = FrameTree()
        self._senders = EdgeSenders(node)
        self._published: tuple[str, str] | None = None
        self._broadcaster = make_broadcaster(node)
        self._node = node
        self._subscriptions = [
            # Raw, because a robot's /tf is busy and only the few messages that name a child of ours must be unpacked.
            node.create_subscription(TFMessage, "/tf", with_message_info(self._on_tf), tf_qos(), raw=True),
            node.create_subscription(TFMessage, "/tf_static", with_message_info(self._on_static), tf_qos(static=True)),
        ]

    def _on_tf(self, serialized: Any, about: Mapping[str, Any]) -> None:
        watched = self._watched
        if watched is None or any(child in serialized for child in watched):
            self._hear(deserialize_message(serialized, TFMessage), False, about)

    def _on_static(self, message: TFMessage, about: Mapping[str, Any]) -> None:
        self._hear(message, True, about)

    def _hear(self, message: TFMessage, static: bool, about: Mapping[str, Any]) -> None:
        insert_edges(self._tree, message, static)
        self._senders.heard(message, static, about)

    def other_parent(self, child: str, parent: str) -> str:
        """A living parent of ``child`` that is not ``parent``; empty without any."""
        self._watched = (self._watched or self._children) | {bare(child).encode()}
        return self._tree.other_parent(child, parent)

    def refusal(self, parent: str, child: str) -> str:
        """Why the edge ``parent -> child`` must not be published, in one line; empty when it may."""
        if not parent or not child:
            return (
                "images have an empty frame_id, so TF has no child frame: set tf.child_frame or the driver's frame_id"
            )
        if bare(child) == bare(parent):
            return f"the edge to publish has {child} at both ends: give the frames different names"
        other = self.other_parent(child, parent)
        if other:
            return (
                f"TF frame {child} already has the parent {other}, so {parent} -> {child} is not published: "
                "stop the other publisher, choose another tf.mode (or off), or set tf.invert"
            )
        return ""

    def publish(self, edge: TransformStamped) -> None:
        """Send the edge; ask `refusal` first."""
        self._senders.sends(edge)
        self._published = (bare(edge.header.frame_id), bare(edge.child_frame_id))
        self._broadcaster.sendTransform(edge)

    def conflict(self) -> str:
        """Who else publishes the edge that was published last, in one line; empty if nobody. Any thread may ask."""
        if self._published is None or not (others := self._senders.others(*self._published)):
            return ""
        parent, child = self._published
        return (
            f"TF edge {parent} -> {child} is published by {', '.join(others)} too, and jumps between the publishers: "
            "stop all but one, or set tf.mode of this node to off or to another mode"
        )

    def destroy(self) -> None:
        """Stop listening and publishing."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._node.destroy_publisher(self._broadcaster.pub_tf)
