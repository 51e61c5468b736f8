"""csv_readings: columns by their names; what is wrong with a file is named with its row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ros2_raxels.recordings.csv_readings import read_columns
from ros2_raxels.recordings.source import SourceError


def test_columns_are_found_by_their_names(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("other,v,t\nx,3,0.5\ny,4,0.75\n")
    np.testing.assert_array_equal(read_columns(file, ("t", "v"), "wheels'"), [[0.5, 3.0], [0.75, 4.0]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("t,v\n0,1\n", "has 1 rows below its header, too few to tell a motion; give two or more"),
        ("t,w\n0,1\n1,1\n", "has no column 'v'; its first line must name t, v"),
        ("t,v\n0,1\n1,fast\n", "row 2: v = 'fast' must be a finite number; correct it"),
        ("t,v\n0,1\n1\n", "row 2: v = None must be a finite number"),
        ("t,v\n0,inf\n1,1\n", "row 1: v = 'inf' must be a finite number"),
        ("t,v\n0,1\n2,1\n2,1\n", "row 3: t = 2 s is not after the one before; sort them"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text(text)
    with pytest.raises(SourceError) as caught:
        read_columns(file, ("t", "v"), "wheels'")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.csv cannot be read: .*; give the wheels' readings as CSV"):
        read_columns(tmp_path / "gone.csv", ("t", "v"), "wheels'")
