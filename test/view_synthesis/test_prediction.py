"""prediction: requests that no view can be predicted for are refused, and the message names what does not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from views_scene import shifted

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.view_synthesis.prediction import FrameDepth, PredictionRequest

CAMERA = PinholeCamera(256, 192, 230.0, 230.0, 120.0, 100.0)
POSES = np.array([shifted(0.1 * k) for k in range(4)])
AHEAD = np.array([shifted(0.5), shifted(0.6)])
CONTEXT = [np.full((192, 256, 3), 50 * k, np.uint8) for k in range(4)]
REQUEST = PredictionRequest(CONTEXT, CAMERA, POSES, AHEAD)


def test_a_request_without_seed_and_steps_leaves_them_to_the_predictor() -> None:
    assert (REQUEST.seed, REQUEST.steps) == (0, None)


def spoiled(poses: FloatArray, value: float) -> FloatArray:
    changed = poses.copy()
    changed[-1, 0, 3] = value
    return changed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": [], "camera_to_world": POSES[:0]}, "0 images and 2 poses of views; give one or more of both"),
        ({"trajectory": AHEAD[:0]}, "4 images and 0 poses of views; give one or more of both"),
        ({"camera_to_world": POSES[:3]}, "4 images but 3 poses; give one for each"),
        ({"camera_to_world": POSES[:, :3]}, "camera_to_world of shape (4, 3, 4) must be finite 4x4 poses"),
        ({"trajectory": AHEAD[0]}, "trajectory of shape (4, 4) must be finite 4x4 poses"),
        ({"trajectory": AHEAD[:, :3, :3]}, "trajectory of shape (2, 3, 3) must be finite 4x4 poses"),
        ({"trajectory": spoiled(AHEAD, np.nan)}, "trajectory of shape (2, 4, 4) must be finite 4x4 poses"),
        ({"camera_to_world": spoiled(POSES, np.nan)}, "camera_to_world of shape (4, 4, 4) must be finite 4x4 poses"),
        ({"camera_to_world": spoiled(POSES, np.inf)}, "camera_to_world of shape (4, 4, 4) must be finite 4x4 poses"),
        (
            {"images": [*CONTEXT[:2], CONTEXT[2][:-1], CONTEXT[3]]},
            "image 2 has shape (191, 256, 3), its camera is 256x192 px; give RGB images of the camera's size",
        ),
        ({"images": [CONTEXT[0][..., 0], *CONTEXT[1:]]}, "image 0 has shape (192, 256), its camera is 256x192 px"),
        ({"seen": [np.ones((192, 256), bool)] * 3}, "3 masks for 4 images; give one for each, of its size"),
        ({"seen": [np.ones((191, 256), bool)] * 4}, "4 masks for 4 images; give one for each, of its size"),
        ({"camera": replace(CAMERA, distortion=(-0.3, 0.1, 0.0, 0.0))}, "distortion (-0.3, 0.1, 0.0, 0.0)"),
    ],
)
def test_what_does_not_fit_is_refused_and_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as refused:
        replace(REQUEST, **change)
    assert words in str(refused.value)


def test_depth_and_its_error_follow_from_the_inverse() -> None:
    inverse = np.array([[0.5, 0.25, 0.0]], np.float32)
    found = FrameDepth(CAMERA, inverse, np.array([[0.01, 0.01, 0.01]], np.float32))
    np.testing.assert_allclose(found.depth, [[2.0, 4.0, np.inf]], rtol=1e-6)
    # d(1 / x) = dx / x^2
    np.testing.assert_allclose(found.sigma, [[0.04, 0.16, np.inf]], rtol=1e-6)
