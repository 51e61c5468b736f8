"""Malformed images, in all the ways that the fields of a message allow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

_HUGE = 2**32 - 1
_MOST_BYTES = 4096


def malformed_image(generator: np.random.Generator, header: Header) -> Image:
    """An image that must be refused. Its data is short, whatever its fields claim."""
    image = Image(header=header, height=48, width=64, encoding="rgb8", step=192)
    image.data.frombytes(generator.bytes(int(generator.integers(_MOST_BYTES))))
    _WAYS[generator.integers(len(_WAYS))](image, generator)
    return image


def _encoding(image: Image, generator: np.random.Generator) -> None:
    letters = generator.integers(0x20, 0x7F, int(generator.integers(300)))
    image.encoding = "no " + bytes(letters.astype(np.uint8)).decode("ascii")


def _huge(image: Image, generator: np.random.Generator) -> None:
    image.height, image.width, image.step = (int(n) for n in generator.choice([_HUGE, 2**31, 2**16, 8193], 3))


def _empty(image: Image, generator: np.random.Generator) -> None:
    image.height, image.width = ((0, 64), (48, 0), (0, 0))[generator.integers(3)]


def _step(image: Image, generator: np.random.Generator) -> None:
    image.step = int(generator.integers(192))


def _truncated(image: Image, generator: np.random.Generator) -> None:
    image.height, image.width, image.step = 480, 640, int(generator.integers(1920, 10_000))


def _nothing(image: Image, generator: np.random.Generator) -> None:
    for name, value in zip(("height", "width", "step", "encoding"), (0, 0, 0, ""), strict=True):
        setattr(image, name, value)
    del image.data[:]


_WAYS: tuple[Callable[[Image, np.random.Generator], None], ...] = (
    _encoding,
    _huge,
    _empty,
    _step,
    _truncated,
    _nothing,
)
