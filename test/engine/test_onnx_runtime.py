"""engine: cards and graphs that are refused in words, and exported graphs against the model that they came from."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
from ros_testing import ROOT

from ros2_raxels.engine import EngineError, TensorSpec, check_inputs, made_up_inputs
from ros2_raxels.engine.model_card import FORMAT, Graph, ModelCard, sha256
from ros2_raxels.engine.onnx_runtime import OnnxRuntimeEngine
from ros2_raxels.geometry.raxel_grid import RAXEL_COLUMNS, RAXEL_ROWS

if TYPE_CHECKING:
    from ros2_raxels.model.denoiser import JointDenoiser

Arrays = dict[str, npt.NDArray[np.float32]]

# ---------------------------------------------------------------------------------------------------------- cards


def write_card(folder: Path, **changes: Any) -> Path:
    """A card of one graph, whose file is there."""
    graph = folder / "m_rays.onnx"
    graph.write_bytes(b"a graph")
    # printf 'a graph' | sha256sum
    digest = "170df6144b15bdf1dced878e45ebdb2dac95d0b1a3bc68459434bbbd88681157"
    card = ModelCard("m", "tiny", {"rays": Graph(graph.name, digest, "fp32")}, 0.4, {"steps": 7}, expected={"deg": 1.5})
    path = folder / "m.json"
    path.write_text(json.dumps(card.record() | changes), encoding="utf-8")
    return path


def test_a_card_comes_back_as_it_was_written(tmp_path: Path) -> None:
    card = ModelCard.read(write_card(tmp_path))
    assert (card.name, card.preset, card.ray_spread, card.training) == ("m", "tiny", 0.4, {"steps": 7})
    assert (card.licence, card.format, card.expected) == ("Apache-2.0", FORMAT, {"deg": 1.5})
    assert set(card.graphs) == {"rays"}
    assert (card.graphs["rays"].file, card.graphs["rays"].precision) == ("m_rays.onnx", "fp32")
    (tmp_path / "again.json").write_text(json.dumps(card.record()), encoding="utf-8")
    assert ModelCard.read(tmp_path / "again.json") == card


def test_a_graph_is_given_only_with_its_checksum(tmp_path: Path) -> None:
    card = ModelCard.read(write_card(tmp_path))
    graph = tmp_path / "m_rays.onnx"
    assert card.graph_path(tmp_path, "rays") == graph
    graph.write_bytes(b"a graph!")
    with pytest.raises(EngineError, match=f"{graph} is not the file that its card means .*; install the package again"):
        card.graph_path(tmp_path, "rays")
    graph.unlink()
    with pytest.raises(EngineError, match=f"{graph} cannot be read .No such file or directory.; install"):
        card.graph_path(tmp_path, "rays")
    with pytest.raises(EngineError, match=r"model m has no graph 'encode', only \['rays'\]"):
        card.graph_path(tmp_path, "encode")


def test_another_format_is_refused_by_number(tmp_path: Path) -> None:
    path = write_card(tmp_path, format=FORMAT + 1)
    with pytest.raises(EngineError, match=f"{path} is of format {FORMAT + 1}, this version reads {FORMAT}; install"):
        ModelCard.read(path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        "{}",
        '{"format": 2}',
        '{"format": 2, "graphs": []}',
        '{"format": 2, "graphs": {"a": 3}}',
    ],
)
def test_what_is_no_card_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "m.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(EngineError, match=f"{path} is not a model card"):
        ModelCard.read(path)


def test_unknown_missing_and_binary_cards_are_refused(tmp_path: Path) -> None:
    for change in ({"colour": "red"}, {"graphs": {"rays": {"file": "x"}}}):
        with pytest.raises(EngineError, match="is not a model card"):
            ModelCard.read(write_card(tmp_path, **change))
    with pytest.raises(EngineError, match=r"is not a model card .*No such file"):
        ModelCard.read(tmp_path / "missing.json")
    (tmp_path / "m.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EngineError, match="is not a model card"):
        ModelCard.read(tmp_path / "m.json")


# --------------------------------------------------------------------------------------------------------- inputs

SPECS = (
    TensorSpec("seen", (1, "tracks", "frames"), np.dtype(np.float32)),
    TensorSpec("pixel", (1, "frames"), np.dtype(np.float32)),
)


def good() -> Arrays:
    return {"seen": np.zeros((1, 5, 3), np.float32), "pixel": np.zeros((1, 3), np.float32)}


def test_inputs_that_fit_pass() -> None:
    check_inputs(SPECS, good())
    check_inputs(SPECS, {"seen": np.zeros((1, 0, 9), np.float32), "pixel": np.zeros((1, 9), np.float32)})


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("seen", np.zeros((1, 5, 3)), "input seen is float64 of shape (1, 5, 3); the graph takes float32"),
        ("seen", np.zeros((2, 5, 3), np.float32), "input seen is float32 of shape (2, 5, 3); the graph takes"),
        ("seen", np.zeros((1, 5), np.float32), "input seen is float32 of shape (1, 5); the graph takes"),
        (
            "pixel",
            np.zeros((1, 4), np.float32),
            "(1, 4); the graph takes float32 of shape (1, 'frames') with {'tracks': 5, 'frames': 3}",
        ),
        ("pixel", np.zeros((), np.float32), "input pixel is float32 of shape ()"),
    ],
)
def test_an_input_that_does_not_fit_is_named(name: str, array: npt.NDArray[Any], words: str) -> None:
    with pytest.raises(EngineError) as refused:
        check_inputs(SPECS, good() | {name: array})
    assert words in str(refused.value)


def test_missing_and_unknown_inputs_are_named() -> None:
    arrays = good()
    arrays["sean"] = arrays.pop("seen")
    with pytest.raises(EngineError) as refused:
        check_inputs(SPECS, arrays)
    assert "inputs missing: ['seen'], not known: ['sean']; give exactly ['pixel', 'seen']" in str(refused.value)
    with pytest.raises(EngineError, match="inputs missing: none, not known:"):
        check_inputs(SPECS, good() | {"more": np.zeros(1, np.float32)})


def test_made_up_inputs_fit_and_are_the_same_for_the_same_seed() -> None:
    specs = (*SPECS, TensorSpec("bytes", (2, "frames"), np.dtype(np.uint8)))
    sides = {"tracks": 50, "frames": 40}
    arrays = made_up_inputs(specs, sides, seed=3)
    check_inputs(specs, arrays)
    assert arrays["seen"].shape == (1, 50, 40)
    assert 0.9 < arrays["seen"].std() < 1.1
    assert arrays["bytes"].max() > 200
    for name, array in made_up_inputs(specs, sides, seed=3).items():
        np.testing.assert_array_equal(array, arrays[name])
    assert (made_up_inputs(specs, sides, seed=4)["seen"] != arrays["seen"]).any()
    with pytest.raises(EngineError, match=r"input seen of shape .*no length for \['tracks'\], only {'frames': 2}"):
        made_up_inputs(specs, {"frames": 2})


# --------------------------------------------------------------------------------------------------------- graphs


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, one_torch_thread: None) -> tuple[Path, JointDenoiser]:
    """Folder of an exported tiny model with random weights, and the model; what is exported is the average."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    pytest.importorskip("safetensors")
    from ros2_raxels.model.denoiser import JointDenoiser
    from ros2_raxels.model.presets import PRESETS
    from ros2_raxels.training import checkpoint
    from ros2_raxels.training.correspondences import sample_correspondences
    from ros2_raxels.training.export import export
    from ros2_raxels.training.validation import Validation

    torch.manual_seed(0)
    model = JointDenoiser(PRESETS["tiny"]).eval()
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn_like(p)
    folder = tmp_path_factory.mktemp("exported")
    run = folder / "checkpoint.safetensors"
    progress = checkpoint.Progress(step=12, clips=34, preset="tiny", data="nothing")
    optimizer = torch.optim.Adam(model.parameters())
    other = JointDenoiser(PRESETS["tiny"])
    checkpoint.save(run, other, PRESETS["tiny"], model.state_dict(), optimizer, progress)
    export(run, folder, "tiny", Validation({"few": sample_correspondences(0, 12, 3, 32)}))
    return folder, model


