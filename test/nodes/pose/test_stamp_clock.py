"""nodes.pose.stamp_clock: two clocks are told apart, and the words name both and the remedy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ros_testing import Probe

pytest.importorskip("rclpy")

import rclpy
from rclpy.clock import ClockType
from rclpy.parameter import Parameter
from rclpy.time import Time

from ros2_raxels.nodes.pose.stamp_clock import StampClock, other_clock, standing_still

S = 10**9
NOW = 1_800_000_000 * S
"""2027-01-15 08:00:00 UTC."""


@pytest.mark.parametrize("off_s", [0, 60, -60])
def test_late_and_early_images_are_of_the_same_clock(off_s: int) -> None:
    assert other_clock(NOW - off_s * S, NOW, False, []) == ""


def test_a_recording_without_simulated_time() -> None:
    assert other_clock(NOW - 7 * 3600 * S, NOW, False, []) == (
        "images are stamped by another clock: theirs says 2027-01-15 01:00:00 UTC, this node's (the wall clock) "
        "2027-01-15 08:00:00 UTC, 7.0 hours behind; play a recording with --clock and set use_sim_time to true, or let "
        "the driver stamp with the system's time (chrony, PTP)"
    )


def test_stamps_since_the_start_of_a_machine_are_no_date() -> None:
    assert "theirs says 12.5 s, this node's" in other_clock(12_500_000_000, NOW, False, [])


def test_a_simulator_whose_clock_the_node_does_not_go_by() -> None:
    words = other_clock(100 * S, NOW, False, ["gazebo"])
    assert words.endswith("; set use_sim_time to true on this node, since gazebo publishes /clock")


def test_a_driver_that_does_not_go_by_simulated_time() -> None:
    words = other_clock(NOW, 100 * S, True, ["gazebo"])
    assert "this node's clock (/clock) 100.0 s, 57.0 years ahead; set use_sim_time to true where the images" in words


def test_images_without_a_stamp() -> None:
    words = "images are not stamped (0); let the driver stamp each with the time of its exposure by "
    assert other_clock(0, NOW, False, []) == words + "the wall clock"
    assert other_clock(0, NOW, True, ["gazebo"]) == words + "/clock"


def test_simulated_time_that_does_not_come() -> None:
    assert standing_still([]).startswith("use_sim_time is true but nobody publishes /clock, so that this node's clock")
    assert "nothing arrives on /clock from gazebo" in standing_still(["gazebo"])


class Log(list[str]):
    """What was logged."""

    def warning(self, words: str) -> None:
        self.append(words)


@pytest.fixture
def clock(probe: Probe, request: pytest.FixtureRequest) -> Iterator[tuple[StampClock, Log, list[float]]]:
    """Of a node with simulated time or without, its log, and a steady clock that is set by hand."""
    simulated = [Parameter("use_sim_time", value=getattr(request, "param", False))]
    node = rclpy.create_node("clocked", context=probe.node.context, parameter_overrides=simulated)
    log, steady = Log(), [100.0]
    node.get_logger = lambda: log
    yield StampClock(node, lambda: steady[0]), log, steady
    node.destroy_node()


@pytest.mark.ros
def test_what_is_wrong_is_logged_once_until_it_is_something_else(clock: tuple[StampClock, Log, list[float]]) -> None:
    stamps, log, _ = clock
    assert stamps.problem == ""
    for stamp in (10 * S, 11 * S):
        stamps.see(stamp)
        stamps.look()
    assert float(stamps.values["image stamps behind it (s)"]) > 1e9
    assert [line[: line.index(":")] for line in log] == ["images are stamped by another clock"]
    stamps.see(0)
    stamps.look()
    assert len(log) == 2


@pytest.mark.ros
@pytest.mark.parametrize("clock", [True], indirect=True)
def test_simulated_time_has_a_second_to_come(clock: tuple[StampClock, Log, list[float]]) -> None:
    stamps, log, steady = clock
    steady[0] += 0.9
    stamps.look()
    assert stamps.problem == ""
    steady[0] += 0.2
    stamps.look()
    assert stamps.problem == standing_still([])
    assert stamps.values == {"clock": "/clock"}
    assert len(log) == 1


@pytest.mark.ros
def test_an_image_from_before_simulated_time_began_is_not_of_another_clock(probe: Probe) -> None:
    simulated = [Parameter("use_sim_time", value=True)]
    node = rclpy.create_node("clocked", context=probe.node.context, parameter_overrides=simulated)
    stamps = StampClock(node)
    stamps.see(NOW)
    node.get_clock().set_ros_time_override(Time(nanoseconds=NOW, clock_type=ClockType.ROS_TIME))
    stamps.look()
    assert stamps.problem == ""
    stamps.see(NOW - 100 * S)
    stamps.look()
    assert "this node's clock (/clock)" in stamps.problem
    node.destroy_node()
