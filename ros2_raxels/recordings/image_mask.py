"""Masks of a camera's images: an image file, white where the images are to be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ros2_raxels.recordings.source import SourceError, read_image

_WHITE = 128


def read_mask(path: Path) -> npt.NDArray[np.bool_]:
    """(H, W) true where an image file is white, brighter than half.

    Raises:
        SourceError: the file cannot be read, or is black everywhere.
    """
    mask = np.asarray(read_image(path, upright=False).mean(axis=2) >= _WHITE)
    if not mask.any():
        raise SourceError(f"{path} is black everywhere, so that no pixel would be used; paint white what is to be used")
    return mask