def engine_of(folder: Path, role: str) -> OnnxRuntimeEngine:
    return OnnxRuntimeEngine(ModelCard.read(folder / "tiny.json").graph_path(folder, role), threads=1)


def clip_of(tracks: int, frames: int, seed: int = 0) -> Arrays:
    """Tracks of one clip as the graph takes them, some of them fillers."""
    from ros2_raxels.model.graphs import TRACK_INPUTS
    from ros2_raxels.training.correspondences import sample_correspondences

    batch = sample_correspondences(seed, 1, frames, tracks)
    arrays = {name: getattr(batch.tracks, name).numpy() for name in TRACK_INPUTS[:-1]}
    return arrays | {"known": np.ones(1, np.float32)}


def rays_of(hypotheses: int, frames: int, seed: int = 1) -> Arrays:
    rng = np.random.default_rng(seed)
    grid = (frames, RAXEL_ROWS, RAXEL_COLUMNS, 3)
    return {
        "rays": rng.normal(size=(hypotheses, *grid)).astype(np.float32),
        "ray_time": rng.uniform(size=(hypotheses, frames)).astype(np.float32),
        "bearings": rng.normal(size=(1, *grid)).astype(np.float32),
        "known": np.zeros(1, np.float32),
    }


def test_the_card_says_what_was_exported(exported: tuple[Path, JointDenoiser]) -> None:
    from ros2_raxels.training.correspondences import sample_correspondences
    from ros2_raxels.training.validation import Validation

    folder, model = exported
    card = ModelCard.read(folder / "tiny.json")
    assert (card.name, card.preset, card.ray_spread) == ("tiny", "tiny", 0.4)
    expected = Validation({"few": sample_correspondences(0, 12, 3, 32)}).measure(model)["few"]
    assert card.expected == {"few": pytest.approx(expected, rel=1e-4)}
    assert all(np.isfinite(value) for value in expected.values())
    assert (card.training["step"], card.training["clips"], card.training["data"]) == (12, 34, "nothing")
    assert type(model.size).from_record(card.size) == model.size
    assert {role: graph.file for role, graph in card.graphs.items()} == {
        "encode": "tiny_encode.onnx",
        "rays": "tiny_rays.onnx",
        "encode.mixed": "tiny_mixed_encode.onnx",
        "rays.mixed": "tiny_mixed_rays.onnx",
    }
    assert {role: graph.precision for role, graph in card.graphs.items()} == {
        "encode": "fp32",
        "rays": "fp32",
        "encode.mixed": "mixed",
        "rays.mixed": "mixed",
    }
    for role, graph in card.graphs.items():
        assert asdict(graph)["sha256"] == sha256(card.graph_path(folder, role))


