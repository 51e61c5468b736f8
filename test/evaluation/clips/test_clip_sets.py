"""evaluation: fixed clips, scores and peers equal the neutral yardstick's, and every bad file has a worded error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from posed_sets import DEV, set_record, wandering, write_rendered_set, write_set, yardstick

from ros2_raxels.evaluation.clips.clip_sets import (
    Clip,
    ClipAnswer,
    make_clips,
    read_answers,
    read_clips,
    write_answers,
    write_clips,
)
from ros2_raxels.evaluation.clips.metrics import (
    auc,
    focal_error,
    mean_over_sets,
    pair_errors,
    pose_score,
    score_sets,
)
from ros2_raxels.evaluation.clips.peers import TwoViewPeer, chain_two_view
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.geometry.trajectory import absolute_error
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.source import SourceError
from ros2_raxels.utils.files import FileError, check_writable, replacing


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with one rendered set."""
    return write_rendered_set(tmp_path_factory.mktemp("data") / "room").parent


CAMERA_FIELDS = {"K": [1, 2, 3, 4], "width": 8, "height": 8}


def records(clips: list[Clip]) -> dict[str, Any]:
    return {"clips": [clip.record() for clip in clips]}


# ---------------------------------------------------------------------------------------------------------- fixed clips


@pytest.mark.parametrize(("per_set", "seed"), [(1, 0), (8, 0), (8, 7), (500, 1)])
def test_fixed_clips_are_the_yardsticks_to_the_last_bit(tmp_path: Path, per_set: int, seed: int) -> None:
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
def test_fixed_clips_of_recorded_data_are_the_yardsticks() -> None:
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


def test_clips_need_no_intrinsics_when_nobody_does(tmp_path: Path) -> None:
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
def test_bad_clips_are_worded(tmp_path: Path, content: Any, message: str) -> None:
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
def test_bad_answers_are_worded(tmp_path: Path, entry: Any, message: str) -> None:
    path = tmp_path / "answer.json"
    path.write_text(json.dumps({"clips": [entry]}))
    with pytest.raises(FileError, match=message):
        read_answers(path)


def write_half(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old"
        (path.parent / "gone").read_text()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "answer.json"
    path.write_text("old")
    with pytest.raises(FileNotFoundError):
        write_half(path)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["answer.json"]
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["answer.json"]


def test_outputs_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="does not exist; create it"):
        check_writable(tmp_path / "gone" / "answer.json")
    with pytest.raises(FileError, match="is not a file"):
        check_writable(tmp_path)
    with pytest.raises(FileError, match="is not a file"):
        check_writable(Path("/dev/null"))


# --------------------------------------------------------------------------------------------------------------- scores


def turned(axis: int, degrees: float) -> FloatArray:
    return rotation_from_vector(np.eye(3)[axis] * np.radians(degrees))


def line_clip() -> Clip:
    """Three cameras on a line; the second step is 100 times shorter than the first, and so masked."""
    poses = np.array([make_pose(np.eye(3), [x, 0, 0]) for x in (0.0, 1.0, 1.01)])
    return Clip("a", "s", (Path("0"), Path("1"), Path("2")), np.full((3, 4), 100.0), poses)


def test_errors_of_pairs_by_hand() -> None:
    clip = line_clip()
    assert clip.camera_to_first is not None
    found = clip.camera_to_first.copy()
    found[1, :3, :3] = turned(2, 10.5)
    found[2, :3, 3] = [1.0, 1.0, 0]
    errors = pair_errors(clip, ClipAnswer("a", found))
    np.testing.assert_allclose(errors.rotation_deg, [10.5, 0, 10.5], atol=1e-5)
    np.testing.assert_allclose(errors.direction_deg[:2], [0, 45], atol=1e-5)
    np.testing.assert_array_equal(errors.masked, [False, False, True])
    np.testing.assert_allclose(errors.combined_deg, [10.5, 45, 10.5], atol=1e-5)
    score = pose_score(errors)
    assert (score.pairs, score.masked) == (3, 1)
    assert score.rra5 == pytest.approx(1 / 3)
    assert score.rra15 == 1
    assert score.rta30 == 0.5
    assert score.rot_med_deg == pytest.approx(10.5)
    assert score.dir_med_deg == pytest.approx(22.5)
    assert score.auc5 == 0
    # Two of three pairs are right from the 11th of 30 degrees on.
    assert score.auc30 == pytest.approx(2 / 3 * 20 / 30)


