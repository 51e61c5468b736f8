"""sources: every kind of recording gives the right pixels, stamps and cameras, and every bad one a worded error."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.source import FrameSource, SourceError

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


# ---------------------------------------------------------------------------------------------------- posed sets


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


def test_posed_set_gives_pixels_cameras_poses_and_exact_stamps(tmp_path: Path) -> None:
    record = posed_record()
    source = open_source(write_set(tmp_path, record))
    assert (source.name, source.kind, source.length, source.has_truth) == ("desk", "posed set", 3, True)
    assert source.is_metric
    assert source.rate_hz == pytest.approx(10.0)
    frames = list(source)
    assert [f.stamp_ns for f in frames] == [round(f["timestamp"] * 1e9) for f in record["frames"]]
    assert [f.index for f in frames] == [0, 1, 2]
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image, picture(index))
        assert frame.camera == PinholeCamera(WIDTH_PX, HEIGHT_PX, 30.0 + index, 31.0, 15.5, 11.5)
        assert frame.camera_to_world is not None
        np.testing.assert_array_equal(frame.camera_to_world, record["frames"][index]["c2w"])
    assert source.camera == frames[0].camera
    assert len(list(source)) == 3, "a source can be read again"


@pytest.mark.parametrize(
    ("frame_rate", "rate_hz", "expected_hz"), [(10, None, 10), (None, None, 30), (10, 5.0, 5), (None, 20.0, 20)]
)
def test_posed_set_without_times_counts_frames(
    tmp_path: Path, frame_rate: float | None, rate_hz: float | None, expected_hz: float
) -> None:
    record = posed_record()
    record["frame_rate"] = frame_rate
    for frame in record["frames"]:
        frame["timestamp"] = None
    source = open_source(write_set(tmp_path, record), rate_hz=rate_hz)
    assert [f.stamp_ns for f in source] == [round(i / expected_hz * 1e9) for i in range(3)]
    assert source.rate_hz == expected_hz


def test_posed_set_may_change_size_from_camera_to_camera(tmp_path: Path) -> None:
    record = posed_record()
    record["frames"][1].update(width=40, height=20)
    write_set(tmp_path, record)
    write_image(tmp_path / "images/000001.png", picture(1, 40, 20))
    assert [f.image.shape[:2] for f in open_source(tmp_path)] == [(24, 32), (20, 40), (24, 32)]


def test_posed_set_without_poses_or_intrinsics_says_so(tmp_path: Path) -> None:
    record = posed_record()
    del record["frames"][1]["c2w"]
    record["frames"][2]["K"] = None
    source = open_source(write_set(tmp_path, record))
    assert not source.has_truth
    frames = list(source)
    assert frames[1].camera_to_world is None
    assert frames[2].camera is None


BAD_FIELDS: list[tuple[list[Any], Any, list[str]]] = [
    (["frames"], "x", ["frames", "'x'", "list"]),
    (["frames"], [], ["frames is empty"]),
    (["frame_rate"], -5, ["frame_rate", "-5", "positive"]),
    (["frame_rate"], "fast", ["frame_rate", "fast"]),
    (["frames", 1], 7, ["frames[1] = 7", "an object with 'file'"]),
    (["frames", 1, "file"], 7, ["frames[1].file", "7"]),
    (["frames", 1, "file"], "images/no.png", ["frames[1].file", "no.png", "does not exist"]),
    (["frames", 2, "timestamp"], "noon", ["frames[2].timestamp", "noon", "seconds"]),
    (["frames", 2, "timestamp"], 12.0, ["frames[2].timestamp", "12.000000000 s", "not after"]),
    (["frames", 0, "K"], [1, 2, 3], ["frames[0].K", "4 finite"]),
    (["frames", 0, "K"], [float("nan"), 1, 1, 1], ["frames[0].K", "4 finite"]),
    (["frames", 0, "K"], [-3, 1, 1, 1], ["frames[0].K", "fx = -3.0", "positive"]),
    (["frames", 0, "width"], "wide", ["frames[0].width", "wide"]),
    (["frames", 0, "width"], 0, ["frames[0]", "0x24"]),
    (["frames", 1, "c2w"], [[1, 0], [0, 1]], ["frames[1].c2w", "4x4"]),
    (["frames", 1, "c2w"], (2 * np.eye(4)).tolist(), ["frames[1].c2w", "rotation"]),
    (["frames", 1, "c2w"], np.diag([1, 1, -1, 1]).tolist(), ["frames[1].c2w", "rotation"]),
    (["frames", 1, "c2w"], np.ones((4, 4)).tolist(), ["frames[1].c2w", "rotation"]),
]


@pytest.mark.parametrize(("path", "value", "words"), BAD_FIELDS)
def test_a_malformed_posed_set_is_refused_by_field(
    tmp_path: Path, path: list[Any], value: Any, words: list[str]
) -> None:
    record = copy.deepcopy(posed_record())
    holder: Any = record
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    message = refusal(write_set(tmp_path, record))
    for word in ["cameras.json", *words]:
        assert word in message


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00", '{"frames": {}}', "null"])
def test_cameras_json_that_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    write_set(tmp_path, {})
    (tmp_path / "cameras.json").write_text(text)
    assert "cameras.json" in refusal(tmp_path)


def test_an_image_that_differs_from_its_camera_names_both_sizes(tmp_path: Path) -> None:
    write_set(tmp_path, posed_record())
    write_image(tmp_path / "images/000002.png", picture(1, 16, 12))
    message = refusal(tmp_path, drain=True)
    assert "000002.png" in message
    assert "16x12" in message
    assert "32x24" in message


# ------------------------------------------------------------------------------------------------- image folders


def test_image_folder_is_read_in_natural_order_whatever_the_suffix(tmp_path: Path) -> None:
    names = ["frame_2.png", "frame_10.PNG", "frame_1.bmp", "frame_3.TIFF", "frame_03b.png"]
    for index, name in enumerate(names):
        write_image(tmp_path / name, picture(index))
    (tmp_path / "notes.txt").write_text("no image")
    source = open_source(tmp_path, camera=CAMERA)
    frames = list(source)
    order = ["frame_1.bmp", "frame_2.png", "frame_3.TIFF", "frame_03b.png", "frame_10.PNG"]
    assert [f.name for f in frames] == order
    for frame in frames:
        np.testing.assert_array_equal(frame.image, picture(names.index(frame.name)))
    assert [f.stamp_ns for f in frames] == [round(i / 30 * 1e9) for i in range(5)]
    assert (source.kind, source.length, source.camera, source.has_truth) == ("image folder", 5, CAMERA, False)


@pytest.mark.parametrize(
    ("names", "stamps_ns"),
    [
        (["1403636579763555584", "1403636579813555456"], [1403636579763555584, 1403636579813555456]),
        (["1305031102.175304", "1305031102.275326"], [1305031102175304000, 1305031102275326000]),
        (["000000", "000001"], [0, 33333333]),
        (["1403636579763555584", "last"], [0, 33333333]),
    ],
)
def test_image_names_that_are_times_become_stamps(tmp_path: Path, names: list[str], stamps_ns: list[int]) -> None:
    for index, name in enumerate(names):
        write_image(tmp_path / f"{name}.png", picture(index))
    assert [f.stamp_ns for f in open_source(tmp_path)] == stamps_ns


def test_photos_are_turned_upright(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", picture(0))
    jpeg = (tmp_path / "a.jpg").read_bytes()
    orientation_6 = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    segment = b"\xff\xe1" + (len(orientation_6) + 2).to_bytes(2, "big") + orientation_6
    (tmp_path / "a.jpg").write_bytes(jpeg[:2] + segment + jpeg[2:])
    assert next(iter(open_source(tmp_path))).image.shape == (WIDTH_PX, HEIGHT_PX, 3)


def test_an_image_of_another_size_names_the_file_and_both_sizes(tmp_path: Path) -> None:
    write_image(tmp_path / "0.png", picture(0))
    write_image(tmp_path / "1.png", picture(1, 16, 12))
    message = refusal(tmp_path, drain=True)
    assert "1.png" in message
    assert "16x12" in message
    assert "32x24" in message


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b"hello", lambda b: b[: len(b) // 2]])
def test_an_unreadable_image_in_the_middle_is_named(tmp_path: Path, damage: Any) -> None:
    for index in range(3):
        write_image(tmp_path / f"{index}.jpg", picture(index, 200, 160))
    path = tmp_path / "1.jpg"
    path.write_bytes(damage(path.read_bytes()))
    assert "1.jpg" in refusal(tmp_path, drain=True)


def test_folders_and_files_that_are_no_recording_are_refused(tmp_path: Path) -> None:
    assert "holds no images" in refusal(tmp_path)
    write_image(tmp_path / "images/0.png", picture(0))
    assert "give that folder" in refusal(tmp_path)
    assert "single image" in refusal(tmp_path / "images/0.png")
    assert "does not exist" in refusal(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("not a video")
    assert "notes.txt" in refusal(tmp_path / "notes.txt")
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0")
    assert "rosbags-convert" in refusal(tmp_path / "old.bag")
    assert "not a rosbag2" in refusal(tmp_path / "images", image_topic="/image")
    assert "camera 97" in refusal("97")


def test_options_are_checked(tmp_path: Path) -> None:
    write_image(tmp_path / "0.png", picture(0))
    assert "rate" in refusal(tmp_path, rate_hz=0.0)
    assert "limit 0" in refusal(tmp_path, limit=0)
    assert "64x48" in refusal(tmp_path, camera=PinholeCamera(64, 48, 60, 60, 31.5, 23.5))


def test_limit_is_honoured_by_every_folder(tmp_path: Path) -> None:
    source = open_source(write_set(tmp_path, posed_record()), limit=2)
    assert source.length == len(list(source)) == 2
    source = open_source(tmp_path / "images", limit=1)
    assert source.length == len(list(source)) == 1


# -------------------------------------------------------------------------------------------------------- videos


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (WIDTH_PX, HEIGHT_PX))
    for index in range(14):
        writer.write(cv2.cvtColor(picture(index), cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def test_video_gives_its_frames_at_its_own_times(video: Path) -> None:
    source = open_source(video, camera=CAMERA)
    frames = list(source)
    assert (source.kind, source.length, source.name) == ("video", 14, "clip")
    assert source.rate_hz == pytest.approx(20.0)
    np.testing.assert_allclose(np.diff([f.stamp_ns for f in frames]), 50e6, atol=1e6)
    for frame in frames:
        assert np.abs(frame.image.astype(int) - picture(frame.index)).mean() < 12
        assert frame.camera == CAMERA
    assert [f.stamp_ns for f in open_source(video, rate_hz=10.0, limit=2)] == [0, 100_000_000]


def test_video_without_times_falls_back_to_its_rate(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ros2_raxels.recordings.video._position_ns", lambda capture: 0)
    assert [f.stamp_ns for f in open_source(video)][:3] == [0, 50_000_000, 100_000_000]


def test_unreadable_videos_are_refused(video: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.avi"
    broken.write_bytes(video.read_bytes()[:300])
    assert "broken.avi" in refusal(broken)
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert "empty.mp4" in refusal(tmp_path / "empty.mp4")
    assert "64x48" in refusal(video, camera=PinholeCamera(64, 48, 60, 60, 31.5, 23.5))


# ---------------------------------------------------------------------------------------------------------- bags

rosbag2 = pytest.importorskip("rosbags.rosbag2")
typesys = pytest.importorskip("rosbags.typesys")
STORE = typesys.get_typestore(typesys.Stores.ROS2_HUMBLE)
FIRST_NS = 1_700_000_000_123_456_789


def header(stamp_ns: int) -> Any:
    stamp = STORE.types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return STORE.types["std_msgs/msg/Header"](stamp=stamp, frame_id="camera")


def image_message(stamp_ns: int, rgb: np.ndarray, encoding: str = "rgb8") -> Any:
    pixels = {"rgb8": rgb, "bgr8": rgb[..., ::-1], "mono8": rgb[..., 0]}[encoding]
    rows = np.ascontiguousarray(pixels).reshape(len(pixels), -1)
    data = np.concatenate([rows, np.zeros((len(rows), 5), np.uint8)], axis=1)
    return STORE.types["sensor_msgs/msg/Image"](
        header=header(stamp_ns),
        height=len(rgb),
        width=rgb.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=data.shape[1],
        data=data.ravel(),
    )


def compressed_message(stamp_ns: int, rgb: np.ndarray) -> Any:
    _, png = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    kind = STORE.types["sensor_msgs/msg/CompressedImage"]
    return kind(header=header(stamp_ns), format="png", data=png.ravel())


def info_message(k: list[float], *, d: list[float] | None = None, model: str = "plumb_bob", p: float = 0.0) -> Any:
    roi = STORE.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    projection = np.array([p, 0, 16.0, 0, 0, p, 12.0, 0, 0, 0, 1, 0])
    return STORE.types["sensor_msgs/msg/CameraInfo"](
        header=header(FIRST_NS),
        height=HEIGHT_PX,
        width=WIDTH_PX,
        distortion_model=model,
        d=np.array(d or [], float),
        k=np.array([k[0], 0, k[2], 0, k[1], k[3], 0, 0, 1 if any(k) else 0], float),
        r=np.eye(3).ravel(),
        p=projection,
        binning_x=0,
        binning_y=0,
        roi=roi,
    )


def write_bag(path: Path, topics: dict[str, list[Any]], storage: str = "mcap") -> Path:
    plugin = {"mcap": rosbag2.StoragePlugin.MCAP, "sqlite3": rosbag2.StoragePlugin.SQLITE3}[storage]
    with rosbag2.Writer(path, version=9, storage_plugin=plugin) as writer:
        for topic, messages in topics.items():
            kind = messages[0].__msgtype__
            connection = writer.add_connection(topic, kind, typestore=STORE)
            for index, message in enumerate(messages):
                log_ns = FIRST_NS + 50_000_000 * index + 7_000_000
                writer.write(connection, log_ns, STORE.serialize_cdr(message, kind))
    return path


def image_messages(count: int = 4, encoding: str = "rgb8") -> list[Any]:
    return [image_message(FIRST_NS + 50_000_000 * i, picture(i), encoding) for i in range(count)]


def check_bag(source: FrameSource, camera: PinholeCamera | None) -> None:
    frames = list(source)
    assert [f.stamp_ns for f in frames] == [FIRST_NS + 50_000_000 * i for i in range(4)]
    assert source.kind == "rosbag2"
    assert source.length == 4
    assert source.rate_hz == pytest.approx(20.0)
    assert source.camera == camera
    assert not source.has_truth
    for frame in frames:
        np.testing.assert_array_equal(frame.image, picture(frame.index))
        assert frame.camera == camera


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("encoding", ["rgb8", "bgr8"])
def test_bag_gives_pixels_header_stamps_and_camera(tmp_path: Path, storage: str, encoding: str) -> None:
    info = info_message([30.0, 31.0, 15.5, 11.5], d=[0.1, -0.2, 0.001, 0.002, 0.0])
    topics = {"/cam/image_raw": image_messages(encoding=encoding), "/cam/camera_info": [info]}
    bag = write_bag(tmp_path / "bag", topics, storage)
    camera = PinholeCamera(WIDTH_PX, HEIGHT_PX, 30.0, 31.0, 15.5, 11.5, (0.1, -0.2, 0.001, 0.002, 0.0))
    check_bag(open_source(bag), camera)
    (file,) = [f for f in bag.iterdir() if f.suffix in (".mcap", ".db3")]
    check_bag(open_source(file), camera)
    (bag / "metadata.yaml").unlink()
    check_bag(open_source(bag), camera)


def test_bag_with_compressed_images_finds_the_camera_beside_them(tmp_path: Path) -> None:
    messages = [compressed_message(FIRST_NS + 50_000_000 * i, picture(i)) for i in range(4)]
    topics = {"/cam/image_raw/compressed": messages, "/cam/camera_info": [info_message([30.0, 31.0, 15.5, 11.5])]}
    check_bag(open_source(write_bag(tmp_path / "bag", topics)), CAMERA)


def test_old_sqlite_bag_without_definitions_is_read(tmp_path: Path) -> None:
    sqlite3 = pytest.importorskip("sqlite3")
    bag = write_bag(tmp_path / "bag", {"/image": image_messages()}, "sqlite3")
    with sqlite3.connect(bag / "bag.db3") as database:
        database.execute("DELETE FROM message_definitions")
    database.close()
    check_bag(open_source(bag), None)


def test_mono_images_become_rgb(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", {"/image": image_messages(encoding="mono8")})
    for frame in open_source(bag):
        np.testing.assert_array_equal(frame.image, np.repeat(picture(frame.index)[..., :1], 3, axis=2))


@pytest.mark.parametrize(
    ("topic", "info", "camera"),
    [
        ("/cam/image_raw", info_message([0, 0, 0, 0]), None),
        (
            "/cam/image_rect",
            info_message([30, 31, 15.5, 11.5], d=[0.1, 0.1, 0, 0, 0], p=29.0),
            PinholeCamera(WIDTH_PX, HEIGHT_PX, 29.0, 29.0, 16.0, 12.0),
        ),
        (
            "/cam/image_raw",
            info_message([30, 31, 15.5, 11.5], d=[0.1] * 8 + [0] * 6, model="rational_polynomial"),
            PinholeCamera(WIDTH_PX, HEIGHT_PX, 30, 31, 15.5, 11.5, (0.1,) * 8),
        ),
        (
            "/cam/image_raw",
            replace(
                info_message([60, 62, 31.5, 23.5]), width=2 * WIDTH_PX, height=2 * HEIGHT_PX, binning_x=2, binning_y=2
            ),
            CAMERA,
        ),
    ],
)
def test_camera_info_is_read_as_it_is_meant(
    tmp_path: Path, topic: str, info: Any, camera: PinholeCamera | None
) -> None:
    bag = write_bag(tmp_path / "bag", {topic: image_messages(), "/cam/camera_info": [info]})
    check_bag(open_source(bag), camera)


def test_camera_info_of_another_namespace_is_not_taken(tmp_path: Path) -> None:
    topics = {"/a/image": image_messages(), "/b/camera_info": [info_message([30, 31, 15.5, 11.5])]}
    check_bag(open_source(write_bag(tmp_path / "bag", topics)), None)


def test_cameras_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    # Without distortion its rays are at equal angles all the same, and no pinhole's.
    fisheye = info_message([30, 31, 15.5, 11.5], d=[0, 0, 0, 0], model="equidistant")
    bag = write_bag(tmp_path / "fisheye", {"/cam/image": image_messages(), "/cam/camera_info": [fisheye]})
    message = refusal(bag)
    assert "/cam/camera_info" in message
    assert "equidistant" in message
    check_bag(open_source(bag, camera=CAMERA), CAMERA)
    negative = write_bag(
        tmp_path / "bag", {"/cam/image": image_messages(), "/cam/camera_info": [info_message([-30, 31, 15.5, 11.5])]}
    )
    assert "fx = -30.0" in refusal(negative)


def test_several_image_topics_are_listed_and_one_can_be_chosen(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", {"/left": image_messages(), "/right": image_messages(2)})
    message = refusal(bag)
    assert "/left (4)" in message
    assert "/right (2)" in message
    assert "'/top'" in refusal(bag, image_topic="/top")
    assert open_source(bag, image_topic="/right").length == 2
    check_bag(open_source(bag, image_topic="/left"), None)
    assert open_source(bag, image_topic="/left", limit=3).length == 3


def test_unstamped_images_carry_the_time_of_recording(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", {"/image": [image_message(0, picture(i)) for i in range(3)]})
    assert [f.stamp_ns for f in open_source(bag)] == [FIRST_NS + 50_000_000 * i + 7_000_000 for i in range(3)]


def test_bags_without_usable_images_are_refused(tmp_path: Path) -> None:
    no_images = write_bag(tmp_path / "info", {"/cam/camera_info": [info_message([30, 31, 15.5, 11.5])]})
    message = refusal(no_images)
    assert "no image topic" in message
    assert "/cam/camera_info" in message
    wrong = image_messages()
    wrong[0].encoding = wrong[2].encoding = "bayer_rggb8"
    bag = write_bag(tmp_path / "bayer", {"/image": wrong})
    assert "bayer_rggb8" in refusal(bag)
    assert "/image#0" in refusal(bag)
    changing = [*image_messages(2), image_message(FIRST_NS, picture(0, 16, 12))]
    bag = write_bag(tmp_path / "sizes", {"/image": changing})
    assert "16x12" in refusal(bag, drain=True, camera=CAMERA)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("keep", [0.0, 0.01, 0.4, 0.99])
def test_a_truncated_bag_is_refused_with_a_remedy(tmp_path: Path, storage: str, keep: float) -> None:
    bag = write_bag(tmp_path / "bag", {"/image": image_messages(60)}, storage)
    (file,) = [f for f in bag.iterdir() if f.suffix in (".mcap", ".db3")]
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * keep)])
    for spec in (bag, file):
        message = refusal(spec, drain=True)
        assert str(spec) in message


def test_a_bag_with_broken_metadata_is_refused(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", {"/image": image_messages()})
    (bag / "metadata.yaml").write_text("rosbag2_bagfile_information: [1")
    assert str(bag) in refusal(bag)
    (bag / "metadata.yaml").unlink()
    (bag / "second.mcap").write_bytes(b"")
    assert "ros2 bag reindex" in refusal(bag)
