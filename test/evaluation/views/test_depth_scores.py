"""evaluation.views.depth_scores: scores by hand, and a rendered room of which every pixel has a depth."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.evaluation.views import depth_scores
from ros2_raxels.evaluation.views.depth_scores import (
    BASELINE_M,
    CAMERA,
    FARTHEST_M,
    DepthScore,
    score_depth,
    scores_of_room,
    stereo_depth,
    table,
)
from ros2_raxels.factory import make_predictor
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import furnished_room


def test_scores_by_hand() -> None:
    truth = np.array([[1.0, 2.0], [4.0, np.inf]])
    depth = np.array([[1.1, 3.0], [4.0, 7.0]])
    sigma = np.array([[0.06, 2.0], [0.1, 0.1]])
    found = score_depth(depth, truth, sigma)
    assert found.abs_rel == pytest.approx((0.1 + 0.5 + 0.0) / 3)
    assert (found.within_quarter, found.share) == (pytest.approx(2 / 3), 1.0)
    assert (found.within_sigma, found.within_two) == (pytest.approx(2 / 3), 1.0)
    half = score_depth(depth, truth, known=np.array([[True, False], [True, True]]))
    assert (half.abs_rel, half.share) == (pytest.approx(0.05), pytest.approx(2 / 3))
    assert np.isnan(half.within_sigma)
    far = score_depth(np.full((2, 2), np.inf), truth)
    assert far.abs_rel == pytest.approx(np.mean([FARTHEST_M - 1, (FARTHEST_M - 2) / 2, (FARTHEST_M - 4) / 4]))


def test_stereo_sees_how_far_a_wall_is() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (CAMERA.height, CAMERA.width), np.uint8)
    left = np.repeat(noise[..., None], 3, axis=2)
    depth, found = stereo_depth(left, np.roll(left, -16, axis=1))
    inner = np.s_[20:-20, 120:-20]
    assert found[inner].mean() > 0.99
    np.testing.assert_allclose(np.median(depth[inner]), CAMERA.fx * BASELINE_M / 16, rtol=0.01)


def test_means_are_shown_by_method() -> None:
    scores = [DepthScore(0.1, 0.8, 0.5, 0.6, 0.7), DepthScore(0.3, 1.0, 0.7, 0.8, 0.9)]
    rows = table({"ours": scores, "theirs": [DepthScore(0.5, 0.25, 1.0, np.nan, np.nan)]}).splitlines()
    assert rows[2:] == ["| ours | 60 % | 0.200 | 0.900 | 70 % | 80 % |", "| theirs | 100 % | 0.500 | 0.250 | – | – |"]


def test_every_pixel_of_a_frame_has_a_depth_where_stereo_leaves_holes(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(depth_scores, "_MOMENTS", (12,))
    scores = dict(
        scores_of_room(make_predictor(""), furnished_room(1), handheld_loop(seconds=10.0, rate_hz=10.0, seed=1))
    )
    filled = scores["StereoSGBM, its median elsewhere"]
    assert scores["StereoSGBM, where it finds any"].share < 0.9
    for name in ("one camera, four places", "two cameras, four places", "two cameras, one moment"):
        found = scores[name]
        assert found.share == 1.0
        assert found.abs_rel < 0.06 < filled.abs_rel
        assert found.within_quarter > 0.93 > filled.within_quarter
        assert 0.6 < found.within_sigma < found.within_two
