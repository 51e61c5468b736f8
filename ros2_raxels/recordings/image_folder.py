"""A folder of images as a recording."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.recordings.contrast import Stretch
from ros2_raxels.recordings.depth_files import find_depths, scannet_camera
from ros2_raxels.recordings.exif_times import ExifTimes, times_of_exif
from ros2_raxels.recordings.image_header import HEADER_BYTES, exif_orientation, stored_size
from ros2_raxels.recordings.image_names import frame_numbers, is_no_picture, natural_key, pattern, times_of_names
from ros2_raxels.recordings.layouts import (
    IMAGE_SUFFIXES,
    colour_folder_beside,
    folder_of_layout,
    visible_images,
    where_images_are,
)
from ros2_raxels.recordings.source import (
    DEFAULT_RATE_HZ,
    DepthOptions,
    Frame,
    FrameSource,
    SourceError,
    UnreadDepths,
    check_camera_fits,
    check_increasing,
    median_rate_hz,
    read_image,
)
from ros2_raxels.recordings.time_list import TimeList, find_times


class ImageFolder(FrameSource):
    """Images of a folder in the order of their times, or else of the numbers in their names."""

    kind = "image folder"

    def __init__(
        self,
        path: Path,
        camera: Camera | None,
        rate_hz: float | None,
        limit: int | None,
        ignore_exif: bool,
        depth: DepthOptions | None = None,
    ) -> None:
        folder, files, said = _pictures(path)
        files, stamps_ns, rate, said_of_times = _in_time(folder, files, rate_hz, ignore_exif)
        self._files, self._stamps_ns, self.rate_hz = files[:limit], stamps_ns[:limit], rate
        self._upright, said_of_turn = (False, []) if ignore_exif else _orientation(self._files)
        self.name = path.resolve().name
        self.length = len(self._files)
        first = read_image(self._files[0], upright=self._upright)
        self._shape = first.shape
        self._depths = None if depth is None else find_depths(self._files, self._stamps_ns, depth.unit_m)
        self.has_depth = self._depths is not None
        self.camera, said_of_camera = camera, []
        if camera is None and self.has_depth:
            self.camera = scannet_camera(folder.resolve().parent, "color", (first.shape[1], first.shape[0]))
            said_of_camera = ["its own intrinsics"] if self.camera else []
        check_camera_fits(camera, first, self._files[0])
        kinds = Counter(pattern(file.name) for file in self._files)
        shown = ", ".join(f"{count} {name}" for name, count in kinds.most_common(3))
        said_of_depth = [self._depths.words] if self._depths else []
        said = [*said_of_times, *said_of_turn, *said, *said_of_depth, *said_of_camera]
        self.notes = (f"{shown}{', ...' if len(kinds) > 3 else ''}", *said)

    def __iter__(self) -> Iterator[Frame]:
        stretch, unread = Stretch(), UnreadDepths()
        self.remarks = ()
        for index, file in enumerate(self._files):
            image = read_image(file, upright=self._upright, stretch=stretch)
            if image.shape != self._shape:
                raise SourceError(
                    f"{file} is {image.shape[1]}x{image.shape[0]} px but the images before it are "
                    f"{self._shape[1]}x{self._shape[0]} px; keep one camera's images in a folder"
                )
            depth = None if self._depths is None else unread.passed_over(partial(self._depths.read, index))
            self.remarks = unread.words()
            yield Frame(index, self._stamps_ns[index], image, self.camera, None, file.name, depth=depth)


# ---------------------------------------------------------------------------------------------- which files


def _pictures(path: Path) -> tuple[Path, list[Path], list[str]]:
    """The folder that holds the images, those of one kind, and what was passed over."""
    folder, said = path, []
    files, hidden = visible_images(path)
    if not files and (layout := folder_of_layout(path)) is not None:
        folder, name = layout
        files, hidden = visible_images(folder)
        said.append(f"taken from {folder.relative_to(path)}, as in {name}")
    if hidden:
        said.append(f"{hidden} hidden files passed over")
    if not files:
        raise SourceError(f"{path} holds no images ({', '.join(IMAGE_SUFFIXES)}); {where_images_are(path)}")
    files, left_out = _without_depth(folder, files)
    _refuse_folder_of_depth(folder, files)
    said += [f"{count} {name} passed over, which hold no colour" for name, count in left_out.items()]
    _refuse_two_kinds(folder, files)
    return folder, files, said


def _refuse_folder_of_depth(folder: Path, files: Sequence[Path]) -> None:
    if not is_no_picture(folder.resolve().name) or not _is_deep_grey(files[0]):
        return
    beside = colour_folder_beside(folder)
    remedy = f"give {beside}" if beside else "give the folder of the colour images"
    raise SourceError(f"{folder} holds depth ({files[0].name} has one channel of 16 bits), not pictures; {remedy}")


def _without_depth(folder: Path, files: list[Path]) -> tuple[list[Path], Counter[str]]:
    """The files whose names do not say that they are depth or labels, and how many of each kind do."""
    pictures = [file for file in files if not is_no_picture(file.stem)]
    if not pictures and _is_deep_grey(files[0]):
        raise SourceError(
            f"{folder} holds depth alone ({pattern(files[0].name)}), not pictures; give the folder of the colour images"
        )
    pictures = pictures or files
    deep = _deep_twins(pictures)
    kept = [file for file in pictures if _kind(file) not in deep]
    left_out = set(files).difference(kept)
    return kept, Counter(pattern(file.name) for file in left_out)


def _kind(file: Path) -> tuple[str, str]:
    return pattern(file.stem), file.suffix.lower()


def _twins(files: Sequence[Path]) -> list[list[Path]]:
    """The kinds of files of which another has the same numbers for at least half: two pictures of one moment."""
    kinds: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for file in files:
        kinds[_kind(file)].append(file)
    # Names without numbers, or of letters and digits at random, make a kind of each file.
    kinds = {kind: group for kind, group in kinds.items() if len(group) > 1}
    numbers = {kind: {frame_numbers(file.stem) for file in group} for kind, group in kinds.items()}
    shared = {
        kind: max((len(mine & numbers[other]) for other in kinds if other != kind), default=0)
        for kind, mine in numbers.items()
    }
    return [group for kind, group in kinds.items() if shared[kind] >= max(2, len(numbers[kind]) / 2)]


def _deep_twins(files: Sequence[Path]) -> set[tuple[str, str]]:
    twins = _twins(files)
    deep = {_kind(group[0]) for group in twins if _is_deep_grey(group[0])}
    return deep if len(deep) < len(twins) else set()


def _refuse_two_kinds(folder: Path, files: Sequence[Path]) -> None:
    twins = _twins(files)
    if len(twins) > 1:
        listed = " and ".join(f"{len(group)} {pattern(group[0].name)}" for group in twins[:4])
        raise SourceError(
            f"{folder} holds {listed}: several pictures of each moment; put those of one camera into a folder of "
            "their own"
        )


def _is_deep_grey(file: Path) -> bool:
    """Whether a file has one channel of more than 8 bits, as depth has and pictures of sets with depth do not."""
    data = file.read_bytes()
    if stored_size(data) is None:
        return False
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return False
    return image is not None and image.ndim == 2 and image.dtype != np.uint8


# ---------------------------------------------------------------------------------------------- times


def _in_time(
    folder: Path, files: list[Path], rate_hz: float | None, ignore_exif: bool
) -> tuple[list[Path], list[int], float, list[str]]:
    """The files in order, their stamps, the rate, and where the times come from."""
    ordered = sorted(files, key=natural_key)
    rate = rate_hz or DEFAULT_RATE_HZ
    found, said = _times(folder, ordered, rate_hz, ignore_exif)
    if found is None:
        stamps_ns = [round(index / rate * 1e9) for index in range(len(ordered))]
        origin = f"no times, {rate:g} Hz {'given' if rate_hz else 'assumed (--rate-hz)'}"
        return ordered, stamps_ns, rate, ["in the order of the numbers", origin, *said]
    by_time = dict(zip(reversed(found), reversed(ordered), strict=True))
    stamps_ns = sorted(by_time)
    said = ["in the order of time", *said]
    if len(by_time) < len(ordered):
        said.append(f"{len(ordered) - len(by_time)} with the time of another passed over")
    return [by_time[stamp] for stamp in stamps_ns], stamps_ns, median_rate_hz(stamps_ns, rate), said


def _times(
    folder: Path, ordered: list[Path], rate_hz: float | None, ignore_exif: bool
) -> tuple[list[int] | None, list[str]]:
    """A stamp for each file, None where nothing tells, and words: where they are from, and what was not used.

    Names outrank a list beside the images, and that a rate that is given, and that the dates of EXIF.
    """
    if named := times_of_names([file.stem for file in ordered]):
        return named[0], [f"times from the names ({named[1]})"]
    listed = find_times(folder, ordered)
    if isinstance(listed, TimeList):
        _check_no_step_back(listed, ordered)
        return listed.stamps_ns, [f"times from {listed.file}"]
    said = [listed] if listed else []
    dated = "" if rate_hz or ignore_exif else times_of_exif(ordered)
    if isinstance(dated, ExifTimes):
        return dated.stamps_ns, [dated.words, *said]
    return None, [*said, dated] if dated else said


def _check_no_step_back(listed: TimeList, ordered: Sequence[Path]) -> None:
    # A time that repeats is one frame; one before the last belongs to another image.
    firsts = {stamp: file.name for stamp, file in zip(reversed(listed.stamps_ns), reversed(ordered), strict=True)}
    different = [stamp for stamp, _ in groupby(listed.stamps_ns)]
    check_increasing(different, listed.file, [firsts[stamp] for stamp in different])


# ---------------------------------------------------------------------------------------------- orientation


def _orientation(files: Sequence[Path]) -> tuple[bool, list[str]]:
    """Whether to turn the images as EXIF says, and what is said about it."""
    first_of: dict[int, Path] = {}
    for file in files:
        with file.open("rb") as opened:
            first_of.setdefault(exif_orientation(opened.read(HEADER_BYTES)), file)
    if list(first_of) == [1]:
        return True, []
    listed = " and ".join(str(orientation) for orientation in sorted(first_of))
    sizes = {stored_size(file.read_bytes()) for file in first_of.values()}
    if len(first_of) > 1 and len(sizes) == 1:
        # A phone that points down cannot tell which way is up and changes its mind; the sensor stays the same.
        return False, [f"EXIF orientation changes ({listed}) within images of one size: taken as stored"]
    return True, [f"turned upright by EXIF orientation {listed} (--ignore-exif takes them as stored)"]
