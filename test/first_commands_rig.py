"""The recordings of docs/first_commands.md: of rendered frames, in the layouts and through the lenses of the real ones.

``python test/first_commands_rig.py FOLDER`` writes them; the transcripts of the page are of its commands, run there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from bags_rig import FIRST_NS, STORE, header, write_bag
from recordings_rig import picture, write_depth, write_image

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.scenes.renderer import render
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.scenes.world import furnished_room

PHONE = PinholeCamera(640, 360, 490.0, 490.0, 319.5, 179.5)
FREIBURG1 = PinholeCamera(640, 480, 517.3, 516.5, 318.6, 255.3, (0.2624, -0.9531, -0.0054, 0.0026, 1.1633))
EUROC_CAM0 = PinholeCamera(
    752, 480, 458.654, 457.296, 367.215, 248.375, (-0.28340811, 0.07395907, 0.00019359, 1.76187114e-05)
)
KITTI_P0 = PinholeCamera(1241, 376, 718.856, 718.856, 607.1928, 185.2157)
USB = PinholeCamera(640, 480, 610.0, 611.0, 322.0, 238.0, (0.08, -0.17, 0.001, -0.0005, 0.0))

COUNT = 40
"""Pictures of each recording of the page."""

Film = Callable[[PinholeCamera, float], Iterator[ImageArray]]
"""RGB pictures through a lens at a rate in Hz."""

SENSOR_YAML = """\
sensor_type: camera
rate_hz: 20
resolution: [752, 480]
camera_model: pinhole
intrinsics: [458.654, 457.296, 367.215, 248.375]
distortion_model: radial-tangential
distortion_coefficients: [-0.28340811, 0.07395907, 0.00019359, 1.76187114e-05]
"""


def rendered(count: int) -> Film:
    """A walk through a room."""

    def film(camera: PinholeCamera, rate_hz: float) -> Iterator[ImageArray]:
        room = furnished_room(3)
        for pose in handheld_loop(7.0, rate_hz, seed=1)[:count]:
            yield render(room, camera, pose)[0]

    return film


def smooth(count: int) -> Film:
    """Pictures that cost nothing, and in which there is nothing to track."""
    return lambda camera, _: (picture(index, camera.width, camera.height) for index in range(count))


def write_recordings(folder: Path, film: Film) -> None:
    """All of them, by the names that the page has."""
    _write_phone(folder / "phone video.mp4", film)
    _write_tum(folder / "rgbd_dataset_freiburg1_room", film)
    _write_euroc(folder / "MH_01_easy/mav0/cam0", film)
    _write_kitti(folder / "sequences/00", film)
    _write_usb(folder / "usb_cam", film)


def _write_phone(file: Path, film: Film) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"mp4v"), 15.0, (PHONE.width, PHONE.height))
    for image in film(PHONE, 15.0):
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    writer.release()


def _write_tum(folder: Path, film: Film) -> None:
    lines = ["# color images", "# timestamp filename"]
    for index, image in enumerate(film(FREIBURG1, 30.0)):
        name = f"{1305031910.765238 + index / 30:.6f}"
        write_image(folder / f"rgb/{name}.png", image)
        write_depth(folder / f"depth/{name}.png", index)
        lines.append(f"{name} rgb/{name}.png")
    (folder / "rgb.txt").write_text("\n".join(lines) + "\n")


def _write_euroc(folder: Path, film: Film) -> None:
    lines = ["#timestamp [ns],filename"]
    for index, image in enumerate(film(EUROC_CAM0, 20.0)):
        stamp_ns = 1403636579763555584 + 50_000_000 * index
        (folder / "data").mkdir(parents=True, exist_ok=True)
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        assert cv2.imwrite(str(folder / f"data/{stamp_ns}.png"), grey)
        lines.append(f"{stamp_ns},{stamp_ns}.png")
    (folder / "data.csv").write_text("\n".join(lines) + "\n")
    (folder / "sensor.yaml").write_text(SENSOR_YAML)


def _write_kitti(folder: Path, film: Film) -> None:
    times = []
    for index, image in enumerate(film(KITTI_P0, 10.0)):
        (folder / "image_0").mkdir(parents=True, exist_ok=True)
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        assert cv2.imwrite(str(folder / f"image_0/{index:06d}.png"), grey)
        times.append(f"{index / 10:.6e}")
    (folder / "times.txt").write_text("\n".join(times) + "\n")
    row = "718.856 0 607.1928 {} 0 718.856 185.2157 0 0 0 1 0"
    shifts = ("0", "-386.1448", "45.38225", "-337.2877")
    (folder / "calib.txt").write_text("".join(f"P{k}: {row.format(shift)}\n" for k, shift in enumerate(shifts)))


def _write_usb(folder: Path, film: Film) -> None:
    images, infos = [], []
    for index, image in enumerate(film(USB, 30.0)):
        head = header(FIRST_NS + 33_333_333 * index)
        images.append(_yuyv(head, image))
        infos.append(_info(head))
    write_bag(folder, {"/camera_info": infos, "/image_raw": images})


def _yuyv(head: Any, rgb: ImageArray) -> Any:
    """As most webcams send it: brightness of each pixel, colour of every other."""
    yuv = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV)
    height, width = rgb.shape[:2]
    packed = np.empty((height, width, 2), np.uint8)
    packed[..., 0] = yuv[..., 0]
    packed[:, 0::2, 1], packed[:, 1::2, 1] = yuv[:, 0::2, 1], yuv[:, 0::2, 2]
    kind = STORE.types["sensor_msgs/msg/Image"]
    return kind(head, height, width, "yuv422_yuy2", 0, 2 * width, packed.ravel())


def _info(head: Any) -> Any:
    roi = STORE.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    k = USB.matrix
    p = np.hstack([k, np.zeros((3, 1))])
    kind = STORE.types["sensor_msgs/msg/CameraInfo"]
    size = USB.height, USB.width
    return kind(head, *size, "plumb_bob", np.array(USB.distortion), k.ravel(), np.eye(3).ravel(), p.ravel(), 0, 0, roi)


if __name__ == "__main__":
    write_recordings(Path(sys.argv[1]), rendered(COUNT))
