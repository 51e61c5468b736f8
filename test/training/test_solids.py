"""training.solids: rays meet surfaces where they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ros2_raxels.geometry.poses import FloatArray

torch = pytest.importorskip("torch")

from ros2_raxels.training.solids import Solids, random_solids  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def test_rays_meet_rooms_boxes_and_balls_where_they_are() -> None:
    """A room of 2 x 2 x 6 around the camera, a box and a ball ahead, by hand."""
    eye = torch.eye(3)
    empty = random_solids(torch.Generator().manual_seed(0), 1, boxes=1, balls=1)
    solids = replace(
        empty,
        room=eye[None],
        room_low=torch.tensor([[-1.0, -1.0, -1.0]]),
        room_high=torch.tensor([[1.0, 1.0, 5.0]]),
        box=eye[None, None],
        box_centre=torch.tensor([[[0.5, 0.0, 3.0]]]),
        box_half=torch.tensor([[[0.25, 0.25, 0.5]]]),
        ball_centre=torch.tensor([[[-0.5, 0.0, 3.0]]]),
        ball_radius=torch.tensor([[0.25]]),
    )
    direction = torch.tensor([[[0.0, 0.0, 1.0], [0.0, 0.0, 2.0], [-1.0, 0.0, 0.0], [0.5, 0.0, 2.5], [-0.5, 0.0, 3.0]]])
    expected = [5.0, 2.5, 1.0, 1.0, 1.0 - 0.25 / np.hypot(0.5, 3.0)]
    np.testing.assert_allclose(solids.depth(torch.zeros_like(direction), direction)[0], expected, atol=1e-5)
    # From a step to the right, straight ahead: the near side of the box.
    step = torch.tensor([[[0.5, 0.0, 0.0]]])
    assert float(solids.depth(step, torch.tensor([[[0.0, 0.0, 1.0]]]))) == pytest.approx(2.5, abs=1e-5)


def distances(solids: Solids, clip: int, points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Signed distances of points (R, 3) to walls (R,), positive in the room, and to solids (R, K), positive outside."""
    w = {name: value[clip].double().numpy() for name, value in vars(solids).items()}
    in_room = points @ w["room"]
    walls = np.minimum(in_room - w["room_low"], w["room_high"] - in_room).min(axis=-1)
    local = np.einsum("kji,rkj->rki", w["box"], points[:, None] - w["box_centre"])
    boxes = (np.abs(local) - w["box_half"]).max(axis=-1)
    balls = np.linalg.norm(points[:, None] - w["ball_centre"], axis=-1) - w["ball_radius"]
    return walls, np.concatenate([boxes, balls], axis=1)


def test_in_random_worlds_a_ray_ends_on_a_surface_and_meets_none_before() -> None:
    clips, rays = 24, 200
    solids = random_solids(torch.Generator().manual_seed(1), clips)
    direction = torch.randn(clips, rays, 3, generator=torch.Generator().manual_seed(2))
    # Half of them ahead, where the solids are.
    direction[:, ::2, 2] = direction[:, ::2].norm(dim=-1)
    depth = solids.depth(torch.zeros_like(direction), direction).double().numpy()
    met_solid = 0
    for clip in range(clips):
        ahead = direction[clip].double().numpy()
        size = 1.0 + np.linalg.norm(depth[clip, :, None] * ahead, axis=-1)
        if distances(solids, clip, np.zeros((1, 3)))[1].min() < 1e-3:
            # The camera stands in a solid, of which only the far side is ahead.
            continue
        walls, of_solids = distances(solids, clip, depth[clip, :, None] * ahead)
        nearest = np.minimum(np.abs(walls), np.abs(of_solids).min(axis=1))
        assert (nearest < 1e-4 * size).all()
        met_solid += int((np.abs(of_solids).min(axis=1) < 1e-4 * size).sum())
        for share in np.linspace(0.02, 0.98, 25):
            walls, of_solids = distances(solids, clip, share * depth[clip, :, None] * ahead)
            assert (walls > -1e-4 * size).all()
            assert (of_solids > -1e-4 * size[:, None]).all()
    assert met_solid > 100


def test_no_wall_is_right_in_front_of_the_first_camera_and_worlds_follow_from_the_generator() -> None:
    first, again, other = (random_solids(torch.Generator().manual_seed(seed), 50) for seed in (3, 3, 4))
    assert all(torch.equal(value, vars(again)[name]) for name, value in vars(first).items())
    assert not torch.equal(first.box_centre, other.box_centre)
    assert float(first.room_high[:, 2].min()) >= 0.8
    for turn in (first.room, first.box.flatten(0, 1)):
        torch.testing.assert_close(turn @ turn.transpose(1, 2), torch.eye(3).expand_as(turn), atol=1e-5, rtol=0.0)
        torch.testing.assert_close(torch.linalg.det(turn), torch.ones(len(turn)))
