"""world_odds: which candidates are compared, and the fit against odds that are known."""

from __future__ import annotations

import numpy as np
import pytest
from made_up_tracks import cameras, tracks_of

from ros2_raxels.cli import world_odds
from ros2_raxels.cli.world_odds import duels, fitted, main
from ros2_raxels.estimation.motions import WORLD_ODDS, Picture
from ros2_raxels.geometry.poses import FloatArray


def test_the_fit_finds_the_odds_that_the_rows_were_drawn_with() -> None:
    rng = np.random.default_rng(0)
    true, rows = np.array([2.0, -1.0, 0.0]), rng.normal(size=(20000, 3))
    right = rng.random(len(rows)) < 1.0 / (1.0 + np.exp(-rows @ true))
    found = fitted(np.where(right[:, None], rows, -rows), np.ones(len(rows)))
    np.testing.assert_allclose(found, true, atol=0.08)
    # Rows that weigh nothing say nothing.
    weight = np.where(right, 1.0, 0.0)
    np.testing.assert_allclose(fitted(rows, weight), fitted(rows[right], np.ones(right.sum())), atol=0.05)


def test_right_candidates_are_compared_with_wrong_ones_that_explain_something_else() -> None:
    rng = np.random.default_rng(1)
    picture = Picture(tracks_of(rng, cameras(rng), 400)[0])
    left = picture.place[:, 0] < 0.5
    follows = np.array([left, ~left, ~left, left], float)
    found = duels(picture, follows, np.array([1.0, 40.0, 15.0, 90.0]))
    # The third is neither right nor wrong, and the fourth explains what the first does.
    wanted = picture.traits(follows[0], follows[1]) - picture.traits(follows[1], follows[0])
    np.testing.assert_allclose(found, wanted[None])
    assert duels(picture, follows, np.full(4, 90.0)).shape == (0, len(WORLD_ODDS))


def test_the_command_prints_odds_by_name(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(2)
    drawn: list[tuple[int, int]] = []

    def three(seed: int, number: int, pool: object) -> list[int]:
        drawn.append((seed, number))
        return [number] * 3

    def rows_of(clip: int, matcher: object) -> FloatArray:
        return rng.normal(size=(clip, len(WORLD_ODDS))) + 1.0

    monkeypatch.setattr(world_odds, "texture_pool", lambda seed: None)
    monkeypatch.setattr(world_odds, "rendered", three)
    monkeypatch.setattr(world_odds, "differences", rows_of)
    assert main(["--clips", "5", "--seed", "7"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert drawn == [(7, k) for k in range(5)]
    assert first.startswith("15 clips, 12 with a choice, ")
    assert [line.split(":")[0] for line in lines] == list(WORLD_ODDS)
    assert all(float(line.split(":")[1]) > 0 for line in lines)
