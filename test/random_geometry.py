"""Random poses and cameras for tests of the geometry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray, make_pose

seeds = st.integers(0, 2**32 - 1)
steady = settings(max_examples=60, deadline=None, derandomize=True)


def random_pose(rng: np.random.Generator, reach: float = 3.0) -> FloatArray:
    return make_pose(Rotation.random(random_state=rng).as_matrix(), rng.uniform(-reach, reach, 3))


@st.composite
def cameras(draw: st.DrawFn, distortion: tuple[float, ...] = ()) -> PinholeCamera:
    """From a long lens (10 deg across) to a wide one (120 deg), with the principal point off the centre."""
    width, height = draw(st.integers(2, 64)), draw(st.integers(2, 64))
    focal = width / 2 / np.tan(np.radians(draw(st.floats(10, 120))) / 2)
    aspect, x, y = draw(st.floats(0.8, 1.25)), draw(st.floats(0.3, 0.7)), draw(st.floats(0.3, 0.7))
    return PinholeCamera(width, height, focal, focal * aspect, x * width, y * height, distortion)


def assert_rotation(rotation: FloatArray) -> None:
    assert np.isfinite(rotation).all()
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0, abs=1e-12)
