"""Masks from image files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ros2_raxels.recordings.image_mask import BlackMaskError, mask_of, read_mask
from ros2_raxels.recordings.source import SourceError


def test_white_is_used_and_black_is_not(tmp_path: Path) -> None:
    picture = np.zeros((24, 32, 3), np.uint8)
    picture[:, 16:] = 255
    picture[0] = 100
    cv2.imwrite(str(tmp_path / "mask.png"), picture)
    mask = read_mask(tmp_path / "mask.png")
    assert mask.shape == (24, 32)
    assert not mask[:, :16].any()
    assert not mask[0].any()
    assert mask[1:, 16:].all()
    cv2.imwrite(str(tmp_path / "grey.png"), picture[..., 0])
    np.testing.assert_array_equal(read_mask(tmp_path / "grey.png"), mask)


def test_a_black_mask_and_none_at_all_are_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((24, 32), np.uint8))
    with pytest.raises(BlackMaskError, match=r"black\.png is black everywhere"):
        read_mask(tmp_path / "black.png")
    with pytest.raises(SourceError, match=r"nowhere\.png cannot be read"):
        read_mask(tmp_path / "nowhere.png")


def test_a_mask_in_grey_is_one_of_a_topic() -> None:
    np.testing.assert_array_equal(
        mask_of(np.array([[0, 127], [128, 255]], np.uint8), "it"), [[False, False], [True, True]]
    )
    with pytest.raises(BlackMaskError, match="it is black everywhere"):
        mask_of(np.zeros((2, 2), np.uint8), "it")
