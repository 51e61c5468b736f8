"""doctor.seen: rates, losses, sizes."""

from __future__ import annotations

import pytest
from doctor_rig import IMAGE, arrivals, healthy_graph

from ros2_raxels.doctor.seen import Arrivals, Graph, named


def test_rate_and_number_sent() -> None:
    assert arrivals(61).rate_hz == pytest.approx(30.0)
    assert (arrivals(20, sent=100).count, arrivals(20, sent=100).sent) == (20, 100)
    assert (arrivals(20, sent=100).lost, arrivals(20).lost, Arrivals().lost) == (0.8, 0.0, 1.0)
    assert (healthy_graph().lost, Graph().lost) == (0.0, 1.0)
    assert (Arrivals().rate_hz, Arrivals().sent, arrivals(1).rate_hz) == (0.0, 0, 0.0)


def test_messages_of_each_publisher_are_numbered_by_themselves() -> None:
    found = Arrivals()
    for publisher, number in ((b"a", 5), (b"b", 100), (b"a", 7), (b"b", 101)):
        found.add(0, 0, 0.0, publisher, number)
    assert found.sent == 3 + 2
    found.add(0, 0, 0.0, b"", None)
    assert found.sent == 5


def test_the_size_of_an_image_that_never_came_is_that_of_its_camera_info() -> None:
    graph = healthy_graph()
    assert graph.largest_image_bytes == 640 * 480 * 3
    graph.images[IMAGE].size_bytes = 0
    assert graph.largest_image_bytes == 640 * 480 * 3
    graph.infos.clear()
    assert graph.largest_image_bytes == 0
    assert named([]) == "nobody"
