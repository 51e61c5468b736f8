"""training.batch: the camera that the model is told, the places of rays in the image, and moves to other devices."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.raxel_grid import RAXEL_COLUMNS, RAXEL_ROWS

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from training_rig import small, with_video  # noqa: E402

from ros2_raxels.training.batch import ClipBatch, Tracks, grid_places  # noqa: E402


def test_places_are_centres_of_cells_from_edge_to_edge() -> None:
    at = grid_places().numpy()
    assert at.shape == (RAXEL_ROWS, RAXEL_COLUMNS, 2)
    np.testing.assert_allclose(at[0, 0], [1 / RAXEL_COLUMNS - 1, 1 / RAXEL_ROWS - 1], atol=1e-6)
    np.testing.assert_allclose(np.diff(at[..., 0], axis=1), 2 / RAXEL_COLUMNS, atol=1e-6)
    np.testing.assert_allclose(np.diff(at[..., 1], axis=0), 2 / RAXEL_ROWS, atol=1e-6)
    np.testing.assert_allclose(at + at[::-1, ::-1], 0.0, atol=1e-6)
    # Of an image of two units, a camera with that field sees exactly these places.
    rays = PinholeCamera(320, 240, 160.0, 120.0, 159.5, 119.5).bearings(RAXEL_ROWS, RAXEL_COLUMNS)
    np.testing.assert_allclose(rays[..., :2] / rays[..., 2:], at, atol=1e-6)


@pytest.mark.parametrize("focal", [0.6, 1.0, 1.7])
def test_the_assumed_camera_has_the_assumed_focal_length(focal: float) -> None:
    """The true focal length is so many times the assumed one; everything else about the lens is the same."""
    true, assumed = (
        torch.as_tensor(
            PinholeCamera(320, 240, f, 1.1 * f, 150.0, 125.0).bearings(RAXEL_ROWS, RAXEL_COLUMNS), dtype=torch.float32
        )
        for f in (focal * 200.0, 200.0)
    )
    batch = replace(small(clips=1), bearings=true.expand(1, 3, -1, -1, -1), focal=torch.tensor([focal]))
    torch.testing.assert_close(batch.assumed_bearings, assumed.expand(1, 3, -1, -1, -1), atol=1e-6, rtol=1e-6)


def test_all_tensors_move_and_all_else_stays() -> None:
    batch = replace(with_video(small(clips=2)), sources=2)
    moved = batch.to("meta")
    assert moved.sources == 2
    assert moved.swept is None
    assert batch.tracks is not None
    assert moved.tracks is not None
    for before, after, kind in ((batch, moved, ClipBatch), (batch.tracks, moved.tracks, Tracks)):
        tensors = [f.name for f in fields(kind) if isinstance(getattr(before, f.name), torch.Tensor)]
        assert len(tensors) >= 7
        for name in tensors:
            assert getattr(after, name).device.type == "meta", name
            assert getattr(after, name).shape == getattr(before, name).shape, name
            assert getattr(before, name).device.type == "cpu", name
    there_and_back = batch.to("cpu")
    assert torch.equal(there_and_back.tracks.plane, batch.tracks.plane)  # type: ignore[union-attr]
