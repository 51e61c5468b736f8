"""Scores of paths against the truth: candidates in random rendered rooms, of which some lead into things."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ros2_raxels.evaluation.report import charts
from ros2_raxels.evaluation.report.page import Card, Picture, Section
from ros2_raxels.evaluation.report.tables import Table
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import OPTICAL_TO_BODY, FloatArray, make_pose, rotation_from_vector
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.scenes.film import Film
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.rounds import rounds_film
from ros2_raxels.view_synthesis.path_scores import Body, Candidate, score_paths
from ros2_raxels.view_synthesis.predictor import ViewPredictor
from ros2_raxels.view_synthesis.seen_space import SeenSpace

SUREST = 0.95
"""Stated probability from which a planner may go at full speed."""

_WIDTH_PX, _HEIGHT_PX, _RATE_HZ, _FRAMES = 320, 240, 10.0, 200
_PLACES, _PATHS, _POSES = 2, 20, 8
_KNOWN = np.array([-9, -6, -3, 0])
"""Frames before each place that are known, the newest last."""

_LENGTH_M, _RADIUS_M = (0.5, 3.5), (0.1, 0.4)
_HEADING_DEG, _TURN_DEG, _CLIMB_DEG = 30.0, 60.0, 12.0
_FINE_M = 0.02
_EDGES = (0.0, 0.05, 0.2, 0.5, 0.8, SUREST, 1.0)


@dataclass(frozen=True, eq=False)
class PlaceTrial:
    """N candidate paths from one place.

    Attributes:
        image: newest known one, (H, W, 3) RGB uint8.
        camera: of the image.
        camera_to_world: 4x4, of the image.
        paths: N of (P, 3), places of the body along the path, m.
        stated: (N,) probability that the path is free.
        hits: index of the first place of each path at which the body touches something; None where it touches nothing.
    """

    image: ImageArray
    camera: PinholeCamera
    camera_to_world: FloatArray
    paths: Sequence[FloatArray]
    stated: FloatArray
    hits: Sequence[int | None]

    @property
    def free(self) -> npt.NDArray[np.bool_]:
        """(N,) whether there is room along the whole path."""
        return np.array([hit is None for hit in self.hits])


def try_paths(predictor: ViewPredictor, seed: int) -> Iterator[PlaceTrial]:
    """Candidates in one room, from some places of a walk through it.

    Places whose images tell no depth have none: there the robot would be told so.

    Args:
        predictor: of depths.
        seed: of room, walk and candidates.

    Raises:
        NoRoomError: no room had space for a walk; practically impossible.
    """
    film = rounds_film("loop", _FRAMES, _WIDTH_PX, _HEIGHT_PX, seed, _RATE_HZ)
    generator = np.random.default_rng([seed, _PATHS])
    for newest in np.linspace(-_KNOWN[0], _FRAMES - 1, _PLACES + 1).astype(int)[:-1]:
        trial = _at_place(predictor, film, newest + _KNOWN, generator)
        if trial is not None:
            yield trial


def _at_place(
    predictor: ViewPredictor, film: Film, known: npt.NDArray[np.intp], generator: np.random.Generator
) -> PlaceTrial | None:
    poses = film.camera_to_world[known]
    images = [render(film.world, film.camera, pose)[0] for pose in poses]
    assert isinstance(film.camera, PinholeCamera)
    try:
        space = SeenSpace.of(predictor.frame_depths(images, film.camera, poses))
    except ValueError:
        return None
    stated, hits, paths = [], [], []
    for _ in range(_PATHS):
        path, body = random_path(generator, poses[-1]), Body(float(generator.uniform(*_RADIUS_M)))
        (score,) = score_paths(space, [Candidate(path, path)], body, poses)
        fine = places_along(path[:, :3, 3])
        touches = np.flatnonzero(film.world.clearance_m(fine) < body.radius)
        stated.append(score.free_probability)
        hits.append(int(touches[0]) if len(touches) else None)
        paths.append(fine)
    return PlaceTrial(images[-1], film.camera, poses[-1], paths, np.array(stated), hits)


def random_path(generator: np.random.Generator, start: FloatArray) -> FloatArray:
    """(N, 4, 4) optical frames along an arc that begins at a camera (4x4), some degrees beside where it looks."""
    heading, turn, climb = np.radians(generator.normal(0.0, (_HEADING_DEG, _TURN_DEG / 2, _CLIMB_DEG)))
    length = float(generator.uniform(*_LENGTH_M))
    yaw = np.arctan2(start[1, 2], start[0, 2]) + heading
    poses, place = [], start[:3, 3]
    for angle in yaw + turn * np.linspace(0.0, 1.0, _POSES):
        ahead = np.array((np.cos(angle) * np.cos(climb), np.sin(angle) * np.cos(climb), np.sin(climb)))
        poses.append(make_pose(rotation_from_vector((0.0, 0.0, angle)) @ OPTICAL_TO_BODY[:3, :3], place))
        place = place + length / (_POSES - 1) * ahead
    return np.array(poses)


def places_along(places: FloatArray) -> FloatArray:
    """(P, 3) places on the straight lines between given ones (N, 3), m, a few cm apart."""
    way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(places, axis=0), axis=1))])
    at = np.linspace(0.0, way[-1], max(2, int(way[-1] / _FINE_M)))
    return np.stack([np.interp(at, way, axis) for axis in places.T], axis=1)


# ------------------------------------------------------------------------------------------------------------- report


def record_of(trials: Sequence[PlaceTrial]) -> dict[str, Any]:
    """For ``paths.json``; shares of nothing are null."""
    stated = np.concatenate([trial.stated for trial in trials])
    free = np.concatenate([trial.free for trial in trials])
    bins = []
    for low, high in itertools.pairwise(_EDGES):
        inside = (stated >= low) & ((stated < high) | (high == 1.0))
        found = {"stated": float(stated[inside].mean()), "free": float(free[inside].mean())} if inside.any() else {}
        bins.append({"from": low, "to": high, "paths": int(inside.sum()), "stated": None, "free": None, **found})
    return {
        "places": len(trials),
        "paths": len(stated),
        "free": float(free.mean()),
        "brier": float(((stated - free) ** 2).mean()),
        "brier_of_mean": float(free.mean() * (1.0 - free.mean())),
        "bins": bins,
    }


def section_of(record: dict[str, Any], pictures: Sequence[Picture]) -> Section:
    """Table, reliability diagram and pictures.

    Args:
        record: of `record_of`.
        pictures: of some places.
    """
    rows: Table = [["stated to be free", "paths", "stated, mean", "were free"]]
    for group in record["bins"]:
        shares = ("-" if group[key] is None else f"{100 * group[key]:.1f} %" for key in ("stated", "free"))
        rows.append([f"{100 * group['from']:.0f} to {100 * group['to']:.0f} %", str(group["paths"]), *shares])
    surest = record["bins"][-1]
    cards = [Card("Brier score", f"{record['brier']:.3f}", f"the mean for all: {record['brier_of_mean']:.3f}")]
    if surest["paths"]:
        missed = f"{100 * (1.0 - surest['free']):.1f} %"
        cards.append(Card(f"not free of those at {100 * SUREST:.0f} % and more", missed, f"{surest['paths']} paths"))
    some = [group for group in record["bins"] if group["paths"]]
    stated, free, counts = ([group[key] for group in some] for key in ("stated", "free", "paths"))
    chart = Picture(
        charts.stated_and_seen(stated, free, counts, "paths that were free", "path"),
        "Below the dashed line more was promised than there was, above it less.",
    )
    note = (
        "A ball of 10 to 40 cm radius moves along arcs of up to 3.5 m in random rendered rooms. Four images of the way "
        "before are known, with their poses. A path is free if the ball touches nothing."
    )
    return Section("Scores of paths", rows, note, cards, [chart, *pictures])