def test_the_opposite_direction_is_wrong_unless_the_sign_does_not_count() -> None:
    clip = line_clip()
    assert clip.camera_to_first is not None
    found = clip.camera_to_first.copy()
    found[:, :3, 3] *= -1
    score = pose_score(pair_errors(clip, ClipAnswer("a", found)))
    assert score.dir_med_deg == 180
    assert (score.rta15, score.rta15_blind, score.rta30_blind) == (0, 1, 1)


def test_what_is_missing_is_wrong() -> None:
    clip = line_clip()
    broken = np.tile(np.eye(4), (3, 1, 1))
    broken[1, 0, 0] = np.nan
    for answer in (None, ClipAnswer("a", pairs={}), ClipAnswer("a", np.zeros((3, 4, 4))), ClipAnswer("a", broken[:2])):
        errors = pair_errors(clip, answer)
        assert (errors.rotation_deg == 180).all()
        assert (errors.direction_deg == 180).all()
        score = pose_score(errors)
        assert (score.rra30, score.rta30, score.rta30_blind, score.auc30) == (0, 0, 0, 0)


def test_no_motion_found_is_half_wrong() -> None:
    errors = pair_errors(line_clip(), ClipAnswer("a", np.tile(np.eye(4), (3, 1, 1))))
    np.testing.assert_array_equal(errors.direction_deg, 90)
    np.testing.assert_array_equal(errors.rotation_deg, 0)


@pytest.mark.parametrize(
    ("errors", "limit", "expected"),
    [
        ([], 5, 0),
        ([0.5], 5, 1),
        ([4.5], 5, 0.2),
        ([7], 5, 0),
        ([0.5, 2.5], 5, 0.8),
        ([200], 30, 0),
        ([29.5], 30, 1 / 30),
    ],
)
def test_area_under_the_accuracy_curve(errors: list[float], limit: int, expected: float) -> None:
    assert auc(errors, limit) == pytest.approx(expected)


def test_a_clip_without_truth_cannot_be_scored() -> None:
    with pytest.raises(FileError, match="has no 'camera_to_first'"):
        pair_errors(Clip("a", "s", (Path("0"), Path("1"))), None)


def test_sets_count_alike_and_pairs_add_up() -> None:
    clip = line_clip()
    clips = [clip, Clip("b", "s", clip.images, None, clip.camera_to_first)]
    clips.append(Clip("c", "t", clip.images, None, clip.camera_to_first))
    answers = {name: ClipAnswer(name, clip.camera_to_first) for name in "ab"}
    scores = score_sets(clips, answers)
    mean = mean_over_sets(scores)
    assert (scores["s"].auc5, scores["t"].auc5, mean.auc5) == (1, 0, 0.5)
    assert (scores["s"].pairs, scores["t"].pairs, mean.pairs, mean.masked) == (6, 3, 9, 3)


def test_focal_error_is_a_share_of_the_true_focal_length() -> None:
    clip = line_clip()
    found = np.full((3, 4), 100.0)
    found[:, 0] = [90, 105, 180]
    assert focal_error([clip], {"a": ClipAnswer("a", intrinsics=found)}) == pytest.approx(0.1)
    assert focal_error([clip], {}) is None


