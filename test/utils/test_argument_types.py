"""argument_types: what is given on the command line is what was meant, or refused."""

from __future__ import annotations

import argparse

import pytest

from ros2_raxels.utils.argument_types import (
    above_zero,
    intrinsics_px,
    lens_px,
    natural,
    positive,
    several_of,
    size_px,
)


def test_names_are_read_once_and_in_order() -> None:
    read = several_of({"a": 1, "b": 2, "c": 3}, "letter")
    assert read("c,a,c") == ("c", "a")
    assert read(",b,") == ("b",)


@pytest.mark.parametrize(("text", "named"), [("a,d", "'d'"), ("", "''"), (",", "','"), ("a, b", "' b'")])
def test_other_names_are_refused(text: str, named: str) -> None:
    read = several_of(("a", "b"), "letter")
    with pytest.raises(argparse.ArgumentTypeError, match=f"{named} is no letter; choose from a, b"):
        read(text)


def test_numbers_above_zero_are_read_and_others_refused_with_their_text() -> None:
    assert above_zero("1.5") == 1.5
    for text in ("0", "-1", "nan", "inf", "1e5", "many"):
        with pytest.raises(argparse.ArgumentTypeError, match=f"'{text}' must be a number above 0"):
            above_zero(text)


def test_whole_numbers_are_read_and_others_refused_with_their_text() -> None:
    assert (positive("1"), positive("007"), natural("0")) == (1, 7, 0)
    for read, least, texts in ((positive, 1, ("0", "-1", "1.0", "", "one")), (natural, 0, ("-1", "+1", "1e3"))):
        for text in texts:
            with pytest.raises(argparse.ArgumentTypeError) as caught:
                read(text)
            assert str(caught.value) == f"{text!r} must be a whole number of at least {least}"


def test_a_size_is_two_sides_in_px() -> None:
    assert size_px("1280x720") == (1280, 720)
    for text in ("1280", "1280x", "1280*720", "-1x720", "1280x15", "16385x720", "1280x720x3", "1280.0x720"):
        with pytest.raises(argparse.ArgumentTypeError) as caught:
            size_px(text)
        assert str(caught.value) == f"{text!r} must be a width and a height from 16 to 16384 px, like 1280x720"


def test_intrinsics_are_four_numbers() -> None:
    assert intrinsics_px("600,601.5,-3,0") == (600.0, 601.5, -3.0, 0.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2,3", "must be four numbers fx,fy,cx,cy in px"),
        ("1,2,3,4,5", "must be four numbers"),
        ("a,b,c,d", "must be four numbers"),
        ("0,1,2,3", "must be finite, and fx and fy positive"),
        ("1,-1,2,3", "must be finite, and fx and fy positive"),
        ("1,1,nan,3", "must be finite"),
    ],
)
def test_other_intrinsics_are_refused_with_their_text(text: str, words: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        intrinsics_px(text)
    assert str(caught.value).startswith(f"{text!r} {words}")


@pytest.mark.parametrize("coefficients", [0, 4, 5, 8, 12, 14])
def test_a_lens_has_as_many_coefficients_as_opencv_knows(coefficients: int) -> None:
    values = (600.0, 601.5, 320.0, 240.0, *(-0.25 / (k + 1) for k in range(coefficients)))
    assert lens_px(",".join(map(str, values))) == values


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2,3", "must be numbers fx,fy,cx,cy in px, then none or 4, 5, 8, 12 or 14 distortion coefficients k1,k2"),
        ("1,1,3,4,5,6", "must be numbers fx,fy,cx,cy in px"),
        ("600;600;320;240", "must be numbers fx,fy,cx,cy in px"),
        ("1,1,3,4,nan,0,0,0", "must be finite, and fx and fy positive"),
        ("0,1,3,4", "must be finite, and fx and fy positive"),
    ],
)
def test_another_lens_is_refused_with_its_text(text: str, words: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        lens_px(text)
    assert str(caught.value).startswith(f"{text!r} {words}")
