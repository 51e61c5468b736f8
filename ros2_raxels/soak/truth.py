"""Errors of the published poses. Tracking may start anew; each such world has an origin and a unit of its own."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.geometry.trajectory import align_similarity
from ros2_raxels.soak.record import Record

WRONG = 0.2
"""Share of the extent of the true path: a pose with a larger error is wrong."""

_FEWEST = 100
_SMALL, _TRIES, _OUTLIER = 6, 60, 4.0


def pose_errors(record: Record) -> FloatArray:
    """(N,) errors of the tracked frames, as shares of the extent of the true path.

    Each world is aligned with the truth by itself, robustly, so that a few outliers do not bend the fit. Worlds with
    too few poses are left out, and so is everything where the truth is unknown.
    """
    if record.truth is None:
        return np.zeros(0)
    worlds: dict[int, list[tuple[FloatArray, FloatArray]]] = {}
    for sent in record.sent:
        answer, known = record.answer(sent), record.places.get(sent.stamp_ns or 0)
        if answer is not None and answer.tracked and known is not None:
            world, place = known
            worlds.setdefault(world, []).append((place, record.truth[sent.frame]))
    extent = float(np.linalg.norm(np.ptp(record.truth, axis=0)))
    errors = [_distances(seen) / extent for seen in worlds.values() if len(seen) >= _FEWEST]
    return np.concatenate([np.zeros(0), *errors])


def _distances(seen: list[tuple[FloatArray, FloatArray]]) -> FloatArray:
    places, truth = (np.array(column) for column in zip(*seen, strict=True))
    generator = np.random.default_rng(0)

    def distances(of: npt.NDArray[np.integer]) -> FloatArray:
        scale, rotation, translation = align_similarity(places[of], truth[of])
        return np.asarray(np.linalg.norm(scale * places @ rotation.T + translation - truth, axis=1))

    # Least median of squares over small samples: outliers, however far away, are in some of them only.
    tries = [distances(generator.choice(len(places), _SMALL, replace=False)) for _ in range(_TRIES)]
    error = min(tries, key=lambda error: float(np.median(error)))
    return distances(np.flatnonzero(error <= _OUTLIER * np.median(error)))
