"""depth_sensor: true on average in inverse depth, noisy as a disparity is, and silent at edges and out of reach."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.scenes.depth_sensor import sensed_depth_mm


@pytest.mark.parametrize("depth_m", [0.7, 1.9, 5.0])
def test_a_wall_is_measured_with_the_noise_of_a_disparity_and_no_bias(depth_m: float) -> None:
    # Slanted a little, so that its depths fall between the steps of the disparity.
    wall = depth_m * np.linspace(0.99, 1.01, 200)[None].repeat(200, 0)
    found = sensed_depth_mm(wall, np.random.default_rng(0)).astype(float)
    assert (found > 0).all()
    off = 1e3 / found - 1.0 / wall
    # Noise of .0015, and steps of .0029 that are uniform over their width.
    assert off.std() == pytest.approx(np.hypot(0.0015, 0.0029 / np.sqrt(12)), rel=0.15)
    assert abs(off.mean()) < 1e-4


def test_edges_and_what_is_out_of_reach_are_not_measured() -> None:
    depth_m = np.full((40, 60), 2.0)
    depth_m[:, 30:] = 3.0
    depth_m[:10] = 12.0
    depth_m[30:] = np.inf
    found = sensed_depth_mm(depth_m, np.random.default_rng(0))
    measured = np.zeros((40, 60), bool)
    measured[11:29, :29] = measured[11:29, 31:] = True
    np.testing.assert_array_equal(found > 0, measured)
