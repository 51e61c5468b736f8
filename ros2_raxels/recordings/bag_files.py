"""What to give to the reader of bags: a bag's folder, one of its files, or what a compressed file holds."""

from __future__ import annotations

import contextlib
import errno
import importlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ros2_raxels.recordings.source import SourceError

METADATA_FILE = "metadata.yaml"
_SUFFIXES = (".mcap", ".db3")
_ZSTD = ".zstd"
_COMPRESSED = tuple(f"{suffix}{_ZSTD}" for suffix in _SUFFIXES)
_TEMPORARY = "raxels_bag_"
_KEY = "rosbag2_bagfile_information"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
    def unpacked(self) -> Iterator[Path]:
        """The path that a reader takes: what is compressed as a whole is unpacked into a folder that goes at the end.

        Raises:
            SourceError: it cannot be unpacked, for want of room for example.
        """
        packed = self._packed()
        if not packed:
            yield self.path
            return
        with tempfile.TemporaryDirectory(prefix=_TEMPORARY) as folder:
            for file in packed:
                _unpack(file, Path(folder) / file.name.removesuffix(_ZSTD))
            yield Path(folder) / packed[0].name.removesuffix(_ZSTD) if self.path.is_file() else self._described(folder)

    def _packed(self) -> list[Path]:
        if self.path.is_file():
            return [self.path] if self.path.name.endswith(_COMPRESSED) else []
        metadata = self.path / METADATA_FILE
        listed = (_listed(metadata) if metadata.is_file() else None) or []
        return [self.path / name for name in listed if name.endswith(_COMPRESSED) and (self.path / name).is_file()]

    def _described(self, folder: str) -> Path:
        """A folder of unpacked files, with the metadata of this one."""
        record = yaml.safe_load((self.path / METADATA_FILE).read_text(encoding="utf-8", errors="replace"))
        files = [str(name).removesuffix(_ZSTD) for name in record[_KEY]["relative_file_paths"]]
        record[_KEY] |= {"relative_file_paths": files, "compression_format": "", "compression_mode": ""}
        (Path(folder) / METADATA_FILE).write_text(yaml.safe_dump(record), encoding="utf-8")
        return Path(folder)

    def forget(self, opened: Path) -> None:
        """Remove what `unpacked` gave, once it is open: then it goes with the process, however that ends."""
        if opened != self.path:
            shutil.rmtree(opened if opened.is_dir() else opened.parent)


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
        file for file in files if file.with_name(file.name.removesuffix(_ZSTD)) not in files or file.suffix in _SUFFIXES
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


def _unpack(packed: Path, target: Path) -> None:
    try:
        with _zstd_open()(packed, "rb") as source, target.open("wb") as plain:
            shutil.copyfileobj(source, plain)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        free_mib = shutil.disk_usage(target.parent).free / 2**20
        raise SourceError(
            f"{packed} cannot be unpacked into {tempfile.gettempdir()}, where {free_mib:.0f} MiB are free "
            f"({error.strerror}); set TMPDIR to a folder with more room, or unpack it yourself with `unzstd`"
        ) from error


def _zstd_open() -> Callable[..., Any]:
    # As the reader of bags does: in Python from 3.14 on, and before from the package that it brings.
    for module in ("compression.zstd", "backports.zstd"):
        with contextlib.suppress(ImportError):
            opened: Callable[..., Any] = importlib.import_module(module).open
            return opened
    raise SourceError("a .zstd file needs backports.zstd; `pip install backports.zstd`, or unpack it with `unzstd`")
