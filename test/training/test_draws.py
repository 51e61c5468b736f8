"""draws: a step's data follow from its number, so that a resumed run goes on with the same."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ros2_raxels.model.flow import Task  # noqa: E402
from ros2_raxels.model.presets import PRESETS  # noqa: E402
from ros2_raxels.training import draws  # noqa: E402
from ros2_raxels.training.draws import Draws  # noqa: E402


def poses_of(draw: Draws, step: int, rank: int) -> torch.Tensor:
    return draw(step, rank).batch.camera_to_first


def test_a_step_is_always_the_same_and_others_differ() -> None:
    draw = Draws(seed=3, clips=2, device="cpu")
    first = poses_of(draw, 5, 0)
    assert torch.equal(first, poses_of(Draws(seed=3, clips=2, device="cpu"), 5, 0))
    for other in (poses_of(draw, 6, 0), poses_of(draw, 5, 1), poses_of(Draws(4, 2, "cpu"), 5, 0)):
        assert other.shape != first.shape or not torch.equal(first, other)


class ScriptedPixels:
    """Records what is drawn of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, Task]] = []

    def draw(self, generator: np.random.Generator, clips: int, task: Task, size: object) -> str:
        self.asked.append((clips, task))
        return "pixels"


def test_most_steps_have_pixels_and_fewer_clips_of_them() -> None:
    pixels = ScriptedPixels()
    draw = Draws(0, 48, "cpu", pixels, PRESETS["tiny"])  # type: ignore[arg-type]
    drawn = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draws, "sample_correspondences", lambda *_: "correspondences")
        drawn = [draw(step, 0) for step in range(400)]
    with_pixels = [one for one in drawn if one.batch == "pixels"]
    assert 0.85 < len(with_pixels) / len(drawn) < 0.95
    assert not any(one.with_evidence for one in with_pixels)
    assert {task for _, task in pixels.asked} == {Task.VIEWS, Task.IMAGINE, Task.POSE}
    assert {(clips, task is Task.VIEWS) for clips, task in pixels.asked} == {(8, True), (24, False)}
    assert all(one.task is Task.POSE for one in drawn if one.batch == "correspondences")
