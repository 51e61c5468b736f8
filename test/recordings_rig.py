"""Small recordings of every kind, and the messages with which bad ones are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.source import SourceError

WIDTH_PX, HEIGHT_PX = 32, 24
CAMERA = PinholeCamera(WIDTH_PX, HEIGHT_PX, 30.0, 31.0, 15.5, 11.5)


def picture(seed: int, width: int = WIDTH_PX, height: int = HEIGHT_PX) -> np.ndarray:
    """Smooth RGB image that differs from seed to seed, so that codecs keep it recognisable."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR))


def write_image(path: Path, rgb: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))


def refusal(spec: str | Path, *, drain: bool = False, **options: Any) -> str:
    """The message of the SourceError that opening (or reading to the end) gives; always one line."""
    with pytest.raises(SourceError) as caught:
        read_all(spec, drain, options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def read_all(spec: str | Path, drain: bool, options: dict[str, Any]) -> None:
    source = open_source(spec, **options)
    assert drain, "opening should have failed"
    list(source)


def posed_record(count: int = 3) -> dict[str, Any]:
    frames = []
    for index in range(count):
        pose = np.eye(4)
        pose[:3, 3] = (0.1 * index, 0.2, -0.3)
        frames.append(
            {
                "file": f"images/{index:06d}.png",
                "timestamp": 12.25 + 0.1 * index,
                "K": [30.0 + index, 31.0, 15.5, 11.5],
                "width": WIDTH_PX,
                "height": HEIGHT_PX,
                "c2w": pose.tolist(),
            }
        )
    return {"name": "desk", "frame_rate": 10, "metric_scale": True, "frames": frames}


def write_set(folder: Path, record: Any) -> Path:
    for index in range(3):
        write_image(folder / f"images/{index:06d}.png", picture(index))
    (folder / "cameras.json").write_text(json.dumps(record))
    return folder


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """A JPEG with this EXIF orientation before what it holds already."""
    tag = b"\x12\x01\x03\0\x01\0\0\0" + bytes([orientation, 0, 0, 0])
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + tag + bytes(4)
    return jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]


def with_date(jpeg: bytes, date: str, fraction: str = "", offset: str = "", order: str = "little") -> bytes:
    """A JPEG with DateTimeOriginal, SubSecTimeOriginal and OffsetTimeOriginal, as cameras write them."""

    def number(value: int, size: int) -> bytes:
        return value.to_bytes(size, "little" if order == "little" else "big")

    texts = [
        (tag, text.encode() + b"\0") for tag, text in ((0x9003, date), (0x9011, offset), (0x9291, fraction)) if text
    ]
    beyond, entries, at = b"", b"", 26 + 2 + 12 * len(texts) + 4
    for tag, text in texts:
        place = text.ljust(4, b"\0") if len(text) <= 4 else number(at + len(beyond), 4)
        entries += number(tag, 2) + number(2, 2) + number(len(text), 4) + place
        beyond += text if len(text) > 4 else b""
    first = number(1, 2) + number(0x8769, 2) + number(4, 2) + number(1, 4) + number(26, 4) + number(0, 4)
    head = b"II*\0" if order == "little" else b"MM\0*"
    exif = b"Exif\0\0" + head + number(8, 4) + first + number(len(texts), 2) + entries + number(0, 4) + beyond
    return jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]


def numbered(folder: Path, count: int) -> Path:
    """A folder of images 000000.png, 000001.png, ..."""
    for index in range(count):
        write_image(folder / f"{index:06d}.png", picture(index))
    return folder


def write_depth(path: Path, seed: int = 0) -> None:
    """A depth picture as data sets have it: one channel of 16 bits, mm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    depth = np.random.default_rng(seed).integers(500, 5000, (HEIGHT_PX, WIDTH_PX)).astype(np.uint16)
    assert cv2.imwrite(str(path), depth)
