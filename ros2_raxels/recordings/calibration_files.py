"""Calibration files of ROS, OpenCV, Kalibr, EuRoC, COLMAP, nerfstudio, ORB-SLAM and KITTI, told apart by content."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import yaml

from ros2_raxels.geometry.double_sphere import DoubleSphereCamera
from ros2_raxels.geometry.fisheye import FisheyeCamera
from ros2_raxels.geometry.lens_names import SUPPORTED, coefficient_names, lens_name, lens_of
from ros2_raxels.recordings.calibration import PLUMB_BOB, Calibration, CalibrationError
from ros2_raxels.recordings.camera_info import CameraInfoError, camera_from_info
from ros2_raxels.utils.files import FileError, numbers, shown, take

FORMATS = (
    "ROS camera_info YAML, OpenCV YAML or JSON, Kalibr camchain, EuRoC sensor.yaml, COLMAP cameras.txt, "
    "nerfstudio transforms.json, ORB-SLAM YAML, KITTI calib.txt, plain numbers"
)

_MOST_YAML_CHARACTERS = 100_000
_MOST_JSON_CHARACTERS = 50_000_000
"""Calibrations are small; transforms.json lists every frame. More would be read for longer than anybody waits."""

_MOST_NESTED = 20

_PINHOLE = ("", "pinhole", "opencv", "simple_pinhole", "perspective")
"""Models of projection that leave the lens to the model of distortion."""

_COLMAP = {
    "SIMPLE_PINHOLE": "f cx cy",
    "PINHOLE": "fx fy cx cy",
    "SIMPLE_RADIAL": "f cx cy k1",
    "RADIAL": "f cx cy k1 k2",
    "OPENCV": "fx fy cx cy k1 k2 p1 p2",
    "FULL_OPENCV": "fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6",
    "OPENCV_FISHEYE": "fx fy cx cy k1 k2 k3 k4",
    "SIMPLE_RADIAL_FISHEYE": "f cx cy k1",
    "RADIAL_FISHEYE": "f cx cy k1 k2",
}
_ORDER = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")

_K_NAMES = ("camera_matrix", "cameramatrix", "intrinsic_matrix", "intrinsics", "k", "m", "mtx")
_D_NAMES = (
    *("distortion_coefficients", "distortioncoefficients", "dist_coeffs", "distcoeffs", "dist_coeff"),
    *("distortion", "dist", "d"),
)

_COLMAP_LINE = re.compile(r"^(\d+)\s+([A-Z][A-Z_]+)\s+(\d+)\s+(\d+)((?:\s+\S+)+)\s*$", re.MULTILINE)
_KITTI_LINE = re.compile(r"^(P(?:_rect_)?\d+):((?:\s+\S+){12})\s*$", re.MULTILINE)
_KITTI_SIZE = re.compile(r"^S_rect_(\d+):\s+(\S+)\s+(\S+)\s*$", re.MULTILINE)

Cameras = dict[str, Callable[[], Calibration]]
"""By name; each is checked only when it is chosen."""


def read_calibration(path: Path, camera: str | None = None) -> Calibration:
    """The calibration of one camera in a file of any of `FORMATS`.

    Args:
        path: of the file; its name does not matter.
        camera: which one, where the file has several.

    Raises:
        CalibrationError: the file cannot be read or is none of these, the camera is not in it or must be chosen, or its
            lens is not supported.
    """
    text = _text(path)
    try:
        cameras = _cameras(text, path)
        name = _chosen(list(cameras), camera, path)
        return cameras[name]()
    except CalibrationError:
        raise
    except FileError as error:
        raise CalibrationError(str(error)) from error


def _chosen(names: Sequence[str], wanted: str | None, path: Path) -> str:
    listed = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    if wanted is not None and wanted not in names:
        raise CalibrationError(f"{path} has no camera {wanted!r}; give --camera one of {listed}")
    if wanted is None and len(names) > 1:
        raise CalibrationError(f"{path} has {len(names)} cameras; choose one with --camera: {listed}")
    return names[0] if wanted is None else wanted


def _text(path: Path) -> str:
    try:
        raw = path.expanduser().read_bytes()
    except OSError as error:
        raise CalibrationError(f"{path} cannot be read: {error.strerror or error}; check the path") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        hint = ""
        if path.suffix == ".bin":
            hint = "; of COLMAP: colmap model_converter --output_type TXT"
        raise CalibrationError(f"{path} is no text; give a calibration as text ({FORMATS}){hint}") from error


def _cameras(text: str, path: Path) -> Cameras:
    for read in (_colmap, _kitti, _plain):
        found = read(text, path)
        if found:
            return found
    record = _record(text, path)
    if isinstance(record, dict):
        for parse in (_nerfstudio, _kalibr, _euroc, _ros, _orb_slam, _opencv):
            found = parse(record, path)
            if found:
                return found
    raise CalibrationError(f"{path} holds no calibration that is known; give one of {FORMATS}")


# ------------------------------------------------------------------------------------------------------ YAML and JSON


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader, which also takes the matrices that OpenCV writes; of libyaml where there is one, for speed."""


