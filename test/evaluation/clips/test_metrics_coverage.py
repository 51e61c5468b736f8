"""Coverage of stated covariances, of draws from known ones."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ros2_raxels.evaluation.clips.clip_sets import Clip, ClipAnswer
from ros2_raxels.evaluation.clips.metrics import coverage
from ros2_raxels.geometry.poses import rotation_from_vector

CLIPS, MOVING = 500, 2
SHARES = {"rotation_68": (3, 0.68), "rotation_95": (3, 0.95), "direction_68": (2, 0.68), "direction_95": (2, 0.95)}


@cache
def drawn(seed: int) -> tuple[list[Clip], dict[str, ClipAnswer]]:
    """Clips of four cameras, the last of which hardly moved, and answers drawn from the covariance that they state."""
    rng = np.random.default_rng(seed)
    clips, answers = [], {}
    for index in range(CLIPS):
        root = rng.normal(0, 0.01, (4, 6, 6))
        root[:, 3:] *= 0.7
        covariance = root @ np.swapaxes(root, 1, 2) + 1e-6 * np.eye(6)
        found = np.tile(np.eye(4), (4, 1, 1))
        found[1:, :3, :3] = rotation_from_vector(rng.normal(0, 0.3, (3, 3)))
        found[1:, :3, 3] = rng.normal(size=(3, 3))
        found[1:, :3, 3] *= np.array([1.0, 0.7, 0.01])[:, None] / np.linalg.norm(found[1:, :3, 3], axis=1)[:, None]
        truth = found.copy()
        for k in (1, 2, 3):
            error = rng.multivariate_normal(np.zeros(6), covariance[k])
            truth[k, :3, :3] = rotation_from_vector(error[3:]) @ found[k, :3, :3]
            if k < 3:
                truth[k, :3, 3] += error[:3]
        name = f"{index}"
        clips.append(Clip(name, "set", (), None, truth))
        answers[name] = ClipAnswer(name, found, covariance=covariance)
    return clips, answers


def with_covariance(answers: dict[str, ClipAnswer], factor: float) -> dict[str, ClipAnswer]:
    changed: dict[str, Any] = {}
    for name, answer in answers.items():
        assert answer.covariance is not None
        changed[name] = replace(answer, covariance=factor * answer.covariance)
    return changed


@pytest.mark.parametrize("factor", [1.0, 0.25, 4.0])
def test_coverage_is_the_share_that_such_covariances_hold(factor: float) -> None:
    """Of draws from a normal distribution whose covariance is stated this many times too large."""
    clips, answers = drawn(0)
    found = coverage(clips, with_covariance(answers, factor))
    assert found is not None
    assert found.keys() == SHARES.keys()
    for name, (freedoms, share) in SHARES.items():
        expected = stats.chi2.cdf(factor * stats.chi2.ppf(share, freedoms), freedoms)
        count = CLIPS * (3 if freedoms == 3 else MOVING)
        assert abs(found[name] - expected) < 4 * np.sqrt(expected * (1 - expected) / count) + 1e-3
        if factor == 1.0:
            assert expected == pytest.approx(share)
        else:
            assert (expected < share) == (factor < 1.0)


def test_an_error_along_the_direction_is_no_error_of_the_direction() -> None:
    """And across, the deviation counts by the angle: .03 at distance .5 is .06 rad; 2 of these are inside of 95 %."""
    truth, found = (np.tile(np.eye(4), (2, 1, 1)) for _ in range(2))
    covariance = np.tile(np.diag([0.03**2] * 3 + [0.01**2] * 3), (2, 1, 1))
    found[1, :3, 3] = (0.0, 0.0, 0.5)
    expected = {"direction_68": 0.0, "direction_95": 0.0}
    for angle, length, inside in ((0.0, 5.0, (1, 1)), (0.12, 3.0, (0, 1)), (0.16, 1.0, (0, 0)), (0.05, 0.2, (1, 1))):
        truth[1, :3, 3] = length * np.array([np.sin(angle), 0.0, np.cos(angle)])
        share = coverage([Clip("a", "s", (), None, truth)], {"a": ClipAnswer("a", found, covariance=covariance)})
        expected = dict(zip(expected, map(float, inside), strict=True))
        assert share == {"rotation_68": 1.0, "rotation_95": 1.0, **expected}


def test_without_covariances_there_is_no_coverage() -> None:
    clips, answers = drawn(1)
    assert coverage(clips, {}) is None
    assert coverage(clips, {name: replace(answer, covariance=None) for name, answer in answers.items()}) is None
    assert coverage([replace(clip, camera_to_first=None) for clip in clips], answers) is None
    # Those that state one count, whatever the others do.
    some = {name: answer if int(name) % 2 else replace(answer, covariance=None) for name, answer in answers.items()}
    assert coverage(clips, some) == coverage(clips[1::2], answers)