@pytest.mark.parametrize(
    ("tracks", "frames", "hypotheses"), [(300, 4, 3), (2, 2, 1), (37, 2, 8), (64, 3, 2), (500, 7, 5), (129, 5, 1)]
)
def test_graphs_say_what_the_model_says(
    exported: tuple[Path, JointDenoiser], tracks: int, frames: int, hypotheses: int
) -> None:
    torch = pytest.importorskip("torch")
    from ros2_raxels.model.graphs import TOKEN_OUTPUTS, TRACK_INPUTS

    folder, model = exported
    clip, rays = clip_of(tracks, frames), rays_of(hypotheses, frames)
    found = engine_of(folder, "encode").run(clip)
    assert tuple(found) == TOKEN_OUTPUTS
    with torch.no_grad():
        tokens = model.encode(*(torch.as_tensor(clip[name]) for name in TRACK_INPUTS))
        assert tokens is not None
        for name in TOKEN_OUTPUTS:
            expected = getattr(tokens, name).numpy()
            assert found[name].shape == expected.shape, name
            np.testing.assert_allclose(found[name], expected, atol=1e-4, err_msg=name)
        many = tokens._replace(tokens=tokens.tokens.expand(hypotheses, -1, -1))
        out = model(
            torch.as_tensor(rays["rays"]),
            torch.as_tensor(rays["ray_time"]),
            torch.as_tensor(rays["bearings"]).expand(hypotheses, -1, -1, -1, -1),
            torch.as_tensor(rays["known"]).expand(hypotheses),
            many,
        )
    shared = {name: found[name] for name in ("tokens", "turn", "mask")}
    answer = engine_of(folder, "rays").run(rays | shared)
    assert tuple(answer) == ("clean", "log_error")
    assert out.rays.abs().max() > 0.1
    np.testing.assert_allclose(answer["clean"], out.rays.numpy(), atol=1e-4)
    np.testing.assert_allclose(answer["log_error"], out.log_error.numpy(), atol=1e-4)
    # Evidence counts in the graph as well.
    other = engine_of(folder, "rays").run(rays | shared | {"tokens": -shared["tokens"]})
    assert np.abs(other["clean"] - answer["clean"]).max() > 1e-3


