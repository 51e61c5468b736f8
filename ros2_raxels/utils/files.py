"""Files: JSON with checked values, and replacement that is atomic."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ros2_raxels.geometry.poses import FloatArray

_SHOWN_CHARACTERS = 60
_ABANDONED_S = 600.0
_KINDS: dict[type, str] = {str: "a text", int: "a whole number", list: "a list"}

Kind = TypeVar("Kind", str, int, list[Any])


class FileError(ValueError):
    """A file that cannot be read or written; the message is one line: the file, the value and the remedy."""


def user_folder(variable: str, otherwise: str) -> Path:
    """Where this package keeps files of a kind for a user, by the XDG base directory specification.

    Args:
        variable: of the environment, like "XDG_CACHE_HOME".
        otherwise: without it, below the home folder, like ".cache".
    """
    base = Path(os.environ.get(variable, ""))
    # The specification has relative paths ignored.
    return (base if base.is_absolute() else Path.home() / otherwise) / "ros2_raxels"


def write_json(path: Path, record: object, indent: int | None = None) -> None:
    """Write JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(record, indent=indent), encoding="utf-8")


def make_folder(folder: Path) -> None:
    """Make a folder for results.

    Raises:
        FileError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{folder} cannot be made ({error.strerror}); give another --out") from error


def check_writable(path: Path) -> None:
    """Check before the work that its result can be written after it.

    Raises:
        FileError: the folder does not exist or may not be written to, or the path is something else than a file.
    """
    folder = path.resolve().parent
    if not folder.is_dir():
        raise FileError(f"{path}: folder {folder} does not exist; create it")
    if path.exists() and not path.is_file():
        raise FileError(f"{path} is not a file, so it cannot be replaced by one; give another name")
    if not os.access(folder, os.W_OK):
        raise FileError(f"{path}: folder {folder} cannot be written to; give another or change its permissions")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file's path; the file takes the place of ``path`` when the block ends well, else it is removed.

    A reader of ``path`` sees the old file or all of the new one, even after a power cut. Temporary files of processes
    that were killed while they wrote are removed.

    Raises:
        FileError: as `check_writable`.
    """
    check_writable(path)
    target = path.resolve()
    _remove_abandoned(target)
    temporary = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _remove_abandoned(target: Path) -> None:
    for left in target.parent.glob(f".{glob.escape(target.stem)}.*{glob.escape(target.suffix)}"):
        writer = left.name.removeprefix(f".{target.stem}.").removesuffix(target.suffix)
        # In a shared folder a process of another machine may be writing it now.
        with contextlib.suppress(OSError, OverflowError):
            if writer.isdecimal() and not _runs(int(writer)) and time.time() - left.stat().st_mtime > _ABANDONED_S:
                left.unlink()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def load_json(path: Path) -> object:
    """What a JSON file holds.

    Raises:
        FileError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}; check the path") from error
    except ValueError as error:
        raise FileError(f"{path} is not JSON ({error}); write it again") from error


def has(record: object, key: str) -> bool:
    """Whether a record is an object with a value for the key."""
    return isinstance(record, dict) and record.get(key) is not None


def take(record: object, key: str, where: str) -> Any:
    """The value of a key.

    Raises:
        FileError: the record is no object, or has no such value; `where` says in the message which it is.
    """
    if not isinstance(record, dict):
        raise FileError(f"{where} = {shown(record)} must be an object with {key!r}; correct it")
    if record.get(key) is None:
        raise FileError(f"{where} has no {key!r}; add it")
    return record[key]


def take_list(record: object, key: str, where: str) -> list[Any]:
    """The list of a key.

    Raises:
        FileError: as `take`, or the value is no list.
    """
    return of_kind(take(record, key, where), list, f"{where}: {key}")


def of_kind(value: object, kind: type[Kind], where: str) -> Kind:
    """A value that must be a text, a whole number or a list.

    Raises:
        FileError: it is something else.
    """
    # JSON's true and false are integers to Python.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise FileError(f"{where} = {shown(value)} must be {_KINDS[kind]}; correct it")
    return value


def numbers(value: object, shape: tuple[int, ...], where: str, *, finite: bool = True) -> FloatArray:
    """Numbers of a shape, in which -1 stands for any length.

    Raises:
        FileError: no numbers, of another shape, or not finite where they must be.
    """
    try:
        array = np.array(value, float)
    except (TypeError, ValueError):
        array = np.full((0,) * (len(shape) + 1), np.nan)
    fits = len(array.shape) == len(shape) and all(
        want in (-1, have) for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits or (finite and not np.isfinite(array).all()):
        wanted = "x".join("N" if side < 0 else str(side) for side in shape) or "a"
        raise FileError(f"{where} = {shown(value)} must be {wanted}{' finite' * finite} number(s); correct it")
    return array


def shown(value: object) -> str:
    """A value for a message, cut short."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
