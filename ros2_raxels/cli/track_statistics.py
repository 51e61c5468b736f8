"""How drawn motion compares with recorded motion: ``python -m ros2_raxels.cli.track_statistics DATA PICTURE``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ros2_raxels.estimation.bundle_adjustment import triangulate
from ros2_raxels.estimation.inliers import FEWEST_MATCHES
from ros2_raxels.evaluation.clips.clip_sets import CLIP_FRAMES, Clip, make_clips
from ros2_raxels.geometry.poses import FloatArray, rotation_angle_rad
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.matching.tracks import Evidence
from ros2_raxels.scenes.motion import sample_motion

_PER_SET = 20
_DRAWN = 5000
_PERCENTILES = (5, 25, 50, 75, 95)


def recorded(root: Path, per_set: int = _PER_SET) -> FloatArray:
    """(clips, N, 4, 4) of recorded clips, in units of the median depth that the first camera sees."""
    matcher = Matcher()
    poses = [_in_depths(matcher, clip) for clip in make_clips(root, per_set, seed=0)]
    return np.array([p for p in poses if p is not None])


def _in_depths(matcher: Matcher, clip: Clip) -> FloatArray | None:
    """The clip's poses over the median depth of its tracks; None where too few have parallax."""
    images = clip.read_images()
    cameras, truth = clip.cameras(images), clip.camera_to_first
    if cameras is None or truth is None:
        return None
    frames = matcher.look_all(images)
    evidence = matcher.collect(frames, [f.working_camera(c) for f, c in zip(frames, cameras, strict=True)])
    depth = _median_depth(evidence, truth)
    if depth is None:
        return None
    scaled = truth.copy()
    scaled[:, :3, 3] /= depth
    return scaled


def _median_depth(evidence: Evidence, truth: FloatArray) -> float | None:
    inverse = triangulate(evidence, truth[None])[0][evidence.anchor == 0]
    inverse = inverse[inverse > 0]
    return float(np.median(1.0 / inverse)) if len(inverse) >= FEWEST_MATCHES else None


def measures(poses: FloatArray) -> dict[str, FloatArray]:
    """Baseline and turn between the first two frames, and the largest within a clip, of (clips, N, 4, 4)."""
    baseline = np.linalg.norm(poses[..., :3, 3], axis=-1)
    turn = np.degrees(rotation_angle_rad(poses[..., :3, :3]))
    return {
        "baseline / depth, a frame": baseline[:, 1],
        "baseline / depth, a clip": baseline.max(axis=1),
        "turn, a frame, deg": turn[:, 1],
        "turn, a clip, deg": turn.max(axis=1),
    }


def table(columns: dict[str, dict[str, FloatArray]]) -> str:
    """Percentiles of every measure, as Markdown."""
    lines = ["| | | " + " | ".join(f"{p} %" for p in _PERCENTILES) + " |", "|---|---|" + "---:|" * len(_PERCENTILES)]
    for measure in next(iter(columns.values())):
        for source, values in columns.items():
            cells = " | ".join(f"{v:.3g}" for v in np.percentile(values[measure], _PERCENTILES))
            lines.append(f"| {measure} | {source} | {cells} |")
    return "\n".join(lines)


def draw(columns: dict[str, dict[str, FloatArray]], picture: Path) -> None:
    """Both histograms of every measure, one over the other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 2.6), layout="constrained")
    names = list(next(iter(columns.values())))
    for axes, name in zip(figure.subplots(1, len(names)), names, strict=True):
        is_turn = "deg" in name
        bins = np.linspace(0, 41, 22) if is_turn else np.geomspace(1e-3, 3, 22)
        for source, values in columns.items():
            share = np.full(len(values[name]), 1 / len(values[name]))
            axes.hist(values[name].clip(bins[0], bins[-1]), bins, weights=share, alpha=0.55, label=source)
        axes.set_xscale("linear" if is_turn else "log")
        axes.set_xlabel(name)
        axes.set_yticks([])
    figure.axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(picture, dpi=110)


def main(arguments: Sequence[str]) -> int:
    """Print the table and write the picture."""
    if len(arguments) != 2:
        print("usage: python -m ros2_raxels.cli.track_statistics DATA_ROOT PICTURE.png", file=sys.stderr)
        return 2
    drawn = sample_motion(np.random.default_rng(0), _DRAWN, CLIP_FRAMES).camera_to_first
    columns = {"recorded": measures(recorded(Path(arguments[0]))), "drawn": measures(drawn)}
    print(table(columns))
    draw(columns, Path(arguments[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
