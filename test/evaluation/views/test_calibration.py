"""calibration: clips with truth, when a view counts as good, and a fit whose answer is known."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from ros2_raxels.evaluation.views import calibration
from ros2_raxels.evaluation.views.calibration import Known, Seen, fit, recorded_clips, see, tasks_with_truth
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.utils.files import FileError
from ros2_raxels.view_synthesis.confidence import ALONE, CHECKED, GOOD_DB, Signs, probability


def write_tasks(folder: Path, **changed: Any) -> Path:
    """One task: a known frame, two ahead, and what was seen there; every image one grey, 10 apart."""
    for index in range(3):
        assert cv2.imwrite(str(folder / f"{index}.png"), np.full((90, 120, 3), 10 * index, np.uint8))
    task = {
        "id": "room/0",
        "context": [str(folder / "0.png")],
        "context_poses": [np.eye(4).tolist()],
        "intrinsics": [100.0, 100.0, 59.5, 44.5],
        "trajectory": [np.eye(4).tolist()] * 2,
        "truth": [str(folder / "1.png"), str(folder / "2.png")],
    }
    path = folder / "tasks.json"
    path.write_text(json.dumps({"tasks": [task | changed]}))
    return path


def test_a_recorded_clip_has_its_frames_and_the_truth(tmp_path: Path) -> None:
    (clip,) = recorded_clips(tasks_with_truth(write_tasks(tmp_path)))
    assert clip.name == "task room/0"
    assert clip.camera == PinholeCamera(120, 90, 100.0, 100.0, 59.5, 44.5)
    assert [int(image[0, 0, 0]) for image in (*clip.images, *clip.truth)] == [0, 10, 20]
    assert clip.trajectory.shape == (2, 4, 4)


def test_every_view_needs_its_truth(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="task room/0 has 1 images of truth for 2 poses; give one for each"):
        tasks_with_truth(write_tasks(tmp_path, truth=["1.png"]))


def test_intrinsics_of_no_camera_are_named_by_task(tmp_path: Path) -> None:
    tasks = tasks_with_truth(write_tasks(tmp_path, intrinsics=[0.0, 1.0, 2.0, 3.0]))
    with pytest.raises(FileError, match=r"^task room/0: focal length fx = 0\.0"):
        list(recorded_clips(tasks))


POSE = np.eye(4)[None]


def test_a_view_is_good_from_20_db_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A difference of d grey levels everywhere is 20 log10(255 / d) dB: 20 dB at 25.5."""
    assert GOOD_DB == 20.0
    truth = [np.full((72, 96, 3), 100, np.uint8)] * 3
    made = [np.full((72, 96, 3), 100 + off, np.uint8) for off in (25, 26, 0)]
    known = Known("a", truth[:1], PinholeCamera(96, 72, 80, 80, 47.5, 35.5), POSE, POSE, truth)
    signs = Signs(*np.ones((4, 3)))
    predictor: Any = SimpleNamespace(predict=lambda *_: SimpleNamespace(images=made))
    monkeypatch.setattr(calibration, "check_views", lambda *_: SimpleNamespace(signs=signs))
    estimator: Any = None
    seen = see(predictor, estimator, known)
    assert seen.signs is signs
    assert seen.good.tolist() == [True, False, True]


def test_a_clip_of_which_no_views_can_be_made_is_named() -> None:
    def predict(*_: Any) -> Any:
        raise ValueError("images of two sizes")

    predictor: Any = SimpleNamespace(predict=predict)
    known = Known("rendered clip 3", [np.zeros((3, 4, 3), np.uint8)], PinholeCamera(4, 3, 4, 4, 1, 1), POSE, POSE, [])
    estimator: Any = None
    with pytest.raises(FileError, match=r"^rendered clip 3: images of two sizes$"):
        see(predictor, estimator, known)


def test_signs_that_say_nothing_leave_the_share_of_good_views() -> None:
    """With equal signs only the constant is fitted, and its maximum likelihood is the observed share."""
    signs = Signs(*np.full((4, 40), 0.2)).checked(np.full(40, 0.01), np.full(40, 0.01))
    found = fit([Seen(signs, np.arange(40) < 30), Seen(signs, np.arange(40) < 10)])
    assert set(found) == {ALONE, CHECKED}
    for one in (signs, signs.alone()):
        np.testing.assert_allclose(probability(found, one), 0.5, atol=1e-3)
    found = fit([Seen(signs, np.arange(40) < 30)])
    np.testing.assert_allclose(probability(found, signs), 0.75, atol=1e-3)