def test_half_precision_is_where_it_does_no_harm(exported: tuple[Path, JointDenoiser]) -> None:
    """Matrix products in half precision, norms and softmax in single; answers within some of its thousandths."""
    import onnx

    folder, _ = exported
    clip, rays = clip_of(120, 3), rays_of(4, 3)
    single, mixed = engine_of(folder, "encode").run(clip), engine_of(folder, "encode.mixed").run(clip)
    for name in ("tokens", "inlier", "log_focal"):
        assert mixed[name].dtype == np.float32
        assert 0.0 < np.abs(mixed[name] - single[name]).max() < 0.02 * np.abs(single[name]).max(), name
    shared = {name: single[name] for name in ("tokens", "turn", "mask")}
    answers = [engine_of(folder, role).run(rays | shared)["clean"] for role in ("rays", "rays.mixed")]
    assert 0.0 < np.abs(answers[1] - answers[0]).max() < 0.01 * np.abs(answers[0]).max()
    graph = onnx.shape_inference.infer_shapes(onnx.load(folder / "tiny_mixed_rays.onnx")).graph
    kind = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.output)}
    kind |= {weight.name: weight.data_type for weight in graph.initializer}
    half = {node.op_type for node in graph.node for name in node.output if kind.get(name) == onnx.TensorProto.FLOAT16}
    assert "MatMul" in half or "Gemm" in half
    assert not half & {"Softmax", "ReduceMean", "Sqrt", "Reciprocal", "Pow"}


def test_an_engine_says_what_it_takes_and_is(exported: tuple[Path, JointDenoiser]) -> None:
    import onnxruntime

    from ros2_raxels.model.graphs import RAY_INPUTS, TRACK_INPUTS

    folder, _ = exported
    encode, rays = engine_of(folder, "encode"), engine_of(folder, "rays")
    assert tuple(spec.name for spec in encode.inputs) == TRACK_INPUTS
    assert tuple(spec.name for spec in rays.inputs) == RAY_INPUTS
    shape = rays.inputs[0].shape
    assert (shape[2:], rays.inputs[0].dtype) == ((RAXEL_ROWS, RAXEL_COLUMNS, 3), np.float32)
    assert all(isinstance(side, str) for side in shape[:2])
    assert [spec.name for spec in rays.outputs] == ["clean", "log_error"]
    assert encode.describe() == f"ONNX Runtime {onnxruntime.__version__} (CPU), tiny_encode.onnx"


def test_an_engine_warms_up_for_the_sizes_it_is_told(exported: tuple[Path, JointDenoiser]) -> None:
    rays = engine_of(exported[0], "rays")
    rays.warm_up({"hypotheses": 2, "frames": 3, "tracks": 20})
    with pytest.raises(EngineError, match=r"no length for \['tracks'\]"):
        rays.warm_up({"hypotheses": 2, "frames": 3})


