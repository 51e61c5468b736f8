"""Fits the odds by which the world is told from things that move: ``python -m ros2_raxels.cli.world_odds``.

Rendered clips are solved once as they are and some times with a thing before them. Of their candidate motions each that
is right is compared with each that is wrong, and a logistic regression tells which traits speak for the right one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import numpy as np

from ros2_raxels.estimation.bundle_adjustment import BundleProblem, RefineSettings
from ros2_raxels.estimation.guidance import candidates, settle
from ros2_raxels.estimation.motions import WORLD_ODDS, Picture, only_one_explains
from ros2_raxels.estimation.two_view import propose
from ros2_raxels.evaluation.clips.clip_sets import Clip, ClipAnswer
from ros2_raxels.evaluation.clips.metrics import pair_errors
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.scenes.clips import RenderedClip, render_clip
from ros2_raxels.scenes.moving_things import MOVING_KINDS, with_moving_thing
from ros2_raxels.scenes.random_textures import TexturePool, texture_pool

_SIZE = 320, 240
_FRAMES, _THINGS = 4, 3
_SHARES = 0.25, 0.7
_KINDS = ("slab", *MOVING_KINDS)
"""Slabs twice: they are the hardest."""

_RIGHT_DEG, _WRONG_DEG = 10.0, 25.0
"""Mean error of the pairs of frames: below and above."""

_LEAST_CLAIM = 0.08
_PENALTY, _STEPS = 0.3, 60


def rendered(seed: int, number: int, pool: TexturePool) -> Iterator[RenderedClip]:
    """A clip without and with things, drawn by its number and a seed."""
    generator = np.random.default_rng([seed, number])
    still = render_clip(generator, _FRAMES, *_SIZE, pool)
    yield still
    for _ in range(_THINGS):
        kind, share = str(generator.choice(_KINDS)), float(generator.uniform(*_SHARES))
        yield with_moving_thing(generator, still, kind, share, pool).clip


def differences(clip: RenderedClip, matcher: Matcher) -> FloatArray:
    """(D, T) by how much right candidates of a clip have more of the traits than wrong ones, a row for each pair."""
    frames = matcher.look_all(list(clip.images))
    evidence = matcher.collect(frames, [f.working_camera(clip.camera) for f in frames])
    problem = BundleProblem.of(evidence)
    poses = propose(problem)
    if not len(poses):
        return np.zeros((0, len(WORLD_ODDS)))
    found = candidates(problem, settle(problem, poses, RefineSettings()))
    error_deg = np.array([_error_deg(clip.camera_to_first, pose) for pose in found.every.camera_to_first])
    return duels(found.picture, found.follows, error_deg)


def _error_deg(truth: FloatArray, poses: FloatArray) -> float:
    errors = pair_errors(Clip("", "", (), None, truth), ClipAnswer("", poses))
    return float(errors.combined_deg.mean())


def duels(picture: Picture, follows: FloatArray, error_deg: FloatArray) -> FloatArray:
    """(D, T) differences in traits, from the agreement (H, P) and the errors (H,) of hypotheses."""
    rows = []
    for right in np.flatnonzero(error_deg < _RIGHT_DEG):
        for wrong in np.flatnonzero(error_deg > _WRONG_DEG):
            ours, theirs = only_one_explains(follows[right], follows[wrong])
            if min((ours * picture.area).sum(), (theirs * picture.area).sum()) >= _LEAST_CLAIM:
                rows.append(picture.traits(ours, theirs) - picture.traits(theirs, ours))
    return np.array(rows).reshape(-1, len(WORLD_ODDS))


def fitted(difference: FloatArray, weight: FloatArray) -> FloatArray:
    """(T,) odds under which these differences (D, T), with their weights (D,), are those of right motions.

    Newton's method, with a penalty on the square of the odds in standard deviations of the traits.
    """
    scale = difference.std(axis=0) + 1e-9
    rows, odds = difference / scale, np.zeros(difference.shape[1])
    for _ in range(_STEPS):
        right = 1.0 / (1.0 + np.exp(-rows @ odds))
        gradient = rows.T @ (weight * (right - 1.0)) + _PENALTY * odds
        curvature = (rows.T * (weight * right * (1.0 - right))) @ rows + _PENALTY * np.eye(len(odds))
        odds = odds - np.linalg.solve(curvature, gradient)
    return np.asarray(odds / scale)


def main(arguments: Sequence[str] | None = None) -> int:
    """Render, solve, fit and print the odds."""
    parser = argparse.ArgumentParser(prog="python -m ros2_raxels.cli.world_odds", description=__doc__)
    parser.add_argument("--clips", type=int, default=60, metavar="N", help="without things (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=11, help="of the clips (default: %(default)s)")
    args = parser.parse_args(arguments)
    pool, matcher = texture_pool(args.seed), Matcher()
    found = [differences(clip, matcher) for k in range(args.clips) for clip in rendered(args.seed, k, pool)]
    # A clip with many candidates counts for no more than one with few.
    weight = np.concatenate([np.full(len(rows), 1.0 / max(len(rows), 1)) for rows in found])
    difference = np.concatenate(found)
    odds = fitted(difference, weight)
    told = float((weight * (difference @ odds > 0)).sum() / weight.sum())
    print(f"{len(found)} clips, {sum(len(rows) > 0 for rows in found)} with a choice, {told:.1%} of it right")
    for name, value in zip(WORLD_ODDS, odds, strict=True):
        print(f"{name}: {value:.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
