"""place_index: which of the stored keyframes shows a place."""

from __future__ import annotations

import numpy as np
from keyframes_on_a_line import MATCHER, picture

from ros2_raxels.matching.features import Features
from ros2_raxels.tracking.place_index import PlaceIndex


def test_most_votes_go_to_the_place_itself_also_shifted_and_in_other_light() -> None:
    index = PlaceIndex()
    for number in range(6):
        index.add(number, MATCHER.keypoints(Features(picture(number))))
    shifted = np.roll(picture(3), (4, -9), axis=(0, 1))
    seen = MATCHER.keypoints(Features((0.7 * shifted + 20).astype(np.uint8)))
    votes = index.votes(seen)
    assert sorted(votes) == list(range(6))
    assert max(votes, key=lambda n: votes[n]) == 3
    assert votes[3] > 15
    assert votes[3] > 5 * max(count for number, count in votes.items() if number != 3)
    copied = index.copy()
    index.forget(3)
    assert 3 not in index
    assert 3 in copied
    assert sorted(index.votes(seen)) == [0, 1, 2, 4, 5]


def test_nothing_is_known_without_keyframes_and_nothing_seen_without_keypoints() -> None:
    index = PlaceIndex()
    blank = MATCHER.keypoints(Features(np.zeros((120, 160), np.uint8)))
    assert index.votes(MATCHER.keypoints(Features(picture(0)))) == {}
    index.add(0, blank)
    index.add(1, MATCHER.keypoints(Features(picture(1))))
    assert index.votes(blank) == {}
    assert index.votes(MATCHER.keypoints(Features(picture(1))))[0] == 0
