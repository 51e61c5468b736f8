"""The focal length of made-up tracks that were seen through lenses which the evidence does not name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_up_tracks import FRAMES, cameras, tracks_of

from ros2_raxels.estimation.bundle_adjustment import BundleProblem, RefineSettings
from ros2_raxels.estimation.focal import _likeliest, find_focal, guessed_camera
from ros2_raxels.geometry.camera import USUAL_FOCAL
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.features import Features
from ros2_raxels.matching.tracks import Evidence

FEATURES = [Features(np.zeros((240, 320), np.uint8))] * FRAMES
"""Only their size matters."""


def seen_through(poses: FloatArray, focal_px: float, seed: int, noise_px: float = 0.0) -> Evidence:
    """Tracks through a lens of this focal length, on the image planes of another."""
    rng = np.random.default_rng(seed)
    evidence, _ = tracks_of(rng, poses, 120)
    pixels = evidence.plane * focal_px + (159.5, 119.5) + noise_px * rng.normal(size=evidence.plane.shape)
    return replace(evidence, pixels=pixels).with_cameras([guessed_camera(f, 1.0) for f in FEATURES])


def found_focal_px(evidence: Evidence) -> float:
    found = find_focal(FEATURES, BundleProblem.of(evidence), RefineSettings())
    assert found == [guessed_camera(FEATURES[0], found[0].fx / 320)] * FRAMES
    return found[0].fx


@pytest.mark.parametrize(("focal_px", "noise_px", "tolerance"), [(200.0, 0.0, 0.02), (400.0, 0.2, 0.1)])
def test_the_focal_length_of_a_moving_camera(focal_px: float, noise_px: float, tolerance: float) -> None:
    poses = cameras(np.random.default_rng(3))
    evidence = seen_through(poses, focal_px, 4, noise_px)
    assert found_focal_px(evidence) == pytest.approx(focal_px, rel=tolerance)


def test_without_evidence_it_is_the_usual_lens() -> None:
    evidence = seen_through(cameras(np.random.default_rng(5)), 400.0, 6)
    nothing = {name: getattr(evidence, name)[:0] for name in ("anchor", "index", "pixels", "plane", "weight", "kind")}
    assert found_focal_px(replace(evidence, **nothing, score=evidence.score[:0])) == pytest.approx(USUAL_FOCAL * 320)


def test_the_likeliest_is_where_the_parabola_is_lowest() -> None:
    """Costs that, with what unusual lenses are charged, are a parabola about 0.9 over the logarithm."""
    focals = USUAL_FOCAL * 1.25 ** np.arange(-3, 4)
    charge = (0.35 * np.log(focals / USUAL_FOCAL) / 0.5) ** 2
    assert _likeliest(focals, 40 * np.log(focals / 0.9) ** 2 - charge) == pytest.approx(0.9, rel=1e-9)


def test_the_usual_lens_is_the_likeliest_where_costs_are_equal() -> None:
    focals = USUAL_FOCAL * 1.25 ** np.arange(-3, 4)
    assert _likeliest(focals, np.full(7, 3.0)) == pytest.approx(USUAL_FOCAL)


def test_beside_hopeless_neighbours_it_is_the_best_itself() -> None:
    focals = USUAL_FOCAL * 1.25 ** np.arange(-3, 4)
    costs = np.array([np.inf, np.inf, 1.0, np.inf, np.inf, np.inf, np.inf])
    assert _likeliest(focals, costs) == focals[2]


def test_a_guessed_camera_has_the_size_of_the_working_image() -> None:
    camera = guessed_camera(FEATURES[0], 1.5)
    assert (camera.width, camera.height, camera.fx, camera.fy) == (320, 240, 480.0, 480.0)
