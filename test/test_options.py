"""options: what is given on the command line is what was meant, or refused."""

from __future__ import annotations

import argparse

import pytest

from ros2_raxels.options import several_of


def test_names_are_read_once_and_in_order() -> None:
    read = several_of({"a": 1, "b": 2, "c": 3}, "letter")
    assert read("c,a,c") == ("c", "a")
    assert read(",b,") == ("b",)


@pytest.mark.parametrize(("text", "named"), [("a,d", "'d'"), ("", "''"), (",", "','"), ("a, b", "' b'")])
def test_other_names_are_refused(text: str, named: str) -> None:
    read = several_of(("a", "b"), "letter")
    with pytest.raises(argparse.ArgumentTypeError, match=f"{named} is no letter; choose from a, b"):
        read(text)
