"""Messages to arrays, cameras and poses, and back. Nothing here keeps state or talks to the network."""

from __future__ import annotations

import importlib
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Quaternion, Transform, Twist, Vector3
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.covariance import UNKNOWN_VARIANCE
from ros2_raxels.geometry.lens_names import lens_name
from ros2_raxels.geometry.poses import (
    FloatArray,
    make_pose,
    quaternion_from_rotation,
    relative_pose,
    rotation_from_quaternion,
    rotation_vector,
)
from ros2_raxels.recordings.contrast import Stretch
from ros2_raxels.recordings.image_codec import (
    SUPPORTED_ENCODINGS,
    ImageError,
    check_compressed,
    check_raw,
    decode_compressed,
    decode_image,
)


class MessageError(ValueError):
    """A message that cannot be used; one line naming the field, its value and the remedy."""


# --------------------------------------------------------------------------------------------------------- stamps


def stamp_ns(stamp: Time) -> int:
    """Nanoseconds since the epoch. Integers throughout: a float64 of today's time is only good to 0.2 us."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def raw_stamp_ns(serialized: bytes) -> int:
    """Stamp of a serialized message that begins with a Header, ns; the rest of it is not unpacked."""
    # CDR: four bytes of encapsulation, of which the second tells the byte order, then the stamp.
    sec, nanosec = struct.unpack_from("<iI" if serialized[1] & 1 else ">iI", serialized, 4)
    return int(sec) * 1_000_000_000 + int(nanosec)


def stamp_message(nanoseconds: int) -> Time:
    """Inverse of `stamp_ns`."""
    sec, nanosec = divmod(nanoseconds, 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


# --------------------------------------------------------------------------------------------------------- images


def image_array(message: Image | CompressedImage, stretch: Stretch | None = None, *, grey: bool = False) -> np.ndarray:
    """(height, width) or (height, width, 3) RGB uint8 of an image message.

    Plain encodings are a view of the message's buffer or one conversion of it. Whatever the codec does not know goes
    through ROS 2's cv_bridge where that is installed.

    Args:
        message: the image.
        stretch: that of the topic, for 16-bit images.
        grey: give the brightness alone, (height, width), in one conversion where there is one; what goes through
            cv_bridge comes out as it is.

    Raises:
        ImageError: the message cannot be decoded; the text is one line and names field and value.
    """
    data = np.frombuffer(message.data, np.uint8)
    if isinstance(message, CompressedImage):
        return decode_compressed(data, message.format, stretch=stretch, grey=grey)
    if message.encoding not in SUPPORTED_ENCODINGS and (bridge := ros_cv_bridge()) is not None:
        return _array_through_bridge(bridge, message)
    m, big = message, bool(message.is_bigendian)
    return decode_image(data, m.height, m.width, m.encoding, m.step, big, stretch, grey=grey)


def check_image(message: Image | CompressedImage) -> None:
    """Refuse what `image_array` would, as far as it can be told in no time: an executor's thread may ask.

    Raises:
        ImageError: as there.
    """
    if isinstance(message, CompressedImage):
        check_compressed(bytes(message.data), message.format)
    elif message.encoding in SUPPORTED_ENCODINGS or ros_cv_bridge() is None:
        check_raw(len(message.data), message.height, message.width, message.encoding, message.step)


@lru_cache(maxsize=1)
def ros_cv_bridge() -> Any | None:
    """A ``CvBridge`` of the ROS 2 package, or None.

    A package of that name on PyPI dates from ROS 1 and converts 16-bit images wrongly without a word, so the module
    must lie in the prefix that the ament index gives.
    """
    try:
        from ament_index_python.packages import get_package_prefix

        prefix = Path(get_package_prefix("cv_bridge"))
        module = importlib.import_module("cv_bridge")
        if prefix not in Path(str(module.__file__)).parents:
            return None
        return module.CvBridge()
    except (ImportError, LookupError, OSError):
        # Not installed, not a ROS package, or no ROS environment in which it could be one.
        return None


def _array_through_bridge(bridge: Any, message: Image) -> np.ndarray:
    try:
        array = np.asarray(bridge.imgmsg_to_cv2(message, desired_encoding="rgb8"))
    except Exception as error:
        # cv_bridge raises whatever its C++ side threw; all of it means that this image is of no use.
        raise ImageError(f"encoding {message.encoding!r}: cv_bridge says {_one_line(error)}") from error
    if array.dtype != np.uint8 or array.ndim != 3:
        raise ImageError(f"encoding {message.encoding!r} is not a colour image; subscribe to one")
    return array


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def image_message(array: np.ndarray, header: Header) -> Image:
    """``rgb8`` from (height, width, 3) uint8, ``mono8`` from (height, width)."""
    height, width = array.shape[:2]
    channels = 1 if array.ndim == 2 else 3
    message = Image(header=header, height=height, width=width, step=width * channels)
    message.encoding = "mono8" if channels == 1 else "rgb8"
    # Assigning an array to `data` checks every byte in Python: 46 ms for 640x480. Filling the buffer takes 20 us.
    message.data.frombytes(np.ascontiguousarray(array, np.uint8).data)
    return message


# -------------------------------------------------------------------------------------------------------- cameras


def camera_info_message(camera: Camera, header: Header) -> CameraInfo:
    """CameraInfo of a camera without rectification, binning or region of interest."""
    info = CameraInfo(header=header, height=camera.height, width=camera.width)
    info.distortion_model = lens_name(camera)
    # Readers expect the full number of coefficients, whatever the lens needs.
    fewest = {"plumb_bob": 5, "equidistant": 4}.get(info.distortion_model, 0)
    info.d = [*camera.distortion, *[0.0] * (fewest - len(camera.distortion))]
    info.k = camera.matrix.ravel()
    info.r = np.eye(3).ravel()
    info.p = np.hstack([camera.matrix, np.zeros((3, 1))]).ravel()
    return info


# ---------------------------------------------------------------------------------------------------------- poses


def unknown_covariance() -> FloatArray:
    """Row-major 6x6 of a quantity of which nothing is known."""
    return (np.eye(6) * UNKNOWN_VARIANCE).ravel()


def without_lengths(covariance: FloatArray) -> FloatArray:
    """Row-major 6x6 of (lengths, turns) of which the lengths are not known."""
    found = np.reshape(np.array(covariance, float), (6, 6))
    found[:3], found[:, :3] = 0.0, 0.0
    found[:3, :3] = np.eye(3) * UNKNOWN_VARIANCE
    return found.ravel()


def pose_message(pose: FloatArray) -> Pose:
    """geometry_msgs/Pose of a 4x4; the quaternion is of unit norm with w >= 0."""
    x, y, z = (float(value) for value in pose[:3, 3])
    qx, qy, qz, qw = (float(value) for value in quaternion_from_rotation(pose[:3, :3]))
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))


def pose_array(pose: Pose) -> FloatArray:
    """4x4 of a geometry_msgs/Pose.

    Raises:
        MessageError: not finite, or a quaternion that is not of unit norm.
    """
    p, q = pose.position, pose.orientation
    values = np.array([p.x, p.y, p.z, q.x, q.y, q.z, q.w])
    if not np.isfinite(values).all():
        raise MessageError(f"pose {values.tolist()} is not finite; give numbers")
    if abs(np.linalg.norm(values[3:]) - 1.0) > 1e-2:
        raise MessageError(f"quaternion {values[3:].tolist()} is not of unit norm; normalise it")
    return make_pose(rotation_from_quaternion(values[3:]), values[:3])


def covariance_array(covariance: Any) -> FloatArray:
    """6x6 of a row-major covariance.

    Raises:
        MessageError: not finite, or not one: all zero (nothing is known that well), or with a negative variance.
    """
    values = np.asarray(covariance, float).reshape(6, 6)
    if not np.isfinite(values).all() or (np.diag(values) < 0).any():
        raise MessageError("covariance is not finite or has negative variances; give those of the pose")
    if not values.any():
        raise MessageError("covariance is all zero, and nothing is known that well; give the variances of the pose")
    return values


def transform_message(pose: Pose) -> Transform:
    """The same placement as geometry_msgs/Transform."""
    position = pose.position
    return Transform(translation=Vector3(x=position.x, y=position.y, z=position.z), rotation=pose.orientation)


def twist_message(previous: FloatArray, current: FloatArray, seconds: float) -> Twist:
    """Mean velocity between two poses of the child frame in one parent, in the axes of the current child frame.

    Linear in pose units per second, angular in rad/s.
    """
    motion = relative_pose(current, previous)
    # `motion` is the previous pose seen from the current one: its negative is what the body did, in today's axes.
    linear = -motion[:3, 3] / seconds
    angular = -rotation_vector(motion[:3, :3]) / seconds
    return twist_of(np.concatenate([linear, angular]))


def twist_of(velocity: FloatArray) -> Twist:
    """(6,) of (linear, angular)."""
    return Twist(linear=_vector(velocity[:3]), angular=_vector(velocity[3:]))


def _vector(values: FloatArray) -> Vector3:
    x, y, z = (float(value) for value in values)
    return Vector3(x=x, y=y, z=z)
