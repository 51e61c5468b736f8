"""view_output: views become image files, and what is not known becomes null."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from commands_rig import files_of

from ros2_raxels.cli import view_output
from ros2_raxels.utils.files import FileError

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 12, 16, 3), np.uint8)


def views() -> Any:
    """The fields of `PredictedViews` that are written."""
    made_up = np.zeros((2, 12, 16))
    made_up[1, :6] = 1.0
    return SimpleNamespace(images=IMAGES, made_up=made_up, camera_to_world=np.array([np.eye(4)] * 2), steps=3)


def test_views_are_numbered_images_with_every_pixel(tmp_path: Path) -> None:
    view_output.write_views(tmp_path / "new" / "views", views())
    assert files_of(tmp_path) == ["new/views/000.png", "new/views/001.png"]
    for index, image in enumerate(IMAGES):
        written = cv2.imread(str(tmp_path / "new" / "views" / f"00{index}.png"))
        np.testing.assert_array_equal(written[..., ::-1], image)


def test_an_image_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_output.cv2, "imwrite", lambda *_: False)
    with pytest.raises(FileError, match=r"a\.png could not be written; make room or give another --out"):
        view_output.write_image(tmp_path / "a.png", IMAGES[0])
    assert files_of(tmp_path) == []


def test_a_record_has_null_where_no_pose_was_estimated() -> None:
    checked: Any = SimpleNamespace(
        confidence=np.array([0.98768, 0.25]),
        rotation_rad=np.radians([1.5, np.nan]),
        distance=np.array([np.nan, 0.03]),
    )
    record = view_output.record_of(views(), checked)
    assert record == {
        "confidence": [0.9877, 0.25],
        "self_consistency_rotation_deg": [1.5, None],
        "self_consistency_translation": [None, 0.03],
        "made_up": [0.0, 0.5],
        "camera_to_world": [np.eye(4).tolist()] * 2,
        "steps": 3,
    }
