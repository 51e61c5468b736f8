"""trajectory_plot: what is drawn from above and over time, aligned to the truth, and names of image formats."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure
from views_scene import shifted

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.utils.files import FileError
from ros2_raxels.visualization.trajectory_plot import DrawnTrack, draw_track, picture_format

POSES = np.array([shifted(1, 2, 3), shifted(2, 2, 3), shifted(2, 1, 3), shifted(2, 1, 5, turn_deg=(0, 90, 0))])
"""Optical frames: to the right, up, and ahead of the first camera."""

STAMPS_NS = [10**9, 15 * 10**8, 2 * 10**9, 4 * 10**9]
NONE_MISSED = np.zeros(4, bool)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures that were saved."""
    figures: list[Figure] = []
    save = Figure.savefig

    def recorded(figure: Figure, *arguments: Any, **named: Any) -> None:
        figures.append(figure)
        save(figure, *arguments, **named)

    monkeypatch.setattr(Figure, "savefig", recorded)
    return figures


def lines(figure: Figure, panel: int) -> dict[str, FloatArray]:
    """Points (N, 2) of the lines of a panel by their label."""
    return {str(line.get_label()): np.asarray(line.get_xydata()) for line in figure.axes[panel].lines}


def test_a_track_is_drawn_in_the_first_cameras_frame_from_above_and_over_time(
    drawn: list[Figure], tmp_path: Path
) -> None:
    draw_track(DrawnTrack("a walk", STAMPS_NS, POSES, NONE_MISSED), tmp_path / "a.png")
    above, height = lines(drawn[0], 0), lines(drawn[0], 1)
    assert set(above) == {"raxels", "start"}
    np.testing.assert_allclose(above["raxels"], [[0, 0], [1, 0], [1, 0], [1, 2]], atol=1e-12)
    np.testing.assert_allclose(above["start"], [[0, 0]], atol=1e-12)
    # y points down.
    np.testing.assert_allclose(height["raxels"], [[0, 0], [0.5, 0], [1, 1], [3, 1]], atol=1e-12)
    assert drawn[0].get_suptitle() == "a walk: 4 frames"
    assert drawn[0].axes[0].get_xlabel() == "right of the first camera [no scale]"
    assert drawn[0].axes[1].get_xlabel() == "time [s]"
    assert cv2.imread(str(tmp_path / "a.png")).shape[1] == 1400


def test_frames_that_were_not_tracked_are_marked(drawn: list[Figure], tmp_path: Path) -> None:
    missed = np.array([False, True, False, True])
    draw_track(DrawnTrack("a walk", STAMPS_NS, POSES, missed), tmp_path / "a.png")
    np.testing.assert_allclose(lines(drawn[0], 0)["not tracked"], [[1, 0], [1, 2]], atol=1e-12)
    np.testing.assert_allclose(lines(drawn[0], 1)["not tracked"], [[0.5, 0], [3, 1]], atol=1e-12)


def test_tracks_are_aligned_to_the_truth_with_a_similarity(drawn: list[Figure], tmp_path: Path) -> None:
    elsewhere = shifted(-4, 0, 7, turn_deg=(10, 40, -5))
    truth, peer = POSES.copy(), elsewhere @ POSES
    truth[:, :3, 3] *= 2.5
    peer[:, :3, 3] *= 0.1
    beside = {"other": ([0, 1, 3], peer[[0, 1, 3]]), "short": ([0, 1], peer[:2])}
    draw_track(DrawnTrack("a walk", STAMPS_NS, POSES, NONE_MISSED, truth, beside), tmp_path / "a.png")
    above = lines(drawn[0], 0)
    # A track of two poses cannot be aligned, and is left out.
    assert set(above) == {"truth", "raxels", "other", "start"}
    expected = 2.5 * np.array([[0, 0], [1, 0], [1, 0], [1, 2]])
    np.testing.assert_allclose(above["truth"], expected, atol=1e-9)
    np.testing.assert_allclose(above["raxels"], expected, atol=1e-9)
    np.testing.assert_allclose(above["other"], expected[[0, 1, 3]], atol=1e-9)
    np.testing.assert_allclose(lines(drawn[0], 1)["other"], [[0, 0], [0.5, 0], [3, 2.5]], atol=1e-9)
    assert drawn[0].axes[0].get_xlabel() == "right of the first camera [unit of the truth]"


def test_formats_are_those_of_the_suffix(tmp_path: Path) -> None:
    assert [picture_format(Path(name)) for name in ("a.png", "b.SVG", "c.d.pdf")] == ["png", "svg", "pdf"]
    with pytest.raises(FileError, match=r"a\.mp4: \.mp4 is no picture format; use one of .*png"):
        picture_format(Path("a.mp4"))
    with pytest.raises(FileError, match="a: no suffix is no picture format"):
        picture_format(Path("a"))
    track = DrawnTrack("a walk", STAMPS_NS, POSES, NONE_MISSED)
    draw_track(track, tmp_path / "a.svg")
    assert "<svg" in (tmp_path / "a.svg").read_text()[:1000]


def test_without_matplotlib_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(FileError, match=r"a.png needs matplotlib to be drawn; `pip install matplotlib` or leave --pl"):
        picture_format(Path("a.png"))
