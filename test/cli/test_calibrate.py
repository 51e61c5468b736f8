"""`raxels calibrate`: which clips are held out, and what is said of them. The fit is tested with `calibration`."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from commands_rig import CapSys, error_line

from ros2_raxels.cli import calibrate
from ros2_raxels.cli.main import main
from ros2_raxels.engine.model_card import ModelCard
from ros2_raxels.evaluation.views.calibration import Seen
from ros2_raxels.view_synthesis.confidence import ALONE, CHECKED, Signs

SIGNS = Signs(*(np.full(2, value) for value in (0.1, 0.2, 0.8, 0.01))).checked(np.full(2, 0.01), np.full(2, 0.02))


@pytest.fixture
def card(tmp_path: Path) -> Path:
    path = tmp_path / "card.json"
    path.write_text(json.dumps(ModelCard("small", "tiny", {}, 0.25, {"steps": 3}).record()))
    return path


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Clips by number, each with one good view of two; filled with the numbers of the clips of each fit."""
    fits: list[list[int]] = []

    def fit(seen: list[Any]) -> dict[str, dict[str, float]]:
        fits.append([one.number for one in seen])
        return {ALONE: {"one": 0.0}, CHECKED: {"one": float(np.log(3.0))}}

    def see(_: Any, __: Any, number: int) -> Any:
        seen = Seen(SIGNS, np.array([True, False]))
        return SimpleNamespace(number=number, signs=seen.signs, good=seen.good)

    monkeypatch.setattr(calibrate, "make_predictor", lambda _: None)
    monkeypatch.setattr(calibrate, "rendered_clips", lambda count, seed: iter(range(seed, seed + count)))
    monkeypatch.setattr(calibrate, "see", see)
    monkeypatch.setattr(calibrate, "fit", fit)
    return fits


def test_every_fifth_clip_is_held_out_of_the_fit_that_is_checked(
    card: Path, fitted: list[list[int]], capsys: CapSys
) -> None:
    assert main(["calibrate", str(card), "--clips", "7", "--seed", "100"]) == 0
    assert fitted == [[101, 102, 103, 104, 106], list(range(100, 107))]
    # Odds of 1 and of 3: of the views held out, clips 100 and 105, one in two is good.
    assert capsys.readouterr().out.splitlines() == [
        "4 views held out, 50 % of them with 20 dB or more",
        "alone: mean 50 %, Brier score 0.250",
        "checked: mean 75 %, Brier score 0.312",
        f"-> {card}",
    ]
    written = ModelCard.read(card)
    assert written.confidence == {ALONE: {"one": 0.0}, CHECKED: {"one": float(np.log(3.0))}}
    assert (written.name, written.training) == ("small", {"steps": 3})


def test_a_card_that_cannot_be_written_is_refused_before_the_work(
    card: Path, fitted: list[list[int]], monkeypatch: pytest.MonkeyPatch, capsys: CapSys
) -> None:
    monkeypatch.setattr("ros2_raxels.utils.files.os.access", lambda *_: False)
    assert main(["calibrate", str(card), "--clips", "1"]) == 2
    assert "cannot be written to" in error_line(capsys)
    assert fitted == []
