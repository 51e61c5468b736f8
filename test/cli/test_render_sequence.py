"""raxels render --sequence: a round through a room as a posed set, and requests that cannot be met."""

from __future__ import annotations

from pathlib import Path

import pytest

from ros2_raxels.cli.main import main
from ros2_raxels.recordings.open import open_source
from ros2_raxels.scenes import rounds
from ros2_raxels.scenes.rounds import rounds_film

# To draw the tiles takes eight seconds, and one process keeps them.
pytestmark = pytest.mark.xdist_group("tiles")


def test_a_path_without_space_in_any_room_is_an_error_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "_WORLDS", 2)
    monkeypatch.setattr(rounds, "CLEARANCE_M", 9.0)
    assert main(["render", str(tmp_path / "set"), "--sequence", "loop", "--seed", "0"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == "raxels: none of 2 rooms has space for a loop of 1000 frames; give another seed"
    assert list(tmp_path.iterdir()) == []


def test_render_writes_a_sequence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    options = ["--sequence", "eight", "--frames", "500", "--width", "32", "--height", "24", "--seed", "0"]
    assert main(["render", str(out), *options]) == 0
    assert "500 frames, " in capsys.readouterr().out
    assert open_source(out).length == 500
    assert main(["render", str(out), *options]) == 2
    assert f"{out} is there already; remove it" in capsys.readouterr().err


def test_a_path_that_would_have_to_be_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", str(tmp_path / "set"), "--sequence", "loop", "--frames", "100"]) == 2
    assert "100 frames at 30 Hz are too few for a loop; give 600 or more" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="'spiral' is no shape of a round; choose from loop, eight"):
        rounds_film("spiral", 1000, 64, 48, seed=0)
