"""track_depth: a folder with depth is in metres from its first frame, said once; without depth it is as before."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from walk import CAMERA, Walk

from ros2_raxels.cli.main import main
from ros2_raxels.cli.track_depth import add_depth_arguments, depth_options
from ros2_raxels.geometry.poses import relative_pose
from ros2_raxels.recordings.source import DepthOptions
from ros2_raxels.utils.files import FileError

FRAMES = 24
INTRINSICS = f"{CAMERA.fx},{CAMERA.fy},{CAMERA.cx},{CAMERA.cy}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A TUM RGB-D folder of the beginning of the walk, and its true poses."""
    root, walk = tmp_path_factory.mktemp("tum"), Walk()
    listed = {"rgb": [], "depth": []}  # type: dict[str, list[str]]
    for name in listed:
        (root / name).mkdir()
    for k in range(FRAMES):
        time = f"{1305031102.0 + k / 15:.6f}"
        cv2.imwrite(str(root / f"rgb/{time}.png"), walk.images[k][..., ::-1])
        units = np.where(walk.depths_m[k] < 6.0, np.round(5000 * walk.depths_m[k]), 0)
        cv2.imwrite(str(root / f"depth/{time}.png"), units.astype(np.uint16))
        for name, lines in listed.items():
            lines.append(f"{time} {name}/{time}.png")
    for name, lines in listed.items():
        (root / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return root, relative_pose(walk.poses[0], walk.poses[:FRAMES])


def tracked(folder: Path, out: Path, *more: str) -> list[dict[str, object]]:
    arguments = ["track", str(folder), "--live", "--states", str(out), "--intrinsics", INTRINSICS, "--model", "none"]
    assert main([*arguments, *more]) == 0
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_a_folder_with_depth_is_tracked_in_metres_from_its_first_frame(
    folder: tuple[Path, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    states = tracked(folder[0], tmp_path / "states.jsonl", "--depth")
    assert [(s["state"], s["metric"]) for s in states] == [("TRACKING", True)] * FRAMES
    found = np.array([s["pose"] for s in states], float)[:, :3]
    assert np.abs(found - folder[1][:, :3, 3]).max() < 0.012
    said = capsys.readouterr().out
    assert said.count("24 depth images from depth/, in units of 0.2 mm (--depth-unit, --no-depth)") == 1
    assert said.count("note: metres from depth images, within 0.5 %") == 1


def test_without_depth_it_is_as_before(folder: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    states = tracked(folder[0], tmp_path / "states.jsonl", "--no-depth")
    assert not any(s["metric"] for s in states)


def test_depth_in_a_wrong_unit_is_named_and_left_out(
    folder: tuple[Path, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without = tracked(folder[0], tmp_path / "without.jsonl", "--no-depth")
    wrong = tracked(folder[0], tmp_path / "wrong.jsonl", "--depth-unit", "0.2")
    assert wrong == without
    said = capsys.readouterr().out
    assert said.count("note: depth image left out: 1305031102.000000.png: depth image has a median of") == 1
    assert "its values seem to be mm where they should be m" in said


def test_options_that_cannot_be_meant_together() -> None:
    parser = argparse.ArgumentParser()
    add_depth_arguments(parser)
    assert depth_options(parser.parse_args([])) == DepthOptions()
    assert depth_options(parser.parse_args(["--depth", "--depth-unit", "0.01"])) == DepthOptions(True, 0.01)
    assert depth_options(parser.parse_args(["--depth-topic", "/d"])) == DepthOptions(topic="/d")
    assert depth_options(parser.parse_args(["--no-depth"])) is None
    with pytest.raises(FileError, match="--depth-topic /d says which depth is used, and --no-depth that none is"):
        depth_options(parser.parse_args(["--no-depth", "--depth-topic", "/d"]))
