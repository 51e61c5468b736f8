"""Messages to arrays, cameras, poses and back."""

from __future__ import annotations

import contextlib
import math
import struct
import sys
import time
import types

import numpy as np
import pytest

pytest.importorskip("rclpy")

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.lens_names import make_camera
from ros2_raxels.geometry.poses import make_pose, rotation_from_quaternion, rotation_from_vector
from ros2_raxels.nodes.common import messages
from ros2_raxels.nodes.common.messages import image_array, image_message
from ros2_raxels.recordings.camera_info import CameraInfoError, camera_from_info
from ros2_raxels.recordings.image_codec import ImageError

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))
SIZE_FIELDS = st.integers(0, 2**32 - 1)
VECTORS = arrays(float, 3, elements=st.floats(-3.0, 3.0))


def pictures(*trailing: int):
    return SIZES.flatmap(lambda size: arrays(np.uint8, (*size, *trailing)))


def info(width: int = 640, height: int = 480, **fields: object) -> CameraInfo:
    message = CameraInfo(width=width, height=height)
    message.k = [500.0, 0.0, 319.5, 0.0, 510.0, 239.5, 0.0, 0.0, 1.0]
    message.p = [450.0, 0.0, 310.0, 0.0, 0.0, 460.0, 230.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    message.distortion_model = "plumb_bob"
    message.d = [0.1, -0.05, 0.001, 0.002, 0.0]
    for name, value in fields.items():
        setattr(message, name, value)
    return message


# --------------------------------------------------------------------------------------------------------- stamps


@given(st.integers(0, 2**31 * 10**9 - 1))
def test_stamps_are_exact_to_the_nanosecond(nanoseconds: int):
    stamp = messages.stamp_message(nanoseconds)
    assert 0 <= stamp.nanosec < 10**9
    assert messages.stamp_ns(stamp) == nanoseconds


@given(st.integers(0, 2**31 * 10**9 - 1))
def test_the_stamp_of_a_serialized_message_is_read_without_deserializing_the_rest(nanoseconds: int):
    header = Header(stamp=messages.stamp_message(nanoseconds), frame_id="eye")
    serialized = serialize_message(Image(header=header, data=[7] * 100))
    assert messages.raw_stamp_ns(serialized) == nanoseconds
    stamp = messages.stamp_message(nanoseconds)
    from_big_endian_machine = b"\0\0\0\0" + struct.pack(">iI", stamp.sec, stamp.nanosec)
    assert messages.raw_stamp_ns(from_big_endian_machine) == nanoseconds


# --------------------------------------------------------------------------------------------------------- images


@given(pictures(3) | pictures())
def test_an_array_survives_a_round_trip_through_a_message(array: np.ndarray):
    message = image_message(array, Header(frame_id="eye"))
    assert (message.height, message.width) == array.shape[:2]
    assert message.header.frame_id == "eye"
    assert len(message.data) == message.height * message.step
    np.testing.assert_array_equal(image_array(message), array)


@given(pictures(3), st.integers(0, 7), st.sampled_from(["rgb8", "bgr8", "rgba8", "bgra8"]))
def test_channel_order_and_row_padding_are_honoured(rgb: np.ndarray, padding: int, encoding: str):
    channels = ["bgra".index(c) for c in encoding.rstrip("8")]
    bgra = np.dstack([rgb[..., ::-1], np.full(rgb.shape[:2], 255, np.uint8)])
    rows = np.ascontiguousarray(bgra[..., channels]).reshape(len(rgb), -1)
    padded = np.hstack([rows, np.full((len(rgb), padding), 99, np.uint8)])
    message = Image(height=rgb.shape[0], width=rgb.shape[1], encoding=encoding, step=padded.shape[1])
    message.data.frombytes(padded.tobytes())
    np.testing.assert_array_equal(image_array(message), rgb)


@given(SIZES.flatmap(lambda size: arrays(np.uint16, size)), st.booleans())
def test_full_range_16_bit_images_keep_their_high_byte_in_either_byte_order(grey: np.ndarray, big: bool):
    grey = np.vstack([grey, np.full_like(grey, 0), np.full_like(grey, 65535)])
    data = grey.astype(">u2" if big else "<u2").tobytes()
    message = Image(height=grey.shape[0], width=grey.shape[1], encoding="mono16", step=2 * grey.shape[1])
    message.is_bigendian = int(big)
    message.data.frombytes(data)
    np.testing.assert_array_equal(image_array(message), grey >> 8)


def test_an_rgb_image_is_not_copied_and_takes_hardly_any_time():
    message = image_message(np.zeros((480, 640, 3), np.uint8), Header())
    assert np.shares_memory(image_array(message), np.frombuffer(message.data, np.uint8))
    picture = np.ones((480, 640, 3), np.uint8)
    begun = time.perf_counter()
    for _ in range(10):
        image_array(image_message(picture, Header()))
    # Assigning to `data` would take 46 ms each.
    assert (time.perf_counter() - begun) / 10 < 0.01


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encoding": "32FC1"}, "32FC1"),
        ({"encoding": "rgb8\nnonsense"}, "nonsense"),
        ({"encoding": ""}, "encoding ''"),
        ({"height": 0, "width": 0}, "0x0"),
        ({"height": 9}, "truncated"),
        ({"step": 3}, "step 3"),
    ],
)
def test_bad_images_are_refused_in_one_line(change: dict[str, object], words: str):
    message = image_message(np.zeros((4, 5, 3), np.uint8), Header())
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(ImageError) as caught:
        image_array(message)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=200)
