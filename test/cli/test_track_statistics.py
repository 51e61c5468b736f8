"""track_statistics: baselines and turns of clips, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ros2_raxels.cli import track_statistics
from ros2_raxels.cli.track_statistics import main, measures, table
from ros2_raxels.geometry.poses import make_pose, rotation_from_vector


def clip(steps: list[tuple[float, float]]) -> np.ndarray:
    """Poses (N, 4, 4) that are so far to the side and turned by so many degrees, after the first."""
    poses = [np.eye(4)]
    poses += [make_pose(rotation_from_vector((0.0, np.radians(deg), 0.0)), (x, 0.0, 0.0)) for x, deg in steps]
    return np.array(poses)


def test_the_second_frame_and_the_furthest_one_count() -> None:
    found = measures(np.array([clip([(0.1, 2.0), (0.5, 8.0), (0.3, 1.0)]), clip([(0.2, 5.0), (0.1, 4.0), (0.0, 0.0)])]))
    np.testing.assert_allclose(found["baseline / depth, a frame"], [0.1, 0.2])
    np.testing.assert_allclose(found["baseline / depth, a clip"], [0.5, 0.2])
    np.testing.assert_allclose(found["turn, a frame, deg"], [2.0, 5.0], atol=1e-9)
    np.testing.assert_allclose(found["turn, a clip, deg"], [8.0, 5.0], atol=1e-9)


def test_the_table_has_the_percentiles_of_both() -> None:
    columns = {"recorded": {"turn, a frame, deg": np.arange(101.0)}, "drawn": {"turn, a frame, deg": np.full(3, 7.0)}}
    assert table(columns).splitlines() == [
        "| | | 5 % | 25 % | 50 % | 75 % | 95 % |",
        "|---|---|---:|---:|---:|---:|---:|",
        "| turn, a frame, deg | recorded | 5 | 25 | 50 | 75 | 95 |",
        "| turn, a frame, deg | drawn | 7 | 7 | 7 | 7 | 7 |",
    ]


def test_the_command_writes_table_and_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(track_statistics, "recorded", lambda _: np.array([clip([(0.1, 2.0)] * 3)] * 5))
    monkeypatch.setattr(track_statistics, "_DRAWN", 50)
    picture = tmp_path / "motion.png"
    assert main([str(tmp_path), str(picture)]) == 0
    assert "| turn, a clip, deg | recorded | 2 | 2 | 2 | 2 | 2 |" in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main([str(tmp_path)]) == 2
    assert "usage: python -m ros2_raxels.cli.track_statistics" in capsys.readouterr().err
