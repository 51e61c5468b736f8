"""rig_file: files of rigs by name and by path, and what is wrong with one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ros2_raxels.utils.rig_file import RigFileError, read_rig, remappings, rig_names

GOOD = {
    "parameters": {"cameras": ["a", "b"]},
    "topics": {"a/image": "/1", "a/camera_info": "/2", "b/image": "/3", "b/camera_info": "/4", "odom": "/wheels"},
}


def test_a_file_is_found_by_its_name_and_by_its_path(tmp_path: Path) -> None:
    assert rig_names() == ["four_cameras", "oak_d", "realsense_d435i", "usb_stereo", "zed_raw"]
    for name in rig_names():
        assert len(read_rig(name).parameters["cameras"]) >= 2
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(GOOD))
    mine = read_rig(str(file))
    assert (mine.leader, dict(mine.topics)) == ("a", GOOD["topics"])


def test_both_nodes_are_told_of_the_cameras() -> None:
    assert read_rig("oak_d").of_all_nodes == {"cameras": ["left", "right"], "image_rectified": True}
    assert read_rig("usb_stereo").of_all_nodes == {"cameras": ["left", "right"]}


def test_topics_that_are_given_outrank_the_rig_and_the_only_camera_is_its_first() -> None:
    rig = read_rig("oak_d")
    found = remappings(rig, {"imu": "/mine"})
    assert found["left/image"] == found["image"] == "/oak/left/image_rect"
    assert found["camera_info"] == "/oak/left/camera_info"
    assert found["imu"] == "/mine"
    assert remappings(None, {"image": "/a"}) == {"image": "/a"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "mine.yaml' is not there; give one of four_cameras, oak_d"),
        ("a: [", "cannot be read: "),
        ("- 1", "must have parameters and topics; config/rigs/usb_stereo.yaml is an example"),
        ("parameters: {}\ntopics: {}", "parameters.cameras = None must name the cameras"),
        ("parameters: {cameras: [a]}\ntopics: {a/image: /1}", "topics has no a/camera_info; add it"),
        (
            "parameters: {cameras: [a]}\ntopics: {a/image: /1, a/camera_info: /2, c/image: /3}",
            "topics has c/image, which is of none of the cameras",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_a_line(tmp_path: Path, text: str | None, words: str) -> None:
    file = tmp_path / "mine.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(RigFileError) as caught:
        read_rig(str(file))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
