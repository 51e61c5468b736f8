"""What was seen of a ROS graph, as plain values: no ROS is needed to judge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ros2_raxels.geometry.frame_tree import FrameTree

MOST_LOST = 0.2
"""Share of lost images beyond which something is wrong."""


@dataclass
class Arrivals:
    """When messages of a topic came, and what their publishers numbered them with.

    Attributes:
        stamps_ns: of the messages, in the order of their arrival.
        clock_ns: this machine's clock, or simulated time where a topic /clock is heard, when each came.
        steady_s: a clock that never jumps, when each came.
        numbers: of the first and last message of each publisher, where the middleware tells them.
    """

    stamps_ns: list[int] = field(default_factory=list)
    clock_ns: list[int] = field(default_factory=list)
    steady_s: list[float] = field(default_factory=list)
    numbers: dict[bytes, tuple[int, int]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many came."""
        return len(self.stamps_ns)

    @property
    def rate_hz(self) -> float:
        """Messages a second; 0 before there are two of them."""
        span = self.steady_s[-1] - self.steady_s[0] if self.count > 1 else 0.0
        return (self.count - 1) / span if span > 0 else 0.0

    @property
    def sent(self) -> int:
        """How many were sent between the first and the last that came; 0 where the middleware does not number them."""
        return sum(last - first + 1 for first, last in self.numbers.values())

    @property
    def lost(self) -> float:
        """Share of the messages sent that did not come, 0 to 1; 1 where none came."""
        return 1 - self.count / max(self.sent, self.count) if self.count else 1.0

    def add(self, stamp_ns: int, clock_ns: int, steady_s: float, publisher: bytes, number: int | None) -> None:
        """A message has come."""
        self.stamps_ns.append(stamp_ns)
        self.clock_ns.append(clock_ns)
        self.steady_s.append(steady_s)
        if number is not None:
            first, last = self.numbers.get(publisher, (number, number))
            self.numbers[publisher] = (min(first, number), max(last, number))


@dataclass
class ImageTopic:
    """A topic of images.

    Attributes:
        topic: its name.
        kind: type of the messages, like "sensor_msgs/msg/Image".
        publishers: names of the nodes that publish it.
        readers: our nodes that subscribe to it.
        info_topic: where its camera_info is.
        arrivals: of its messages.
        frame: its ``frame_id``.
        width, height: px; 0 where that is unknown.
        encoding: of raw images; the format of compressed ones.
        size_bytes: of the largest message.
        refusal: why our nodes would refuse the images; empty where they would not.
        is_listened_to: whether it was subscribed to.
    """

    topic: str
    kind: str
    publishers: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()
    info_topic: str = ""
    arrivals: Arrivals = field(default_factory=Arrivals)
    frame: str = ""
    width: int = 0
    height: int = 0
    encoding: str = ""
    size_bytes: int = 0
    refusal: str = ""
    is_listened_to: bool = False


@dataclass
class InfoTopic:
    """A topic of camera_info.

    Attributes:
        topic: its name.
        publishers: names of the nodes that publish it.
        is_latched: whether a publisher keeps its last message for those who come later (transient local).
        late_readers: our nodes that came without asking for kept messages (volatile).
        arrivals: of its messages.
        newest: the last message; anything with the fields of sensor_msgs/CameraInfo.
    """

    topic: str
    publishers: tuple[str, ...] = ()
    is_latched: bool = False
    late_readers: tuple[str, ...] = ()
    arrivals: Arrivals = field(default_factory=Arrivals)
    newest: Any = None


@dataclass
class Edge:
    """An edge of TF.

    Attributes:
        parent, child: names of the frames.
        is_static: whether it came on /tf_static.
        owners: nodes that publish it; the topic's publishers where the middleware does not tell whose a message is.
        publishers: how many publishers it came from.
        stamp_ns, clock_ns: of its newest pose, and the clock when that came.
    """

    parent: str
    child: str
    is_static: bool
    owners: set[str] = field(default_factory=set)
    publishers: set[bytes] = field(default_factory=set)
    stamp_ns: int = 0
    clock_ns: int = 0


@dataclass
class Clocks:
    """Simulated time.

    Attributes:
        publishers: nodes that publish /clock.
        users: nodes whose ``use_sim_time`` is set, which is why they subscribe to it.
        newest_ns: the last that was heard; None where none was.
    """

    publishers: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    newest_ns: int | None = None


@dataclass
class Graph:
    """All that was seen.

    Attributes:
        rmw: the middleware in use.
        seconds: how long was listened.
        nodes: full names; one that is there twice is named twice.
        ours: names of nodes of this package.
        topics: type of each topic that has a publisher or subscription.
        images: by topic.
        infos: by topic.
        mismatches: subscriptions that QoS keeps a publisher's messages from: who subscribes, why, and whether it is
            one of our nodes.
        edges: of TF, by parent, child and whether static.
        tree: the same poses, for lookups.
        refused_edges: why edges were ignored.
        clocks: simulated time.
        frame_ms: what the pose node took for each frame, ms.
    """

    rmw: str = ""
    seconds: float = 0.0
    nodes: list[str] = field(default_factory=list)
    ours: tuple[str, ...] = ()
    topics: dict[str, list[str]] = field(default_factory=dict)
    images: dict[str, ImageTopic] = field(default_factory=dict)
    infos: dict[str, InfoTopic] = field(default_factory=dict)
    mismatches: list[tuple[str, str, bool]] = field(default_factory=list)
    edges: dict[tuple[str, str, bool], Edge] = field(default_factory=dict)
    tree: FrameTree = field(default_factory=FrameTree)
    refused_edges: set[str] = field(default_factory=set)
    clocks: Clocks = field(default_factory=Clocks)
    frame_ms: list[float] = field(default_factory=list)

    @property
    def heard_images(self) -> list[ImageTopic]:
        """Topics of which images come."""
        return [image for image in self.images.values() if image.arrivals.count and image.publishers]

    @property
    def largest_image_bytes(self) -> int:
        """Of the raw images that came, or should have come by what their camera_info says; 0 without any."""
        return max((self._image_bytes(image) for image in self.images.values()), default=0)

    @property
    def lost(self) -> float:
        """Share of the images of the worst topic that did not come, 0 to 1; 1 where nothing was listened to."""
        return max((image.arrivals.lost for image in self.images.values() if image.is_listened_to), default=1.0)

    def _image_bytes(self, image: ImageTopic) -> int:
        info = self.infos.get(image.info_topic)
        if image.size_bytes or info is None or info.newest is None or not image.kind.endswith("/Image"):
            return image.size_bytes
        return 3 * int(info.newest.width) * int(info.newest.height)


def named(names: Sequence[str]) -> str:
    """Names with commas between them; "nobody" without any."""
    return ", ".join(names) or "nobody"