def _matrix(loader: Any, node: Any) -> Any:
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:opencv-matrix", _matrix)


def _record(text: str, path: Path) -> object:
    """What the first document of a YAML or JSON file holds."""
    is_json = text.lstrip().startswith("{")
    most = _MOST_JSON_CHARACTERS if is_json else _MOST_YAML_CHARACTERS
    if len(text) > most:
        raise CalibrationError(f"{path} has {len(text)} characters, too many for a calibration; give one of {FORMATS}")
    try:
        if is_json:
            return json.loads(text)
        # OpenCV writes "%YAML:1.0", which is no directive of YAML.
        lines = [line for line in text.splitlines() if not line.startswith("%YAML")]
        clean = "\n".join(lines).expandtabs()
        _check_harmless(clean)
        documents = yaml.load_all(clean, Loader=_Loader)
        return next((document for document in documents if document is not None), None)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        kind = "JSON" if is_json else "YAML"
        reason = " ".join(str(error).split())[:120]
        raise CalibrationError(f"{path} is no readable {kind} ({reason}); give one of {FORMATS}") from error


def _check_harmless(text: str) -> None:
    """See that a YAML text has no aliases, a few of which could stand for gigabytes, and is nested as records are.

    Raises:
        yaml.YAMLError: it is not, or no YAML at all.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MOST_NESTED:
            raise yaml.YAMLError(f"it is nested {depth} deep")


def _float(record: Mapping[str, Any], key: str, where: str) -> float:
    return float(numbers(take(record, key, where), (), f"{where}: {key}"))


def _whole(record: object, key: str, where: str) -> int:
    """A whole number that may be missing, which stands for 0."""
    return round(_float(record, key, where)) if isinstance(record, dict) and record.get(key) else 0


def _row(value: object, where: str) -> list[float]:
    """Numbers of a list, of nested lists, or of a matrix with rows, cols and data."""
    if isinstance(value, dict) and "data" in value:
        value = value["data"]
    try:
        row = np.array(value, float).ravel()
    except (TypeError, ValueError):
        raise CalibrationError(f"{where} = {shown(value)} must be numbers; correct it") from None
    return [float(number) for number in row]


def _size(record: Mapping[str, Any], names: Sequence[tuple[str, str]], where: str) -> tuple[int, int] | None:
    for width, height in names:
        if record.get(width) is not None and record.get(height) is not None:
            return round(_float(record, width, where)), round(_float(record, height, where))
    return None


def _refuse_lens(model: object, where: str) -> CalibrationError:
    return CalibrationError(
        f"{where}: lens model {shown(model)} is not supported ({SUPPORTED}); undistort the images, and give the "
        "calibration of those"
    )


def _lens(model: object, distortion: object, coefficients: Sequence[float], where: str) -> str:
    """The lens by its models of projection and distortion; zeros need no model, unless it is a fisheye's.

    Raises:
        CalibrationError: one of them is not known.
    """
    projection, name = str(model or ""), str(distortion or "")
    if projection.lower() not in _PINHOLE:
        if lens_of(projection) is None:
            raise _refuse_lens(model, where)
        return projection
    if lens_of(name) is None and any(coefficients):
        raise _refuse_lens(distortion, where)
    return name if lens_of(name) is not None else PLUMB_BOB


def _order(lens: str) -> tuple[str, ...]:
    """Names of the coefficients of a lens, in its order."""
    return coefficient_names(FisheyeCamera) if lens_of(lens) is FisheyeCamera else _ORDER


def _intrinsics(value: object, where: str) -> list[float]:
    """fx, fy, cx, cy of four numbers, of a 3x3 or of a 4x4 matrix."""
    row = _row(value, where)
    if len(row) == 4:
        return row
    if len(row) not in (9, 16):
        raise CalibrationError(f"{where} has {len(row)} numbers; it must have 4 (fx, fy, cx, cy) or 3x3; correct it")
    matrix = np.array(row).reshape(math.isqrt(len(row)), -1)
    if not matrix[:2, :3].any():
        raise CalibrationError(f"{where} is all zeros: the camera is not calibrated; calibrate it")
    if abs(matrix[0, 1]) > 1e-3 * abs(matrix[0, 0]):
        raise CalibrationError(f"{where} has {matrix[0, 1]:g} px of skew, which is not supported; calibrate without")
    return [float(matrix[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2))]


# ------------------------------------------------------------------------------------------------------------ formats


def _ros(record: dict[str, Any], path: Path) -> Cameras:
    """``camera_info`` of camera_calibration, or a message printed by ``ros2 topic echo``."""
    written = "camera_matrix" in record and ("distortion_model" in record or "projection_matrix" in record)
    printed = "distortion_model" in record and ("k" in record or "K" in record)
    if not written and not printed:
        return {}
    name = str(record.get("camera_name") or "camera")
    return {name: partial(_ros_camera, record, f"{path}, {name} (ROS camera_info)")}


def _ros_camera(record: dict[str, Any], where: str) -> Calibration:
    lower = {str(key).lower(): value for key, value in record.items()}

    def row(*names: str) -> list[float]:
        return next((_row(lower[name], f"{where}: {name}") for name in names if lower.get(name) is not None), [])

    size = _size(lower, (("image_width", "image_height"), ("width", "height")), where)
    if size is None:
        raise CalibrationError(f"{where} has no image_width and image_height; add them")
    k, d, p = row("camera_matrix", "k"), row("distortion_coefficients", "d"), row("projection_matrix", "p")
    if len(k) != 9 or (p and len(p) != 12):
        raise CalibrationError(f"{where}: camera_matrix has {len(k)} and projection_matrix {len(p)} numbers; 9 and 12")
    roi = lower.get("roi")
    region = {name: _whole(roi, name, f"{where}: roi") for name in ("x_offset", "y_offset", "width", "height")}
    model = str(lower.get("distortion_model") or "")
    if not any(d) and lens_of(model) is None:
        model = ""
    info = SimpleNamespace(
        width=size[0],
        height=size[1],
        distortion_model=model,
        k=k,
        d=d if any(d) else [],
        p=p,
        roi=SimpleNamespace(**region),
        binning_x=_whole(lower, "binning_x", where),
        binning_y=_whole(lower, "binning_y", where),
    )
    try:
        camera = camera_from_info(info)
    except CameraInfoError as error:
        raise CalibrationError(f"{where}: {error}") from error
    own = (camera.fx, camera.fy, camera.cx, camera.cy)
    return Calibration.of(where, own, camera.distortion, (camera.width, camera.height), lens_name(camera))


def _kalibr(record: dict[str, Any], path: Path) -> Cameras:
    """``camchain.yaml``: cam0, cam1, ..."""
    return {
        str(name): partial(_pinhole_record, camera, "distortion_coeffs", f"{path}, {name} (Kalibr)")
        for name, camera in record.items()
        if re.fullmatch(r"cam\d+", str(name)) and isinstance(camera, dict) and "intrinsics" in camera
    }


def _euroc(record: dict[str, Any], path: Path) -> Cameras:
    """``sensor.yaml`` of a EuRoC or TUM-VI folder."""
    if "intrinsics" not in record or "camera_model" not in record:
        return {}
    return {"camera": partial(_pinhole_record, record, "distortion_coefficients", f"{path} (EuRoC)")}


def _pinhole_record(record: dict[str, Any], coefficients: str, where: str) -> Calibration:
    """Kalibr's and EuRoC's words: intrinsics of four numbers, resolution, and a model of each."""
    found: object = next(
        (record[key] for key in (coefficients, "distortion_coefficients", "distortion_coeffs") if key in record), []
    )
    distortion = _row(found, f"{where}: {coefficients}")
    lens = _lens(record.get("camera_model"), record.get("distortion_model"), distortion, where)
    resolution = record.get("resolution")
    size = None
    if resolution is not None:
        width, height = numbers(resolution, (2,), f"{where}: resolution").tolist()
        size = round(width), round(height)
    count = 6 if lens_of(lens) is DoubleSphereCamera else 4
    intrinsics = numbers(take(record, "intrinsics", where), (count,), f"{where}: intrinsics").tolist()
    if count == 6:
        # Kalibr has xi and alpha before the focal lengths.
        distortion, intrinsics = intrinsics[:2], intrinsics[2:]
    return Calibration.of(where, intrinsics, distortion, size, lens)


def _orb_slam(record: dict[str, Any], path: Path) -> Cameras:
    """Settings of ORB-SLAM: ``Camera.fx`` or ``Camera1.fx``."""
    names = [str(key).removesuffix(".fx") for key in record if re.fullmatch(r"Camera\d?\.fx", str(key))]
    return {name: partial(_orb_slam_camera, record, name, f"{path}, {name} (ORB-SLAM)") for name in names}


def _orb_slam_camera(record: dict[str, Any], name: str, where: str) -> Calibration:
    kind = str(record.get("Camera.type") or "")
    order = _order(kind)
    distortion = _named_coefficients({key: record.get(f"{name}.{key}") for key in order}, order, where)
    lens = _lens("pinhole" if kind.lower() == "rectified" else kind, "", distortion, where)
    size = _size(record, (("Camera.width", "Camera.height"),), where)
    own = [_float(record, f"{name}.{key}", where) for key in ("fx", "fy", "cx", "cy")]
    return Calibration.of(where, own, distortion, size, lens)


def _named_coefficients(values: Mapping[str, object], order: Sequence[str], where: str) -> list[float]:
    return [0.0 if values.get(key) is None else _float(values, key, where) for key in order]


def _opencv(record: dict[str, Any], path: Path) -> Cameras:
    """A FileStorage: camera matrices, each with the coefficients of the same ending, as in M1 and D1."""
    keys = {str(key).lower(): str(key) for key in record}
    cameras: Cameras = {}
    for lower, key in keys.items():
        found = re.fullmatch(rf"({'|'.join(_K_NAMES)})_?(\d|left|right)?", lower)
        if found is None:
            continue
        ending = found[2] or ""
        names = [f"{name}{joint}{ending}" for name in _D_NAMES for joint in ("", "_")]
        distortion = next((keys[name] for name in names if name in keys), None)
        cameras.setdefault(key, partial(_opencv_camera, record, key, distortion, f"{path}, {key} (OpenCV)"))
    return cameras


def _opencv_camera(record: dict[str, Any], key: str, distortion_key: str | None, where: str) -> Calibration:
    distortion = [] if distortion_key is None else _row(record[distortion_key], f"{where}: {distortion_key}")
    model = next((record[name] for name in ("distortion_model", "model", "camera_model") if name in record), "")
    is_fisheye = bool(record.get("fisheye_model") or record.get("fisheye"))
    lens = "fisheye" if is_fisheye else _lens("", "" if str(model).lower() in _PINHOLE else model, distortion, where)
    lower = {str(name).lower(): value for name, value in record.items()}
    size = _size(lower, (("image_width", "image_height"), ("imagewidth", "imageheight"), ("width", "height")), where)
    pair = next(
        (lower[name] for name in ("image_size", "imagesize", "img_size", "resolution") if lower.get(name)), None
    )
    if size is None and pair is not None:
        width, height = numbers(_row(pair, where), (2,), f"{where}: image size").tolist()
        size = round(width), round(height)
    return Calibration.of(where, _intrinsics(record[key], where), distortion, size, lens)


def _colmap(text: str, path: Path) -> Cameras:
    """``cameras.txt``: number, model, size and parameters a line."""
    return {
        found[1]: partial(_colmap_camera, found, f"{path}, camera {found[1]} (COLMAP)")
        for found in _COLMAP_LINE.finditer(text)
    }


def _colmap_camera(line: re.Match[str], where: str) -> Calibration:
    model, values = line[2], numbers(line[5].split(), (-1,), f"{where}: parameters").tolist()
    if model not in _COLMAP:
        raise _refuse_lens(model, where)
    names = _COLMAP[model].split()
    if len(values) != len(names):
        raise CalibrationError(
            f"{where}: {model} has {len(values)} parameters; it takes {len(names)}: {_COLMAP[model]}"
        )
    named = dict(zip(names, values, strict=True))
    fx = named.get("fx", named.get("f", 0.0))
    # The centre of COLMAP's first pixel is (0.5, 0.5).
    own = (fx, named.get("fy", fx), named["cx"] - 0.5, named["cy"] - 0.5)
    lens = "fisheye" if model.endswith("_FISHEYE") else PLUMB_BOB
    distortion = _named_coefficients(named, _order(lens), where)
    return Calibration.of(where, own, distortion, (int(line[3]), int(line[4])), lens)


def _nerfstudio(record: dict[str, Any], path: Path) -> Cameras:
    """``transforms.json`` of nerfstudio or instant-ngp: one camera for all frames, or one a frame."""
    frames = record.get("frames")
    if not isinstance(frames, list):
        return {}
    where = f"{path} (nerfstudio)"
    if _has_focal(record):
        return {"camera": partial(_nerfstudio_camera, record, where)}
    cameras: Cameras = {}
    seen = set()
    for frame in frames:
        if isinstance(frame, dict) and _has_focal(frame):
            whole = {**record, **frame}
            key = repr([whole.get(name) for name in ("fl_x", "fl_y", "cx", "cy", "w", "h", "camera_model", *_ORDER)])
            if key not in seen:
                seen.add(key)
                name = str(frame.get("file_path", len(cameras)))
                cameras[name] = partial(_nerfstudio_camera, whole, f"{where}, {name}")
    return cameras


def _has_focal(record: Mapping[str, Any]) -> bool:
    return any(record.get(key) is not None for key in ("fl_x", "camera_angle_x"))


def _nerfstudio_camera(record: dict[str, Any], where: str) -> Calibration:
    order = _order(str(record.get("camera_model") or ""))
    distortion = _named_coefficients(record, order, where)
    lens = _lens(record.get("camera_model"), "", distortion, where)
    size = _size(record, (("w", "h"),), where)
    if record.get("fl_x") is not None:
        fx = _float(record, "fl_x", where)
    elif size is not None:
        fx = size[0] / 2 / math.tan(_float(record, "camera_angle_x", where) / 2)
    else:
        raise CalibrationError(f"{where} has camera_angle_x but no w and h; add them, or fl_x")
    fy = fx if record.get("fl_y") is None else _float(record, "fl_y", where)
    if size is None and (record.get("cx") is None or record.get("cy") is None):
        raise CalibrationError(f"{where} has neither w and h nor cx and cy; add them")
    middle = (0.0, 0.0) if size is None else (size[0] / 2, size[1] / 2)
    # As in COLMAP, the centre of the first pixel is (0.5, 0.5).
    cx, cy = (
        (half if record.get(key) is None else _float(record, key, where)) - 0.5
        for key, half in zip(("cx", "cy"), middle, strict=True)
    )
    return Calibration.of(where, (fx, fy, cx, cy), distortion, size, lens)


def _kitti(text: str, path: Path) -> Cameras:
    """``calib.txt`` of odometry (P0 to P3) or ``calib_cam_to_cam.txt`` (P_rect_00 to 03): rectified images."""
    sizes = {found[1]: (found[2], found[3]) for found in _KITTI_SIZE.finditer(text)}
    return {
        found[1]: partial(
            _kitti_camera, found, sizes.get(found[1].removeprefix("P_rect_")), f"{path}, {found[1]} (KITTI)"
        )
        for found in _KITTI_LINE.finditer(text)
    }


def _plain(text: str, path: Path) -> Cameras:
    """Numbers alone: a matrix of 3 or 4 rows, as ScanNet has it, or fx fy cx cy and coefficients in one line."""
    lines = [re.split(r"[\s,;]+", line.strip(" \t\r,;[]")) for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line[0].startswith("#")]
    shape = (len(lines), *sorted({len(line) for line in lines}))
    if shape not in ((3, 3), (4, 4)) and not (len(shape) == 2 and shape[0] == 1 and 4 <= shape[1] <= 18):
        return {}
    try:
        row = [float(word) for line in lines for word in line]
    except ValueError:
        return {}
    where = f"{path} (plain numbers)"
    if len(lines) > 1:
        return {"camera": lambda: Calibration.of(where, _intrinsics(row, where))}
    return {"camera": lambda: Calibration.of(where, row[:4], row[4:])}


def _kitti_camera(line: re.Match[str], size: tuple[str, str] | None, where: str) -> Calibration:
    p = numbers(line[2].split(), (12,), where)
    sides = None if size is None else numbers(list(size), (2,), f"{where}: size").tolist()
    return Calibration.of(
        where, [float(p[at]) for at in (0, 5, 2, 6)], (), None if sides is None else (round(sides[0]), round(sides[1]))
    )
