"""Files that were written before the modules moved into rooms still load; those of another format are refused.

`data/before_the_move` holds them as the code of commit 515476d wrote them, each as small as it may be. Compiled plans
end in ``.plan_`` there, because git ignores their own suffix.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from ros2_raxels.engine import EngineError
from ros2_raxels.engine.model_card import Graph, ModelCard
from ros2_raxels.engine.store import PlanKey, PlanStore
from ros2_raxels.evaluation.clips.clip_sets import read_answers, read_clips
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import make_pose
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.recordings.open import open_source
from ros2_raxels.scenes.shards import read_shard, write_clips
from ros2_raxels.tracking import map_file
from ros2_raxels.tracking.metric_scale import Scale, ScaleSource
from ros2_raxels.utils.files import FileError

OLD = Path(__file__).resolve().parent / "data" / "before_the_move"
CAMERA = PinholeCamera(64, 48, 60.0, 61.0, 31.5, 23.5)
PLAN = PlanKey(
    "compact_encode", "0" * 64, "fp32", {"tracks": (1, 448, 1024)}, "tensorrt_rtx", "1.2.0", "sm89", "x86_64"
)


def rewritten(path: Path, folder: Path, change: dict[str, Any]) -> Path:
    """A JSON file with some values replaced."""
    target = folder / path.name
    target.write_text(json.dumps(json.loads(path.read_text()) | change))
    return target


# ---------------------------------------------------------------------------------------------------------- keyframes


def test_keyframes_are_the_ones_that_were_saved() -> None:
    pytest.importorskip("safetensors")
    loaded = map_file.load(OLD / "keyframes.safetensors", Matcher())
    assert [(k.number, k.frame.stamp_ns, k.parent) for k in loaded.all] == [
        (0, 10**9, None),
        (4, 2 * 10**9, 0),
        (9, 3 * 10**9, 4),
    ]
    for k, frame in enumerate(loaded.all):
        grey = np.clip(np.add.outer(np.arange(48) * 2, np.arange(64) * (k + 1)), 0, 255)
        np.testing.assert_array_equal(frame.features.grey, grey)
        np.testing.assert_array_equal(frame.camera_to_world[:3, 3], [0.1 * k, 0.0, 0.02 * k])
        assert frame.camera == CAMERA
    depths = [frame.inverse_depth for frame in loaded.all]
    # Nothing was known of the last one's.
    assert np.isnan(depths[2]).all()
    np.testing.assert_array_equal(depths[0], np.full(len(Matcher().grid((48, 64))), 0.5))
    (loop,) = loaded.loops
    # What was measured is not in the file: the loop is taken to be where its keyframes are.
    assert (loop.first, loop.second) == (0, 9)
    np.testing.assert_allclose(loop.pose, make_pose(np.eye(3), [0.2, 0.0, 0.04]))
    assert loaded.trajectories[0].unit == 2.5
    assert loaded.trajectories[0].scale == Scale(ScaleSource.ODOM, 0.75, 0.01)


@pytest.mark.parametrize("version", ["raxels keyframes 1", "raxels keyframes 99"])
def test_keyframes_of_another_format_are_refused_with_it(version: str, tmp_path: Path) -> None:
    numpy_files = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "map.safetensors"
    path.write_bytes(numpy_files.save({"number": np.zeros(1, np.int64)}, metadata={"format": version, "facts": "{}"}))
    with pytest.raises(FileError, match=rf"map\.safetensors .*'{version}'.*save them again"):
        map_file.load(path, Matcher())


# ------------------------------------------------------------------------------------------------------------- models


def test_a_model_card_says_what_it_said() -> None:
    card = ModelCard.read(OLD / "card.json")
    assert (card.name, card.preset, card.ray_spread, card.licence, card.format) == (
        "small",
        "tiny",
        0.25,
        "Apache-2.0",
        2,
    )
    assert card.graphs == {"encode": Graph("graph.onnx", card.graphs["encode"].sha256, "fp32")}
    assert card.training == {"data": "none", "steps": 3, "seed": 0}
    assert (card.expected, card.size) == ({"rotation_deg": 1.5}, {"width": 32})
    assert card.confidence == {"alone": {"one": 0.5}}
    assert card.weights is None
    assert card.graph_path(OLD, "encode").read_bytes() == b"a graph"


@pytest.mark.parametrize("version", [1, 3])
def test_a_card_of_another_format_is_refused_with_both_versions(version: int, tmp_path: Path) -> None:
    path = rewritten(OLD / "card.json", tmp_path, {"format": version})
    with pytest.raises(EngineError, match=rf"card\.json is of format {version}, this version reads 2; install the"):
        ModelCard.read(path)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """The plan cache of a user who has compiled one graph."""
    folder = tmp_path / "engines"
    folder.mkdir(mode=0o700)
    for path in (OLD / "plans").iterdir():
        shutil.copyfile(path, folder / path.name.removesuffix("_"))
    return folder


def test_a_compiled_plan_is_found_under_the_same_key(cache: Path) -> None:
    said: list[str] = []
    plan = PlanStore(cache, said.append).find(PLAN)
    assert plan is not None
    assert plan.content == b"a compiled graph"
    assert plan.facts == {"inputs": [], "outputs": [], "compile_s": 1.5}
    assert said == []


def test_a_plan_of_another_format_is_set_aside_and_said(cache: Path) -> None:
    (sidecar,) = cache.glob("*.json")
    rewritten(sidecar, cache, {"format": 0})
    said: list[str] = []
    assert PlanStore(cache, said.append).find(PLAN) is None
    assert said == [f"plan {sidecar.stem} is set aside: its sidecar is of format 0, this version reads 1"]


# ----------------------------------------------------------------------------------------------------------- training


def test_a_checkpoint_goes_on_where_it_was() -> None:
    pytest.importorskip("torch")
    from ros2_raxels.model.presets import PRESETS
    from ros2_raxels.training import checkpoint

    size, progress, tensors = checkpoint.load(OLD / "checkpoint.safetensors")
    assert size == PRESETS["tiny"]
    assert progress == checkpoint.Progress(12, 3.5, 48, 7, "tiny", "correspondences", True)
    assert list(tensors) == ["average.encode.weight"]
    np.testing.assert_array_equal(tensors["average.encode.weight"].float().numpy(), [0.0, 0.125, 0.25, 0.375])


@pytest.mark.parametrize(
    "record", [{"size": {}, "progress": {"steps": 3}}, {"size": {"breadth": 1}, "progress": {}}, {"progress": {}}]
)
def test_a_checkpoint_with_other_fields_is_refused_with_the_remedy(record: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("torch")
    numpy_files = pytest.importorskip("safetensors.numpy")
    from ros2_raxels.training import checkpoint

    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(numpy_files.save({"a": np.zeros(1)}, metadata={"raxels": json.dumps(record)}))
    with pytest.raises(FileError, match=r"is not a checkpoint of this version .*; give another, or start over"):
        checkpoint.load(path)


def test_a_rendered_shard_is_kept_and_read(tmp_path: Path) -> None:
    shutil.copytree(OLD / "shards", tmp_path / "shards")
    path = tmp_path / "shards" / "clips_00000.npz"
    before = path.read_bytes()
    assert write_clips(tmp_path / "shards", 1, 5, 2, 32, 24, 1, False) == [path]
    assert path.read_bytes() == before
    shard = read_shard(path)
    assert shard.images.shape == (1, 2, 24, 32, 3)
    np.testing.assert_allclose(shard.camera_to_first[0, 0], np.eye(4), atol=1e-15)


# --------------------------------------------------------------------------------------------------------- recordings


def test_a_rendered_set_opens_as_it_did() -> None:
    source = open_source(OLD / "set")
    assert (source.name, source.kind, source.camera, source.has_truth) == ("rendered room", "posed set", CAMERA, True)
    frames = list(source)
    assert [frame.stamp_ns for frame in frames] == [0, 100_000_000]
    record = json.loads((OLD / "set" / "cameras.json").read_text())
    for frame, said in zip(frames, record["frames"], strict=True):
        assert frame.image.shape == (48, 64, 3)
        np.testing.assert_array_equal(frame.camera_to_world, said["c2w"])


def test_clips_and_answers_are_read() -> None:
    (clip,) = read_clips(OLD / "clips.json")
    assert (clip.id, clip.set_name, clip.images) == ("room/000000x1", "room", (Path("a.png"), Path("b.png")))
    np.testing.assert_array_equal(clip.intrinsics, [[60.0, 61.0, 31.5, 23.5]] * 2)
    answers = read_answers(OLD / "answer.json")
    answer = answers.clips["room/000000x1"]
    assert (answers.name, answer.seconds) == ("raxels", 0.25)
    np.testing.assert_array_equal(answer.confidence, [1.0, 0.5])
    np.testing.assert_array_equal(answer.camera_to_first, [np.eye(4)] * 2)


# --------------------------------------------------------------------------------------------------------- parameters


def test_every_parameter_of_an_old_file_may_still_be_set() -> None:
    """Names, types and ranges, as a node checks them."""
    rclpy = pytest.importorskip("rclpy.parameter")
    from ros2_raxels.nodes.common.parameters import validate
    from ros2_raxels.nodes.parameter_yaml import TABLES

    given = yaml.safe_load((OLD / "raxels.yaml").read_text())
    assert {key.removeprefix("/**/") for key in given} == set(TABLES)
    for key, node in given.items():
        rows = {row.name: row for row in TABLES[key.removeprefix("/**/")]}
        changes = [rclpy.Parameter(name, value=value) for name, value in node["ros__parameters"].items()]
        assert len(changes) > 10 or "camera" in key
        assert {change.name for change in changes} <= rows.keys()
        for change in changes:
            answer = validate(rows, [change])
            assert answer.successful, answer.reason
            assert isinstance(change.value, type(rows[change.name].default)), change.name
