"""learned: where learned keypoints lie, which stages are asked for their matches, and that flow is the matcher's."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from learned_rig import CornersGraph, FakeGraphs, NearestGraph

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.learned import STRIDE_PX, LearnedMatcher
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.matching.tracks import EvidenceSettings

SHIFT_PX = np.array([9.0, 6.0])


def picture(height: int = 130, width: int = 170) -> npt.NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (height // 5, width // 5), np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def shifted_pair() -> tuple[Features, Features]:
    whole = picture()
    x, y = SHIFT_PX.astype(int)
    return Features(whole[:120, :160].copy()), Features(whole[y : y + 120, x : x + 160].copy())


def test_keypoints_lie_in_the_working_image_and_are_found_once() -> None:
    graph = CornersGraph()
    matcher = LearnedMatcher(FakeGraphs(graph))
    frame = Features(picture(120, 150))
    found = matcher.keypoints(frame)
    assert matcher.keypoints(frame) is found
    assert [image.shape for image in graph.asked] == [(4 * STRIDE_PX, 5 * STRIDE_PX)]
    corners = cv2.goodFeaturesToTrack(frame.grey, 300, 0.001, 3).reshape(-1, 2)
    apart = np.linalg.norm(found.pixels[:, None] - corners, axis=2).min(axis=1)
    assert np.median(apart) < 0.01, "the border that was added must not move them"
    assert frame.keypoints is None
    frame.forget_details()
    assert frame.learned is None


def test_places_have_the_middle_at_0_and_the_longer_side_2() -> None:
    frame = Features(picture(120, 150))
    found = LearnedMatcher(FakeGraphs()).keypoints(frame)
    np.testing.assert_allclose(found.place, (found.pixels - (75, 60)) / 75, atol=1e-6)


def test_no_keypoints_where_pixels_may_not_be_used_or_there_are_none() -> None:
    usable = np.zeros((120, 160), bool)
    usable[:, 80:] = True
    found = LearnedMatcher(FakeGraphs()).keypoints(Features(picture(120, 160), usable=usable))
    assert len(found.pixels) > 20
    assert found.pixels[:, 0].min() >= 80
    blank = Features(np.full((120, 160), 9, np.uint8))
    matcher = LearnedMatcher(FakeGraphs())
    assert len(matcher.keypoints(blank).pixels) == 0
    assert matcher.common_keypoints(blank, blank) == 0


def test_matches_are_mutual_and_right() -> None:
    a, b = shifted_pair()
    matcher = LearnedMatcher(FakeGraphs())
    index, score = matcher._match_keypoints(matcher.keypoints(a), matcher.keypoints(b))
    there = index >= 0
    assert len(np.unique(index[there])) == there.sum() > 50
    off = matcher.keypoints(a).pixels[there] - SHIFT_PX - matcher.keypoints(b).pixels[index[there]]
    assert np.mean(np.linalg.norm(off, axis=1) < 0.5) > 0.9
    assert score[there].min() > 0.1
    assert score[~there].max(initial=0.0) == 0.0


def test_stages_are_asked_until_enough_is_sure_without_what_has_no_match() -> None:
    a, b = shifted_pair()
    first, second, third = NearestGraph(unsure=0.3, keep=2), NearestGraph(unsure=0.01), NearestGraph()
    matcher = LearnedMatcher(FakeGraphs(stages=[first, second, third]))
    counts = len(matcher.keypoints(a).pixels), len(matcher.keypoints(b).pixels)
    index, _ = matcher._match_keypoints(matcher.keypoints(a), matcher.keypoints(b))
    assert first.asked == [counts]
    assert second.asked == [((counts[0] + 1) // 2, counts[1])]
    assert third.asked == []
    # Numbers are those of all keypoints, not of those that were left.
    assert set(np.flatnonzero(index >= 0) % 2) == {0}
    there = index >= 0
    off = matcher.keypoints(a).pixels[there] - SHIFT_PX - matcher.keypoints(b).pixels[index[there]]
    assert np.mean(np.linalg.norm(off, axis=1) < 0.5) > 0.9


def test_too_few_that_are_left_end_it_with_the_answer_so_far() -> None:
    a, b = shifted_pair()
    first, second = NearestGraph(unsure=0.3, keep=1000), NearestGraph()
    matcher = LearnedMatcher(FakeGraphs(stages=[first, second]))
    index, _ = matcher._match_keypoints(matcher.keypoints(a), matcher.keypoints(b))
    assert second.asked == []
    assert (index >= 0).sum() > 50


def test_learned_keypoints_take_the_place_of_the_others_and_flow_stays() -> None:
    frames = shifted_pair()
    classic = Matcher().match_every_pair(frames)
    learned = LearnedMatcher(FakeGraphs())
    found = learned.in_place_of(frames, classic)
    assert found.keys() == {(0, 1)}
    np.testing.assert_array_equal(found[0, 1].flow, classic[0, 1].flow)
    index = found[0, 1].keypoints
    assert index is not None
    assert len(index) == len(learned.keypoints(frames[0]).pixels)
    assert classic[0, 1].keypoints is not None, "what was given stays as it was"
    assert len(classic[0, 1].keypoints) != len(index)


def test_a_solve_has_more_tracks_than_with_the_other_keypoints() -> None:
    frames = shifted_pair()
    learned = LearnedMatcher(FakeGraphs())
    assert learned.settings.tracks == 700 > Matcher().settings.tracks
    few = LearnedMatcher(FakeGraphs(), EvidenceSettings(tracks=60))
    cameras = [PinholeCamera(160, 120, 130.0, 130.0, 79.5, 59.5)] * 2
    assert len(few.collect(frames, cameras).anchor) == 60 < len(learned.collect(frames, cameras).anchor)
