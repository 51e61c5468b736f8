"""`raxels track` on bags of several cameras."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands_rig import CapSys, error_line
from rig_bags import write_walk_bag
from rig_walk import stereo

from ros2_raxels.cli.main import main


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_walk_bag(tmp_path_factory.mktemp("stereo") / "bag", stereo(), 8)


def test_a_bag_of_two_eyes_is_tracked_in_metres_of_the_base_from_its_first_frame(
    bag: Path, tmp_path: Path, capsys: CapSys
) -> None:
    out = tmp_path / "states.jsonl"
    assert main(["track", str(bag), "--model", "none", "--live", "--states", str(out)]) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(line["state"], line["metric"]) for line in lines] == [("TRACKING", True)] * 8
    truth = stereo().base_to_world[:8]
    moved = np.linalg.norm(truth[7, :3, 3] - truth[0, :3, 3])
    assert np.linalg.norm(np.array(lines[7]["pose"][:3]) - lines[0]["pose"][:3]) == pytest.approx(moved, rel=0.03)
    said = capsys.readouterr().out
    assert (
        "note: cameras left (/left/image_raw), right (/right/image_raw); poses are answered at those of 'left'" in said
    )
    assert "points that 'left' and 'right' see lie" in said


def test_one_camera_of_a_bag_is_chosen_by_name(bag: Path, tmp_path: Path, capsys: CapSys) -> None:
    options = [
        "track",
        str(bag),
        "--model",
        "none",
        "--limit",
        "2",
        "--live",
        "--states",
        str(tmp_path / "states.jsonl"),
    ]
    main([*options, "--camera", "right"])
    said = capsys.readouterr().out
    assert "note: 8 messages of /right/image_raw" in said
    assert main([*options, "--camera", "top"]) == 2
    assert "has no camera 'top'; choose from left, right" in error_line(capsys)


def test_each_camera_has_a_mask_of_its_own(bag: Path, tmp_path: Path, capsys: CapSys) -> None:
    for name, rows in (("left", 180), ("right", 60)):
        assert cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((rows, 240), 255, np.uint8))
    masks = [f"--mask={name}={tmp_path / name}.png" for name in ("left", "right")]
    options = ["track", str(bag), "--model", "none", "--limit", "2", "--states", str(tmp_path / "states.jsonl")]
    assert main([*options, masks[0]]) == 0
    assert main([*options, *masks]) == 2
    assert "the mask is 240x60 px but the image 240x180 px" in error_line(capsys)
