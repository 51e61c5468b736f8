"""ablations: every variant is measured and reported, those with pixels where there are any."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands_rig import CapSys

pytest.importorskip("torch")

from ros2_raxels.cli import ablations


def test_every_variant_of_poses_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[Any] = []

    def measure(size: Any, weights: Any, pixels: Any, check: Any) -> dict[str, float]:
        measured.append((size, weights, pixels, check))
        return {"rotation_deg": float(len(measured))}

    monkeypatch.setattr(ablations, "measure", measure)
    monkeypatch.setattr(ablations.Validation, "synthetic", lambda clips: clips)
    assert ablations.main([str(tmp_path / "report.json")]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["variants"] == {name: {"rotation_deg": k + 1.0} for k, name in enumerate(ablations.POSES)}
    assert report["clips"] == ablations.CLIPS
    assert [one[:2] for one in measured] == list(ablations.POSES.values())
    assert {one[2:] for one in measured} == {(None, 512)}


def test_the_variants_differ_in_one_part_each() -> None:
    for variants in (ablations.POSES, ablations.PIXELS):
        first, *others = ({**vars(size), **vars(weights)} for size, weights in variants.values())
        for other in others:
            assert sum(first[name] != other[name] for name in first) == 1


@pytest.mark.parametrize("arguments", [[], ["a", "b", "c"]])
def test_other_arguments_are_refused(arguments: list[str], capsys: CapSys) -> None:
    assert ablations.main(arguments) == 2
    assert capsys.readouterr().err.startswith("usage: python -m ros2_raxels.cli.ablations")
