"""Subscriptions that suit the QoS of their publishers, can say why nothing arrives, and serve several nodes."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from ros2_raxels.geometry.frame_tree import bare
from ros2_raxels.nodes.common.messages import stamp_ns
from ros2_raxels.nodes.common.rclpy_compat import no_event_callbacks
from ros2_raxels.utils.ros_environment import DEFAULT_SEGMENT_BYTES, PROFILE_VARIABLES, WITH_PROFILE

_DEPTH = 5
_INFOS = 30
_COLOURS = 3


class FollowingSubscription:
    """Best effort until every publisher seen is reliable; exchanged, without losing a message, when that changes.

    Best effort matches any publisher but may lose large images even on one machine; a reliable one would never match
    a best-effort driver.

    Args:
        node: whose remappings hold.
        message_type, topic, callback: as for a subscription of rclpy.
        kept: take what publishers keep for late subscriptions (transient local) as well, beside what volatile ones
            send. The callback may then be given a message twice.
    """

    def __init__(
        self, node: Node, message_type: Any, topic: str, callback: Callable[[Any], None], kept: bool = False
    ) -> None:
        self.topic = node.resolve_topic_name(topic)
        self._node = node
        self._type = message_type
        self._type_name = f"{message_type.__module__.split('.')[0]}/msg/{message_type.__name__}"
        self._callback = callback
        self._subscriptions: dict[int, Subscription] = {}
        self._newest = 0
        self._delivering = 0
        self._seen_during_exchange: set[tuple[int, int]] = set()
        self._publisher_since: float | None = None
        self._takes_kept = kept
        self._of_kept: Subscription | None = None
        self._qos = _qos(ReliabilityPolicy.BEST_EFFORT)
        publishers = self.publishers
        self._qos = _qos(self._wanted(publishers))
        self._subscribe()
        self._follow_kept(publishers)

    def update(self) -> None:
        """Look at the publishers; call it from the executor's thread, a few times a second."""
        publishers = self.publishers
        self._follow_kept(publishers)
        wanted = self._wanted(publishers)
        if wanted != self._qos.reliability:
            self._qos = _qos(wanted)
            self._node.get_logger().info(f"subscribing to {self.topic} as {wanted.name.lower()}, like its publisher")
            self._subscribe()
        elif self._delivering == self._newest:
            self._seen_during_exchange.clear()

    @property
    def publisher_since(self) -> float:
        """``time.monotonic()`` when `update` first saw the present publisher; 0 without one, s."""
        return self._publisher_since or 0.0

    def why_silent(self, of: CameraInfo | None = None) -> str:
        """The likeliest reason that nothing arrives, with the remedy, in one line.

        Args:
            of: the camera whose images do not arrive.
        """
        publishers = self.publishers
        if not publishers:
            return f"no publisher on {self.topic}; {self._suggestion()}"
        others = sorted({info.topic_type for info in publishers} - {self._type_name})
        if others and all(info.topic_type != self._type_name for info in publishers):
            return f"{self.topic} carries {others[0]}, not {self._type_name}; remap to another topic"
        for info in publishers:
            if reason := qos_problem(self.topic, info, self._qos):
                return f"{reason}; change the publisher"
        present = f"{self.topic} has a publisher ({publishers[0].node_name}) but nothing arrives"
        if reason := self._why_not_kept(publishers):
            return f"{present}: {reason}"
        if self._type not in (Image, CompressedImage):
            return f"{present}: it is idle; let it publish"
        here = ", ".join(f"{name} is {os.environ.get(name) or 'not set'}" for name in PROFILE_VARIABLES)
        return f"{present}: {self._obstacle(of)}; {WITH_PROFILE} (here {here})"

    def _why_not_kept(self, publishers: list[Any]) -> str:
        """Why what was published once, before this node came, does not arrive; empty if no publisher keeps it."""
        latched = [info for info in publishers if info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL]
        if not latched:
            return ""
        if not self._takes_kept:
            return (
                "it is transient local and this subscription volatile, so that what it published before never comes; "
                "let it go on publishing"
            )
        if any(map(_is_kept, latched)):
            return "it is transient local but has published nothing yet; let it publish"
        return "it is transient local but best effort, so that it keeps nothing for others; make it reliable"

    def _obstacle(self, of: CameraInfo | None) -> str:
        size = 0 if of is None or self._type is not Image else _COLOURS * int(of.width) * int(of.height)
        if of is None or size <= DEFAULT_SEGMENT_BYTES or any(map(os.environ.get, PROFILE_VARIABLES)):
            return "it is idle, or its messages are larger than the shared memory segment of Fast DDS"
        room = f"the shared memory segment of Fast DDS has {DEFAULT_SEGMENT_BYTES >> 10} KiB by default"
        return f"an image of {of.width}x{of.height} px in colour takes {size >> 10} KiB, and {room}"

    def destroy(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()
        self._follow_kept([])

    @property
    def publishers(self) -> list[Any]:
        """``TopicEndpointInfo`` of each that is known now."""
        return list(self._node.get_publishers_info_by_topic(self.topic))

    def _follow_kept(self, publishers: list[Any]) -> None:
        """Ask for what is kept, while somebody keeps it."""
        wanted = self._takes_kept and any(map(_is_kept, publishers))
        if wanted and self._of_kept is None:
            qos = _qos(ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)
            # Publishers that keep nothing have the other subscription, and that they do not match this one is no news.
            self._of_kept = self._node.create_subscription(
                self._type, self.topic, self._callback, qos, event_callbacks=no_event_callbacks()
            )
        elif not wanted and self._of_kept is not None:
            self._node.destroy_subscription(self._of_kept)
            self._of_kept = None

    def _wanted(self, publishers: list[Any]) -> ReliabilityPolicy:
        if not publishers:
            self._publisher_since = None
            return ReliabilityPolicy(self._qos.reliability)
        self._publisher_since = self._publisher_since or time.monotonic()
        reliable = all(info.qos_profile.reliability == ReliabilityPolicy.RELIABLE for info in publishers)
        return ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT

    def _subscribe(self) -> None:
        # The old one goes only when the new one delivers: matching takes milliseconds in which images would be lost.
        self._newest += 1
        self._subscriptions[self._newest] = self._node.create_subscription(
            self._type, self.topic, partial(self._deliver, self._newest), self._qos
        )
        for generation in [g for g in self._subscriptions if g < self._newest - 1]:
            self._node.destroy_subscription(self._subscriptions.pop(generation))

    def _deliver(self, generation: int, message: Any) -> None:
        if generation < self._delivering:
            return
        stamp = (message.header.stamp.sec, message.header.stamp.nanosec)
        if generation > self._delivering:
            self._retire_before(generation)
        if self._seen_during_exchange and generation == self._newest and stamp in self._seen_during_exchange:
            return
        if generation < self._newest:
            self._seen_during_exchange.add(stamp)
        self._callback(message)

    def _retire_before(self, generation: int) -> None:
        self._delivering = generation
        for older in [g for g in self._subscriptions if g < generation]:
            self._node.destroy_subscription(self._subscriptions.pop(older))

    def _suggestion(self) -> str:
        present = [name for name, types in self._node.get_topic_names_and_types() if self._type_name in types]
        own = self._node.get_fully_qualified_name() + "/"
        candidates = [name for name in present if not name.startswith(own) and self._node.count_publishers(name) > 0]
        if candidates:
            return f"remap to a topic that has one ({', '.join(sorted(candidates)[:3])})"
        return "start the camera, and check ROS_DOMAIN_ID and the discovery range of both sides"


def qos_problem(topic: str, publisher: Any, wanted: QoSProfile) -> str:
    """Why a publisher's messages never reach a subscription because of QoS, in one line; empty where they do.

    Args:
        topic: of both.
        publisher: ``TopicEndpointInfo`` of it.
        wanted: QoS of the subscription.
    """
    offered = publisher.qos_profile
    compatibility, reason = qos_check_compatible(offered, wanted)
    if compatibility != QoSCompatibility.ERROR:
        return ""
    pairs = (
        (offered.reliability, wanted.reliability, ReliabilityPolicy.RELIABLE, "reliability"),
        (offered.durability, wanted.durability, DurabilityPolicy.TRANSIENT_LOCAL, "durability"),
    )
    named = [
        f"it offers {_worded(has)} {policy}, the subscription asks for {_worded(asked)}"
        for has, asked, strict, policy in pairs
        if asked == strict and has != strict
    ]
    return f"QoS of {topic} from {publisher.node_name} is incompatible: {', '.join(named) or reason}"


def _worded(policy: Any) -> str:
    return str(policy.name).lower().replace("_", " ")


def _is_kept(publisher: Any) -> bool:
    """Whether a publisher (``TopicEndpointInfo``) keeps messages for those who come later."""
    qos = publisher.qos_profile
    return bool(qos.durability == DurabilityPolicy.TRANSIENT_LOCAL and qos.reliability == ReliabilityPolicy.RELIABLE)


class Listener:
    """One who hears a topic. Nodes of one process that hear the same one share a subscription and its messages.

    For use from the executor's thread alone, which all nodes of a process must share. What is heard belongs to all who
    do, so nobody may change it.

    Args:
        node: whose remappings hold. The subscription is that of the first who hears, so that all nodes of a process
            are to stop before one of them is destroyed.
        message_type, topic, callback: as for `FollowingSubscription`.
    """

    def __init__(self, node: Node, message_type: Any, topic: str, callback: Callable[[Any], None]) -> None:
        self.topic = node.resolve_topic_name(topic)
        self._callback = callback
        self._of_process = _HEARD.setdefault(node.context, {})
        self._key = (self.topic, message_type)
        if self._key not in self._of_process:
            self._of_process[self._key] = _Heard(node, message_type, topic)
        self._heard = self._of_process[self._key]
        self._heard.callbacks.append(callback)

    def update(self) -> None:
        """As `FollowingSubscription.update`."""
        self._heard.subscription.update()

    @property
    def publisher_since(self) -> float:
        """As `FollowingSubscription.publisher_since`."""
        return self._heard.subscription.publisher_since

    @property
    def has_publisher(self) -> bool:
        """Whether anybody publishes it now; any thread may ask."""
        return bool(self._heard.subscription.publishers)

    def why_silent(self, of: CameraInfo | None = None) -> str:
        """As `FollowingSubscription.why_silent`."""
        return self._heard.subscription.why_silent(of)

    def destroy(self) -> None:
        """Hear no more; the last one unsubscribes."""
        self._heard.callbacks.remove(self._callback)
        if not self._heard.callbacks:
            del self._of_process[self._key]
            self._heard.subscription.destroy()


class CameraInfos:
    """The newest camera_info messages, and which of them goes with an image. Safe to use from any thread.

    Drivers send the two of a frame back to back in either order, and large images take longer on the way: the newest
    camera_info may be that of another image, which matters when the camera zooms or changes its resolution.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: deque[tuple[int, CameraInfo]] = deque(maxlen=_INFOS)

    def add(self, info: CameraInfo) -> None:
        """Keep a message, once if it comes twice; the oldest goes."""
        entry = (stamp_ns(info.header.stamp), info)
        with self._lock:
            if entry in self._kept:
                self._kept.remove(entry)
            self._kept.append(entry)

    @property
    def newest(self) -> CameraInfo | None:
        """The last that came."""
        with self._lock:
            return self._kept[-1][1] if self._kept else None

    def of(self, image: Header, otherwise: CameraInfo | None = None) -> CameraInfo | None:
        """The one with the stamp of an image, of its frame if there are several.

        Args:
            image: header of the image.
            otherwise: taken when there is none of that stamp; without it the newest is.
        """
        stamp, frame = stamp_ns(image.stamp), bare(image.frame_id)
        with self._lock:
            newest_first = [*reversed(self._kept)]
        paired = [info for at, info in newest_first if at == stamp]
        if paired:
            return next((info for info in paired if bare(info.header.frame_id) == frame), paired[0])
        return otherwise or (newest_first[0][1] if newest_first else None)


class _Heard:
    """A subscription and the callbacks of those who hear it."""

    def __init__(self, node: Node, message_type: Any, topic: str) -> None:
        self.callbacks: list[Callable[[Any], None]] = []
        # Drivers may publish the camera_info once, and keep it for those who come later. Old images are of no use.
        kept = message_type is CameraInfo
        self.subscription = FollowingSubscription(node, message_type, topic, self._deliver, kept)

    def _deliver(self, message: Any) -> None:
        for callback in tuple(self.callbacks):
            callback(message)


_HEARD: WeakKeyDictionary[Context, dict[tuple[str, Any], _Heard]] = WeakKeyDictionary()
"""By topic and type, of the nodes of each context."""


def image_subscription(node: Node, transport: str, callback: Callable[[Any], None], camera: str = "") -> Listener:
    """To ``image``, raw, or to ``image/compressed``.

    Args:
        node: whose remappings hold.
        transport: ``raw`` or ``compressed``.
        callback: takes the messages.
        camera: name of one of several, below which its topics are; empty for the only one.
    """
    if transport == "raw":
        return Listener(node, Image, topic_of(camera, "image"), callback)
    return Listener(node, CompressedImage, image_topic(node, transport, camera), callback)


def topic_of(camera: str, topic: str) -> str:
    """A topic of one of several cameras, below its name; of the only one where that is empty."""
    return f"{camera}/{topic}" if camera else topic


def image_topic(node: Node, transport: str, camera: str = "") -> str:
    """Name of the topic that `image_subscription` hears."""
    image = topic_of(camera, "image")
    if transport == "raw":
        return str(node.resolve_topic_name(image))
    topic = str(node.resolve_topic_name(f"{image}/compressed"))
    if topic == node.resolve_topic_name(f"{image}/compressed", only_expand=True):
        # As image_transport does it: remapping `image` takes its transports along.
        topic = node.resolve_topic_name(image) + "/compressed"
    return topic


def _qos(reliability: ReliabilityPolicy, durability: DurabilityPolicy = DurabilityPolicy.VOLATILE) -> QoSProfile:
    return QoSProfile(depth=_DEPTH, history=HistoryPolicy.KEEP_LAST, reliability=reliability, durability=durability)
