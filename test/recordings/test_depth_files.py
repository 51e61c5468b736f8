"""depth_files: the depth images of TUM RGB-D, 7-Scenes and ScanNet folders, their units, cameras and faults."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from recordings_rig import HEIGHT_PX, WIDTH_PX, picture, refusal, write_image

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.recordings.depth_files import find_depths
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.source import DepthOptions, Frame

FOUND = DepthOptions()


def write_depth(path: Path, value: int, width: int = WIDTH_PX, height: int = HEIGHT_PX) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    depth = np.full((height, width), value, np.uint16)
    depth[0, 0] = 0
    cv2.imwrite(str(path), depth)


def tum_set(folder: Path) -> Path:
    """Depth 4 ms behind the images, of the second image none."""
    lines = []
    for index in range(4):
        write_image(folder / f"rgb/{1305031102.1 + 0.1 * index:.6f}.png", picture(index))
        if index != 1:
            time = f"{1305031102.104 + 0.1 * index:.6f}"
            write_depth(folder / f"depth/{time}.png", 5000 * (index + 1))
            lines.append(f"{time} depth/{time}.png")
    (folder / "depth.txt").write_text("# depth maps\n" + "\n".join(lines))
    return folder


def medians(frames: list[Frame]) -> list[float | None]:
    return [None if f.depth is None else round(float(np.nanmedian(f.depth.depth_m)), 4) for f in frames]


def test_tum_depth_is_paired_by_time_and_has_the_unit_of_the_benchmark(tmp_path: Path) -> None:
    source = open_source(tum_set(tmp_path / "desk"), depth=FOUND)
    assert source.has_depth
    assert "3 depth images from depth/, 1 images without, in units of 0.2 mm (--depth-unit, --no-depth)" in source.notes
    frames = list(source)
    assert medians(frames) == [1.0, None, 3.0, 4.0]
    assert frames[0].depth is not None
    assert np.isnan(frames[0].depth.depth_m[0, 0])
    assert frames[0].depth.camera is None
    in_mm = open_source(tmp_path / "desk/rgb", depth=DepthOptions(unit_m=0.001))
    assert medians(list(in_mm)) == [5.0, None, 15.0, 20.0]
    assert medians(list(open_source(tmp_path / "desk"))) == [None] * 4


def test_a_set_in_millimetres_without_a_list_of_depth_images(tmp_path: Path) -> None:
    (tum_set(tmp_path) / "depth.txt").unlink()
    assert medians(list(open_source(tmp_path, depth=FOUND))) == [5.0, None, 15.0, 20.0]


def test_depth_of_7_scenes_is_beside_the_images_and_65535_is_none(tmp_path: Path) -> None:
    for index in range(3):
        write_image(tmp_path / f"frame-{index:06d}.color.png", picture(index))
        write_depth(tmp_path / f"frame-{index:06d}.depth.png", 65535 if index == 1 else 1000 + index)
    source = open_source(tmp_path, depth=FOUND)
    assert medians([frame for frame in source if frame.index != 1]) == [1.0, 1.002]
    between = list(source)[1].depth
    assert between is not None
    assert np.isnan(between.depth_m).all()


def test_depth_of_scannet_has_intrinsics_of_its_own_and_so_do_the_images(tmp_path: Path) -> None:
    for index in (0, 9, 10):
        write_image(tmp_path / f"color/{index}.png", picture(index))
        write_depth(tmp_path / f"depth/{index}.png", 1000 + index, 20, 15)
    for kind, fx in (("color", 30.0), ("depth", 18.0)):
        (tmp_path / "intrinsic").mkdir(exist_ok=True)
        np.savetxt(
            tmp_path / f"intrinsic/intrinsic_{kind}.txt", [[fx, 0, 9, 0], [0, fx, 7, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
        )
    source = open_source(tmp_path, depth=FOUND)
    assert source.camera == PinholeCamera(WIDTH_PX, HEIGHT_PX, 30.0, 30.0, 9.0, 7.0)
    frames = list(source)
    assert medians(frames) == [1.0, 1.009, 1.01]
    assert frames[0].depth is not None
    assert frames[0].depth.camera == PinholeCamera(20, 15, 18.0, 18.0, 9.0, 7.0)
    assert open_source(tmp_path).camera is None
    (tmp_path / "intrinsic/intrinsic_depth.txt").write_text("no matrix")
    assert "intrinsic_depth.txt cannot be read as a matrix of intrinsics" in refusal(tmp_path, depth=FOUND)


def test_a_broken_depth_image_leaves_its_frame_without_and_is_said(tmp_path: Path) -> None:
    tum_set(tmp_path)
    files = sorted((tmp_path / "depth").iterdir())
    files[1].write_bytes(files[1].read_bytes()[:60])
    source = open_source(tmp_path, depth=FOUND)
    assert medians(list(source)) == [1.0, None, None, 4.0]
    (said,) = source.remarks
    assert said.startswith(f"1 depth images left out; the first: {files[1]} cannot be read: depth image of 60 bytes")


def test_where_depth_must_be_and_is_not(tmp_path: Path) -> None:
    write_image(tmp_path / "images/0.png", picture(0))
    assert "has no depth images that are recognised" in refusal(tmp_path, depth=DepthOptions(required=True))
    assert not open_source(tmp_path, depth=FOUND).has_depth
    assert "it has no topic '/depth'; leave --depth-topic out" in refusal(tmp_path, depth=DepthOptions(topic="/depth"))
    assert find_depths([tmp_path / "images/0.png"], [0]) is None


@pytest.mark.parametrize("folder", ["depth", "elsewhere"])
def test_a_folder_that_holds_the_images_themselves_is_no_depth(tmp_path: Path, folder: str) -> None:
    write_image(tmp_path / folder / "1.png", picture(0))
    assert find_depths([tmp_path / folder / "1.png"], [0]) is None
