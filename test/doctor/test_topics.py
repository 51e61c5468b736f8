"""doctor.topics: publishers, types, QoS, rates and losses."""

from __future__ import annotations

from doctor_rig import CAMERA, IMAGE, arrivals, healthy_graph

from ros2_raxels.doctor.cameras import judge_cameras
from ros2_raxels.doctor.findings import Severity
from ros2_raxels.doctor.seen import Arrivals, Graph
from ros2_raxels.doctor.topics import judge_topics
from ros2_raxels.utils.ros_environment import WITH_PROFILE


def test_nothing_is_said_of_a_healthy_graph() -> None:
    assert judge_topics(healthy_graph()) == []


def test_without_images_it_says_so() -> None:
    (found,) = judge_topics(Graph(nodes=["/a"], topics={"/t": ["std_msgs/msg/String"]}))
    assert (found.severity, found.what) == (Severity.WARNING, "no images are being published")
    assert found.value == "nodes: 1, topics: 1"
    assert "ROS_DOMAIN_ID" in found.remedy


def test_two_nodes_of_one_name() -> None:
    graph = healthy_graph()
    graph.nodes += ["/raxels_pose", "/raxels_pose"]
    (found,) = judge_topics(graph)
    assert found.severity == Severity.ERROR
    assert found.what.startswith("2 nodes have the name /raxels_pose")


def test_a_topic_of_two_types() -> None:
    graph = healthy_graph()
    graph.topics[IMAGE] = ["sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/Image"]
    (found,) = judge_topics(graph)
    assert found.what == f"{IMAGE} has several types, whose publishers and subscriptions never meet"
    assert found.value == "sensor_msgs/msg/CompressedImage, sensor_msgs/msg/Image"


def test_qos_that_keeps_messages_from_us_is_an_error_and_from_others_a_note() -> None:
    graph = healthy_graph()
    reason = f"QoS of {IMAGE} from {CAMERA} is incompatible: because"
    graph.mismatches = [("raxels_pose", reason, True), ("rviz", reason, False)]
    ours, others = judge_topics(graph)
    assert (ours.severity, ours.what) == (Severity.ERROR, f"raxels_pose gets no message: {reason}")
    assert (others.severity, others.what) == (Severity.NOTE, f"rviz gets no message: {reason}")


def test_our_node_waits_at_another_topic() -> None:
    graph = healthy_graph()
    other = healthy_graph("/image").images["/image"]
    other.publishers, other.readers, other.is_listened_to = (), ("raxels_pose",), False
    other.arrivals = Arrivals()
    graph.images["/image"] = other
    (found,) = judge_topics(graph)
    assert found.what == "raxels_pose subscribes to /image, which nobody publishes"
    assert found.value == f"images are on {IMAGE}"


def test_a_publisher_that_leaves_meanwhile() -> None:
    graph = healthy_graph()
    image = graph.images[IMAGE]
    image.publishers, image.readers = (), ("raxels_pose",)
    graph.infos.clear()
    orphan, silent = judge_topics(graph)
    assert orphan.value == "its publisher left while it was listened to"
    assert silent.what == "no images are being published"
    assert judge_cameras(graph) == []


def test_a_publisher_of_whom_nothing_comes() -> None:
    graph = healthy_graph()
    graph.images[IMAGE].arrivals = Arrivals()
    (found,) = judge_topics(graph)
    assert found.severity == Severity.ERROR
    assert found.what == f"{IMAGE} has a publisher ({CAMERA}) but nothing arrived in 3 s"
    assert found.remedy.endswith(WITH_PROFILE)


def test_images_that_are_lost_or_far_apart() -> None:
    graph = healthy_graph()
    graph.images[IMAGE].arrivals = arrivals(20, sent=100)
    (lost,) = judge_topics(graph)
    assert (lost.what, lost.value) == (f"images of {IMAGE} are lost on the way", "20 of 100 arrived here, 900 KiB each")
    graph.images[IMAGE].arrivals = arrivals(6, rate_hz=2.0)
    (slow,) = judge_topics(graph)
    assert (slow.severity, slow.value) == (Severity.WARNING, "2.0 Hz")


def test_two_publishers_of_images() -> None:
    graph = healthy_graph()
    graph.images[IMAGE].publishers = ("left", "right")
    (found,) = judge_topics(graph)
    assert (found.what, found.value) == (f"{IMAGE} has 2 publishers, whose images mix", "left, right")
