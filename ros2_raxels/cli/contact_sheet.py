"""Many random worlds in one picture: ``python -m ros2_raxels.cli.contact_sheet docs/scenes.jpg``."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.scenes.clips import render_clip
from ros2_raxels.scenes.random_textures import texture_pool

_JPEG_QUALITY = 78


def contact_sheet(seed: int = 0, rows: int = 4, columns: int = 6, width: int = 240, height: int = 180) -> ImageArray:
    """First frames (rows * height, columns * width, 3), RGB uint8, of as many clips, each of another world."""
    pool = texture_pool(seed)
    frames = [
        render_clip(np.random.default_rng([seed, index]), 2, width, height, pool).images[0]
        for index in range(rows * columns)
    ]
    return np.concatenate([np.concatenate(frames[k : k + columns], axis=1) for k in range(0, len(frames), columns)])


if __name__ == "__main__":
    _, _coded = cv2.imencode(
        ".jpg", cv2.cvtColor(contact_sheet(), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    Path(sys.argv[1]).write_bytes(_coded.tobytes())
