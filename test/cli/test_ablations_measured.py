"""ablations: variants differ in what their names say, and are trained and measured."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from training_rig import recorded_clips  # noqa: E402

from ros2_raxels.cli import ablations  # noqa: E402
from ros2_raxels.model.presets import ModelSize  # noqa: E402
from ros2_raxels.training.losses import LossWeights  # noqa: E402
from ros2_raxels.training.validation import Validation  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def difference(a: tuple[ModelSize, LossWeights], b: tuple[ModelSize, LossWeights]) -> dict[str, Any]:
    """Fields of the second that differ from the first's."""
    of_a, of_b = ({**asdict(size), **asdict(weights)} for size, weights in (a, b))
    return {name: value for name, value in of_b.items() if of_a[name] != value}


def test_ablations_differ_in_what_their_names_say_and_in_nothing_else() -> None:
    first, *others = ablations.POSES
    assert {name: difference(ablations.POSES[first], ablations.POSES[name]) for name in others} == {
        "without the cosine term": {"cosine": 0.0},
        "without the pose loss": {"pose": 0.0},
        "Pluecker rays": {"pluecker": True},
    }
    assert ablations.POSES[first] == ablations.PIXELS["decoupled attention"] == (ablations.SIZE, LossWeights())
    assert difference(*ablations.PIXELS.values()) == {"decoupled": False}
    assert list(ablations.PIXELS) == ["decoupled attention", "joined attention"]


@pytest.mark.parametrize("name", ["without the cosine term", "Pluecker rays", "joined attention"])
def test_a_variant_is_trained_for_its_steps_and_measured(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablations, "STEPS", 3)
    monkeypatch.setattr(ablations, "CLIPS", 2)
    check, pixels = Validation.synthetic(clips=24, frames=3, tracks=32), None
    size, weights = {**ablations.POSES, **ablations.PIXELS}[name]
    # Sweeps of fewer planes, which take less time and are no part of what varies.
    size = replace(size, sweep_depths=8, sweep_width=8)
    if name in ablations.PIXELS:
        pixels = recorded_clips(tmp_path)
        check = check.with_views(pixels, size, batches=1, clips=1)
    found = ablations.measure(size, weights, pixels, check)
    assert found["steps"] == 3
    assert 0.0 < found["minutes"] < 2.0
    assert set(found) == {"synthetic", "steps", "minutes"} | ({"views"} if pixels else set())
    tables = [found["synthetic"], *([found["views"]] if pixels else [])]
    assert all(np.isfinite(value) for table in tables for value in table.values())
    assert 0.0 <= found["synthetic"]["rotation_deg"] <= 180.0
