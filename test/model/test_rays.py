"""model.rays: rays against the geometry, and what their errors mean for a pose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ros2_raxels.geometry.poses import FloatArray, make_pose
from ros2_raxels.geometry.raxels import decode_raxels, encode_raxels

torch = pytest.importorskip("torch")

from model_rig import cameras  # noqa: E402

from ros2_raxels.model.rays import decode_rays, encode_rays, pose_error, unwhiten, whiten  # noqa: E402

if TYPE_CHECKING:
    from torch import Tensor


pytestmark = pytest.mark.usefixtures("one_torch_thread")

BOTH = pytest.mark.parametrize("pluecker", [False, True], ids=["raxels", "pluecker"])


def as_tensors(*arrays: FloatArray) -> tuple[Tensor, ...]:
    return tuple(torch.as_tensor(a, dtype=torch.float64) for a in arrays)


def test_raxels_are_those_of_the_geometry() -> None:
    bearings, poses = cameras(0)
    found = encode_rays(*as_tensors(bearings, poses)).numpy()
    expected = [encode_raxels(b, p) for b, p in zip(bearings, poses, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_pluecker_rays_are_lines_through_the_camera() -> None:
    bearings, poses = cameras(1)
    rays = encode_rays(*as_tensors(bearings, poses), pluecker=True).numpy()
    direction, moment = rays[..., :3], rays[..., 3:]
    for d, m, b, p in zip(direction, moment, bearings, poses, strict=True):
        np.testing.assert_allclose(d, encode_raxels(b, make_pose(p[:3, :3], np.zeros(3))), atol=1e-12)
        # Any point of the line has the same moment.
        np.testing.assert_allclose(m, np.cross(p[:3, 3] + 2.5 * d, d), atol=1e-12)


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.5])
def test_raxels_decode_as_the_geometry_decodes_them(noise: float) -> None:
    bearings, poses = cameras(2)
    rays = np.array([encode_raxels(b, p) for b, p in zip(bearings, poses, strict=True)])
    rays += noise * np.random.default_rng(2).normal(size=rays.shape)
    expected = [decode_raxels(r, b) for r, b in zip(rays, bearings, strict=True)]
    np.testing.assert_allclose(decode_rays(*as_tensors(rays, bearings)).numpy(), expected, atol=1e-9)


@BOTH
def test_decoding_inverts_encoding_under_any_leading_axes(pluecker: bool) -> None:
    bearings, poses = (t.reshape(2, 3, *t.shape[1:]) for t in as_tensors(*cameras(3)))
    found = decode_rays(encode_rays(bearings, poses, pluecker), bearings)
    np.testing.assert_allclose(found.numpy(), poses.numpy(), atol=1e-10)


@BOTH
def test_whitened_rays_are_zero_for_an_unmoved_camera_and_come_back(pluecker: bool) -> None:
    bearings, poses = as_tensors(*cameras(4))
    unmoved = encode_rays(bearings, torch.eye(4, dtype=torch.float64).expand_as(poses), pluecker)
    np.testing.assert_allclose(whiten(unmoved, bearings).numpy(), 0.0, atol=1e-12)
    rays = encode_rays(bearings, poses, pluecker)
    np.testing.assert_allclose(unwhiten(whiten(rays, bearings), bearings).numpy(), rays.numpy(), atol=1e-12)


def moved(poses: FloatArray, turn: FloatArray, shift: FloatArray) -> FloatArray:
    """Turned about their own centres by rotation vectors in the world, and shifted."""
    result = poses.copy()
    result[:, :3, :3] = Rotation.from_rotvec(turn).as_matrix() @ poses[:, :3, :3]
    result[:, :3, 3] += shift
    return result


@BOTH
def test_pose_error_is_the_change_of_the_pose_to_first_order(pluecker: bool) -> None:
    bearings, poses = cameras(5)
    turn, shift = np.random.default_rng(5).normal(size=(2, len(poses), 3))

    def miss(size: float) -> float:
        rays = encode_rays(*as_tensors(bearings, moved(poses, size * turn, size * shift)), pluecker)
        found = pose_error(rays, *as_tensors(bearings, poses))
        errors = [np.abs(f.numpy() - size * true).max() for f, true in zip(found, (turn, shift), strict=True)]
        return float(max(errors))

    # The first order is exact: what is left falls with the square of the change.
    assert miss(1e-2) < 2e-3
    assert miss(1e-3) < 0.02 * miss(1e-2)
    assert miss(0.0) < 1e-12


def test_pose_error_of_noisy_raxels_is_that_of_procrustes() -> None:
    bearings, poses = cameras(6)
    rays = np.array([encode_raxels(b, p) for b, p in zip(bearings, poses, strict=True)])
    rays += 1e-4 * np.random.default_rng(6).normal(size=rays.shape)
    decoded = np.array([decode_raxels(r, b) for r, b in zip(rays, bearings, strict=True)])
    turn, shift = (t.numpy() for t in pose_error(*as_tensors(rays, bearings, poses)))
    relative = decoded[:, :3, :3] @ np.swapaxes(poses[:, :3, :3], 1, 2)
    expected = Rotation.from_matrix(relative).as_rotvec()
    assert np.abs(expected).max() > 1e-5
    np.testing.assert_allclose(turn, expected, atol=1e-7)
    np.testing.assert_allclose(shift, decoded[:, :3, 3] - poses[:, :3, 3], atol=1e-7)


@BOTH
def test_the_truth_is_the_same_in_mixed_precision(pluecker: bool) -> None:
    bearings, poses = (t.float() for t in as_tensors(*cameras(7)))
    expected = encode_rays(bearings, poses, pluecker)
    with torch.autocast("cpu", torch.bfloat16):
        found = encode_rays(bearings, poses, pluecker)
        turn, shift = pose_error(expected, bearings, poses)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0.0)
    assert turn.abs().max() < 1e-5
    assert shift.abs().max() < 1e-5
