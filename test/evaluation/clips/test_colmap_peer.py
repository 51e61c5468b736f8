"""The offline peer: real pycolmap where it is installed, and clear words where it is not."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from posed_sets import write_rendered_set

from ros2_raxels.evaluation.clips.colmap_peer import map_offline
from ros2_raxels.geometry.trajectory import score_trajectory
from ros2_raxels.recordings.open import open_source
from ros2_raxels.utils.files import FileError

FRAMES = 16


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rendered_set(tmp_path_factory.mktemp("data") / "room", FRAMES)


def test_a_rendered_room_is_mapped(room: Path) -> None:
    pytest.importorskip("pycolmap")
    source = open_source(room)
    truth = np.array([frame.camera_to_world for frame in source])
    found = map_offline(source, FRAMES, threads=2, most=8)
    assert found.note == "8 frames offered, 2 threads"
    assert found.seconds > 0
    # Every second frame, and most of those.
    assert set(found.indices) <= set(range(0, FRAMES, 2))
    assert found.indices == sorted(found.indices)
    assert len(found.indices) >= 6
    score = score_trajectory(found.poses, truth, source.rate_hz, found.indices)
    assert score is not None
    assert score.ate_percent < 1.0
    # A wrong convention of axes would show in the rotations.
    assert score.rpe_second_deg is not None
    assert score.rpe_second_deg < 0.5


def test_frames_that_it_cannot_use_are_named(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycolmap", sys)
    frames = list(open_source(room))
    with pytest.raises(FileError, match=r"000001\.png has no intrinsics"):
        map_offline([frames[0], replace(frames[1], camera=None)], 2, 1)
    assert frames[0].camera is not None
    bent = replace(frames[0].camera, distortion=(0.1, 0.0, 0.0, 0.0, 0.0))
    with pytest.raises(FileError, match="lens with distortion; undistort the images first"):
        map_offline([replace(frames[0], camera=bent)], 1, 1)
