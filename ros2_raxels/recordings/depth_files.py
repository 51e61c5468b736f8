"""The depth images that data sets keep beside their colour images: which belongs to which, and their unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ros2_raxels.geometry.camera import Camera, PinholeCamera
from ros2_raxels.geometry.poses import GeometryError
from ros2_raxels.recordings.depth_picture import MILLIMETRE, DepthPicture, decode_depth_file
from ros2_raxels.recordings.image_codec import ImageError
from ros2_raxels.recordings.image_header import stored_size
from ros2_raxels.recordings.image_names import frame_numbers, is_no_picture, times_of_names
from ros2_raxels.recordings.layouts import visible_images
from ros2_raxels.recordings.source import SourceError

_TUM_UNIT = 1 / 5000
"""m; of 16-bit depth in the format of the TUM RGB-D benchmark."""

_TUM_LIST = "depth.txt"
_APART_NS = 20_000_000
"""Between an image and its depth image; the benchmark's own tool allows as much."""

_INTRINSICS = "intrinsic"


@dataclass(frozen=True)
class DepthFiles:
    """Depth images of a folder's images.

    Attributes:
        files: one for each image, in their order; None where there is none.
        unit_m: of their 16-bit values.
        words: what was found, for people.
        camera: intrinsics of the depth images; None for those of the images, scaled.
    """

    files: Sequence[Path | None]
    unit_m: float
    words: str
    camera: Camera | None = None

    def read(self, index: int) -> DepthPicture | None:
        """What belongs to an image, by its index; None where there is nothing.

        Raises:
            SourceError: the file cannot be read.
        """
        file = self.files[index]
        if file is None:
            return None
        try:
            return DepthPicture(decode_depth_file(file.read_bytes(), self.unit_m), self.camera)
        except (OSError, ImageError) as error:
            raise SourceError(f"{file} cannot be read: {error}") from error


def find_depths(files: Sequence[Path], stamps_ns: Sequence[int], unit_m: float | None = None) -> DepthFiles | None:
    """Depth images of the images of a data set: TUM RGB-D, 7-Scenes, ScanNet, and what is laid out like them.

    Args:
        files: of the colour images.
        stamps_ns: of each.
        unit_m: of 16-bit values; None for what the set has.

    Returns:
        None where there are none.
    """
    folder = files[0].parent
    beside = [file for file in visible_images(folder)[0] if _holds_depth(file)]
    if beside:
        return _found(_by_numbers(files, beside), unit_m or MILLIMETRE, f"{folder.name}/", folder)
    root = folder.resolve().parent
    below = root / "depth"
    if folder.resolve() == below or not below.is_dir():
        return None
    depths = visible_images(below)[0]
    if not depths:
        return None
    is_tum = (root / _TUM_LIST).is_file()
    times = times_of_names([file.stem for file in depths])
    paired = _by_time(stamps_ns, depths, times[0]) if times else _by_numbers(files, depths)
    return _found(paired, unit_m or (_TUM_UNIT if is_tum else MILLIMETRE), "depth/", root)


def _holds_depth(file: Path) -> bool:
    return is_no_picture(file.stem) and "depth" in file.stem.lower()


def _found(paired: Sequence[Path | None], unit_m: float, where: str, root: Path) -> DepthFiles | None:
    count = sum(file is not None for file in paired)
    if not count:
        return None
    missing = f", {len(paired) - count} images without" if count < len(paired) else ""
    words = f"{count} depth images from {where}{missing}, in units of {1e3 * unit_m:g} mm (--depth-unit, --no-depth)"
    first = next(file for file in paired if file is not None)
    size = stored_size(first.read_bytes())
    camera = None if size is None else scannet_camera(root, "depth", (size[1], size[0]))
    return DepthFiles(paired, unit_m, words, camera)


def _by_numbers(files: Sequence[Path], depths: Sequence[Path]) -> list[Path | None]:
    by_number = {frame_numbers(depth.stem): depth for depth in depths}
    return [by_number.get(frame_numbers(file.stem)) for file in files]


def _by_time(stamps_ns: Sequence[int], depths: Sequence[Path], times_ns: Sequence[int]) -> list[Path | None]:
    order = np.argsort(times_ns, kind="stable")
    sorted_ns = np.array(times_ns, np.int64)[order]
    paired: list[Path | None] = []
    for stamp_ns in stamps_ns:
        after = int(np.searchsorted(sorted_ns, stamp_ns))
        near = [k for k in (after - 1, after) if 0 <= k < len(sorted_ns)]
        best = min(near, key=lambda k: abs(int(sorted_ns[k]) - stamp_ns))
        close = abs(int(sorted_ns[best]) - stamp_ns) <= _APART_NS
        paired.append(depths[int(order[best])] if close else None)
    return paired


def scannet_camera(root: Path, kind: str, size: tuple[int, int]) -> Camera | None:
    """Intrinsics of ScanNet's images of a kind, ``color`` or ``depth``; None where it is another set.

    Args:
        root: of the set.
        kind: see above.
        size: width and height, px.

    Raises:
        SourceError: the file holds something else.
    """
    file = root / _INTRINSICS / f"intrinsic_{kind}.txt"
    if not file.is_file():
        return None
    try:
        matrix = np.loadtxt(file)
        fx, fy, cx, cy = (float(matrix[k]) for k in ((0, 0), (1, 1), (0, 2), (1, 2)))
        return PinholeCamera(*size, fx, fy, cx, cy)
    except (OSError, ValueError, IndexError, GeometryError) as error:
        raise SourceError(f"{file} cannot be read as a matrix of intrinsics: {error}; mend or remove it") from error
