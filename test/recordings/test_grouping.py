"""grouping: images of cameras that drop, lag, die or jump in time, put together by their stamps."""

from __future__ import annotations

from ros2_raxels.recordings.grouping import Group, Grouper

MS = 1_000_000
PERIOD = 33 * MS


def stereo(tolerance_ms: int = 5) -> Grouper[str]:
    return Grouper(("left", "right"), tolerance_ms * MS)


def fed(grouper: Grouper[str], *images: tuple[str, float]) -> list[Group[str]]:
    """What comes out of images (camera, stamp in periods) in the order in which they come."""
    out: list[Group[str]] = []
    for name, periods in images:
        out += grouper.add(name, round(periods * PERIOD), f"{name}@{periods:g}")
    return out


def told(groups: list[Group[str]]) -> list[list[str]]:
    return [list(group.items.values()) for group in groups]


def test_a_group_is_out_with_its_last_camera_whoever_comes_first() -> None:
    groups = fed(stereo(), ("right", 0.05), ("left", 0), ("left", 1), ("right", 1.05))
    assert told(groups) == [["left@0", "right@0.05"], ["left@1", "right@1.05"]]
    assert [group.stamp_ns for group in groups] == [0, PERIOD]


def test_a_dropped_image_is_waited_for_until_the_next_one() -> None:
    grouper = stereo()
    assert told(fed(grouper, ("left", 0), ("right", 0), ("left", 1))) == [["left@0", "right@0"]]
    assert told(fed(grouper, ("left", 2))) == [["left@1"]]
    assert told(fed(grouper, ("right", 2))) == [["left@2", "right@2"]]
    assert (grouper.missing["right"], grouper.missing["left"], grouper.silent) == (1, 0, ())


def test_a_late_image_is_counted_and_left_out() -> None:
    grouper = stereo()
    groups = fed(grouper, ("left", 0), ("right", 0), ("left", 1), ("left", 2), ("right", 1), ("right", 2))
    assert told(groups) == [["left@0", "right@0"], ["left@1"], ["left@2", "right@2"]]
    assert grouper.late == {"right": 1}


def test_a_dead_camera_is_not_waited_for_until_it_is_back() -> None:
    grouper = stereo()
    fed(grouper, ("left", 0), ("right", 0), *(("left", k) for k in range(1, 5)))
    assert grouper.silent == ("right",)
    # From now on at once.
    assert told(fed(grouper, ("left", 5))) == [["left@5"]]
    assert told(fed(grouper, ("left", 6))) == [["left@6"]]
    assert told(fed(grouper, ("right", 7), ("left", 7))) == [["left@7", "right@7"]]
    assert grouper.silent == ()


def test_a_camera_that_is_back_and_always_last_is_given_a_chance() -> None:
    grouper = stereo()
    fed(grouper, ("left", 0), ("right", 0), *(("left", k) for k in range(1, 5)))
    groups = fed(grouper, *((name, k) for k in range(5, 15) for name in ("left", "right")))
    assert told(groups)[-2:] == [["left@13", "right@13"], ["left@14", "right@14"]]
    assert grouper.late["right"] == 8


def test_the_first_camera_may_die_too() -> None:
    grouper = stereo()
    groups = fed(grouper, ("left", 0), ("right", 0), *(("right", k) for k in range(1, 6)))
    assert told(groups)[1:] == [[f"right@{k}"] for k in range(1, 5 + 1)]
    assert grouper.silent == ("left",)


def test_a_camera_of_half_the_rate_is_waited_for_when_it_is_due() -> None:
    grouper = stereo()
    images = [("left", 0), ("right", 0), ("left", 1), ("left", 2), ("right", 2), ("left", 3), ("left", 4), ("right", 4)]
    fed(grouper, *images)
    assert told(fed(grouper, ("left", 5))) == [["left@5"]]
    assert told(fed(grouper, ("left", 6))) == []
    assert told(fed(grouper, ("right", 6))) == [["left@6", "right@6"]]


def test_other_clocks_never_meet_and_are_told() -> None:
    grouper = stereo()
    groups = fed(grouper, *((name, k + offset) for k in range(8) for name, offset in (("left", 0), ("right", 0.5))))
    assert all(len(group.items) == 1 for group in groups)
    assert grouper.alone == len(groups) > 10
    fed(grouper, ("left", 9), ("right", 9))
    assert grouper.alone == 0


def test_a_clock_that_is_set_back_begins_again() -> None:
    grouper = stereo()
    groups = fed(grouper, ("left", 100), ("right", 100), ("left", 101), ("left", 0), ("right", 0))
    assert told(groups) == [["left@100", "right@100"], ["left@101"], ["left@0", "right@0"]]


def test_what_waits_at_the_end_is_given_out() -> None:
    grouper = stereo()
    assert fed(grouper, ("right", 0)) == []
    assert told(grouper.flush()) == [["right@0"]]
    assert grouper.flush() == []
