"""The moving picture at the top of the README: a camera, its raxels and path, paths to choose from, a view ahead."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from PIL import Image

from ros2_raxels.factory import make_predictor
from ros2_raxels.figures.page import Page
from ros2_raxels.figures.walk import TrackedWalk
from ros2_raxels.geometry.poses import (
    OPTICAL_TO_BODY,
    FloatArray,
    inverse_pose,
    make_pose,
    rotation_from_vector,
)
from ros2_raxels.geometry.raxel_grid import RAXEL_COLUMNS, RAXEL_ROWS
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.utils.files import replacing
from ros2_raxels.view_synthesis.path_scores import Body, Candidate, PathScore, score_paths
from ros2_raxels.view_synthesis.prediction import PredictedViews, PredictionRequest
from ros2_raxels.view_synthesis.predictor import ViewPredictor
from ros2_raxels.view_synthesis.seen_space import SeenSpace
from ros2_raxels.visualization.drawing import (
    DOTTED,
    FONT,
    MUTED,
    TIME,
    TRUTH,
    depth_picture,
    draw_camera,
    draw_coloured_line,
    draw_floor,
    draw_raxels,
    draw_region,
    fit,
    flat,
    show_image,
)
from ros2_raxels.visualization.paths_picture import BLOCKED_RGB, FREE_RGB

RATE_HZ = 8.0
"""Of the pictures; the walk is slowed down, so that each can be looked at."""

_WIDTH, _HEIGHT = 800, 452
_EVERY = 5
"""Pictures between two predictions."""

_CONTEXT, _CONTEXT_STEP = 4, 10
_AHEAD_S = 0.8
_TURNS_DEG = (-35.0, 0.0, 35.0)
_PATH_M, _PATH_POSES = 1.1, 10
_BODY = Body(0.22, -1.05, 0.1, up=(0.0, -1.0, 0.0))
"""Of a robot whose camera is carried 1.35 m above the floor: from 30 cm above it, which leaves the floor out."""

_PLANNED = "#5ef2b8"
_QUALITY = 50
_SURE, _BLOCKED = np.array(FREE_RGB) / 255, np.array(BLOCKED_RGB) / 255


@dataclass(frozen=True, eq=False)
class Outlook:
    """What is predicted at a frame.

    Attributes:
        view: the view ahead, with its depth.
        ahead: number of the frame that will be there.
        paths: candidates.
        scores: of these.
    """

    view: PredictedViews
    ahead: int
    paths: Sequence[FloatArray]
    scores: Sequence[PathScore]


def draw_animation(walk: TrackedWalk, pictures: int) -> Iterator[ImageArray]:
    """Pictures (452, 800, 3), evenly over the tracked frames."""
    predictor, outlook = make_predictor(""), None
    last = min(len(walk.estimate), len(walk.images) - _frames_ahead(walk)) - 1
    with matplotlib.rc_context(FONT):
        for number in range(pictures):
            frame = round(number * last / max(1, pictures - 1))
            if number % _EVERY == 0 and frame >= _CONTEXT * _CONTEXT_STEP:
                outlook = _outlook(walk, predictor, frame)
            yield _pixels(_picture(walk, frame, outlook))


def write_animation(pictures: Iterator[ImageArray], path: Path) -> None:
    """Write as WebP, which is repeated for ever.

    Raises:
        FileError: the file cannot be written.
    """
    first, *others = (Image.fromarray(picture) for picture in pictures)
    with replacing(path) as temporary:
        first.save(
            temporary,
            format="webp",
            save_all=True,
            append_images=others,
            duration=round(1e3 / RATE_HZ),
            loop=0,
            quality=_QUALITY,
            method=6,
        )


# ---------------------------------------------------------------------------------------------------------- prediction


def _frames_ahead(walk: TrackedWalk) -> int:
    return round(_AHEAD_S * walk.rate_hz)


def _outlook(walk: TrackedWalk, predictor: ViewPredictor, frame: int) -> Outlook:
    known = frame - _CONTEXT_STEP * np.arange(_CONTEXT)[::-1]
    images, poses = [walk.images[k] for k in known], walk.estimate[known]
    ahead = frame + _frames_ahead(walk)
    size = (walk.camera.width // 2, walk.camera.height // 2)
    request = PredictionRequest(images, walk.camera, poses, walk.truth[ahead : ahead + 1], size=size)
    space = SeenSpace.of(predictor.frame_depths(images, walk.camera, poses))
    paths = [_path(walk.estimate[frame], turn) for turn in np.radians(_TURNS_DEG)]
    candidates = [Candidate(path, path) for path in paths]
    scores = score_paths(space, candidates, _BODY, walk.estimate[: frame + 1 : 5])
    return Outlook(predictor.predict(request), ahead, paths, scores)


def _path(start: FloatArray, turn_rad: float) -> FloatArray:
    """An arc on the level of a camera, (N, 4, 4) optical frames."""
    forward = start[:3, 2] * (1.0, 1.0, 0.0)
    heading = np.arctan2(forward[1], forward[0])
    poses = []
    for share in np.arange(1, _PATH_POSES + 1) / _PATH_POSES:
        angle = heading + turn_rad * share
        middle = heading + turn_rad * share / 2
        place = start[:3, 3] + _PATH_M * share * np.array((np.cos(middle), np.sin(middle), 0.0))
        facing = rotation_from_vector(np.array((0.0, 0.0, angle))) @ OPTICAL_TO_BODY[:3, :3]
        poses.append(make_pose(facing, place))
    return np.array(poses)


# ------------------------------------------------------------------------------------------------------------- drawing


def _picture(walk: TrackedWalk, frame: int, outlook: Outlook | None) -> Page:
    page = Page(_WIDTH, _HEIGHT)
    page.heading(14, 16, "Camera", f"{frame / walk.rate_hz:.1f} s")
    show_image(page.axes(14, 30, 280, 210), _shrunk(walk.images[frame], 280, 210), "white")
    page.heading(14, 258, "Raxels", "the camera as a picture")
    raxels = draw_raxels(walk.camera, list(walk.estimate[: frame + 1]), (RAXEL_ROWS, RAXEL_COLUMNS))[-1]
    show_image(page.axes(14, 272, 280, 164), np.kron(raxels, np.ones((10, 10, 1))), "white")
    page.heading(310, 16, "Trajectory", "95 % region; paths: green is free, red is not")
    _trajectory(page.axes(310, 30, 476, 210), walk, frame, outlook)
    _views(page, walk, outlook)
    return page


def _trajectory(axes: Any, walk: TrackedWalk, frame: int, outlook: Outlook | None) -> None:
    to_first = make_pose(OPTICAL_TO_BODY[:3, :3], np.zeros(3)) @ inverse_pose(walk.truth[0])
    truth, estimate = to_first @ walk.truth, to_first @ walk.estimate[: frame + 1]
    extent = float(np.ptp(truth[:, :3, 3], axis=0).max())
    draw_floor(axes, truth[:, :3, 3], float(truth[:, 2, 3].min()) - 0.22 * extent, extent)
    axes.plot(*flat(truth[:, :3, 3]).T, color=TRUTH, lw=1.2, ls=DOTTED, zorder=3)
    colours = np.asarray(TIME(np.linspace(0.0, 1.0, len(walk.estimate))))[: frame + 1]
    draw_coloured_line(axes, flat(estimate[:, :3, 3]), colours, lw=3.5, zorder=5)
    if walk.covariance is not None:
        turn = to_first[:3, :3]
        draw_region(axes, estimate[-1, :3, 3], turn @ walk.covariance[frame] @ turn.T)
    draw_camera(axes, walk.camera, estimate[-1], 0.16 * extent, colours[-1])
    for path, score in zip(outlook.paths, outlook.scores, strict=True) if outlook else ():
        colour = score.free_probability * _SURE + (1.0 - score.free_probability) * _BLOCKED
        axes.plot(*flat((to_first @ path)[:, :3, 3]).T, color=colour, lw=3, alpha=0.9, zorder=8)
    around = [flat(truth[:, :3, 3] + offset) for offset in (-0.16 * extent, 0.16 * extent)]
    fit(axes, np.concatenate(around), 476 / 210)


def _views(page: Page, walk: TrackedWalk, outlook: Outlook | None) -> None:
    """The view ahead, its depth, and what was seen there later."""
    words = f"predicted, {_AHEAD_S} s ahead" if outlook else "once the camera has moved"
    page.heading(310, 258, "View", words)
    if outlook is None:
        return
    view = outlook.view.images[0]
    assert outlook.view.depth is not None
    depth = depth_picture(outlook.view.depth[0])
    panels = [(view, _PLANNED), (depth, _PLANNED), (walk.images[outlook.ahead], TRUTH)]
    captions = (f"confidence {outlook.view.confidence[0]:.2f}", "its depth", "seen there later")
    for column, ((picture, colour), caption) in enumerate(zip(panels, captions, strict=True)):
        axes = page.axes(310 + 162 * column, 272, 152, 114)
        show_image(axes, _shrunk(picture, 152, 114), colour)
        axes.text(0.0, -0.12, caption, transform=axes.transAxes, fontsize=9, color=MUTED, va="top")
    free = ", ".join(f"{score.free_probability:.2f}" for score in outlook.scores)
    at = (310 / _WIDTH, 1.0 - 430 / _HEIGHT)
    page.figure.text(*at, f"Paths to the right, ahead, to the left: free with {free}", fontsize=10, color=MUTED)


def _shrunk(image: ImageArray, width: int, height: int) -> ImageArray:
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _pixels(page: Page) -> ImageArray:
    raw = io.BytesIO()
    page.figure.savefig(raw, format="rgba", facecolor=page.figure.get_facecolor())
    pixels = np.frombuffer(raw.getvalue(), np.uint8).reshape(page.height, page.width, 4)
    return pixels[..., :3].copy()
