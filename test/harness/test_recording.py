"""A rendered walk lies on disk as a posed set, and is rendered once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ros2_raxels.harness import recording
from ros2_raxels.harness.recording import Walk, default_cache, recorded_walk
from ros2_raxels.recordings.open import open_source
from ros2_raxels.scenes.film import Film, Progress
from ros2_raxels.scenes.trajectories import handheld_loop

WALK = Walk(seconds=0.8, rate_hz=10.0, width=64, height=48)
FRAMES = 8


def no_progress(done: int, total: int) -> None:
    """For those who do not ask."""


def unexpected(done: int, total: int) -> None:
    raise AssertionError("rendered again")


def test_a_rendered_walk_is_a_posed_set_that_is_rendered_once(tmp_path: Path) -> None:
    folder = recorded_walk(WALK, no_progress, tmp_path)
    source = open_source(folder)
    assert (source.kind, source.length, source.has_truth, source.is_metric) == ("posed set", FRAMES, True, True)
    assert source.rate_hz == pytest.approx(WALK.rate_hz)
    poses = handheld_loop(WALK.seconds, WALK.rate_hz, WALK.seed)
    for frame in source:
        assert frame.camera == WALK.camera
        assert frame.stamp_ns == frame.index * 10**8
        np.testing.assert_array_equal(frame.camera_to_world, poses[frame.index])
        assert frame.image.std() > 20
    assert recorded_walk(WALK, unexpected, tmp_path) == folder
    assert [child.name for child in tmp_path.iterdir()] == [folder.name]


def test_another_walk_has_a_folder_of_its_own_and_what_was_broken_off_is_rendered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[Film] = []

    def write(film: Film, folder: Path, progress: Progress) -> None:
        rendered.append(film)
        folder.mkdir()
        (folder / "cameras.json").touch()

    monkeypatch.setattr(recording, "write_film", write)
    monkeypatch.setattr(recording, "furnished_room", lambda seed: None)
    folder = recorded_walk(WALK, no_progress, tmp_path)
    others = [replace(WALK, **change) for change in ({"seed": 4}, {"width": 65}, {"rate_hz": 11.0}, {"seconds": 0.9})]
    assert len({recorded_walk(walk, no_progress, tmp_path) for walk in (WALK, *others)}) == 5
    assert len(rendered) == 5
    (folder / "cameras.json").unlink()
    assert recorded_walk(WALK, no_progress, tmp_path) == folder
    assert len(rendered) == 6
    assert rendered[-1].camera == WALK.camera


def test_walks_are_kept_where_the_user_keeps_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "ros2_raxels" / "demo"


def test_the_camera_of_a_walk_is_an_ideal_pinhole_with_its_principal_point_in_the_middle() -> None:
    camera = Walk(width=320, height=200).camera
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (256.0, 256.0, 159.5, 99.5)
    assert not camera.is_distorted
