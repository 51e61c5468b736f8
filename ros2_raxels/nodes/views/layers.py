"""Views as messages: depth, expected error, never-seen mask, points; and the surfaces that known frames show."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import Image, PointCloud2, PointField
from std_msgs.msg import Header

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.view_synthesis.prediction import UNSEEN_SHARE, PredictedViews
from ros2_raxels.view_synthesis.seen_space import SeenSpace

ShowPoints = Callable[[Callable[[], PointCloud2]], None]
"""Is given what makes a cloud, to be called if anybody listens."""

_MOST_POINTS = 100_000
"""Of one cloud: of larger views every second pixel is taken, and so on."""

_TYPES = {
    "x": PointField.FLOAT32,
    "y": PointField.FLOAT32,
    "z": PointField.FLOAT32,
    "rgb": PointField.UINT32,
    "seen": PointField.UINT8,
}
_OFFSETS, _POINT_STEP = (0, 4, 8, 12, 16), 20
_POINT = np.dtype(
    {
        "names": list(_TYPES),
        "formats": [np.float32] * 3 + [np.uint32, np.uint8],
        "offsets": _OFFSETS,
        "itemsize": _POINT_STEP,
    }
)


def depth_image(depth: npt.NDArray[np.float32], size: tuple[int, int], header: Header) -> Image:
    """32FC1 of (H, W) depths at another size, width and height; no depth is between two of them."""
    return _image(cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST), "32FC1", header)


def error_image(error: FloatArray, size: tuple[int, int], header: Header) -> Image:
    """32FC1 of (H, W) expected errors, 0 to 1 of full range, at another size."""
    return _image(cv2.resize(error.astype(np.float32), size, interpolation=cv2.INTER_LINEAR), "32FC1", header)


def unseen_image(made_up: FloatArray, size: tuple[int, int], header: Header) -> Image:
    """mono8 of (H, W) shares that are made up, at another size: 255 where nothing was seen."""
    share = cv2.resize(made_up.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    return _image(np.where(share > UNSEEN_SHARE, 255, 0).astype(np.uint8), "mono8", header)


def _image(values: npt.ArrayLike, encoding: str, header: Header) -> Image:
    pixels = np.ascontiguousarray(values)
    message = Image(header=header, encoding=encoding, height=pixels.shape[0], width=pixels.shape[1])
    message.is_bigendian, message.step = sys.byteorder == "big", pixels.strides[0]
    message.data.frombytes(pixels.tobytes())
    return message


def point_cloud(batches: Sequence[PredictedViews], views_to_frame: FloatArray, header: Header) -> PointCloud2:
    """The points that views show: x, y, z, rgb, and seen, which is 0 where the view made up what is there.

    Args:
        batches: of one trajectory; those without depth are passed over.
        views_to_frame: 4x4, from the world of the views' poses into the frame of the header.
        header: of the cloud.
    """
    stride = _stride(batches)
    # NumPy would close the gaps between the fields of arrays that it joins.
    parts = [part for views in batches for part in _points_of(views, views_to_frame, stride)]
    fields = [(name, offset, kind) for (name, kind), offset in zip(_TYPES.items(), _OFFSETS, strict=True)]
    return _cloud(b"".join(part.tobytes() for part in parts), fields, _POINT_STEP, header)


def surface_cloud(space: SeenSpace, world_to_frame: FloatArray, header: Header) -> PointCloud2:
    """The surfaces that known frames have shown: x, y, z, and error, the standard error along the line of sight.

    Args:
        space: what was seen.
        world_to_frame: 4x4, into the frame of the header.
        header: of the cloud.
    """
    points = space.points @ world_to_frame[:3, :3].T + world_to_frame[:3, 3]
    values = np.column_stack([points, space.error]).astype(np.float32)
    fields = [(name, 4 * index, PointField.FLOAT32) for index, name in enumerate(("x", "y", "z", "error"))]
    return _cloud(values.tobytes(), fields, 16, header)


def _cloud(data: bytes, fields: Sequence[tuple[str, int, int]], step: int, header: Header) -> PointCloud2:
    message = PointCloud2(header=header, height=1, width=len(data) // step, is_dense=True)
    message.fields = [PointField(name=name, offset=offset, datatype=kind, count=1) for name, offset, kind in fields]
    message.is_bigendian, message.point_step = sys.byteorder == "big", step
    message.row_step = len(data)
    message.data.frombytes(data)
    return message


def _stride(batches: Sequence[PredictedViews]) -> int:
    pixels = sum(views.made_up.size for views in batches)
    return max(1, int(np.ceil((pixels / _MOST_POINTS) ** 0.5)))


def _points_of(views: PredictedViews, views_to_frame: FloatArray, stride: int) -> list[npt.NDArray[np.void]]:
    if views.depth is None:
        return []
    rays = views.camera.bearings()
    rays = (rays / rays[..., 2:])[::stride, ::stride]
    parts = []
    for picture, depth, made_up, pose in zip(
        views.images[:, ::stride, ::stride],
        views.depth[:, ::stride, ::stride],
        views.made_up[:, ::stride, ::stride],
        views_to_frame @ views.camera_to_world,
        strict=True,
    ):
        known = np.isfinite(depth)
        part = np.zeros(int(known.sum()), _POINT)
        local = rays[known] * depth[known][:, None]
        for name, column in zip("xyz", (local @ pose[:3, :3].T + pose[:3, 3]).T, strict=True):
            part[name] = column
        red, green, blue = picture[known].T.astype(np.uint32)
        part["rgb"] = red << 16 | green << 8 | blue
        part["seen"] = made_up[known] <= UNSEEN_SHARE
        parts.append(part)
    return parts