@given(
    st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.text(max_size=8), st.integers(0, 2**32 - 1), st.binary()
)
def test_no_image_message_raises_anything_else(height: int, width: int, encoding: str, step: int, data: bytes):
    message = Image(height=height, width=width, encoding=encoding, step=step)
    message.data.frombytes(data)
    with pytest.raises(ImageError):
        image_array(message)


def test_compressed_images_are_decoded_or_refused():
    import cv2

    rgb = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)
    message = CompressedImage(format="rgb8; png compressed bgr8")
    message.data.frombytes(cv2.imencode(".png", rgb[..., ::-1])[1].tobytes())
    np.testing.assert_array_equal(image_array(message), rgb)
    broken = CompressedImage(format="jpeg")
    broken.data.frombytes(b"\xff\xd8\xff")
    with pytest.raises(ImageError):
        image_array(broken)


class TestCvBridge:
    @pytest.fixture(autouse=True)
    def fresh(self):
        messages.ros_cv_bridge.cache_clear()
        yield
        messages.ros_cv_bridge.cache_clear()

    @staticmethod
    def install(monkeypatch: pytest.MonkeyPatch, tmp_path, *, from_ros: bool, answer: object) -> None:
        def convert(message: Image, desired_encoding: str) -> object:
            if isinstance(answer, Exception):
                raise answer
            assert desired_encoding == "rgb8"
            return answer

        module = types.ModuleType("cv_bridge")
        module.__file__ = str((tmp_path if from_ros else tmp_path.parent / "pip") / "cv_bridge" / "__init__.py")
        module.CvBridge = lambda: types.SimpleNamespace(imgmsg_to_cv2=convert)
        monkeypatch.setitem(sys.modules, "cv_bridge", module)
        monkeypatch.setattr("ament_index_python.packages.get_package_prefix", lambda name: str(tmp_path))

    def test_handles_what_the_codec_does_not_know(self, monkeypatch, tmp_path):
        rgb = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
        self.install(monkeypatch, tmp_path, from_ros=True, answer=rgb)
        np.testing.assert_array_equal(image_array(Image(encoding="nv24", height=2, width=2, step=2)), rgb)

    def test_is_not_asked_for_what_the_codec_knows(self, monkeypatch, tmp_path):
        self.install(monkeypatch, tmp_path, from_ros=True, answer=RuntimeError("asked"))
        with pytest.raises(ImageError, match="truncated"):
            image_array(Image(encoding="rgb8", height=2, width=2, step=6))

    def test_its_failure_is_an_image_error_of_one_line(self, monkeypatch, tmp_path):
        self.install(monkeypatch, tmp_path, from_ros=True, answer=RuntimeError("no\nconversion"))
        with pytest.raises(ImageError, match="cv_bridge says no conversion"):
            image_array(Image(encoding="nv24", height=2, width=2, step=4))

    def test_one_from_outside_the_ros_installation_is_not_used(self, monkeypatch, tmp_path):
        self.install(monkeypatch, tmp_path, from_ros=False, answer=np.zeros((2, 2, 3), np.uint8))
        assert messages.ros_cv_bridge() is None
        with pytest.raises(ImageError, match="nv24"):
            image_array(Image(encoding="nv24", height=2, width=2, step=2))