def test_threads_that_are_no_number_are_named(
    exported: tuple[Path, JointDenoiser], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in ("two", "²"):
        monkeypatch.setenv("RAXELS_ENGINE_THREADS", number)
        with pytest.raises(EngineError, match=rf"RAXELS_ENGINE_THREADS = '{number}' must be a whole number"):
            OnnxRuntimeEngine(exported[0] / "tiny_rays.onnx")
    monkeypatch.setenv("RAXELS_ENGINE_THREADS", "1")
    assert OnnxRuntimeEngine(exported[0] / "tiny_rays.onnx").inputs


def test_an_engine_refuses_inputs_that_do_not_fit_each_other(exported: tuple[Path, JointDenoiser]) -> None:
    encode, clip = engine_of(exported[0], "encode"), clip_of(20, 3)
    with pytest.raises(EngineError, match=r"input pixel is float32 of shape \(1, 4\)"):
        encode.run(clip | {"pixel": np.ones((1, 4), np.float32)})
    with pytest.raises(EngineError, match="input score is float64"):
        encode.run(clip | {"score": clip["score"].astype(np.float64)})
    with pytest.raises(EngineError, match=r"inputs missing: \['seen'\]"):
        encode.run({name: array for name, array in clip.items() if name != "seen"})


def test_truncated_foreign_and_missing_graphs_are_refused_in_words(
    exported: tuple[Path, JointDenoiser], tmp_path: Path
) -> None:
    whole = (exported[0] / "tiny_rays.onnx").read_bytes()
    path = tmp_path / "tiny_rays.onnx"
    for content in (whole[: len(whole) // 2], whole[:100], b"", b"no graph"):
        path.write_bytes(content)
        with pytest.raises(EngineError, match=f"{path} cannot be loaded .*; install the package again"):
            OnnxRuntimeEngine(path)
    with pytest.raises(EngineError, match=r"gone.onnx cannot be loaded .*; install the package again"):
        OnnxRuntimeEngine(tmp_path / "gone.onnx")


def test_a_model_without_evidence_is_not_exported_by_halves(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    pytest.importorskip("safetensors")
    from ros2_raxels.model.denoiser import JointDenoiser
    from ros2_raxels.model.presets import PRESETS
    from ros2_raxels.training import checkpoint
    from ros2_raxels.training.export import export

    size = replace(PRESETS["tiny"], evidence_blocks=0)
    model, run = JointDenoiser(size), tmp_path / "checkpoint.safetensors"
    average = {name: value.clone() for name, value in model.state_dict().items()}
    checkpoint.save(run, model, size, average, torch.optim.Adam(model.parameters()), checkpoint.Progress())
    with pytest.raises(ValueError, match="a model without evidence has no graph for it"):
        export(run, tmp_path, "pixels")
    assert list(tmp_path.iterdir()) == [run]


# --------------------------------------------------------------------------------------------------------------- torch


def test_torch_computes_from_the_weights_what_the_graphs_compute(exported: tuple[Path, JointDenoiser]) -> None:
    """They are kept in half precision, so the model that is compared with has them rounded, too."""
    torch = pytest.importorskip("torch")
    from ros2_raxels.engine.choose import EngineOptions, open_engines
    from ros2_raxels.model.graphs import TRACK_INPUTS

    folder, model = exported
    card = ModelCard.read(folder / "tiny.json")
    said: list[str] = []
    engines = open_engines(card, folder, ("encode", "rays"), EngineOptions("torch", say=said.append))
    assert said == [f"engine: {engines['encode'].describe()} and {engines['rays'].describe()}"]
    assert engines["rays"].describe() == f"torch {torch.__version__} (cpu), tiny rays"
    reference = engine_of(folder, "rays")
    assert (engines["rays"].inputs, engines["rays"].outputs) == (reference.inputs, reference.outputs)
    rounded = deepcopy(model)
    with torch.no_grad():
        for parameter in rounded.parameters():
            parameter.copy_(parameter.half().float())
        clip = clip_of(37, 3)
        tokens = rounded.encode(*(torch.as_tensor(clip[name]) for name in TRACK_INPUTS))
    found = engines["encode"].run(clip)
    assert tokens is not None
    for name, value in found.items():
        np.testing.assert_allclose(value, getattr(tokens, name).numpy(), atol=1e-5, err_msg=name)
    arrays = {**rays_of(2, 3), **{name: found[name] for name in ("tokens", "turn", "mask")}}
    for name, value in engines["rays"].run(arrays).items():
        np.testing.assert_allclose(value, reference.run(arrays)[name], atol=5e-3, err_msg=name)
    with pytest.raises(EngineError, match="inputs missing: \\['rays'\\]"):
        engines["rays"].run({name: value for name, value in arrays.items() if name != "rays"})


def test_weights_that_torch_cannot_use_are_refused_by_name(
    exported: tuple[Path, JointDenoiser], tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    from safetensors.numpy import load_file, save_file

    from ros2_raxels.engine.torch_run import open_torch_engines

    folder, _ = exported
    card = ModelCard.read(folder / "tiny.json")
    assert card.weights is not None
    with pytest.raises(EngineError, match="model tiny comes without weights for torch; export it anew"):
        open_torch_engines(replace(card, weights=None), folder, ("rays",))
    with pytest.raises(EngineError, match=r"tiny\.safetensors cannot be read"):
        open_torch_engines(card, tmp_path, ("rays",))
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    path = tmp_path / card.weights.file
    weights = load_file(path)
    save_file({**weights, "average.blocks.9.nothing": np.zeros(3, np.float16)}, path)
    with pytest.raises(EngineError, match="is not the file that its card means"):
        open_torch_engines(card, tmp_path, ("rays",))
    other = replace(card, weights=replace(card.weights, sha256=sha256(path)))
    with pytest.raises(EngineError, match=r"does not hold the weights of tiny: .*blocks\.9\.nothing"):
        open_torch_engines(other, tmp_path, ("rays",))


def test_what_the_weights_leave_out_is_no_number(exported: tuple[Path, JointDenoiser], tmp_path: Path) -> None:
    """A graph that used it after all must not answer with what some random number made of it."""
    pytest.importorskip("torch")
    from safetensors.numpy import load_file, save_file

    from ros2_raxels.engine.torch_run import open_torch_engines

    folder, _ = exported
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    card = ModelCard.read(folder / "tiny.json")
    assert card.weights is not None
    path = tmp_path / card.weights.file
    save_file({name: value for name, value in load_file(path).items() if "ray_out" not in name}, path)
    other = replace(card, weights=replace(card.weights, sha256=sha256(path)))
    engines = open_torch_engines(other, tmp_path, ("encode", "rays"))
    found = engines["encode"].run(clip_of(20, 2))
    assert np.isfinite(found["tokens"]).all()
    arrays = {**rays_of(1, 2), **{name: found[name] for name in ("tokens", "turn", "mask")}}
    assert np.isnan(engines["rays"].run(arrays)["clean"]).all()


def test_torch_counts_the_arithmetic_of_a_graph_and_times_none_without_a_gpu(
    exported: tuple[Path, JointDenoiser],
) -> None:
    torch = pytest.importorskip("torch")
    from ros2_raxels.engine.torch_run import open_torch_engines
    from ros2_raxels.evaluation.machine.graph_work import matrix_flop

    folder, _ = exported
    card = ModelCard.read(folder / "tiny.json")
    engine, arrays = open_torch_engines(card, folder, ("encode",))["encode"], clip_of(20, 2)
    # Two ways of counting: torch's operators while they run, and the shapes of the exported graph.
    assert engine.flop(arrays) == pytest.approx(matrix_flop(card.graph_path(folder, "encode"), arrays), rel=0.05)
    if not torch.cuda.is_available():
        with pytest.raises(EngineError, match="nothing is recorded without a GPU; run it where torch sees one"):
            engine.replay_s(arrays, 1)


@pytest.mark.parametrize(("model", "roles"), [("compact", ("encode", "rays")), ("compact_views", ("sweep", "joint"))])
def test_shipped_weights_are_those_of_the_shipped_graphs(model: str, roles: tuple[str, ...]) -> None:
    """Each initialiser of a graph that has the shape of a parameter of its name, by value."""
    onnx = pytest.importorskip("onnx")
    from safetensors.numpy import load_file

    folder = ROOT / "engines"
    card = ModelCard.read(folder / f"{model}.json")
    weights = load_file(card.weights_path(folder))
    compared = 0
    for role in roles:
        for tensor in onnx.load(card.graph_path(folder, role)).graph.initializer:
            own = weights.get(f"average.{tensor.name.removeprefix('model.')}")
            if own is not None and own.size == int(np.prod(tensor.dims)):
                value = onnx.numpy_helper.to_array(tensor).reshape(own.shape)
                np.testing.assert_array_equal(own, value.astype(np.float16), err_msg=tensor.name)
                compared += 1
    assert compared > 60
