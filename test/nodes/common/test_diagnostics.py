"""nodes.common.diagnostics: problems are logged once in a while, rates and latencies are those of what was counted."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("rclpy")

from ros2_raxels.nodes.common import diagnostics
from ros2_raxels.nodes.common.diagnostics import Latencies, Problems, Traffic, kind_of, kind_of_line, worded


class Time:
    """A clock that is set by hand, s."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Log(list[str]):
    """What was logged."""

    def warning(self, message: str) -> None:
        self.append(message)


@pytest.fixture
def time() -> Time:
    return Time()


def test_the_kind_of_a_problem_depends_neither_on_numbers_nor_on_what_is_quoted():
    first = kind_of("image stamp 17.25 ns repeats in 'front camera'")
    assert first == kind_of("image stamp 3 ns repeats in 'it\\'s the rear'")
    assert first != kind_of("image stamp 17.25 ns is old in 'front camera'")
    # A text that was cut short within its quote.
    assert kind_of('encoding "yuv') == kind_of('encoding "rgb8 and so on"')


def test_a_kind_is_logged_once_in_5_s_and_next_time_with_the_number_suppressed(time: Time):
    log = Log()
    problems = Problems(log, time)
    for number in range(4):
        problems.report(f"image {number} is bad")
        problems.report("the camera is assumed to be level")
        time.now += 1.0
    assert log == ["image 0 is bad", "the camera is assumed to be level"]
    time.now += 1.0
    problems.report("image 9 is bad")
    assert log[2:] == ["image 9 is bad (3 more since last logged)"]
    assert kind_of_line(log[2]) == kind_of(log[0]) == "image # is bad"
    time.now += 5.0
    problems.report("image 10 is bad")
    assert log[3:] == ["image 10 is bad"]


def test_the_last_problem_is_kept_and_is_recent_for_3_s(time: Time):
    problems = Problems(Log(), time)
    assert (problems.last, problems.recent) == ("", False)
    problems.report("first")
    problems.report("x" * 1000)
    assert problems.last == "x" * 400
    time.now += 2.9
    assert problems.recent
    time.now += 0.2
    assert not problems.recent
    assert problems.last == "x" * 400


def test_an_endless_variety_of_problems_does_not_fill_the_memory(time: Time):
    log = Log()
    problems = Problems(log, time)
    for number in range(1000):
        problems.report("new " + "x" * (1 + number % 300) + chr(ord("a") + number // 300))
    assert len(log) == 1000
    assert len(problems._logged_at) <= 100


def test_latency_percentiles_are_those_of_the_last_300():
    latencies = Latencies()
    assert latencies.values() == {"latency p50 (ms)": "nan", "latency p95 (ms)": "nan"}
    for _ in range(300):
        latencies.add(9.0)
    for number in range(301):
        latencies.add(number * 1e-3)
    # Of 1 to 300 ms.
    assert latencies.values() == {"latency p50 (ms)": "150.5", "latency p95 (ms)": "285.1"}


def test_rates_are_since_the_last_report_and_every_frame_is_counted_once(time: Time):
    traffic = Traffic(time)
    traffic.received, traffic.processed, traffic.replaced, traffic.refused, traffic.rejected = 20, 10, 5, 3, 2
    traffic.latencies.add(0.02)
    time.now += 2.0
    assert traffic.values() == {
        "rate in (Hz)": "10.0",
        "rate out (Hz)": "5.0",
        "latency p50 (ms)": "20.0",
        "latency p95 (ms)": "20.0",
        "frames received": "20",
        "frames processed": "10",
        "frames replaced by a newer one": "5",
        "frames rejected": "5",
    }
    assert traffic.dropped == 10
    assert traffic.received == traffic.processed + traffic.dropped
    traffic.received += 1
    time.now += 4.0
    assert (traffic.values()["rate in (Hz)"], traffic.values()["rate out (Hz)"]) == ("0.2", "0.0")
    # Asked twice in the same moment: nothing is divided by zero.
    assert traffic.values()["rate in (Hz)"] == "0.0"


def test_a_status_without_a_message_says_ok_and_keeps_its_values():
    status = diagnostics.status("raxels_pose: tf", diagnostics.OK, "", {"state": "TRACKING"})
    assert (status.name, status.level, status.message) == ("raxels_pose: tf", b"\x00", "ok")
    assert [(pair.key, pair.value) for pair in status.values] == [("state", "TRACKING")]
    assert diagnostics.status("n", diagnostics.ERROR, "no image").message == "no image"


def test_an_exception_is_described_in_one_line():
    assert worded(ValueError("two\n  lines")) == "ValueError: two lines"
    assert worded(MemoryError()) == "MemoryError: "
    assert not math.isfinite(float(Latencies().values()["latency p50 (ms)"]))
