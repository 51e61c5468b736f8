"""Scores of views: measures worked out by other means, records worked out by hand."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
from posed_sets import yardstick
from view_scores import METHODS, SCORES, shrunk
from views_scene import TexturedPlane, psnr_db, shifted

from ros2_raxels.evaluation.views import scores
from ros2_raxels.evaluation.views.scores import (
    binned,
    record_of_views,
    reliability,
    score_task,
    seen_share,
)
from ros2_raxels.evaluation.views.tasks import ViewTask
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.recordings.source import read_image
from ros2_raxels.view_synthesis.confidence import Signs
from ros2_raxels.view_synthesis.prediction import PredictedViews, PredictionRequest
from ros2_raxels.view_synthesis.predictor import ViewPredictor


@cache
def matcher() -> Matcher:
    return Matcher()


def random_image(seed: int, shape: tuple[int, int] = (96, 128)) -> ImageArray:
    image = np.random.default_rng(seed).integers(0, 256, (*shape, 3)).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 2.0), np.uint8)


# ----------------------------------------------------------------------------------------------------------- measures


def test_psnr_by_hand() -> None:
    grey = np.full((96, 128, 3), 100, np.uint8)
    assert scores.psnr_db(grey + np.uint8(10), grey) == pytest.approx(20 * np.log10(25.5))
    assert scores.psnr_db(grey - np.uint8(10), grey) == pytest.approx(20 * np.log10(25.5))
    half = grey.copy()
    half[:48] += 20
    # Mean square of 20 in half and 0 in the other half.
    assert scores.psnr_db(half, grey) == pytest.approx(10 * np.log10(255**2 / 200))
    one_channel = grey.copy()
    one_channel[..., 2] = 255
    assert scores.psnr_db(one_channel, grey) == pytest.approx(10 * np.log10(3 * 255**2 / 155**2))
    # What is equal is as good as an error of a thousandth.
    assert scores.psnr_db(grey, grey) == pytest.approx(10 * np.log10(255**2 * 1000))


def ssim_pixel_by_pixel(a: ImageArray, b: ImageArray) -> float:
    """With weights, sums and borders written out."""
    weights = np.exp(-(np.subtract.outer(np.zeros(7), np.arange(-3, 4)) ** 2)[0] / (2 * 1.5**2))
    window = np.outer(weights, weights) / weights.sum() ** 2
    luma = [np.rint(image @ np.array([0.299, 0.587, 0.114])) for image in (a.astype(float), b.astype(float))]
    x, y = (np.pad(grey, 3, mode="reflect") for grey in luma)
    found = []
    for row in range(a.shape[0]):
        for column in range(a.shape[1]):
            p, q = (grey[row : row + 7, column : column + 7] for grey in (x, y))
            mean_p, mean_q = (window * p).sum(), (window * q).sum()
            covariance = (window * (p - mean_p) * (q - mean_q)).sum()
            variances = (window * (p - mean_p) ** 2).sum() + (window * (q - mean_q) ** 2).sum()
            luminance = (2 * mean_p * mean_q + 6.5025) / (mean_p**2 + mean_q**2 + 6.5025)
            found.append(luminance * (2 * covariance + 58.5225) / (variances + 58.5225))
    return float(np.mean(found))


def test_ssim_is_that_of_sums_written_out() -> None:
    a, b = random_image(1, (30, 40)), random_image(2, (30, 40))
    mixed = np.rint(0.6 * a + 0.4 * b).astype(np.uint8)
    for other in (b, mixed, 255 - a):
        assert scores.ssim(a, other) == pytest.approx(ssim_pixel_by_pixel(a, other), abs=2e-3)
    assert scores.ssim(a, a) == pytest.approx(1.0)
    # Two flat images differ in luminance alone.
    flat, brighter = np.full((9, 9, 3), 100, np.uint8), np.full((9, 9, 3), 150, np.uint8)
    assert scores.ssim(flat, brighter) == pytest.approx((2 * 100 * 150 + 6.5025) / (100**2 + 150**2 + 6.5025))


def test_the_yardstick_measures_the_same() -> None:
    tool, big = yardstick("score_views"), random_image(4, (301, 437))
    a, b = scores.compared(big), scores.compared(random_image(5, (301, 437)))
    assert a.shape == (88, 128, 3)
    np.testing.assert_array_equal(a[..., ::-1], tool.small(np.ascontiguousarray(big[..., ::-1])))
    swapped = [np.ascontiguousarray(image[..., ::-1]) for image in (a, b)]
    assert scores.ssim(a, b) == pytest.approx(tool.ssim(*swapped), abs=1e-12)


@cache
def wall() -> ImageArray:
    """(360, 480, 3) detail of all sizes, which a camera before it sees a part of."""
    generator = np.random.default_rng(1)
    layers = [cv2.GaussianBlur(generator.normal(size=(360, 480, 3)), (0, 0), sigma) for sigma in (1.5, 4, 12, 30)]
    detail = np.sum([layer / layer.std() for layer in layers], axis=0)
    return np.asarray((128 + 25 * detail).clip(0, 255).astype(np.uint8))


def before_wall(right: int = 0, down: int = 0) -> Features:
    """What a camera sees that went so many pixels of its image, 320x240, sideways."""
    return matcher().look(np.ascontiguousarray(wall()[60 + down : 300 + down, 80 + right : 400 + right]))


@pytest.mark.parametrize("right", [0, 10, 20])
@pytest.mark.parametrize("down", [0, -6, 18])
def test_what_left_the_image_was_not_seen(right: int, down: int) -> None:
    inside = (1 - abs(right) / 320) * (1 - abs(down) / 240)
    assert seen_share(matcher(), [before_wall(right, down)], before_wall()) == pytest.approx(inside, abs=0.02)


def test_one_frame_that_shows_it_is_enough() -> None:
    truth, right, left, down = before_wall(), before_wall(20), before_wall(-10), before_wall(0, 18)
    assert seen_share(matcher(), [right], truth) == pytest.approx(1 - 20 / 320, abs=0.02)
    assert seen_share(matcher(), [left, right], truth) > 0.99
    # Neither shows the corner.
    assert seen_share(matcher(), [right, down], truth) == pytest.approx(1 - 20 / 320 * 18 / 240, abs=0.01)
    # The same twice shows no more.
    assert seen_share(matcher(), [right, right], truth) == seen_share(matcher(), [right], truth)


def test_other_places_and_other_sizes_were_not_seen() -> None:
    other = matcher().look(np.ascontiguousarray(wall()[:240, :320][::-1, ::-1]))
    assert seen_share(matcher(), [other], before_wall()) < 0.15
    small = matcher().look(np.asarray(cv2.resize(before_wall().grey, (160, 120))))
    assert seen_share(matcher(), [small], before_wall()) == 0.0


# --------------------------------------------------------------------------------------------------------- confidence


def test_reliability_by_hand() -> None:
    confidence = np.array([0.0, 0.1, 0.2, 0.5, 0.7, 0.75, 0.8, 1.0])
    psnr = np.array([12.0, 20.0, 15.0, 19.9, 25.0, 18.0, 22.0, 30.0])
    found = reliability(confidence, psnr)
    assert [(of["from"], of["to"]) for of in found["bins"]] == [(0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1)]
    assert [of["views"] for of in found["bins"]] == [2, 1, 1, 2, 2]
    assert [of["stated"] for of in found["bins"]] == pytest.approx([0.05, 0.2, 0.5, 0.725, 0.9])
    assert [of["good"] for of in found["bins"]] == pytest.approx([0.5, 0.0, 0.0, 0.5, 1.0])
    assert found["good"] == 0.5
    misses = [0.0, 0.9, 0.2, 0.5, 0.3, 0.75, 0.2, 0.0]
    assert found["brier"] == pytest.approx(np.mean(np.square(misses)))
    # Ranks 1 to 8 against 1 5 2 4 7 3 6 8: squares of differences sum up to 9 + 1 + 4 + 9 + 1.
    assert found["rank_correlation"] == pytest.approx(1 - 6 * 24 / (8 * 63))


def test_rank_correlation_is_of_ranks() -> None:
    confidence = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    assert reliability(confidence, np.array([1.0, 2.0, 4.0, 30.0, 31.0]))["rank_correlation"] == pytest.approx(1.0)
    assert reliability(confidence, np.array([9.0, 8.0, 5.0, 2.0, 1.0]))["rank_correlation"] == pytest.approx(-1.0)
    # Ranks 2 1 4 3 5: squares of differences sum up to 4.
    found = reliability(confidence, np.array([20.0, 10.0, 40.0, 30.0, 50.0]))["rank_correlation"]
    assert found == pytest.approx(1 - 6 * 4 / (5 * 24))
    assert reliability(np.full(5, 0.5), confidence)["rank_correlation"] is None
    assert reliability(confidence, np.full(5, 20.0))["rank_correlation"] is None
    assert reliability(np.array([0.5]), np.array([20.0]))["rank_correlation"] is None


def test_bins_hold_their_lower_edge_and_the_last_both() -> None:
    found = binned((0.0, 0.5, 0.75, 0.9, 1.0), {"seen": [0.5, 0.7499, 0.9, 1.0], "value": [1.0, 2.0, 3.0, 5.0]})
    assert [(of["views"], of["value"]) for of in found] == [(0, None), (2, 1.5), (0, None), (2, 4.0)]


# --------------------------------------------------------------------------------------------------------------- task


WIDE = PinholeCamera(320, 240, 290.0, 290.0, 159.5, 119.5)
PLANE = TexturedPlane(2.0)


def plane_from(pose: FloatArray) -> ImageArray:
    """As views are compared."""
    return shrunk(PLANE.view(WIDE, pose))


def write_views_of_plane(folder: Path, poses: FloatArray) -> ViewTask:
    files = tuple(folder / f"{k}.png" for k in range(len(poses)))
    for path, image in zip(files, PLANE.views(WIDE, poses), strict=True):
        assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    intrinsics = np.array([WIDE.fx, WIDE.fy, WIDE.cx, WIDE.cy])
    return ViewTask("deep/set/000007x3", files[:2], poses[:2], intrinsics, poses[2:], files[2:])


class Knowing:
    """Makes views of the plane, darker by so many grey levels as steps, and as sure of them as it is told."""

    def predict(self, request: PredictionRequest) -> PredictedViews:
        camera, trajectory, steps = request.camera, request.trajectory, request.steps
        assert steps is not None
        made = np.array([plane_from(pose) for pose in trajectory]) - np.uint8(steps)
        empty, sure = np.zeros(made.shape[:3]), np.linspace(0.1, 0.9, len(made)) / steps
        signs = Signs(*np.zeros((4, len(made))))
        return PredictedViews(made, camera.resized(128, 96), trajectory, empty, empty, sure, signs, steps, 0)


def test_a_task_is_answered_by_all_methods(tmp_path: Path) -> None:
    # By 15 and by 16 of 320 px, which nothing else shows.
    turned, moved = shifted(turn_deg=(0, 3, 0)), shifted(16 * PLANE.depth / WIDE.fx)
    task = write_views_of_plane(tmp_path, np.array([shifted(-0.1), np.eye(4), turned, moved]))
    score, views = score_task(cast(ViewPredictor, Knowing()), matcher(), task)
    assert score.set_name == "deep/set"
    assert list(score.methods) == METHODS
    assert views.steps == 1
    for steps, name in zip((1, 2, 4), METHODS[2:], strict=True):
        # Each pixel is off by as many grey levels as there were steps.
        np.testing.assert_allclose(score.methods[name].psnr_db, 20 * np.log10(255 / steps))
        np.testing.assert_allclose(score.methods[name].confidence, np.array([0.1, 0.9]) / steps)
        assert score.methods[name].seconds > 0.0
    small = [plane_from(pose) for pose in (np.eye(4), *task.trajectory)]
    repeat, rotate = (score.methods[name] for name in METHODS[:2])
    np.testing.assert_allclose(repeat.psnr_db, [psnr_db(small[0], truth) for truth in small[1:]])
    np.testing.assert_allclose(repeat.ssim, [scores.ssim(small[0], truth) for truth in small[1:]])
    # It does the turn, but for the strip that comes into the image; of a step it knows nothing.
    assert rotate.psnr_db[0] > repeat.psnr_db[0] + 3.0
    assert rotate.psnr_db[1] == pytest.approx(repeat.psnr_db[1])
    assert repeat.confidence is None
    assert rotate.confidence is None
    known = [matcher().look(read_image(path)) for path in task.context]
    seen = [seen_share(matcher(), known, matcher().look(read_image(path))) for path in task.truth]
    np.testing.assert_array_equal(score.seen, seen)
    assert 0.85 < min(seen) <= max(seen) < 1.0


# ------------------------------------------------------------------------------------------------------------- record


def test_record_by_hand() -> None:
    found = record_of_views(SCORES)
    assert (found["tasks"], found["views"]) == (3, 6)
    assert list(found["methods"]) == METHODS
    ours, repeat = found["methods"]["raxels, 1 step"], found["methods"]["repeat"]
    # Repeating reaches 10 12 14, 10, and 10 14 dB; ours 18 20 22, 22, and 12 16.
    assert repeat["sets"] == {
        "a": {"views": 4, "psnr_db": pytest.approx(11.5), "ssim": 0.25},
        "b": {"views": 2, "psnr_db": pytest.approx(12.0), "ssim": 0.25},
    }
    assert ours["sets"]["a"] == {"views": 4, "psnr_db": pytest.approx(20.5), "ssim": 0.5}
    assert ours["sets"]["b"]["psnr_db"] == pytest.approx(14.0)
    # Every set counts alike.
    assert ours["mean"] == pytest.approx({"psnr_db": 17.25, "ssim": 0.5, "gain_db": 17.25 - 11.75})
    assert found["methods"]["raxels, 4 steps"]["mean"]["gain_db"] == pytest.approx(3.5)
    assert repeat["mean"]["gain_db"] == 0.0
    assert ours["ms"] == pytest.approx({"median": 200.0, "p95": 290.0})
    assert [of["views"] for of in found["seen"]] == [2, 1, 1, 2]
    assert [of["seen"] for of in found["seen"]] == pytest.approx([0.25, 0.6, 0.8, 0.975])
    assert [of["psnr_db"] for of in found["seen"]] == pytest.approx([20.0, 20.0, 12.0, 19.0])
    assert [of["repeat_psnr_db"] for of in found["seen"]] == pytest.approx([10.0, 12.0, 10.0, 14.0])
    assert [of["ssim"] for of in found["seen"]] == pytest.approx([0.5] * 4)
    assert list(found["confidence"]) == METHODS[2:]
    stated = found["confidence"]["raxels, 1 step"]
    assert [of["views"] for of in stated["bins"]] == [1, 1, 1, 2, 1]
    assert [of["good"] for of in stated["bins"]] == [0.0, 1.0, 1.0, 0.0, 1.0]
    assert stated["brier"] == pytest.approx((0.01 + 0.25 + 0.01 + 0.49 * 3) / 6)
    json.dumps(found, allow_nan=False)
