"""A film is written whole or not at all, as a posed set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ball_world import ball_before_a_floor

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.fisheye import wide_lens
from ros2_raxels.geometry.poses import OPTICAL_TO_BODY
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.source import DepthOptions
from ros2_raxels.scenes.film import Film, shown_progress, write_film
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.rigs import RIGS, rig_of
from ros2_raxels.scenes.trajectories import look_at
from ros2_raxels.scenes.world import Light

RATE_HZ = 10.0


@pytest.fixture(scope="module")
def film() -> Film:
    """13 frames, more than two chunks, of a camera that climbs beside a ball."""
    place = np.column_stack([np.full(13, 3.0), np.zeros(13), np.linspace(1.0, 2.0, 13)])
    world, camera = ball_before_a_floor(Light((1.0, 1.0, 3.0))), PinholeCamera(64, 48, 50.0, 50.0, 31.5, 23.5)
    return Film("short", world, camera, look_at(place, np.array([0.0, 0.0, 1.0])), RATE_HZ)


def test_a_film_becomes_a_posed_set(film: Film, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    folder = tmp_path / "new" / "set"
    write_film(film, folder, lambda done, total: told.append((done, total)))
    assert told[-1] == (13, 13)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    source = open_source(folder)
    assert (source.name, source.length, source.is_metric, source.rate_hz) == ("short", 13, True, pytest.approx(RATE_HZ))
    for frame in source:
        np.testing.assert_array_equal(frame.camera_to_world, film.camera_to_world[frame.index])
        assert frame.camera == film.camera
        exact = render(film.world, film.camera, film.camera_to_world[frame.index])[0]
        assert np.abs(frame.image.astype(int) - exact).mean() < 8
    # Readable for others, as any folder is that a user makes.
    assert folder.stat().st_mode & 0o777 == 0o755


def test_through_a_fisheye_it_becomes_a_rig_set(film: Film, tmp_path: Path) -> None:
    camera = wide_lens(48, 36, 180.0)
    write_film(
        replace(film, camera=camera, camera_to_world=film.camera_to_world[:2]), tmp_path / "set", lambda *_: None
    )
    source = open_source(tmp_path / "set")
    assert (source.kind, source.length, source.is_metric, source.has_truth) == ("rig set", 2, True, True)
    for frame in source:
        np.testing.assert_allclose(frame.camera_to_world, film.camera_to_world[frame.index], atol=1e-12)
        assert frame.camera == camera
        exact = render(film.world, camera, film.camera_to_world[frame.index])[0]
        assert np.abs(frame.image.astype(int) - exact).mean() < 8


@pytest.mark.parametrize("name", RIGS)
def test_of_several_cameras_it_becomes_a_rig_set_of_theirs(name: str, film: Film, tmp_path: Path) -> None:
    rig = rig_of(name, wide_lens(48, 36, 100.0))
    write_film(replace(film, rig=rig, camera_to_world=film.camera_to_world[:2]), tmp_path / "set", lambda *_: None)
    source = open_source(tmp_path / "set")
    assert (source.kind, source.length, source.has_truth) == ("rig set", 2, True)
    assert source.rig is not None
    assert source.rig.names == rig.names
    for frame in source:
        base_to_world = film.camera_to_world[frame.index] @ np.linalg.inv(OPTICAL_TO_BODY)
        for camera, image in {rig.leader: frame.image, **frame.others}.items():
            np.testing.assert_allclose(source.rig[camera].camera_to_base, rig[camera].camera_to_base)
            exact = render(film.world, rig[camera].camera, base_to_world @ rig[camera].camera_to_base)[0]
            assert np.abs(image.astype(int) - exact).mean() < 8


def test_what_a_depth_sensor_films_belongs_to_the_frames_of_the_set(film: Film, tmp_path: Path) -> None:
    write_film(replace(film, with_depth=True), tmp_path / "set", lambda *_: None)
    source = open_source(tmp_path / "set", depth=DepthOptions(required=True))
    assert "13 depth images from depth/, in units of 1 mm (--depth-unit, --no-depth)" in source.notes
    for frame in source:
        assert frame.depth is not None
        exact = render(film.world, film.camera, film.camera_to_world[frame.index])[1]
        off = 1.0 / frame.depth.depth_m - 1.0 / exact
        assert np.isfinite(off).sum() > 100
        # Noise of .0015 1/m, and half a step of .0029.
        assert np.nanmax(np.abs(off)) < 6 * 0.0015 + 0.0015
    assert all(frame.depth is None for frame in open_source(tmp_path / "set"))


def test_a_rig_films_no_depth(film: Film) -> None:
    with pytest.raises(ValueError, match="a rig set has no depth images"):
        replace(film, camera=wide_lens(48, 36, 180.0), with_depth=True)


def test_an_interrupted_film_leaves_nothing(film: Film, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_film(film, tmp_path / "set", interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_as_it_is(
    film: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ros2_raxels.scenes.film._render_all", lambda *arguments: None)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine").touch()
    with pytest.raises(OSError, match="not empty"):
        write_film(film, tmp_path / "set", lambda done, total: None)
    assert [path.name for path in tmp_path.rglob("*")] == ["set", "mine"]


def test_progress_is_shown_on_a_terminal_only(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress() as progress:
        progress(3, 7)
    assert capsys.readouterr().err == ""
