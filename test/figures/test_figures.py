"""Figures of the docs: every one is drawn, of the size that it says, and shows what it is about."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ros2_raxels.figures.ahead import draw_view_figure
from ros2_raxels.figures.clip import draw_evidence_figure, draw_guidance_figure, solved_clip
from ros2_raxels.figures.overview import draw_overview
from ros2_raxels.figures.page import Page
from ros2_raxels.figures.raxels import draw_raxel_figure
from ros2_raxels.figures.walk import TrackedWalk
from ros2_raxels.geometry.camera import ordinary_camera
from ros2_raxels.geometry.trajectory import absolute_error
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import furnished_room

FRAMES, TRACKED = 125, 90
PLANNED = (0x5E, 0xF2, 0xB8)
RIGHT, WRONG = (0x5E, 0xF2, 0xB8), (0xFF, 0x5F, 0x6D)


@pytest.fixture(scope="module")
def walk() -> TrackedWalk:
    """As if the tracker had made no error."""
    world, camera = furnished_room(3), ordinary_camera(160, 120, 0.8)
    truth = handheld_loop(7.0, 30.0, 3)[:FRAMES]
    images = [render(world, camera, pose)[0] for pose in truth]
    error = absolute_error(truth[:TRACKED], truth[:TRACKED])
    return TrackedWalk(images, camera, 30.0, truth, error.aligned, error)


def written(page: Page, folder: Path) -> np.ndarray:
    """RGB."""
    page.write(folder / "figure.png")
    return cv2.cvtColor(cv2.imread(str(folder / "figure.png")), cv2.COLOR_BGR2RGB)


def has(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(picture.astype(int) - colour).max(axis=2) <= 8).sum() > 20)


def test_a_camera_that_moved_and_turned_has_other_raxels(tmp_path: Path):
    picture = written(draw_raxel_figure(), tmp_path)
    assert picture.shape == (266, 1136, 3)
    source, moved = picture[60:230, 570:820], picture[60:230, 862:1112]
    assert np.abs(source.astype(int) - moved).mean() > 20
    # Green is left, so it fades to the right.
    assert source[:, :40, 1].mean() > source[:, -40:, 1].mean() + 40


@pytest.mark.slow
def test_the_overview_shows_frames_raxels_path_and_views(tmp_path: Path, walk: TrackedWalk):
    picture = written(draw_overview(walk), tmp_path)
    assert picture.shape == (686, 1136, 3)
    frame = cv2.resize(walk.images[0], (176, 132), interpolation=cv2.INTER_AREA)
    assert np.abs(picture[90:160, 30:180].astype(int) - frame[48:118, 10:160]).mean() < 6
    trajectory, views, seen = picture[394:660, 20:560], picture[394:520, 572:1116], picture[534:660, 572:1116]
    assert has(trajectory, PLANNED)
    assert has(trajectory, (0x3E, 0xC6, 0xFF)), "the colour of the beginning"
    nearest = np.abs(views[30:110, 10:160].astype(int) - seen[30:110, 10:160]).mean()
    assert 1.0 < nearest < 30.0, "a view a moment ahead looks like what is seen there"


@pytest.mark.slow
def test_the_figures_of_a_clip_tell_right_from_wrong(tmp_path: Path, walk: TrackedWalk):
    clip = solved_clip(walk)
    evidence = written(draw_evidence_figure(clip), tmp_path)
    assert evidence.shape == (332, 1136, 3)
    assert has(evidence[42:312, 756:1116], RIGHT)
    assert not has(evidence[42:312, 756:1116], WRONG)
    assert not has(evidence[42:312, 388:748], RIGHT)
    guidance = written(draw_guidance_figure(clip), tmp_path)
    assert guidance.shape == (332, 1136, 3)
    best = clip.guided[0][1:, :3, 3]
    truth = clip.truth[1:, :3, 3]
    assert np.abs(best / np.linalg.norm(best, axis=1).max() - truth).max() < 0.1


@pytest.mark.slow
def test_the_figure_of_views_shows_more_doubt_further_ahead(tmp_path: Path, walk: TrackedWalk):
    picture = written(draw_view_figure(walk), tmp_path)
    assert picture.shape == (681, 1136, 3)
    doubt = [picture[42 + 209 * row : 243 + 209 * row, 296:564].mean() for row in range(3)]
    assert doubt[0] < doubt[2]
