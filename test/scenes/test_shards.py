"""Shards of clips: written by several processes, read back, resumed, bounded in size, without pickles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ros2_raxels.scenes.shards import SHARD_BYTES, Recipe, read_shard, shard_paths, write_clips


def test_shards_are_written_by_processes_read_back_and_resumed(tmp_path: Path) -> None:
    paths = write_clips(tmp_path, 3, seed=0, frames=2, width=48, height=36, workers=2)
    assert paths == shard_paths(tmp_path)
    shard = read_shard(paths[0])
    assert len(shard) == 3
    assert shard.depth.dtype == np.float16
    recipe = Recipe(0, 3, 2, 48, 36)
    for index in range(3):
        expected, found = recipe.clip(index), shard.clip(index)
        np.testing.assert_array_equal(found.images, expected.images)
        np.testing.assert_array_equal(found.camera_to_first, expected.camera_to_first)
        np.testing.assert_allclose(found.depth, expected.depth, rtol=1e-3)
        assert found.camera == expected.camera
        assert (found.world_kind, found.motion_kind) == (expected.world_kind, expected.motion_kind)
    written = paths[0].stat().st_mtime_ns
    assert write_clips(tmp_path, 3, seed=0, frames=2, width=48, height=36) == paths
    assert paths[0].stat().st_mtime_ns == written
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clips_00000.npz", "recipe.json"]


def test_a_folder_keeps_to_its_recipe(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps(vars(Recipe(0, 3, 2, 48, 36))))
    with pytest.raises(ValueError, match=r"recipe.json says .*'seed': 0.*, not .*'seed': 1"):
        write_clips(tmp_path, 3, seed=1, frames=2, width=48, height=36)
    assert not shard_paths(tmp_path)


@pytest.mark.parametrize(("frames", "width", "height"), [(4, 128, 96), (8, 320, 240), (2, 64, 48)])
def test_shards_stay_below_their_limit(frames: int, width: int, height: int) -> None:
    recipe = Recipe(0, 1000, frames, width, height)
    clip_bytes = frames * (width * height * (3 + 2) + 4 * 4 * 8) + 4 * 8 + 2 * 4 * 20
    largest = max(len(indices) for indices in recipe.shards())
    assert 0.8 * min(SHARD_BYTES, 1000 * clip_bytes) < largest * clip_bytes < SHARD_BYTES
    assert [index for indices in recipe.shards() for index in indices] == list(range(1000))


def test_shards_hold_no_pickles(tmp_path: Path) -> None:
    path = tmp_path / "clips_00000.npz"
    np.savez(path, images=np.array([{"harm": 1}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        read_shard(path)
