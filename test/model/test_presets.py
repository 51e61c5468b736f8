"""model.presets: sizes that cannot be are refused, and those that can survive a file."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ros2_raxels.model.presets import PRESETS, ModelSize

TINY = PRESETS["tiny"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 36, "heads": 2}, "width 36 over 2 heads"),
        ({"heads": 3}, "width 32 over 3 heads"),
        ({"raxel_patch": 5}, "raxel grid of 12x16 does not divide into patches of 5"),
        ({"video_size_px": (100, 128)}, "video of 100x128 does not divide into patches of 16"),
    ],
)
def test_impossible_sizes_are_refused_by_value(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as refused:
        replace(TINY, **change)
    assert words in str(refused.value)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_sizes_survive_a_file(name: str) -> None:
    assert ModelSize.from_record(json.loads(json.dumps(PRESETS[name].record()))) == PRESETS[name]


@pytest.mark.parametrize("pluecker", [False, True], ids=["raxels", "pluecker"])
def test_a_ray_has_three_values_or_six(pluecker: bool) -> None:
    assert replace(TINY, pluecker=pluecker).ray_channels == (6 if pluecker else 3)
