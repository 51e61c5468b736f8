"""Inputs of the graphs that estimate poses: tracks of a clip, and noisy rays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.raxel_grid import RAXEL_COLUMNS, RAXEL_ROWS

Arrays = dict[str, npt.NDArray[np.float32]]


def clip_of(tracks: int, frames: int, seed: int = 0) -> Arrays:
    """Inputs of the graph "encode": tracks of one clip, padded with fillers."""
    from ros2_raxels.model.graphs import TRACK_INPUTS
    from ros2_raxels.training.correspondences import sample_correspondences

    batch = sample_correspondences(seed, 1, frames, tracks)
    arrays = {name: getattr(batch.tracks, name).numpy() for name in TRACK_INPUTS[:-1]}
    return arrays | {"known": np.ones(1, np.float32)}


def rays_of(hypotheses: int, frames: int, seed: int = 1) -> Arrays:
    """Inputs of the graph "rays", without what "encode" adds."""
    rng = np.random.default_rng(seed)
    grid = (frames, RAXEL_ROWS, RAXEL_COLUMNS, 3)
    return {
        "rays": rng.normal(size=(hypotheses, *grid)).astype(np.float32),
        "ray_time": rng.uniform(size=(hypotheses, frames)).astype(np.float32),
        "bearings": rng.normal(size=(1, *grid)).astype(np.float32),
        "known": np.zeros(1, np.float32),
    }
