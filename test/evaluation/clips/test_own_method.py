"""Our own answers to clips: what the estimator says, timed, and a guess with a reason where it fails."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pytest

from ros2_raxels.estimation.estimator import Estimator
from ros2_raxels.evaluation.clips.clip_sets import Clip
from ros2_raxels.evaluation.clips.own_method import answer_clip
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import make_pose

CAMERA = PinholeCamera(8, 6, 7.0, 7.5, 3.5, 2.5)
POSES = np.array([make_pose(np.eye(3), [x, 0, 0]) for x in (0.0, 1.0)])


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.full((6, 8, 3), 90, np.uint8))
    return Clip("s/0", "s", (path, path), np.array([[7.0, 7.5, 3.5, 2.5]] * 2))


class Scripted:
    """An estimator that answers with these values, or fails."""

    def __init__(self, poses: Any = POSES, error: Exception | None = None) -> None:
        self.given: Any = None
        self._poses, self._error = poses, error

    def estimate(self, images: Any, cameras: Any) -> Any:
        self.given = cameras
        if self._error:
            raise self._error
        return SimpleNamespace(
            camera_to_first=self._poses,
            cameras=[CAMERA, CAMERA],
            confidence=np.array([1.0, np.nan]),
            covariance=np.tile(np.eye(6), (2, 1, 1)),
            stage_s={"evidence": 0.25},
        )


def answered(clip: Clip, estimator: Scripted, use_intrinsics: bool = True) -> tuple[Any, str]:
    return answer_clip(cast(Estimator, estimator), clip, use_intrinsics)


def test_the_answer_is_the_estimator_s(clip: Clip) -> None:
    estimator = Scripted()
    answer, reason = answered(clip, estimator)
    assert reason == ""
    assert estimator.given == [CAMERA, CAMERA]
    np.testing.assert_array_equal(answer.camera_to_first, POSES)
    np.testing.assert_array_equal(answer.intrinsics, [[7.0, 7.5, 3.5, 2.5]] * 2)
    # JSON has no NaN.
    np.testing.assert_array_equal(answer.confidence, [1.0, 0.0])
    assert list(answer.stage_s) == ["read", "evidence"]
    assert 0.0 < answer.stage_s["read"] <= answer.seconds
    answered(clip, estimator, use_intrinsics=False)
    assert estimator.given is None


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (Scripted(error=RuntimeError("broke\n down")), "broke down"),
        (Scripted(error=KeyError()), "KeyError"),
        (Scripted(poses=np.full((2, 4, 4), np.nan)), "the solver's poses are not finite"),
    ],
)
def test_a_clip_that_fails_is_a_guess_with_a_reason(clip: Clip, estimator: Scripted, words: str) -> None:
    answer, reason = answered(clip, estimator)
    assert reason == words
    np.testing.assert_array_equal(answer.camera_to_first, np.tile(np.eye(4), (2, 1, 1)))
    np.testing.assert_array_equal(answer.confidence, [0.0, 0.0])
    np.testing.assert_array_equal(answer.intrinsics, clip.intrinsics)
    assert answer.seconds > 0.0
    assert answered(clip, estimator, use_intrinsics=False)[0].intrinsics is None


def test_where_it_failed_is_shown_to_those_who_ask(
    clip: Clip, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answered(clip, Scripted(error=RuntimeError("broke down")))
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("RAXELS_DEBUG", "1")
    answered(clip, Scripted(error=RuntimeError("broke down")))
    assert "in estimate" in capsys.readouterr().err
