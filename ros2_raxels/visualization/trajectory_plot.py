"""Plot of a trajectory from above and of its height over time, beside the truth and other methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.poses import FloatArray, relative_pose
from ros2_raxels.geometry.trajectory import align_similarity
from ros2_raxels.utils.files import FileError

_INK, _MUTED, _BLUE, _RED = "#222222", "#9a9a9a", "#1f6fb2", "#c8372d"
_OTHERS = ("#d98c1f", "#4c9f50", "#8a5fb0")
_FEWEST = 3


@dataclass(frozen=True, eq=False)
class DrawnTrack:
    """What is drawn.

    Attributes:
        title: of the plot.
        stamps_ns: of N frames.
        poses: (N, 4, 4) camera_to_world, optical frames.
        missed: (N,) whether a frame was not tracked.
        truth: (N, 4, 4) camera_to_world, None where it is not known. All others are aligned to it with a similarity.
        beside: by name, frame numbers (K,) and camera_to_world (K, 4, 4) of other methods; only drawn with a truth.
    """

    title: str
    stamps_ns: Sequence[int]
    poses: FloatArray
    missed: npt.NDArray[np.bool_]
    truth: FloatArray | None = None
    beside: Mapping[str, tuple[Sequence[int], FloatArray]] = field(default_factory=dict)


def picture_format(path: Path) -> str:
    """Image format by the suffix of a file name, like "png".

    Raises:
        FileError: it is none that matplotlib writes, or matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError as error:
        raise FileError(f"{path} needs matplotlib to be drawn; `pip install matplotlib` or leave --plot out") from error
    known: dict[str, str] = FigureCanvasAgg.get_supported_filetypes()
    wanted = path.suffix.lower().removeprefix(".")
    if wanted not in known:
        raise FileError(f"{path}: {path.suffix or 'no suffix'} is no picture format; use one of {', '.join(known)}")
    return wanted


def draw_track(track: DrawnTrack, path: Path) -> None:
    """Draw a track in the frame of its first camera.

    Raises:
        FileError: as `picture_format`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.6), layout="constrained")
    above, beside = figure.subplots(1, 2, gridspec_kw={"width_ratios": (1.15, 1)})
    time_s = (np.array(track.stamps_ns) - track.stamps_ns[0]) / 1e9
    found, truth, unit = _positions(track)
    if truth is not None:
        _line(above, beside, truth, time_s, color=_MUTED, linewidth=2.5, label="truth")
        for (name, (numbers, poses)), color in zip(track.beside.items(), _OTHERS, strict=False):
            if len(poses) >= _FEWEST:
                aligned = _aligned(poses[:, :3, 3], truth[numbers])
                _line(above, beside, aligned, time_s[numbers], color=color, linewidth=1.0, label=name)
    _line(above, beside, found, time_s, color=_BLUE, linewidth=1.4, label="raxels")
    missed = track.missed
    if missed.any():
        _line(above, beside, found[missed], time_s[missed], color=_RED, ls="", marker=".", ms=4, label="not tracked")
    above.plot(found[0, 0], found[0, 2], "o", color=_INK, markersize=5, label="start")
    above.set(title="from above", xlabel=f"right of the first camera [{unit}]", ylabel=f"ahead of it [{unit}]")
    above.set_aspect("equal", adjustable="datalim")
    above.legend(frameon=False, fontsize=9)
    beside.set(title="height over time", xlabel="time [s]", ylabel=f"above the first camera [{unit}]")
    figure.suptitle(f"{track.title}: {len(found)} frames", color=_INK)
    # The name of a temporary file need not end in the format.
    figure.savefig(path, format=picture_format(path), dpi=140)


def _positions(track: DrawnTrack) -> tuple[FloatArray, FloatArray | None, str]:
    """Positions (N, 3) of the track and of the truth, aligned, in the first camera's frame; and their unit."""
    found = relative_pose(track.poses[0], track.poses)[:, :3, 3]
    if track.truth is None or len(track.truth) < _FEWEST:
        return found, None, "no scale"
    true = relative_pose(track.truth[0], track.truth)[:, :3, 3]
    return _aligned(found, true), true, "unit of the truth"


def _aligned(points: FloatArray, true: FloatArray) -> FloatArray:
    """Points (K, 3) aligned to true ones with a similarity."""
    scale, rotation, translation = align_similarity(points, true)
    return np.asarray(scale * points @ rotation.T + translation)


def _line(above: Any, beside: Any, points: FloatArray, time_s: FloatArray, **style: Any) -> None:
    above.plot(points[:, 0], points[:, 2], **style)
    beside.plot(time_s, -points[:, 1], **style)
    for axes in (above, beside):
        axes.grid(color="#e6e6e6", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
