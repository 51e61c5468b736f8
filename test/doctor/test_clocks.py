"""doctor.clocks: stamps, and simulated time."""

from __future__ import annotations

import pytest
from doctor_rig import IMAGE, NOW_NS, add_edges, arrivals, edge, healthy_graph

from ros2_raxels.doctor.clocks import judge_clocks
from ros2_raxels.doctor.findings import Finding, Severity
from ros2_raxels.doctor.seen import Clocks, Graph


def only(graph: Graph) -> Finding:
    (found,) = judge_clocks(graph)
    return found


def stamped(late_s: float) -> Graph:
    graph = healthy_graph()
    graph.images[IMAGE].arrivals = arrivals(late_s=late_s)
    return graph


def test_nothing_is_said_of_stamps_of_now() -> None:
    assert judge_clocks(healthy_graph()) == []


@pytest.mark.parametrize(
    ("late_s", "value"),
    [
        (10 * 365.25 * 86400, "10.0 years behind it"),
        (7 * 3600, "7.0 hours behind it"),
        (-3 * 86400, "3.0 days ahead of it"),
    ],
)
def test_stamps_of_another_clock(late_s: float, value: str) -> None:
    found = only(stamped(late_s))
    assert found.what == f"images of {IMAGE} are stamped by another clock than the wall clock"
    assert found.value == value
    assert "use_sim_time" in found.remedy


@pytest.mark.parametrize(("late_s", "value"), [(2.5, "2.5 s behind it"), (-0.5, "0.5 s ahead of it")])
def test_clocks_that_are_not_synchronised(late_s: float, value: str) -> None:
    found = only(stamped(late_s))
    assert found.what.startswith(f"the stamps of {IMAGE} are not those of the wall clock")
    assert found.value == value


def test_images_without_a_stamp_and_with_the_same_one() -> None:
    graph = healthy_graph()
    of = graph.images[IMAGE].arrivals
    of.stamps_ns[5] = of.stamps_ns[4]
    assert only(graph).value == "1 of 60"
    of.stamps_ns = [0] * 60
    assert (only(graph).severity, only(graph).what) == (Severity.ERROR, f"images of {IMAGE} are not stamped")


def test_simulated_time_that_nobody_gives() -> None:
    graph = healthy_graph()
    graph.clocks = Clocks(users=("raxels_pose",))
    found = only(graph)
    assert found.what == "use_sim_time is set but nobody publishes /clock, so that time stands still"
    assert found.value == "raxels_pose"


def test_simulated_time_that_stands_still_or_that_we_do_not_use() -> None:
    graph = healthy_graph()
    graph.ours, graph.clocks = ("raxels_pose",), Clocks(("gazebo",), ("raxels_pose",))
    assert only(graph).what.startswith("/clock has a publisher but nothing arrived")
    graph.clocks = Clocks(("gazebo",), (), NOW_NS)
    assert only(graph).what == "there is simulated time on /clock, but raxels_pose goes by the wall clock"
    graph.clocks = Clocks(("gazebo",), ("raxels_pose",), NOW_NS)
    assert judge_clocks(graph) == []


def test_tf_of_another_clock() -> None:
    graph = add_edges(healthy_graph(), edge("odom", "base_link", "wheels", late_s=7200.0))
    found = only(graph)
    assert found.what == "TF edge odom -> base_link is stamped by another clock than the wall clock"
    assert found.remedy.startswith("correct the clock of wheels")
