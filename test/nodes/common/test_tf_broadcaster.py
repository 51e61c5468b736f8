"""tf_broadcaster: which edges of others are heard, whatever the moment at which they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from ros_testing import Probe

pytest.importorskip("rclpy")

from geometry_msgs.msg import TransformStamped
from rclpy.serialization import serialize_message
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from ros2_raxels.nodes.common.messages import stamp_message
from ros2_raxels.nodes.common.tf_broadcaster import EdgePublisher, EdgeSenders

pytestmark = pytest.mark.ros


def edge(parent: str, child: str) -> bytes:
    """A message of /tf, as a raw subscription delivers it."""
    found = TransformStamped(header=Header(frame_id=parent), child_frame_id=child)
    found.transform.rotation.w = 1.0
    message: bytes = serialize_message(TFMessage(transforms=[found]))
    return message


@pytest.fixture
def edges(probe: Probe) -> Iterator[EdgePublisher]:
    """One whose base is known from the beginning, and the camera from the first question about it."""
    publisher = EdgePublisher(probe.node, ("base_link",))
    yield publisher
    publisher.destroy()


class _Interrupted(str):
    """A name at whose first use the executor gets its turn."""

    meanwhile: Callable[[], None] | None

    def lstrip(self, *characters: str) -> str:
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        return super().lstrip(*characters)


def test_a_parent_heard_during_the_first_query_counts(edges: EdgePublisher) -> None:
    child = _Interrupted("eye")
    child.meanwhile = lambda: edges._on_tf(edge("mast", "eye"), {})
    assert edges.other_parent(child, "raxels_world") == "mast"
    assert edges.refusal("raxels_world", "eye").startswith("TF frame eye already has the parent mast")


def test_all_edges_count_before_the_first_query_and_those_of_watched_children_after_it(edges: EdgePublisher):
    edges._on_tf(edge("mast", "eye"), {})
    assert edges.other_parent("eye", "raxels_world") == "mast"
    for parent, child in (("pole", "lamp"), ("odom", "base_link")):
        edges._on_tf(edge(parent, child), {})
    assert edges.other_parent("base_link", "raxels_world") == "odom"
    assert edges.other_parent("lamp", "raxels_world") == ""
    edges._on_tf(edge("pole", "lamp"), {})
    assert edges.other_parent("lamp", "raxels_world") == "pole"


def message(parent: str, child: str, stamp_ns: int = 1) -> TFMessage:
    header = Header(frame_id=parent, stamp=stamp_message(stamp_ns))
    return TFMessage(transforms=[TransformStamped(header=header, child_frame_id=child)])


def test_where_the_middleware_does_not_tell_whose_a_message_is_ours_are_known_by_their_stamps(probe: Probe) -> None:
    senders = EdgeSenders(probe.node)
    own = message("world", "eye", 5)
    senders.sends(own.transforms[0])
    senders.heard(own, False, {})
    assert senders.others("world", "eye") == []
    senders.heard(message("world", "eye", 6), False, {})
    senders.heard(message("world", "lamp", 6), False, {})
    assert senders.others("world", "/eye") == ["another node"]
    assert senders.others("world", "lamp") == []


def test_a_publisher_that_has_gone_is_no_other(probe: Probe) -> None:
    senders = EdgeSenders(probe.node)
    for sender in (b"one", b"two"):
        about = {"publisher_gid": {"data": sender}}
        senders.heard(message("world", "eye"), True, about)
    assert senders.others("world", "eye") == []


def test_what_a_topic_sends_does_not_fill_the_memory_of_who_sends(probe: Probe) -> None:
    senders = EdgeSenders(probe.node)
    for number in range(1200):
        senders.heard(message("world", f"eye_{number}"), False, {})
        senders.heard(message("world", "eye_0"), False, {"publisher_gid": {"data": str(number).encode()}})
    assert len(senders._heard_at) == 1000
    assert len(senders._heard_at["world", "eye_0"]) == 1000
