"""posed_set: pixels, cameras, poses and stamps as the file gives them, and every wrong field refused by name."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recordings_rig import HEIGHT_PX, WIDTH_PX, picture, posed_record, refusal, write_image, write_set

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.posed_set import PosedSet, set_files
from ros2_raxels.recordings.source import SourceError


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


def test_its_cameras_can_be_left_aside(tmp_path: Path) -> None:
    folder = write_set(tmp_path, posed_record())
    assert [frame.camera for frame in open_source(folder, ignore_calibration=True)] == [None] * 3


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


def test_what_was_parsed_says_all_that_the_file_does(tmp_path: Path) -> None:
    record = posed_record()
    file = write_set(tmp_path, record) / "cameras.json"
    posed = PosedSet.read(file)
    assert (posed.file, posed.name, posed.is_metric) == (file, "desk", True)
    assert posed.images == tuple(tmp_path / f"images/00000{index}.png" for index in range(3))
    assert posed.stamps_ns == (12_250_000_000, 12_350_000_000, 12_450_000_000)
    assert posed.rate_hz == pytest.approx(10.0)
    whole = posed.complete()
    assert (whole.name, whole.images) == ("desk", posed.images)
    np.testing.assert_array_equal(whole.sizes, [[WIDTH_PX, HEIGHT_PX]] * 3)
    np.testing.assert_array_equal(whole.intrinsics, [frame["K"] for frame in record["frames"]])
    np.testing.assert_array_equal(whole.camera_to_world, [frame["c2w"] for frame in record["frames"]])


def test_parsing_looks_at_no_image(tmp_path: Path) -> None:
    (tmp_path / "cameras.json").write_text(json.dumps(posed_record()))
    assert len(PosedSet.read(tmp_path / "cameras.json").images) == 3
    assert "frames[0].file" in refusal(tmp_path)


def test_frames_beyond_the_limit_are_not_looked_at(tmp_path: Path) -> None:
    record = posed_record()
    record["frames"][2]["K"] = "broken"
    write_set(tmp_path, record)
    assert open_source(tmp_path, limit=2).length == 2
    assert "frames[2].K" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, "has no 'name'; add it"),
        ({"K": None}, "frames[1] has no 'K'; add it"),
        ({"c2w": None}, "frames[1] has no 'c2w'; add it"),
    ],
)
def test_an_incomplete_set_is_refused_where_all_of_it_is_needed(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    record = posed_record()
    (record if "name" in change else record["frames"][1]).update(change)
    posed = PosedSet.read(write_set(tmp_path, record) / "cameras.json")
    with pytest.raises(SourceError) as caught:
        posed.complete()
    assert str(caught.value) == f"{tmp_path / 'cameras.json'}{' ' if 'name' in change else ': '}{message}"


def test_one_camera_is_one_size_and_intrinsics_to_a_tenth_of_a_pixel(tmp_path: Path) -> None:
    record = posed_record(6)
    for frame, focal in zip(record["frames"], (30.0, 30.04, 30.2, 30.0, 30.0, 30.0), strict=True):
        frame["K"][0] = focal
    record["frames"][4].update(width=WIDTH_PX + 1)
    (tmp_path / "cameras.json").write_text(json.dumps(record))
    whole = PosedSet.read(tmp_path / "cameras.json").complete()
    assert whole.has_one_camera(slice(0, 2))
    assert not whole.has_one_camera(slice(0, 3))
    assert whole.has_one_camera(slice(3, 6, 2))
    assert not whole.has_one_camera(slice(3, 6))


def test_sets_of_a_folder_are_found_in_the_order_of_their_names(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"holds no posed set \(\*/cameras\.json\)"):
        set_files(tmp_path)
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cameras.json").write_text("{}")
    assert set_files(tmp_path) == [tmp_path / "a" / "cameras.json", tmp_path / "b" / "cameras.json"]


def test_a_posed_set_says_where_its_times_come_from(tmp_path: Path) -> None:
    record = posed_record()
    assert open_source(write_set(tmp_path / "timed", record)).notes == (
        "3 images listed in cameras.json",
        "times as listed",
    )
    for frame in record["frames"]:
        del frame["timestamp"]
    source = open_source(write_set(tmp_path / "plain", record))
    assert source.notes[1] == "no times, 10 Hz as listed or assumed (--rate-hz)"
