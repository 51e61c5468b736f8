"""Calibration files of every kind say the same camera, and what is wrong with them is said in one line."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from ros2_raxels.geometry.double_sphere import DoubleSphereCamera
from ros2_raxels.geometry.fisheye import FisheyeCamera
from ros2_raxels.recordings.calibration import CalibrationError
from ros2_raxels.recordings.calibration_files import read_calibration

K = (458.5, 457.25, 367.0, 248.5)
D = (-0.28, 0.07, 0.0002, 0.00002)
SIZE = (752, 480)

ROS = """image_width: 752
image_height: 480
camera_name: left
camera_matrix: {rows: 3, cols: 3, data: [458.5, 0, 367.0, 0, 457.25, 248.5, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 4, data: [-0.28, 0.07, 2e-4, 2e-05]}
projection_matrix: {rows: 3, cols: 4, data: [400, 0, 360, 0, 0, 400, 240, 0, 0, 0, 1, 0]}
"""
ECHO = """header:
  frame_id: cam
height: 480
width: 752
distortion_model: rational_polynomial
d: [-0.28, 0.07, 0.0002, 0.00002, 0, 0, 0, 0]
k: [458.5, 0.0, 367.0, 0.0, 457.25, 248.5, 0.0, 0.0, 1.0]
p: [400.0, 0, 360.0, 0, 0, 400.0, 240.0, 0, 0, 0, 1.0, 0]
binning_x: 0
binning_y: 0
roi: {x_offset: 0, y_offset: 0, height: 0, width: 0, do_rectify: false}
---
height: 1
"""
OPENCV = """%YAML:1.0
---
calibration_time: "Mon 30 Nov 2026"
image_width: 752
image_height: 480
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 4.585e+02, 0., 367., 0., 457.25, 248.5, 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 4
   cols: 1
   dt: d
   data: [ -0.28, 7.0e-02, 2e-04, 2.e-05 ]
"""
OPENCV_JSON = """{"image_size": [752, 480],
"K": {"type_id": "opencv-matrix", "rows": 3, "cols": 3, "dt": "d",
"data": [458.5, 0, 367.0, 0, 457.25, 248.5, 0, 0, 1]},
"D": [[-0.28, 0.07, 0.0002, 0.00002]]}
"""
KALIBR = """cam0:
  cam_overlaps: [1]
  camera_model: pinhole
  distortion_coeffs: [-0.28, 0.07, 0.0002, 0.00002]
  distortion_model: radtan
  intrinsics: [458.5, 457.25, 367.0, 248.5]
  resolution: [752, 480]
  rostopic: /cam0/image_raw
"""
SECOND = """cam1:
  camera_model: pinhole
  distortion_coeffs: [0.1, 0.2, 0.3, 0.4]
  distortion_model: equidistant
  intrinsics: [458.5, 457.25, 367.0, 248.5]
  resolution: [752, 480]
"""
EUROC = """# General sensor definitions.
sensor_type: camera
T_BS:
  cols: 4
  rows: 4
  data: [1.0, 0, 0, 0, 0, 1.0, 0, 0, 0, 0, 1.0, 0, 0, 0, 0, 1.0]
rate_hz: 20
resolution: [752, 480]
camera_model: pinhole
intrinsics: [458.5, 457.25, 367.0, 248.5] #fu, fv, cu, cv
distortion_model: radial-tangential
distortion_coefficients: [-0.28, 0.07, 0.0002, 0.00002]
"""
COLMAP = """# Camera list with one line of data per camera:
#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]
# Number of cameras: 1
3 OPENCV 752 480 458.5 457.25 367.5 249 -0.28 0.07 0.0002 0.00002
"""
NERFSTUDIO = """{"w": 752, "h": 480, "fl_x": 458.5, "fl_y": 457.25, "cx": 367.5, "cy": 249.0, "k1": -0.28, "k2": 0.07,
"p1": 0.0002, "p2": 0.00002, "camera_model": "OPENCV", "frames": [{"file_path": "a.png", "transform_matrix": []}]}
"""
ORB_SLAM = """%YAML:1.0

Camera.type: "PinHole"
Camera.fx: 458.5
Camera.fy: 457.25
Camera.cx: 367.0
Camera.cy: 248.5
Camera.k1: -0.28
Camera.k2: 0.07
Camera.p1: 0.0002
Camera.p2: 0.00002
Camera.width: 752
Camera.height: 480
ORBextractor.nFeatures: 1000
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "calibration"
    file.write_text(text)
    return file


def refusal(file: Path, camera: str | None = None) -> str:
    begun = time.perf_counter()
    with pytest.raises(CalibrationError) as caught:
        read_calibration(file, camera)
    assert time.perf_counter() - begun < 2.5
    message = str(caught.value)
    assert "\n" not in message
    assert str(file) in message
    return message


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (ROS, ", left (ROS camera_info)"),
        (ECHO, ", camera (ROS camera_info)"),
        (OPENCV, ", camera_matrix (OpenCV)"),
        (OPENCV_JSON, ", K (OpenCV)"),
        (KALIBR, ", cam0 (Kalibr)"),
        (EUROC, " (EuRoC)"),
        (COLMAP, ", camera 3 (COLMAP)"),
        (NERFSTUDIO, " (nerfstudio)"),
        (ORB_SLAM, ", Camera (ORB-SLAM)"),
    ],
    ids=["ros", "echo", "opencv", "opencv-json", "kalibr", "euroc", "colmap", "nerfstudio", "orb-slam"],
)
def test_every_format_says_the_same_camera(tmp_path: Path, text: str, source: str) -> None:
    file = written(tmp_path, text)
    found = read_calibration(file)
    assert found.source == f"{file}{source}"
    assert (found.fx, found.fy, found.cx, found.cy) == pytest.approx(K)
    assert found.distortion[:4] == pytest.approx(D)
    assert not any(found.distortion[4:])
    assert found.size == SIZE


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_what_opencv_writes_is_read(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"camera.{suffix}"
    storage = cv2.FileStorage(str(file), cv2.FILE_STORAGE_WRITE)
    storage.write("image_width", 752)
    storage.write("image_height", 480)
    storage.write("cameraMatrix", np.array([[K[0], 0, K[2]], [0, K[1], K[3]], [0, 0, 1]]))
    storage.write("distCoeffs", np.array([[*D, 1e-5]]))
    storage.release()
    found = read_calibration(file)
    assert (found.fx, found.fy, found.cx, found.cy, found.size) == (*K, SIZE)
    assert found.distortion == pytest.approx((*D, 1e-5))


def test_matrices_of_a_stereo_pair_go_with_their_own_coefficients(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "M1: [[500, 0, 320], [0, 500, 240], [0, 0, 1]]\nD1: [0.1, 0, 0, 0, 0]\n"
        "M2: [[600, 0, 320], [0, 600, 240], [0, 0, 1]]\nD2: [0.2, 0, 0, 0, 0]\n",
    )
    assert "has 2 cameras; choose one with --camera: M1, M2" in refusal(file)
    right = read_calibration(file, "M2")
    assert (right.fx, right.distortion, right.size) == (600.0, (0.2, 0.0, 0.0, 0.0, 0.0), None)


def test_one_of_several_cameras_is_chosen_by_name(tmp_path: Path) -> None:
    file = written(tmp_path, KALIBR + SECOND)
    assert "has 2 cameras; choose one with --camera: cam0, cam1" in refusal(file)
    assert "has no camera 'cam2'; give --camera one of cam0, cam1" in refusal(file, "cam2")
    assert read_calibration(file, "cam0").fx == K[0]
    assert read_calibration(file, "cam1").lens == "equidistant"
    # The lens of the other does not matter.
    strange = written(tmp_path, KALIBR + SECOND.replace("equidistant", "omni"))
    assert read_calibration(strange, "cam0").fx == K[0]
    assert "cam1 (Kalibr): lens model 'omni' is not supported" in refusal(strange, "cam1")


@pytest.mark.parametrize(
    "text",
    [
        ROS.replace("plumb_bob", "equidistant"),
        KALIBR.replace("radtan", "equidistant"),
        EUROC.replace("radial-tangential", "equidistant"),
        COLMAP.replace("OPENCV", "OPENCV_FISHEYE"),
        NERFSTUDIO.replace("OPENCV", "OPENCV_FISHEYE").replace('"p1"', '"k3"').replace('"p2"', '"k4"'),
        ORB_SLAM.replace("PinHole", "KannalaBrandt8").replace(".p1", ".k3").replace(".p2", ".k4"),
        OPENCV + "distortion_model: fisheye\n",
        OPENCV_JSON.rstrip().removesuffix("}") + ', "fisheye": true}',
    ],
    ids=["ros", "kalibr", "euroc", "colmap", "nerfstudio", "orb-slam", "opencv", "opencv-json"],
)
def test_every_format_says_the_same_fisheye(tmp_path: Path, text: str) -> None:
    found = read_calibration(written(tmp_path, text))
    camera, _ = found.fitted(*SIZE)
    assert isinstance(camera, FisheyeCamera)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == pytest.approx(K)
    assert camera.distortion == pytest.approx(D)


def test_kalibr_has_the_spheres_before_the_focal_lengths(tmp_path: Path) -> None:
    text = """cam0:
  camera_model: ds
  intrinsics: [-0.27, 0.57, 190.9, 190.8, 254.9, 256.9]
  distortion_model: none
  distortion_coeffs: []
  resolution: [512, 512]
"""
    camera, _ = read_calibration(written(tmp_path, text)).fitted(512, 512)
    assert camera == DoubleSphereCamera(512, 512, 190.9, 190.8, 254.9, 256.9, (-0.27, 0.57))


def test_colmap_models_and_its_pixel_centres(tmp_path: Path) -> None:
    simple = read_calibration(written(tmp_path, "1 SIMPLE_RADIAL 100 80 90 50 40 0.1\n"))
    assert (simple.fx, simple.fy, simple.cx, simple.cy) == (90.0, 90.0, 49.5, 39.5)
    assert simple.distortion == (0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    full = read_calibration(written(tmp_path, "1 FULL_OPENCV 100 80 90 91 50 40 1 2 3 4 5 6 7 8\n"))
    assert full.distortion == (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)


def test_kitti_projections_are_read_by_name(tmp_path: Path) -> None:
    row = "7.1e+02 0 6.07e+02 {} 0 7.1e+02 1.85e+02 0 0 0 1 0"
    odometry = written(tmp_path, f"P0: {row.format(0)}\nP1: {row.format(-386)}\nTr: 1 0 0 0 0 1 0 0 0 0 1 0\n")
    left = read_calibration(odometry, "P0")
    assert (left.fx, left.fy, left.cx, left.cy, left.size) == (710.0, 710.0, 607.0, 185.0, None)
    raw = written(tmp_path, f"calib_time: 09-Jan\nS_rect_02: 1.242e+03 3.75e+02\nP_rect_02: {row.format(44)}\n")
    assert read_calibration(raw).size == (1242, 375)


@pytest.mark.parametrize(
    ("text", "distortion"),
    [
        ("458.5 457.25 367 248.5 -0.28 0.07 0.0002 0.00002\n", D),
        ("# fx, fy, cx, cy\n458.5, 457.25, 367.0, 248.5\n", ()),
        ("458.5 0 367.0\n0 457.25 248.5\n0 0 1\n", ()),
        ("458.5 0 367 0\n0 457.25 248.5 0\n0 0 1 0\n0 0 0 1\n", ()),
    ],
)
def test_plain_numbers_are_a_matrix_or_intrinsics_and_coefficients(
    tmp_path: Path, text: str, distortion: tuple[float, ...]
) -> None:
    file = written(tmp_path, text)
    found = read_calibration(file)
    assert (found.fx, found.fy, found.cx, found.cy) == pytest.approx(K)
    assert found.distortion == pytest.approx(distortion)
    assert (found.source, found.size) == (f"{file} (plain numbers)", None)


def test_an_angle_of_view_stands_for_a_focal_length(tmp_path: Path) -> None:
    text = '{"camera_angle_x": 1.5707963267948966, "w": 200, "h": 100, "frames": []}'
    found = read_calibration(written(tmp_path, text))
    assert (found.fx, found.fy, found.cx, found.cy) == pytest.approx((100.0, 100.0, 99.5, 49.5))


def test_frames_of_one_camera_need_no_choice(tmp_path: Path) -> None:
    frame = '{{"file_path": "{}.png", "fl_x": {}, "cx": 100, "cy": 50, "w": 200, "h": 100}}'
    same = f'{{"frames": [{frame.format("a", 150)}, {frame.format("b", 150)}]}}'
    assert read_calibration(written(tmp_path, same)).fx == 150.0
    other = f'{{"frames": [{frame.format("a", 150)}, {frame.format("b", 151)}]}}'
    assert "has 2 cameras; choose one with --camera: a.png, b.png" in refusal(written(tmp_path, other))


def with_zeros(text: str, model: str) -> str:
    for coefficients in ("-0.28, 0.07, 0.0002, 0.00002", "-0.28, 0.07, 2e-4, 2e-05"):
        text = text.replace(coefficients, "0, 0, 0, 0")
    return text.replace("radtan", model).replace("plumb_bob", model)


@pytest.mark.parametrize("text", [KALIBR, ROS])
def test_zeros_need_no_model_unless_it_is_of_a_fisheye(tmp_path: Path, text: str) -> None:
    assert read_calibration(written(tmp_path, with_zeros(text, "Brown"))).distortion == ()
    assert read_calibration(written(tmp_path, with_zeros(text, "equidistant"))).lens == "equidistant"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ROS.replace("plumb_bob", "omni"), "distortion_model 'omni' is not supported"),
        (ROS.replace("458.5, 0, 367.0, 0, 457.25, 248.5", "0, 0, 0, 0, 0, 0"), "K is all zeros: the camera is not cal"),
        (ROS.replace("image_width: 752\n", ""), "has no image_width and image_height; add them"),
        (ROS.replace("458.5, 0, 367.0,", "458.5, 367.0,"), "camera_matrix has 8 and projection_matrix 12 numbers"),
        (KALIBR.replace("pinhole", "omni"), "lens model 'omni' is not supported"),
        (KALIBR.replace("radtan", "fov"), "lens model 'fov' is not supported"),
        (KALIBR.replace("[458.5,", "[many,"), "intrinsics = ['many', 457.25, 367.0, 248.5] must be 4 finite number(s)"),
        (COLMAP.replace("OPENCV", "THIN_PRISM_FISHEYE"), "lens model 'THIN_PRISM_FISHEYE' is not supported"),
        (COLMAP.replace(" 0.00002", ""), "OPENCV has 7 parameters; it takes 8: fx fy cx cy k1 k2 p1 p2"),
        (NERFSTUDIO.replace("OPENCV", "EQUIRECTANGULAR"), "lens model 'EQUIRECTANGULAR' is not supported"),
        (ORB_SLAM.replace("PinHole", "Stereo"), "lens model 'Stereo' is not supported"),
        (OPENCV.replace("4.585e+02, 0.,", "4.585e+02, 3.,"), "camera_matrix (OpenCV) has 3 px of skew"),
        (OPENCV.replace("2.e-05 ]", f"2.e-05{10 * ', 0'}, 0.5 ]"), "coefficient 15 = 0.5 is not supported"),
        ("frames: [1, 2]\n", "holds no calibration that is known; give one of ROS camera_info YAML, OpenCV"),
        ("a: [1, 2", "is no readable YAML"),
        ('{"a": ', "is no readable JSON"),
        ("", "holds no calibration that is known"),
        ("a: &a [1, 2]\nb: *a\n", "is no readable YAML (aliases are not read)"),
        ("a: !!python/object/apply:os.system [true]\n", "is no readable YAML (could not determine a constructor"),
        ("[" * 50_000, "is no readable YAML (it is nested 21 deep)"),
        ("a: 1\n" * 30_000, "has 150000 characters, too many for a calibration"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, text: str, words: str) -> None:
    assert words in refusal(written(tmp_path, text))


def test_no_text_is_no_calibration(tmp_path: Path) -> None:
    file = tmp_path / "cameras.bin"
    assert "cannot be read: No such file or directory; check the path" in refusal(file)
    file.write_bytes(b"\x01\x00\xff\xfe")
    assert refusal(file).endswith("of COLMAP: colmap model_converter --output_type TXT")
    assert "cannot be read: Is a directory" in refusal(tmp_path)
