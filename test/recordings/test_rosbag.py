"""rosbag: pixels, header stamps and the camera of a topic, whatever the storage; broken bags are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bags_rig import FIRST_NS, check_bag, compressed_message, image_message, image_messages, info_message, write_bag
from recordings_rig import CAMERA, HEIGHT_PX, WIDTH_PX, picture, refusal

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.source import EndedEarlyError


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
        ("/cam/image_rect_color", info_message([0, 0, 0, 0], p=29.0), PinholeCamera(32, 24, 29.0, 29.0, 16.0, 12.0)),
        ("/cam/image_rect", info_message([30, 31, 15.5, 11.5], d=[0.1, 0.1, 0, 0, 0]), CAMERA),
        ("/cam/direct", info_message([0, 0, 0, 0], p=29.0), None),
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


def test_the_only_camera_info_of_a_bag_is_taken_with_a_word_and_one_of_several_is_not(tmp_path: Path) -> None:
    info = info_message([30, 31, 15.5, 11.5])
    source = open_source(write_bag(tmp_path / "one", {"/a/image": image_messages(), "/b/camera_info": [info]}))
    check_bag(source, CAMERA)
    assert "camera of /b/camera_info, the only camera_info, though it is not beside /a/image" in source.notes
    topics = {"/a/image": image_messages(), "/b/camera_info": [info], "/c/camera_info": [info]}
    source = open_source(write_bag(tmp_path / "two", topics))
    check_bag(source, None)
    assert "none of the camera_info topics (/b/camera_info, /c/camera_info) is beside /a/image" in str(source.notes)


def test_camera_info_below_the_image_topic_is_its_own(tmp_path: Path) -> None:
    topics = {
        "/cam/image_color": image_messages(),
        "/cam/image_color/camera_info": [info_message([0, 0, 0, 0]), info_message([30, 31, 15.5, 11.5])],
        "/other/camera_info": [info_message([99, 99, 15.5, 11.5])],
    }
    source = open_source(write_bag(tmp_path / "bag", topics))
    check_bag(source, CAMERA)
    assert "camera of /cam/image_color/camera_info" in source.notes


def test_a_camera_that_is_given_is_heard_whatever_camera_info_says(tmp_path: Path) -> None:
    infos = {
        "omni": info_message([30, 31, 15.5, 11.5], d=[0.1, 0, 0, 0], model="omni"),
        "size": replace(info_message([60, 62, 31.5, 23.5]), width=64, height=48),
        "zeros": info_message([0, 0, 0, 0]),
    }
    for name, info in infos.items():
        bag = write_bag(tmp_path / name, {"/cam/image": image_messages(), "/cam/camera_info": [info]})
        if name != "zeros":
            assert "--intrinsics" in refusal(bag)
        check_bag(open_source(bag, camera=CAMERA), CAMERA)
        source = open_source(bag, ignore_calibration=True)
        check_bag(source, None)
        assert "camera as given" in source.notes


def test_one_stamp_is_one_frame_and_stamps_ascend(tmp_path: Path) -> None:
    order = [0, 1, 1, 2, 4, 3, 5, 5, 6]
    messages = [image_message(FIRST_NS + 50_000_000 * i, picture(i)) for i in order]
    source = open_source(write_bag(tmp_path / "bag", {"/image": messages}))
    for _ in range(2):
        frames = list(source)
        assert source.remarks == ("2 images with the stamp of another passed over",)
    assert [frame.stamp_ns for frame in frames] == [FIRST_NS + 50_000_000 * i for i in range(7)]
    assert [frame.index for frame in frames] == list(range(7))
    for frame in frames:
        np.testing.assert_array_equal(frame.image, picture(frame.index))


def test_topics_without_messages_of_depth_and_the_same_compressed_are_no_choice(tmp_path: Path) -> None:
    compressed = [compressed_message(FIRST_NS + 50_000_000 * i, picture(i)) for i in range(4)]
    topics = {
        "/cam/image_raw": image_messages(),
        "/cam/image_raw/compressed": compressed,
        "/cam/depth/image_raw": image_messages(2, "mono8"),
        "/left/image_raw": [],
    }
    source = open_source(write_bag(tmp_path / "bag", topics))
    check_bag(source, None)
    assert "not /cam/depth/image_raw, /cam/image_raw/compressed, /left/image_raw" in source.notes
    empty = write_bag(tmp_path / "empty", {"/left/image_raw": []})
    assert "no image topic with messages (it holds /left/image_raw (0))" in refusal(empty)
    depth = write_bag(tmp_path / "depth", {"/cam/depth/image": image_messages(4, "mono8")})
    assert "/cam/depth/image, which holds depth by its name; choose it by --image-topic" in refusal(depth)
    assert open_source(depth, image_topic="/cam/depth/image").length == 4


def test_a_bag_that_breaks_off_gives_its_frames_and_says_that_it_ended_early(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", {"/image": image_messages(60)}, "sqlite3")
    metadata = bag / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("message_count: 60", "message_count: 70"))
    frames = iter(open_source(bag))
    assert [next(frames).index for _ in range(60)] == list(range(60))
    with pytest.raises(EndedEarlyError, match="ends after 60 of 70 images"):
        next(frames)


def test_cameras_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    # Without distortion its rays are no pinhole's all the same.
    omni = info_message([30, 31, 15.5, 11.5], d=[0, 0, 0, 0], model="omni")
    bag = write_bag(tmp_path / "omni", {"/cam/image": image_messages(), "/cam/camera_info": [omni]})
    message = refusal(bag)
    assert "/cam/camera_info" in message
    assert "'omni'" in message
    check_bag(open_source(bag, camera=CAMERA), CAMERA)
    check_bag(open_source(bag, ignore_calibration=True), None)
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
    source = open_source(bag)
    assert [f.stamp_ns for f in source] == [FIRST_NS + 50_000_000 * i + 7_000_000 for i in range(3)]
    assert "times of recording, because headers have none, 20 Hz" in source.notes
    assert source.remarks == ()


def test_bags_without_usable_images_are_refused(tmp_path: Path) -> None:
    no_images = write_bag(tmp_path / "info", {"/cam/camera_info": [info_message([30, 31, 15.5, 11.5])]})
    message = refusal(no_images)
    assert "no image topic" in message
    assert "/cam/camera_info" in message
    wrong = image_messages()
    wrong[0].encoding = wrong[2].encoding = "32FC1"
    bag = write_bag(tmp_path / "floats", {"/image": wrong})
    assert "32FC1" in refusal(bag)
    assert "/image#0" in refusal(bag)
    changing = [*image_messages(2), image_message(FIRST_NS + 10**9, picture(0, 16, 12))]
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
