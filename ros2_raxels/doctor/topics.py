"""Judges topics and nodes: publishers, types, QoS, rates and losses."""

from __future__ import annotations

from collections import Counter

from ros2_raxels.doctor.findings import Finding, Severity
from ros2_raxels.doctor.seen import MOST_LOST, Graph, ImageTopic, named
from ros2_raxels.utils.ros_environment import WITH_PROFILE

_LEAST_RATE_HZ = 5.0
_LEAST_SENT = 10


def judge_topics(graph: Graph) -> list[Finding]:
    """What is wrong with them."""
    found = [*_judge_nodes(graph), *_judge_types(graph), *_judge_connections(graph)]
    if not any(image.publishers for image in graph.images.values()):
        found.append(
            Finding(
                Severity.WARNING,
                "no images are being published",
                f"nodes: {len(graph.nodes)}, topics: {len(graph.topics)}",
                "start the camera; where it runs, give this shell its ROS_DOMAIN_ID and discovery range",
            )
        )
    for image in graph.images.values():
        if image.is_listened_to and image.publishers:
            found += _judge_flow(image, graph.seconds)
    return found


def _judge_nodes(graph: Graph) -> list[Finding]:
    return [
        Finding(
            Severity.ERROR,
            f"{count} nodes have the name {name}: they answer each other's services and publish the same topics",
            "",
            "end all but one, or give each its own namespace (docs/recipes.md, Two robots)",
        )
        for name, count in Counter(graph.nodes).items()
        if count > 1
    ]


def _judge_types(graph: Graph) -> list[Finding]:
    return [
        Finding(
            Severity.ERROR,
            f"{topic} has several types, whose publishers and subscriptions never meet",
            ", ".join(types),
            "remap one of them to another topic",
        )
        for topic, types in graph.topics.items()
        if len(types) > 1
    ]


def _judge_connections(graph: Graph) -> list[Finding]:
    found = [
        Finding(
            Severity.ERROR if is_ours else Severity.NOTE,
            f"{reader} gets no message: {reason}",
            "",
            "change the QoS of the publisher or of the subscription",
        )
        for reader, reason, is_ours in graph.mismatches
    ]
    published = [image.topic for image in graph.images.values() if image.publishers]
    found += [
        Finding(
            Severity.ERROR,
            f"{named(image.readers)} subscribes to {image.topic}, which nobody publishes",
            "its publisher left while it was listened to" if image.arrivals.count else _said_of(published),
            "remap it to a topic that has a publisher, or start the camera",
        )
        for image in graph.images.values()
        if image.readers and not image.publishers
    ]
    return found


def _said_of(published: list[str]) -> str:
    return f"images are on {', '.join(published)}" if published else ""


def _judge_flow(image: ImageTopic, seconds: float) -> list[Finding]:
    """Whether images come, all of them, and often enough."""
    arrivals = image.arrivals
    if not arrivals.count:
        return [
            Finding(
                Severity.ERROR,
                f"{image.topic} has a publisher ({named(image.publishers)}) but nothing arrived in {seconds:.0f} s",
                "it is idle, or its images are lost on the way",
                f"see that the camera runs; {WITH_PROFILE}",
            )
        ]
    found = []
    if arrivals.sent >= _LEAST_SENT and arrivals.lost > MOST_LOST:
        found.append(
            Finding(
                Severity.WARNING,
                f"images of {image.topic} are lost on the way",
                f"{arrivals.count} of {arrivals.sent} arrived here, {image.size_bytes >> 10} KiB each",
                f"{WITH_PROFILE}; over a network take compressed images",
            )
        )
    elif 0 < arrivals.rate_hz < _LEAST_RATE_HZ:
        found.append(
            Finding(
                Severity.WARNING,
                f"images of {image.topic} are too far apart to be tracked in fast motion",
                f"{arrivals.rate_hz:.1f} Hz",
                "set the camera to 10 Hz or more",
            )
        )
    if len(image.publishers) > 1:
        found.append(
            Finding(
                Severity.ERROR,
                f"{image.topic} has {len(image.publishers)} publishers, whose images mix",
                named(image.publishers),
                "end one, or remap its images to another topic",
            )
        )
    return found
