"""Charts: the line says which is better, a method keeps its colour, dots are where they belong."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ros2_raxels.evaluation.report import charts
from ros2_raxels.geometry.poses import FloatArray

GREEN, RED = (20, 108, 60), (179, 38, 30)


def pixels_like(png: bytes, colour: tuple[int, int, int]) -> int:
    """How many are of the hue of a colour that is drawn half through on white."""
    image = cv2.cvtColor(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    drawn = np.array(colour) * 0.55 + 255 * 0.45
    return int((np.abs(image - drawn).max(axis=2) < 6).sum())


@pytest.mark.parametrize(("higher_is_better", "seen", "unseen"), [(True, GREEN, RED), (False, RED, GREEN)])
def test_the_line_to_the_peer_says_which_is_better(
    higher_is_better: bool, seen: tuple[int, int, int], unseen: tuple[int, int, int]
) -> None:
    panels = {"AUC": {"raxels": [0.9, 0.8], "peer": [0.2, 0.3]}}
    colour = charts.colours(["raxels", "peer"])
    png = charts.side_by_side(["a", "b"], panels, colour, higher_is_better=higher_is_better)
    assert pixels_like(png, seen) > 1000
    assert pixels_like(png, unseen) == 0


def test_curves_have_their_dots_where_they_belong() -> None:
    png = charts.curves({"cost": ("megapixels", {"median": ([1.0, 2.0, 4.0], [10.0, 10.0, 20.0])})})
    first, second, third = dots(png)
    assert third[0] - second[0] == pytest.approx(2 * (second[0] - first[0]), abs=3)
    assert first[1] == pytest.approx(second[1], abs=1)
    # Both axes begin at 0: what costs twice as much is twice as high.
    assert third[1] < first[1]


def test_a_method_has_one_colour_in_all_charts() -> None:
    few, many = charts.colours(["raxels", "peer"]), charts.colours(["raxels", "peer", "c", "d", "e", "f", "g"])
    assert few.items() <= many.items()
    assert len(set(many.values())) == 7


def dots(png: bytes) -> FloatArray:
    """(N, 2) middle of each dot of ours, px."""
    image = cv2.cvtColor(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    blue = (np.abs(image.astype(int) - (31, 111, 178)).max(axis=2) < 30).astype(np.uint8)
    # Lines are thinner, and the legend is above.
    blue[:50], whole = 0, np.ones((9, 9), np.uint8)
    middles = cv2.connectedComponentsWithStats(cv2.morphologyEx(blue, cv2.MORPH_OPEN, whole))[3][1:]
    return np.asarray(sorted(middles.tolist()))


def test_the_chart_has_its_dots_where_they_belong() -> None:
    png = charts.stated_and_seen([0.0, 0.25, 1.0], [0.0, 0.75, 0.5], [3, 1, 2], "views")
    origin, second, third = dots(png)
    across, up = third[0] - origin[0], 2 * (origin[1] - third[1])
    assert second[0] - origin[0] == pytest.approx(0.25 * across, abs=2)
    assert origin[1] - second[1] == pytest.approx(0.75 * up, abs=2)


def test_the_chart_of_regions_has_a_dot_for_each_probability() -> None:
    png = charts.regions([0.0, 0.5, 1.0], {"position": [0.0, 0.25, 1.0]})
    blue = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert blue.shape[1] > 1000
    worse = charts.regions([0.0, 0.5, 1.0], {"position": [0.0, 0.75, 1.0]})
    assert png != worse
