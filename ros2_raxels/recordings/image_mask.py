"""Masks of a camera's images: an image, white where the images are to be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ros2_raxels.recordings.source import SourceError, read_image

_WHITE = 128

Mask = npt.NDArray[np.bool_]


class BlackMaskError(SourceError):
    """A mask by which no pixel would be used."""


def read_mask(path: Path) -> Mask:
    """(H, W) true where an image file is white, brighter than half.

    Raises:
        SourceError: the file cannot be read.
        BlackMaskError: it is black everywhere.
    """
    return mask_of(read_image(path, upright=False), str(path))


def mask_of(image: npt.NDArray[np.uint8], name: str) -> Mask:
    """(H, W) true where an image, grey or RGB, is white; `name` names it.

    Raises:
        BlackMaskError: it is black everywhere.
    """
    mask = np.asarray((image if image.ndim == 2 else image.mean(axis=2)) >= _WHITE)
    if not mask.any():
        raise BlackMaskError(
            f"{name} is black everywhere, so that no pixel would be used; paint white what is to be used"
        )
    return mask
