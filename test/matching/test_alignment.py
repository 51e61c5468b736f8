"""Patches aligned to an image that is a known warp of their own."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.alignment import align, cut_patches, local_warps

SHIFT_PX = np.array([7.3, -4.6])
TURNED = 1.06 * np.array([[np.cos(0.05), -np.sin(0.05)], [np.sin(0.05), np.cos(0.05)]])


class Pair:
    """A texture, and the same through ``q = turn p + SHIFT_PX``, each with noise of two grey values."""

    def __init__(self, turn: FloatArray, gain: float = 1.0) -> None:
        rng = np.random.default_rng(0)
        smooth = cv2.GaussianBlur(rng.integers(0, 256, (960, 1280)).astype(np.float32), (0, 0), 6)
        texture = cv2.normalize(smooth, None, 10, 200, cv2.NORM_MINMAX)
        back = np.linalg.inv(turn)
        self.first = self._seen(texture, np.eye(2), np.zeros(2), rng)
        self.second = self._seen(gain * texture, back, -back @ SHIFT_PX, rng)
        y, x = np.mgrid[60:420:32, 60:580:32]
        self.points = np.stack([x.ravel(), y.ravel()], axis=1).astype(float)
        self.ends = self.points @ turn.T + SHIFT_PX
        inside = ((self.ends > 20) & (self.ends < (620, 460))).all(axis=1)
        self.points, self.ends = self.points[inside], self.ends[inside]
        self.start = self.ends + rng.normal(0, 0.5, self.ends.shape)

    @staticmethod
    def _seen(
        texture: npt.NDArray[np.float32], turn: FloatArray, shift: FloatArray, rng: np.random.Generator
    ) -> npt.NDArray[np.uint8]:
        matrix = np.column_stack([2 * turn, 2 * shift])
        image = cv2.warpAffine(texture, matrix, (640, 480), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
        return (image + rng.normal(0, 2, image.shape)).clip(0, 255).astype(np.uint8)


def error_px(pair: Pair, found: FloatArray) -> float:
    return float(np.sqrt(((found - pair.ends) ** 2).sum(axis=1).mean()))


@pytest.mark.parametrize(("turn", "gain"), [(np.eye(2), 1.0), (np.eye(2), 0.7), (TURNED, 1.0)])
def test_patches_are_found_to_a_tenth_of_a_pixel(turn: FloatArray, gain: float) -> None:
    pair = Pair(turn, gain)
    warp = np.broadcast_to(turn, (len(pair.points), 2, 2))
    found, correlation = align(cut_patches(pair.first, pair.points), pair.second, pair.start, warp)
    assert error_px(pair, pair.start) > 0.6
    assert error_px(pair, found) < 0.1
    assert np.percentile(correlation, 1) > 0.9


def test_a_turned_patch_is_found_worse_where_the_turn_is_not_known() -> None:
    pair = Pair(TURNED)
    found, _ = align(cut_patches(pair.first, pair.points), pair.second, pair.start)
    assert 0.15 < error_px(pair, found) < 0.3


def test_without_texture_a_point_stays_and_correlates_with_nothing() -> None:
    blank = np.full((60, 80), 90, np.uint8)
    start = np.array([[30.25, 20.5]])
    found, correlation = align(cut_patches(blank, np.array([[30.0, 20.0]])), blank, start)
    np.testing.assert_allclose(found, start, atol=1e-6)
    assert correlation[0] < 0.5


def test_along_an_edge_a_point_stays_where_it_was_started() -> None:
    edge = np.repeat((np.arange(80) > 40)[None] * np.uint8(200), 60, axis=0)
    edge = cv2.GaussianBlur(edge, (0, 0), 2)
    found, _ = align(cut_patches(edge, np.array([[40.0, 30.0]])), edge, np.array([[40.8, 31.0]]))
    np.testing.assert_allclose(found, [[40.0, 31.0]], atol=0.05)


def test_what_is_something_else_does_not_correlate() -> None:
    pair = Pair(np.eye(2))
    elsewhere = pair.start + np.array([40.0, 30.0])
    _, correlation = align(cut_patches(pair.first, pair.points), pair.second, elsewhere)
    assert np.median(correlation) < 0.3


def test_warps_are_read_off_the_matches_around_a_point() -> None:
    pair = Pair(TURNED)
    warps = local_warps(pair.points, pair.points, pair.ends)
    np.testing.assert_allclose(warps, np.broadcast_to(TURNED, warps.shape), atol=0.01)


def test_there_is_no_warp_across_an_edge_or_from_few_matches() -> None:
    pair = Pair(np.eye(2))
    torn = pair.ends + np.where(pair.points[:, :1] > 300, 5.0, 0.0)
    warps = local_warps(np.array([[300.0, 200.0]]), pair.points, torn)
    np.testing.assert_array_equal(warps[0], np.eye(2))
    np.testing.assert_array_equal(local_warps(pair.points[:1], pair.points[:3], pair.ends[:3])[0], np.eye(2))
