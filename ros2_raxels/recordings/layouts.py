"""Where data sets keep their colour images, and the folder to read when that of a whole set is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from ros2_raxels.recordings.image_names import is_no_picture

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")

_UNREAD = (".heic", ".heif", ".avif", ".gif", ".jp2", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw", ".exr")
"""Suffixes of pictures that not every OpenCV reads."""

LAYOUTS = (
    ("TUM RGB-D", "rgb"),
    ("ScanNet", "color"),
    ("Replica", "results"),
    ("EuRoC", "mav0/cam0/data"),
    ("EuRoC", "cam0/data"),
    ("EuRoC", "data"),
    ("TUM-VI", "dso/cam0/images"),
    ("KITTI odometry", "image_2"),
    ("KITTI odometry", "image_0"),
    ("KITTI raw", "image_02/data"),
    ("KITTI raw", "image_00/data"),
    ("TartanAir", "image_left"),
    ("COLMAP and nerfstudio", "images"),
)
"""Names of layouts and the folder of the images that are read; the first that is there counts."""


def visible_images(folder: Path) -> tuple[list[Path], int]:
    """Image files of a folder in no order, and how many hidden ones (``._name`` of a Mac) were passed over."""
    found = [file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()]
    visible = [file for file in found if not file.name.startswith(".")]
    return visible, len(found) - len(visible)


def folder_of_layout(folder: Path) -> tuple[Path, str] | None:
    """The folder of the images of a known data set, and the set's name; None when this is none."""
    for name, below in LAYOUTS:
        if (folder / below).is_dir() and visible_images(folder / below)[0]:
            return folder / below, name
    return None


def colour_folder_beside(folder: Path) -> Path | None:
    """The folder of colour images beside one of depth, as `LAYOUTS` have it."""
    for above in folder.resolve().parents[:2]:
        found = folder_of_layout(above)
        if found and found[0].resolve() != folder.resolve():
            return found[0]
    return None


def where_images_are(folder: Path) -> str:
    """The remedy for a folder without images, in words."""
    unread = Counter(file.suffix for file in folder.iterdir() if file.suffix.lower() in _UNREAD)
    if unread:
        listed = " and ".join(f"{count} {suffix} files" for suffix, count in unread.items())
        return f"convert its {listed} to JPEG or PNG"
    for child in _folders_below(folder):
        if visible_images(child)[0]:
            return f"there are some in {child}: give that folder"
    return "give a folder that does"


def _folders_below(folder: Path) -> Iterable[Path]:
    children = sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    pictures = [child for child in children if not is_no_picture(child.name)]
    yield from pictures
    for child in pictures:
        yield from sorted(grand for grand in child.iterdir() if grand.is_dir() and not is_no_picture(grand.name))
