"""TF: publishes one edge, and refuses while its child has another parent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from tf2_msgs.msg import TFMessage

from ros2_raxels.geometry.frame_tree import FrameTree, bare
from ros2_raxels.nodes.common.messages import stamp_ns


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
        self._broadcaster = make_broadcaster(node)
        self._node = node
        self._subscriptions = [
            # Raw, because a robot's /tf is busy and only the few messages that name a child of ours must be unpacked.
            node.create_subscription(TFMessage, "/tf", self._on_tf, tf_qos(), raw=True),
            node.create_subscription(TFMessage, "/tf_static", self._on_static, tf_qos(static=True)),
        ]

    def _on_tf(self, serialized: Any) -> None:
        watched = self._watched
        if watched is None or any(child in serialized for child in watched):
            insert_edges(self._tree, deserialize_message(serialized, TFMessage), static=False)

    def _on_static(self, message: TFMessage) -> None:
        insert_edges(self._tree, message, static=True)

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
        self._broadcaster.sendTransform(edge)

    def destroy(self) -> None:
        """Stop listening and publishing."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._node.destroy_publisher(self._broadcaster.pub_tf)
