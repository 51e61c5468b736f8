"""Fixed clips equal the independent yardstick's, files survive a round trip, and errors in them are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from posed_sets import DEV, set_record, wandering, write_set, yardstick

from ros2_raxels.evaluation.clips.clip_sets import (
    Clip,
    ClipAnswer,
    make_clips,
    read_answers,
    read_clips,
    write_answers,
    write_clips,
)
from ros2_raxels.recordings.source import SourceError
from ros2_raxels.utils.files import FileError

CAMERA_FIELDS = {"K": [1, 2, 3, 4], "width": 8, "height": 8}


def records(clips: list[Clip]) -> dict[str, Any]:
    return {"clips": [clip.record() for clip in clips]}


# ---------------------------------------------------------------------------------------------------------- fixed clips


@pytest.mark.parametrize(("per_set", "seed"), [(1, 0), (8, 0), (8, 7), (500, 1)])
def test_fixed_clips_equal_the_yardsticks_to_the_last_bit(tmp_path: Path, per_set: int, seed: int) -> None:
    write_set(tmp_path / "b_wild", wandering(80, 1, turn=0.2))
    write_set(tmp_path / "a_calm", wandering(50, 2))
    write_set(tmp_path / "c_short", wandering(3, 3))
    write_set(tmp_path / "d_still", np.tile(np.eye(4), (20, 1, 1)))
    tool = yardstick("score_poses")
    clips = make_clips(tmp_path, per_set, seed)
    assert {clip.set_name for clip in clips} == {"a_calm", "b_wild"}
    assert records(clips) == tool.make_clips(tmp_path, per_set, seed)


@pytest.mark.data
@pytest.mark.skipif(not DEV.is_dir(), reason="recorded data is not there")
def test_fixed_clips_of_recorded_data_equal_the_yardsticks() -> None:
    assert records(make_clips(DEV, 30, 0)) == yardstick("score_poses").make_clips(DEV, 30, 0)


def test_fixed_clips_obey_their_rules(tmp_path: Path) -> None:
    poses = wandering(60, 4, turn=0.15)
    write_set(tmp_path / "walk", poses)
    clips = make_clips(tmp_path, 20, 5)
    assert len(clips) == len({clip.id for clip in clips}) == 20
    for clip in clips:
        first, stride = (int(part) for part in clip.id.removeprefix("walk/").split("x"))
        chosen = poses[first : first + 3 * stride + 1 : stride]
        assert [path.name for path in clip.images] == [f"{first + k * stride:06d}.png" for k in range(4)]
        assert clip.camera_to_first is not None
        np.testing.assert_allclose(chosen[0] @ clip.camera_to_first, chosen, atol=1e-9)
        cosine = (np.trace(clip.camera_to_first[:, :3, :3], axis1=1, axis2=2) - 1) / 2
        assert np.degrees(np.arccos(cosine.clip(-1, 1))).max() <= 35.0
    assert records(clips) == records(make_clips(tmp_path, 20, 5))
    assert records(clips) != records(make_clips(tmp_path, 20, 6))


def test_a_root_without_sets_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="holds no posed set"):
        make_clips(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, "has no 'name'; add it"),
        ({"frames": 3}, "frames = 3 must be a list"),
        ({"frames": [7]}, r"frames\[0\] = 7 must be an object"),
        ({"frames": [{"file": "a.png", "K": [1, 2, 3], "c2w": np.eye(4).tolist()}]}, r"frames\[0\].K = .* must be 4"),
        ({"frames": [{"file": "a.png", **CAMERA_FIELDS}]}, r"frames\[0\] has no 'c2w'"),
        (
            {"frames": [{"file": "a.png", **CAMERA_FIELDS, "c2w": np.diag([1, 1, -1, 1]).tolist()}]},
            r"frames\[0\].c2w = .* must be a rotation and a translation",
        ),
    ],
)
def test_a_malformed_set_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    folder = write_set(tmp_path / "walk", wandering(20, 1))
    (folder / "cameras.json").write_text(json.dumps({**set_record("walk", wandering(20, 1)), **change}))
    with pytest.raises(FileError, match=message) as caught:
        make_clips(tmp_path)
    assert "cameras.json" in str(caught.value)


# ---------------------------------------------------------------------------------------------------------------- files


def clip_record(**change: Any) -> dict[str, Any]:
    record = {
        "id": "walk/0",
        "set": "walk",
        "images": ["a.png", "b.png"],
        "intrinsics": [[100, 101, 50, 40]] * 2,
        "camera_to_first": [np.eye(4).tolist()] * 2,
    }
    return {key: value for key, value in {**record, **change}.items() if value is not ...}


def test_clips_survive_a_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "clips.json"
    record = {"clips": [clip_record(), clip_record(id="b", camera_to_first=...)]}
    path.write_text(json.dumps(record))
    clips = read_clips(path)
    assert clips[0].images == (Path("a.png"), Path("b.png"))
    assert clips[1].camera_to_first is None
    write_clips(path, clips)
    assert json.loads(path.read_text()) == record


def test_clips_may_lack_intrinsics_where_they_are_not_needed(tmp_path: Path) -> None:
    path = tmp_path / "clips.json"
    path.write_text(json.dumps({"clips": [clip_record(intrinsics=...)]}))
    assert read_clips(path, need_intrinsics=False)[0].intrinsics is None
    with pytest.raises(FileError, match=r"clips\[0\] has no 'intrinsics'; add it"):
        read_clips(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        ("{", "is not JSON"),
        ("[]", r"= \[\] must be an object with 'clips'"),
        ("{}", "has no 'clips'"),
        ({"clips": {}}, "clips = {} must be a list"),
        ({"clips": [clip_record(id=...)]}, r"clips\[0\] has no 'id'"),
        ({"clips": [clip_record(images=...)]}, r"clips\[0\] has no 'images'"),
        ({"clips": [clip_record(images=["a.png"])]}, "must be two or more paths"),
        ({"clips": [clip_record(images=["a.png", 3])]}, "must be two or more paths"),
        ({"clips": [clip_record(intrinsics=[[1, 2, 3, 4]])]}, "intrinsics = .* must be 2x4 finite number"),
        ({"clips": [clip_record(intrinsics=[[1, 2, 3, "x"]] * 2)]}, "must be 2x4 finite number"),
        ({"clips": [clip_record(intrinsics=[[1, 2, 3, float("nan")]] * 2)]}, "must be 2x4 finite number"),
        ({"clips": [clip_record(camera_to_first=[[1]])]}, "camera_to_first = .* must be 2x4x4"),
        ({"clips": [clip_record(), clip_record()]}, r"clips\[1\].id = 'walk/0' occurs twice"),
    ],
)
def test_errors_in_clips_are_named(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "clips.json"
    if content is not None:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(FileError, match=message) as caught:
        read_clips(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.png cannot be read"):
        Clip("a", "s", (tmp_path / "gone.png",) * 2).read_images()


def test_answers_survive_a_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "answer.json"
    poses = wandering(3, 1)
    whole = ClipAnswer("a", poses, None, np.ones((3, 4)), np.array([1.0, 0.5, 0.25]), 0.125, {"read": 0.1})
    write_answers(path, "raxels", [whole, ClipAnswer("b", pairs={(0, 1): poses[0], (0, 2): poses[1]})])
    answers = read_answers(path)
    assert answers.name == "raxels"
    assert set(json.loads(path.read_text())["clips"][0]) == {
        "id",
        "camera_to_first",
        "intrinsics",
        "confidence",
        "seconds",
    }
    assert whole.record() == answers.clips["a"].record()
    pair = answers.clips["b"].relative(0, 2)
    assert pair is not None
    np.testing.assert_array_equal(pair, poses[1])
    assert answers.clips["b"].relative(1, 2) is None
    assert answers.clips["a"].relative(0, 3) is None


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "has no 'id'"),
        ({"id": "a"}, "neither 'camera_to_first' nor 'pairs'"),
        ({"id": "a", "camera_to_first": [[1]]}, "camera_to_first = .* must be Nx4x4"),
        ({"id": "a", "pairs": 5}, "pairs = 5 must be an object of poses"),
        ({"id": "a", "pairs": {"01": []}}, "has the key '01'"),
        ({"id": "a", "pairs": {"0-1": []}}, r"pairs\['0-1'\] = \[\] must be 4x4"),
        ({"id": "a", "pairs": {}, "seconds": "fast"}, "seconds = 'fast' must be a number"),
    ],
)
def test_errors_in_answers_are_named(tmp_path: Path, entry: Any, message: str) -> None:
    path = tmp_path / "answer.json"
    path.write_text(json.dumps({"clips": [entry]}))
    with pytest.raises(FileError, match=message):
        read_answers(path)