def noisy_answers(clips: list[Clip], seed: int) -> dict[str, Any]:
    """An answer of every kind: good, bad, not finite, too short, by pairs, and none."""
    generator, answers = np.random.default_rng(seed), []
    for number, clip in enumerate(clips):
        assert clip.camera_to_first is not None
        poses = clip.camera_to_first.copy()
        for pose in poses:
            pose[:3, :3] = pose[:3, :3] @ rotation_from_vector(generator.normal(0, 0.08, 3))
            pose[:3, 3] += generator.normal(0, 0.05, 3)
        entry: dict[str, Any] = {"id": clip.id, "camera_to_first": poses.tolist()}
        kind = number % 8
        if kind == 1:
            entry["camera_to_first"][2][0][3] = float("nan")
        elif kind == 2:
            entry["camera_to_first"].pop()
        elif kind == 3:
            entry = {"id": clip.id, "pairs": {"0-1": poses[1].tolist(), "1-3": poses[2].tolist()}}
        elif kind == 4:
            entry["camera_to_first"][0] = np.zeros((4, 4)).tolist()
        elif kind == 5:
            continue
        answers.append(entry)
    return {"name": "noisy", "clips": answers}


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_the_yardsticks(tmp_path: Path, seed: int) -> None:
    tool = yardstick("score_poses")
    for name in ("a", "b", "c"):
        poses = wandering(60, 10 * seed + ord(name))
        # Part of the time the camera stands still, so that directions are masked.
        poses[20:30, :3, 3] = poses[20, :3, 3]
        write_set(tmp_path / name, poses)
    clips = make_clips(tmp_path, 20, seed)
    path = tmp_path / "answer.json"
    path.write_text(json.dumps(noisy_answers(clips, seed)))
    table, _ = tool.score(records(clips), json.loads(path.read_text()))
    scores = score_sets(clips, read_answers(path).clips)
    assert sum(score.masked for score in scores.values()) > 0
    scores["MEAN OVER SETS"] = mean_over_sets(scores)
    assert table.keys() == scores.keys()
    for name, numbers in table.items():
        ours = scores[name].record()
        for key, value in numbers.items():
            assert ours[key] == pytest.approx(value, abs=1e-9), (name, key)


# ---------------------------------------------------------------------------------------------------------------- peers


def check_peer(clips: list[Clip]) -> None:
    """Our classical peer must be as good as the yardstick's, no better and no worse."""
    tool = yardstick("score_poses")
    cv2.setRNGSeed(0)
    peer = TwoViewPeer()
    answers = {clip.id: peer.answer(clip) for clip in clips}
    cv2.setRNGSeed(0)
    theirs = tool.peer(records(clips), "both")
    assert theirs["name"] == peer.name
    assert all(answer.seconds is not None and answer.seconds > 0 for answer in answers.values())
    ours, expected = mean_over_sets(score_sets(clips, answers)), tool.score(records(clips), theirs)[0]["MEAN OVER SETS"]
    assert ours.auc5 == pytest.approx(expected["auc5"], abs=0.01)
    assert ours.auc30 == pytest.approx(expected["auc30"], abs=0.01)


def test_the_peer_is_the_yardsticks(rendered: Path) -> None:
    check_peer(make_clips(rendered, 4))


@pytest.mark.data
@pytest.mark.skipif(not DEV.is_dir(), reason="recorded data is not there")
def test_the_peer_is_the_yardsticks_on_recorded_data() -> None:
    check_peer([clip for clip in make_clips(DEV, 3) if clip.set_name in ("drone_field", "kitti_seq1", "llff_fern")])


def test_the_peer_finds_rendered_cameras(rendered: Path) -> None:
    clips = [clip for clip in make_clips(rendered, 6) if not clip.id.endswith("x1")]
    peer = TwoViewPeer()
    score = mean_over_sets(score_sets(clips, {clip.id: peer.answer(clip) for clip in clips}))
    assert score.rot_med_deg < 2
    assert score.dir_med_deg < 15


def test_the_peer_has_an_answer_to_nothing(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    cv2.imwrite(str(path), np.full((60, 80), 128, np.uint8))
    answer = TwoViewPeer().answer(Clip("a", "s", (path, path), np.array([[80, 80, 40, 30]] * 2)))
    assert answer.pairs is not None
    assert np.isfinite(answer.pairs[0, 1]).all()


def test_the_peer_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"gone\.png cannot be read"):
        TwoViewPeer().answer(Clip("a", "s", (tmp_path / "gone.png",) * 2))
    path = tmp_path / "grey.png"
    cv2.imwrite(str(path), np.full((60, 80), 128, np.uint8))
    with pytest.raises(FileError, match="clip a has no 'intrinsics'"):
        TwoViewPeer().answer(Clip("a", "s", (path, path)))


def test_the_chained_peer_follows_a_rendered_camera(rendered: Path) -> None:
    source = open_source(rendered / "room")
    chain = chain_two_view(source)
    truth = np.array([frame.camera_to_world for frame in source])
    assert chain.indices[0] == 0
    assert len(chain.poses) == len(chain.indices) > 3
    assert absolute_error(chain.poses, truth[chain.indices]).translation_percent < 15
