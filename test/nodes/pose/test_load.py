"""load: whether images are answered at the rate at which they come, and what is said where they are not."""

from __future__ import annotations

import pytest

from ros2_raxels.nodes.pose.load import Load


def fed(replaced: list[bool], rate_hz: float = 30.0) -> Load:
    load = Load()
    for k, was_replaced in enumerate(replaced):
        load.see_image(round(k / rate_hz * 1e9), was_replaced)
    return load


def test_nothing_is_wrong_before_there_are_images_and_while_most_are_answered() -> None:
    assert Load().trouble == ""
    assert Load().values()["rate by stamps (Hz)"] == "nan"
    assert fed([True] * 29).trouble == ""
    steady = fed([False] * 300)
    assert steady.trouble == ""
    assert steady.period_s == pytest.approx(1 / 30, rel=1e-6)
    assert steady.values() == {
        "rate by stamps (Hz)": "30.0",
        "images answered (%)": "100",
        "answer takes (ms)": "0.0",
    }


def test_where_images_replace_each_other_the_share_the_time_and_the_remedy_are_said() -> None:
    load = fed([False, True, True] * 50, rate_hz=90.0)
    for _ in range(200):
        load.see_answer(0.025)
    assert load.trouble.startswith(
        "too slow for this rate: only 33 % of the images at 90.0 Hz are answered, each in 25 ms; lower the rate of the "
        "camera or the size of its images"
    )


def test_what_is_over_is_said_no_more() -> None:
    load = fed([True] * 150 + [False] * 134)
    assert "11 %" not in load.trouble
    assert "89 %" in load.trouble
    assert fed([True] * 150 + [False] * 136).trouble == ""
