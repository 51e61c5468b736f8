"""What to give to the reader of bags: a bag's folder, one of its files, or what a compressed file holds."""

from __future__ import annotations

import contextlib
import importlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ros2_raxels.recordings.source import SourceError

METADATA_FILE = "metadata.yaml"
_SUFFIXES = (".mcap", ".db3")
_COMPRESSED = tuple(f"{suffix}.zstd" for suffix in _SUFFIXES)
_KEY = "rosbag2_bagfile_information"


@dataclass(frozen=True)
class BagFile:
    """A bag as it is to be read.

    Attributes:
        path: a folder with metadata, or a file; compressed where its name says so.
        notes: what had to be guessed, in words.
    """

    path: Path
    notes: tuple[str, ...] = ()

    @contextlib.contextmanager
    def unpacked(self) -> Any:
        """The path that a reader takes; a compressed file is unpacked into a folder that goes at the end."""
        if not self.path.name.endswith(_COMPRESSED):
            yield self.path
            return
        with tempfile.TemporaryDirectory(prefix="raxels_bag_") as folder:
            target = Path(folder) / self.path.name.removesuffix(".zstd")
            with _zstd_open()(self.path, "rb") as packed, target.open("wb") as plain:
                shutil.copyfileobj(packed, plain)
            yield target


def find_bag(path: Path) -> BagFile | None:
    """The bag at a path: its folder, its metadata.yaml or one of its files; None when this is none.

    Raises:
        SourceError: it is one, and which of its files to read cannot be told.
    """
    if path.is_file():
        if path.name == METADATA_FILE and _is_metadata(path):
            return find_bag(path.parent)
        return _of_file(path) if path.name.endswith((*_SUFFIXES, *_COMPRESSED)) else None
    metadata = path / METADATA_FILE
    files = _bag_files(path)
    if metadata.is_file() and _is_metadata(metadata):
        listed = _listed(metadata)
        if listed is None or all((path / name).exists() for name in listed) or not files:
            return BagFile(path)
        return _only(path, files, f"{METADATA_FILE} names {', '.join(listed)}, which is not there")
    if not files:
        return None
    return _only(path, files, f"its {METADATA_FILE} is not a bag's" if metadata.exists() else "")


def _of_file(file: Path) -> BagFile:
    metadata = file.parent / METADATA_FILE
    listed = _listed(metadata) if metadata.is_file() else None
    if listed == [file.name]:
        # Only the metadata says how messages are compressed.
        return BagFile(file.parent)
    if listed and file.name in listed:
        return BagFile(file, (f"one of the {len(listed)} files of {file.parent}",))
    return BagFile(file)


def _only(path: Path, files: list[Path], why: str) -> BagFile:
    if len(files) > 1:
        reason = why or f"no {METADATA_FILE}"
        raise SourceError(f"{path} holds {len(files)} bag files, {reason}; run `ros2 bag reindex {path}`")
    return BagFile(files[0], (f"{why}: {files[0].name} is read",) if why else ())


def _bag_files(folder: Path) -> list[Path]:
    """Visible files of bags; a compressed one only where it is not there unpacked."""
    files = [
        file
        for file in sorted(folder.iterdir())
        if file.name.endswith((*_SUFFIXES, *_COMPRESSED)) and not file.name.startswith(".")
    ]
    return [
        file
        for file in files
        if file.with_name(file.name.removesuffix(".zstd")) not in files or file.suffix in _SUFFIXES
    ]


def _is_metadata(file: Path) -> bool:
    return _KEY in file.read_text(encoding="utf-8", errors="replace")


def _listed(metadata: Path) -> list[str] | None:
    """The files that a bag's metadata lists; None when it cannot be read, which the reader of bags then says."""
    try:
        record = yaml.safe_load(metadata.read_text(encoding="utf-8", errors="replace"))
        return [Path(str(name)).name for name in record[_KEY]["relative_file_paths"]]
    except (yaml.YAMLError, KeyError, TypeError):
        return None


def _zstd_open() -> Callable[..., Any]:
    # As the reader of bags does: in Python from 3.14 on, and before from the package that it brings.
    for module in ("compression.zstd", "backports.zstd"):
        with contextlib.suppress(ImportError):
            opened: Callable[..., Any] = importlib.import_module(module).open
            return opened
    raise SourceError("a .zstd file needs backports.zstd; `pip install backports.zstd`, or unpack it with `unzstd`")