# -------------------------------------------------------------------------------------------------------- cameras


@given(
    st.integers(2, 4000),
    st.integers(2, 4000),
    st.floats(1.0, 1e5),
    st.floats(1.0, 1e5),
    st.sampled_from([0, 4, 5, 8]).flatmap(lambda n: st.tuples(*[st.floats(-1.0, 1.0)] * n)),
)
def test_a_camera_survives_a_round_trip_through_a_message(width, height, fx, fy, distortion):
    camera = PinholeCamera(width, height, fx, fy, width / 2, height / 3, distortion)
    back = camera_from_info(messages.camera_info_message(camera, Header()))
    assert (back.width, back.height, back.fx, back.fy, back.cx, back.cy) == (
        *(width, height, fx, fy),
        *(width / 2, height / 3),
    )
    filled = (*distortion, *[0.0] * ((8 if len(distortion) == 8 else 5) - len(distortion)))
    assert back.distortion == filled


def test_a_region_of_interest_shifts_the_principal_point_and_binning_scales_about_pixel_centres():
    roi = RegionOfInterest(x_offset=100, y_offset=40, width=200, height=120)
    cropped = camera_from_info(info(roi=roi))
    assert (cropped.width, cropped.height, cropped.cx, cropped.cy) == (200, 120, 219.5, 199.5)
    binned = camera_from_info(info(roi=roi, binning_x=2, binning_y=2))
    assert (binned.width, binned.height, binned.fx, binned.fy) == (100, 60, 250.0, 255.0)
    # The centre of the first bin lies half a pixel right of the centre of its first pixel.
    assert (binned.cx, binned.cy) == ((219.5 - 0.5) / 2, (199.5 - 0.5) / 2)
    point = np.array([[0.3, -0.2, 2.0]])
    whole = camera_from_info(info()).project(point)[0] - (100, 40)
    np.testing.assert_allclose(binned.project(point)[0], (whole - 0.5) / 2)


def test_rectified_images_use_the_projection_matrix_without_distortion():
    camera = camera_from_info(info(distortion_model="equidistant"), rectified=True)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (450.0, 460.0, 310.0, 230.0)
    assert not camera.is_distorted


@pytest.mark.parametrize(
    ("name", "distortion", "told"),
    [
        ("plumb_bob", (), [0.0] * 5),
        ("plumb_bob", (0.1, 0.2, 0.0, 0.001, 0.3), [0.1, 0.2, 0.0, 0.001, 0.3]),
        ("rational_polynomial", (*[0.1] * 13, 0.2), [*[0.1] * 13, 0.2]),
        ("equidistant", (), [0.0] * 4),
        ("equidistant", (0.1, 0.0, 0.0, 0.2), [0.1, 0.0, 0.0, 0.2]),
        ("double_sphere", (-0.2, 0.6), [-0.2, 0.6]),
    ],
)
def test_every_lens_survives_a_round_trip_through_a_message(
    name: str, distortion: tuple[float, ...], told: list[float]
):
    camera = make_camera(name, (64, 48), (30.0, 31.0, 31.5, 23.5), distortion)
    message = messages.camera_info_message(camera, Header())
    assert (message.distortion_model, list(message.d)) == (name, told)
    again = camera_from_info(message)
    assert type(again) is type(camera)
    point = np.array([[0.3, -0.2, 1.5]])
    np.testing.assert_allclose(again.project(point), camera.project(point))


