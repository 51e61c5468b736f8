"""utils.durations: each is told in the largest unit that it holds."""

from __future__ import annotations

import pytest

from ros2_raxels.utils.durations import in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0.0 s"),
        (-0.25, "0.2 s"),
        (59.0, "59.0 s"),
        (-60.0, "1.0 minutes"),
        (7 * 3600.0, "7.0 hours"),
        (3 * 86400.0, "3.0 days"),
        (10 * 365.25 * 86400, "10.0 years"),
    ],
)
def test_the_unit_is_the_largest_that_fits(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
