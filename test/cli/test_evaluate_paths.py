"""``raxels evaluate --paths``: what is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ros2_raxels.cli import evaluate_paths
from ros2_raxels.cli.main import main
from ros2_raxels.evaluation.views.path_trials import PlaceTrial, record_of
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.utils.files import load_json

CAMERA = PinholeCamera(32, 24, 30.0, 30.0, 15.5, 11.5)
AHEAD = np.column_stack([np.zeros(9), np.zeros(9), np.linspace(0.0, 2.0, 9)])


def room(seed: int) -> Iterator[PlaceTrial]:
    """Two paths, of which the second meets something; none in odd rooms."""
    if seed % 2 == 0:
        image, stated = np.full((24, 32, 3), 90, np.uint8), np.array([0.97, 0.1 + 0.01 * seed])
        yield PlaceTrial(image, CAMERA, np.eye(4), [AHEAD, AHEAD], stated, [None, 5])


@pytest.fixture(autouse=True)
def rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripted ones: those that are rendered have tests of their own."""
    monkeypatch.setattr(evaluate_paths, "try_paths", lambda _, seed: room(seed))


def test_all_rooms_are_in_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["evaluate", "--paths", "5", "--seed", "2", "--out", str(out)]) == 0
    report = load_json(out / "paths.json")
    expected = record_of([trial for seed in range(2, 7) for trial in room(seed)])
    assert {key: report[key] for key in expected} == expected
    assert (report["rooms"], report["seed"], report["paths"]) == (5, 2, 6)
    said = capsys.readouterr().out
    assert f"Brier score {expected['brier']:.3f} (0.250 for the mean of all)" in said
    assert "| 95 to 100 % | 3 | 97.0 % | 100.0 % |" in (out / "paths.md").read_text()
    # The reliability diagram, and a picture of each place.
    assert (out / "paths.html").read_text().count("data:image/png") == 1 + 3


def test_rooms_without_depth_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--paths", "1", "--seed", "3", "--out", str(tmp_path)]) == 2
    assert "--paths 1: the images of no room told a depth; give more rooms or another --seed" in capsys.readouterr().err