def test_thin_prism_coefficients_of_zero_are_accepted():
    rational = [0.1, 0.2, 0.0, 0.0, 0.3, 0.1, 0.2, 0.3]
    camera = camera_from_info(info(distortion_model="rational_polynomial", d=[*rational, 0.0, 0.0, 0.0, 0.0]))
    assert camera.distortion == tuple(rational)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"k": [0.0] * 9}, "not calibrated"),
        ({"k": [math.nan, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0]}, "nan"),
        ({"k": [math.inf, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0]}, "inf"),
        ({"k": [-5.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0]}, "positive"),
        ({"k": [500.0, 9.0, 1.0, 0.0, 500.0, 1.0, 0.0, 0.0, 1.0]}, "skew"),
        ({"d": [math.nan, 0.0, 0.0, 0.0, 0.0]}, "nan"),
        ({"d": [0.1, 0.2]}, "distortion"),
        ({"distortion_model": "omni"}, "omni"),
        ({"distortion_model": "my_model"}, "my_model"),
        ({"width": 0, "height": 0}, "0x0"),
        ({"roi": RegionOfInterest(x_offset=600, width=100, height=100)}, "roi 100x100 at (600, 0)"),
        ({"binning_x": 1000}, "binning 1000x1"),
    ],
)
def test_unusable_camera_infos_are_refused_in_one_line(change: dict[str, object], words: str):
    with pytest.raises(CameraInfoError) as caught:
        camera_from_info(info(**change))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@given(
    st.lists(st.floats(width=64), min_size=9, max_size=9),
    st.lists(st.floats(width=64), max_size=15),
    st.sampled_from(["", "plumb_bob", "rational_polynomial"]) | st.text(max_size=5),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
)
def test_no_camera_info_raises_anything_else(k, d, model, size, other):
    message = info(width=size, height=other, distortion_model=model, d=d, binning_x=other, binning_y=size)
    message.k = k
    message.roi = RegionOfInterest(x_offset=other, width=size, height=other)
    with contextlib.suppress(CameraInfoError):
        assert camera_from_info(message).fx > 0


# ---------------------------------------------------------------------------------------------------------- poses


@given(VECTORS, VECTORS)
def test_pose_messages_hold_the_pose(turn: np.ndarray, position: np.ndarray):
    pose = make_pose(rotation_from_vector(turn), position)
    message = messages.pose_message(pose)
    q = message.orientation
    assert math.isclose(math.hypot(q.x, q.y, q.z, q.w), 1.0, abs_tol=1e-9)
    np.testing.assert_allclose(rotation_from_quaternion([q.x, q.y, q.z, q.w]), pose[:3, :3], atol=1e-9)
    assert [message.position.x, message.position.y, message.position.z] == position.tolist()
    transform = messages.transform_message(message)
    assert transform.rotation == q
    assert transform.translation.z == position[2]


def test_without_lengths_a_covariance_keeps_its_turns_alone():
    root = np.random.default_rng(0).normal(size=(6, 6))
    covariance = root @ root.T
    found = messages.without_lengths(covariance.ravel()).reshape(6, 6)
    np.testing.assert_array_equal(found[:3, :3], 9999.0 * np.eye(3))
    np.testing.assert_array_equal(found[:3, 3:], 0.0)
    np.testing.assert_array_equal(found[3:, :3], 0.0)
    np.testing.assert_array_equal(found[3:, 3:], covariance[3:, 3:])


@given(VECTORS, VECTORS)
def test_poses_survive_a_round_trip_through_a_message(turn, position):
    pose = make_pose(rotation_from_vector(turn), position)
    np.testing.assert_allclose(messages.pose_array(messages.pose_message(pose)), pose, atol=1e-9)


def test_invalid_poses_and_covariances_are_refused_with_their_values():
    pose = messages.pose_message(np.eye(4))
    pose.orientation.w = 0.5
    with pytest.raises(messages.MessageError, match=r"\[0.0, 0.0, 0.0, 0.5\] is not of unit norm"):
        messages.pose_array(pose)
    pose.position.x = math.nan
    with pytest.raises(messages.MessageError, match=r"nan.*not finite"):
        messages.pose_array(pose)
    np.testing.assert_array_equal(messages.covariance_array(np.eye(6).ravel()), np.eye(6))
    for bad, words in ((np.zeros(36), "all zero"), (-np.eye(6), "negative"), (np.full(36, math.inf), "not finite")):
        with pytest.raises(messages.MessageError, match=words):
            messages.covariance_array(bad)


@given(VECTORS, VECTORS, VECTORS, arrays(float, 3, elements=st.floats(-0.5, 0.5)), st.floats(0.01, 10.0))
def test_a_twist_moves_the_first_pose_to_the_second(turn, position, linear, angular, seconds):
    before = make_pose(rotation_from_vector(turn), position)
    after_rotation = before[:3, :3] @ rotation_from_vector(angular)
    after = make_pose(after_rotation, position + after_rotation @ linear)
    twist = messages.twist_message(before, after, seconds)
    np.testing.assert_allclose([twist.linear.x, twist.linear.y, twist.linear.z], linear / seconds, atol=1e-6)
    np.testing.assert_allclose([twist.angular.x, twist.angular.y, twist.angular.z], angular / seconds, atol=1e-6)
