"""image_names: times by value whatever the unit, kinds by pattern, depth by its name."""

from __future__ import annotations

import pytest

from ros2_raxels.recordings.image_names import frame_numbers, is_no_picture, pattern, times_of_names

S = 1_700_000_000 * 10**9


@pytest.mark.parametrize(
    ("names", "times", "unit"),
    [
        (["1700000000.82", "1700000000.123456", "1700000001"], [S + 820_000_000, S + 123_456_000, S + 10**9], "s"),
        (["rgb_1700000000.5_left", "rgb_1700000000.25_left"], [S + 500_000_000, S + 250_000_000], "s"),
        (["0.0", "0.033333", "0.1"], [0, 33_333_000, 100_000_000], "s"),
        (["1700000000", "1700000001"], [S, S + 10**9], "s"),
        (["1700000000123", "1700000000156"], [S + 123_000_000, S + 156_000_000], "ms"),
        (["1700000000123456", "1700000000156789"], [S + 123_456_000, S + 156_789_000], "us"),
        (["1700000000123456789", "1700000000156789012"], [S + 123_456_789, S + 156_789_012], "ns"),
        (["frame-1403636579763555584", "frame-1403636579813555456"], [1403636579763555584, 1403636579813555456], "ns"),
        (["1700000000123456789"], [S + 123_456_789], "ns"),
        (["1700000000_123456789", "1700000001_023456789"], [S + 123_456_789, S + 1_023_456_789], "s and ns"),
        (["frame_1700000000-123456", "frame_1700000001-23456"], [S + 123_456_000, S + 1_023_456_000], "s and us"),
        (["1700000000-250-left", "1700000000-500-left"], [S + 250_000_000, S + 500_000_000], "s and ms"),
    ],
)
def test_times_of_any_unit_are_read_by_value(names: list[str], times: list[int], unit: str) -> None:
    assert times_of_names(names) == (times, unit)


@pytest.mark.parametrize(
    "names",
    [
        ["000000", "000001"],
        ["0000000001", "0000000002"],  # KITTI raw: ten digits that count
        ["IMG_20231114_221320", "IMG_20231114_221321"],
        ["1403636579763555584", "last"],
        ["1700000000.5", "last"],
        ["1700000000123", "1700000000123456"],
        ["cam1700000000_1", "cam1700000000_2", "cam1700000000_3"],  # a serial number
        ["1700000000_000001", "1700000000_000002", "1700000000_000003"],  # the start, and a counter
        ["PXL_0001.MP", "PXL_0002.MP"],
    ],
)
def test_what_counts_or_names_is_no_time(names: list[str]) -> None:
    assert times_of_names(names) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("depth000001", True),
        ("frame-000000.depth", True),
        ("0001_Depth", True),
        ("aligned_depth_to_color", True),
        ("mask_3", True),
        ("000123_semantic", True),
        ("frame000001", False),
        ("in_depth_review".replace("depth", "depths"), False),
        ("abnormal_001", False),
        ("color", False),
    ],
)
def test_depth_and_labels_are_told_by_words(name: str, expected: bool) -> None:
    assert is_no_picture(name) is expected


def test_files_of_one_kind_share_a_pattern_and_those_of_one_moment_their_numbers() -> None:
    assert pattern("frame-000012.color.png") == "frame-*.color.png"
    assert frame_numbers("left_0012_7") == frame_numbers("right_12_07") == (12, 7)
