"""training.validation: measures against their definitions, and the same every time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from training_rig import TINY, perturbed, seeded  # noqa: E402

from ros2_raxels.model.denoiser import JointDenoiser  # noqa: E402
from ros2_raxels.training.batch import ClipBatch  # noqa: E402
from ros2_raxels.training.losses import known_views, predict_views  # noqa: E402
from ros2_raxels.training.pixels import PixelClips  # noqa: E402
from ros2_raxels.training.validation import Validation, _auc  # noqa: E402

if TYPE_CHECKING:
    from torch import Tensor

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def test_area_under_the_curve_is_the_chance_to_be_ranked_right() -> None:
    score, right = torch.randn(2, 60, generator=torch.Generator().manual_seed(0))
    truth = right > 0.3
    expected = (score[truth][:, None] > score[~truth][None]).double().mean()
    assert _auc(score, truth) == pytest.approx(float(expected), abs=1e-9)


def test_validation_says_the_same_every_time() -> None:
    validation, model = Validation.synthetic(clips=24, frames=3, tracks=32), perturbed().eval()
    first = validation.measure(model)
    assert first == Validation.synthetic(clips=24, frames=3, tracks=32).measure(model)
    assert all(np.isfinite(value) for value in first["synthetic"].values())
    assert set(first["synthetic"]) == {"rotation_deg", "direction_deg", "inlier_auc", "focal_percent"}
    assert f"synthetic rotation_deg {first['synthetic']['rotation_deg']:.3g}, direction_deg" in validation.line(model)


def psnr_db(batch: ClipBatch, frames: Tensor) -> float:
    """Mean of OpenCV's over the targets of a batch, of frames rounded to 8 bits."""
    assert batch.video is not None

    def picture(frame: Tensor) -> Any:
        return ((frame.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy().copy()

    pairs = zip(frames.flatten(0, 1), batch.video[:, batch.sources :].flatten(0, 1), strict=True)
    return float(np.mean([cv2.PSNR(picture(a), picture(b)) for a, b in pairs]))


def test_views_are_measured_beside_the_newest_source_repeated(recorded: PixelClips) -> None:
    validation = Validation({}).with_views(recorded, TINY, batches=2, clips=2)
    again = Validation({}).with_views(recorded, TINY, batches=2, clips=2)
    torch.manual_seed(0)
    model = JointDenoiser(TINY).eval()
    measured = validation.measure(model)
    assert measured == again.measure(model)
    assert measured.keys() == {"views"}
    assert len(validation.views) == 2
    repeated = []
    for batch in validation.views.values():
        assert batch.video is not None
        assert batch.swept is not None
        repeated.append(psnr_db(batch, batch.video[:, :1].expand_as(batch.video[:, batch.sources :])))
    assert measured["views"]["repeat_db"] == pytest.approx(np.mean(repeated), abs=1e-3)
    assert repeated[0] != pytest.approx(repeated[1], abs=0.1)
    line = validation.line(model)
    assert f"repeat_db {np.mean(repeated):.3g}" in line
    assert f"psnr_db {measured['views']['psnr_db']:.3g}" in line


def test_views_of_the_sweep_are_measured_too(views: ClipBatch) -> None:
    """A model that has learned nothing gives the sweep's colours, where its gate lets them through."""
    torch.manual_seed(0)
    model = JointDenoiser(TINY).eval()
    with torch.no_grad():
        known = known_views(model, views)
        made = predict_views(model, views, seeded(987_654_321))
    assert known is not None
    measured = Validation({}, {"few": views}).measure(model)["views"]
    # Rounding to 8 bits and cutting what is out of range change little.
    assert measured["sweep_db"] == pytest.approx(psnr_db(views, known.colour[:, 2:]), abs=0.1)
    assert measured["psnr_db"] == pytest.approx(psnr_db(views, made[:, 2:]), abs=0.1)
