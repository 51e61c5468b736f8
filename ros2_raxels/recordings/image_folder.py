"""A folder of images as a recording."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.recordings.source import (
    DEFAULT_RATE_HZ,
    Frame,
    FrameSource,
    SourceError,
    check_camera_fits,
    check_increasing,
    median_rate_hz,
    read_image,
)

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")


class ImageFolder(FrameSource):
    """Images of a folder, in the order of the numbers in their names."""

    kind = "image folder"

    def __init__(self, path: Path, camera: PinholeCamera | None, rate_hz: float | None, limit: int | None) -> None:
        files = [file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()]
        if not files:
            raise SourceError(f"{path} holds no images ({', '.join(IMAGE_SUFFIXES)}); {_where_images_are(path)}")
        self._files = sorted(files, key=_natural_key)
        stamps_ns = [_stamp_from_name(file.stem) for file in self._files]
        known = [stamp for stamp in stamps_ns if stamp is not None]
        self.rate_hz = rate_hz or DEFAULT_RATE_HZ
        if len(known) == len(files):
            check_increasing(known, path, [file.name for file in self._files])
            self._stamps_ns = known[:limit]
            self.rate_hz = median_rate_hz(known, self.rate_hz)
        else:
            self._stamps_ns = [round(index / self.rate_hz * 1e9) for index in range(len(files))][:limit]
        self._files = self._files[:limit]
        self.name = path.resolve().name
        self.length = len(self._files)
        self.camera = camera
        first = read_image(self._files[0])
        self._shape = first.shape
        check_camera_fits(camera, first, self._files[0])

    def __iter__(self) -> Iterator[Frame]:
        for index, file in enumerate(self._files):
            image = read_image(file)
            if image.shape != self._shape:
                raise SourceError(
                    f"{file} is {image.shape[1]}x{image.shape[0]} px but the images before it are "
                    f"{self._shape[1]}x{self._shape[0]} px; keep one camera's images in a folder"
                )
            yield Frame(index, self._stamps_ns[index], image, self.camera, None, file.name)


def _where_images_are(path: Path) -> str:
    for folder in sorted(child for child in path.iterdir() if child.is_dir()):
        if any(file.suffix.lower() in IMAGE_SUFFIXES for file in folder.iterdir()):
            return f"there are some in {folder}: give that folder"
    return "give a folder that does"


def _natural_key(file: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Numbers by value, so that frame_2 comes before frame_10; the name itself where that ties."""
    parts = re.split(r"(\d+)", file.stem.lower())
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts], file.name


def _stamp_from_name(stem: str) -> int | None:
    """Nanoseconds from an EuRoC name (1403636579763555584) or a TUM one (1305031102.175304)."""
    if re.fullmatch(r"\d{16,19}", stem):
        return int(stem)
    seconds = re.fullmatch(r"(\d{9,10})\.(\d{4,9})", stem)
    return int(seconds[1]) * 10**9 + int(seconds[2].ljust(9, "0")) if seconds else None
