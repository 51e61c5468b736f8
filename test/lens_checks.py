"""What holds for every lens."""

from __future__ import annotations

import numpy as np

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray

_STEP = 1e-6


def seen_points(camera: Camera, seed: int, count: int = 60) -> tuple[FloatArray, FloatArray]:
    """Random pixels (N, 2) that have rays, and a point (N, 3) on each."""
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(0, (camera.width - 1, camera.height - 1), (count, 2))
    rays = camera.rays(pixels)
    seen = np.isfinite(rays).all(axis=1)
    assert seen.any()
    return pixels[seen], rays[seen] * rng.uniform(0.2, 9.0, (int(seen.sum()), 1))


def assert_round_trip(camera: Camera, seed: int) -> None:
    """Pixels come back from any depth, and a point is its ray times its depth."""
    pixels, points = seen_points(camera, seed)
    np.testing.assert_allclose(camera.project(points), pixels, atol=1e-7)
    np.testing.assert_allclose(camera.rays(pixels) * camera.depth(points)[:, None], points, atol=1e-9)


def assert_derivative(camera: Camera, seed: int) -> None:
    """`jacobian` and `scale_px` against finite differences."""
    pixels, points = seen_points(camera, seed)
    # Not at the very edge of what is seen, where a step leads beyond it.
    inside = np.isfinite(camera.rays(np.concatenate([pixels + 1.0, pixels - 1.0]))).all(axis=1).reshape(2, -1)
    points, pixels = points[inside.all(axis=0)], pixels[inside.all(axis=0)]
    by_axis = [
        (camera.project(points + step) - camera.project(points - step)) / (2 * _STEP) for step in _STEP * np.eye(3)
    ]
    expected = np.stack(by_axis, axis=-1)
    np.testing.assert_allclose(camera.jacobian(points), expected, rtol=1e-5, atol=1e-3)
    rays = camera.rays(pixels)
    on_ray = camera.jacobian(rays)
    area = np.cross(on_ray[:, 0], on_ray[:, 1])
    # The area that a lens spreads, on the plane z = 1 or across the ray.
    expected_scale = np.sqrt(np.abs(area[:, 2])) if camera.is_flat else np.sqrt(np.linalg.norm(area, axis=1))
    np.testing.assert_allclose(camera.scale_px(rays), expected_scale, rtol=0.04 if camera.is_flat else 1e-9)
