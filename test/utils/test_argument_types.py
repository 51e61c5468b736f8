"""options: what is given on the command line is what was meant, or refused."""

from __future__ import annotations

import argparse

import pytest

from ros2_raxels.utils.argument_types import above_zero, several_of


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
