"""engine.onnx_runtime: exported graphs give the same outputs as the torch model that they came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from ros_testing import ROOT
from views_scene import engines_of, exported_card, perturbed_model

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from track_inputs import clip_of, rays_of  # noqa: E402

from ros2_raxels.engine.model_card import MIXED, ModelCard  # noqa: E402
from ros2_raxels.engine.onnx_runtime import OnnxRuntimeEngine  # noqa: E402
from ros2_raxels.geometry.raxel_grid import RAXEL_COLUMNS, RAXEL_ROWS  # noqa: E402
from ros2_raxels.model.graphs import TOKEN_OUTPUTS, TRACK_INPUTS  # noqa: E402

Arrays = dict[str, npt.NDArray[Any]]

pytestmark = [pytest.mark.usefixtures("one_torch_thread"), pytest.mark.xdist_group("exported_card")]


@pytest.fixture(scope="module")
def card_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Card of the exported `perturbed_model`."""
    return exported_card(tmp_path_factory)


def engine_of(card_path: Path, role: str) -> OnnxRuntimeEngine:
    return OnnxRuntimeEngine(ModelCard.read(card_path).graph_path(card_path.parent, role), threads=1)


# ---------------------------------------------------------------------------------------------------------- poses


@pytest.mark.parametrize(
    ("tracks", "frames", "hypotheses"), [(300, 4, 3), (2, 2, 1), (37, 2, 8), (64, 3, 2), (500, 7, 5), (129, 5, 1)]
)
def test_graphs_of_poses_give_the_outputs_of_the_model(
    card_path: Path, tracks: int, frames: int, hypotheses: int
) -> None:
    model = perturbed_model()
    clip, rays = clip_of(tracks, frames), rays_of(hypotheses, frames)
    found = engine_of(card_path, "encode").run(clip)
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
    answer = engine_of(card_path, "rays").run(rays | shared)
    assert tuple(answer) == ("clean", "log_error")
    assert out.rays.abs().max() > 0.1
    np.testing.assert_allclose(answer["clean"], out.rays.numpy(), atol=1e-4)
    np.testing.assert_allclose(answer["log_error"], out.log_error.numpy(), atol=1e-4)
    # Evidence counts in the graph as well.
    other = engine_of(card_path, "rays").run(rays | shared | {"tokens": -shared["tokens"]})
    assert np.abs(other["clean"] - answer["clean"]).max() > 1e-3


def test_half_precision_stays_within_a_hundredth_and_out_of_norms_and_softmax(card_path: Path) -> None:
    """Matrix products are in half precision, norms and softmax in single."""
    onnx = pytest.importorskip("onnx")
    clip, rays = clip_of(120, 3), rays_of(4, 3)
    single, mixed = engine_of(card_path, "encode").run(clip), engine_of(card_path, "encode.mixed").run(clip)
    for name in ("tokens", "inlier", "log_focal"):
        assert mixed[name].dtype == np.float32
        assert 0.0 < np.abs(mixed[name] - single[name]).max() < 0.02 * np.abs(single[name]).max(), name
    shared = {name: single[name] for name in ("tokens", "turn", "mask")}
    answers = [engine_of(card_path, role).run(rays | shared)["clean"] for role in ("rays", "rays.mixed")]
    assert 0.0 < np.abs(answers[1] - answers[0]).max() < 0.01 * np.abs(answers[0]).max()
    graph = onnx.shape_inference.infer_shapes(onnx.load(card_path.parent / "tiny_mixed_rays.onnx")).graph
    kind = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.output)}
    kind |= {weight.name: weight.data_type for weight in graph.initializer}
    half = {node.op_type for node in graph.node for name in node.output if kind.get(name) == onnx.TensorProto.FLOAT16}
    assert "MatMul" in half or "Gemm" in half
    assert not half & {"Softmax", "ReduceMean", "Sqrt", "Reciprocal", "Pow"}


# ---------------------------------------------------------------------------------------------------------- views


def swept_views(views: int, height: int, width: int) -> Arrays:
    rng = np.random.default_rng(views)
    alpha = rng.integers(0, 256, (views, 4, 1, 8, height, width)) * (rng.random((views, 4, 1, 1, height, width)) < 0.8)
    colour = rng.random((views, 4, 3, 8, height, width)) * alpha
    votes = rng.exponential(0.2, (views, 8, height, width)).astype(np.float32)
    return {"swept": np.concatenate([colour, alpha], axis=2).astype(np.uint8), "votes": votes}


def views_of(frames: int, height: int, width: int, given: float) -> Arrays:
    rng = np.random.default_rng(frames)

    def normal(*shape: int) -> npt.NDArray[np.float32]:
        return rng.normal(size=(1, frames, *shape)).astype(np.float32)

    grid = (RAXEL_ROWS, RAXEL_COLUMNS, 3)
    return {
        "rays": normal(*grid),
        "ray_time": rng.random((1, frames)).astype(np.float32),
        "bearings": normal(*grid),
        "known": np.ones(1, np.float32),
        "video": normal(3, height, width),
        "video_time": rng.random((1, frames)).astype(np.float32),
        "colour": rng.uniform(-1, 1, (1, frames, 3, height, width)).astype(np.float32),
        "gate": normal(height, width),
        "colour_log_error": normal(height, width),
        "given": np.full(1, given, np.float32),
    }


def compare(card_path: Path, role: str, arrays: Arrays) -> Arrays:
    """Outputs of an exported graph, after they were compared with those of the model in torch."""
    graph = OnnxRuntimeEngine(ModelCard.read(card_path).graph_path(card_path.parent, role), threads=1)
    found, expected = graph.run(arrays), engines_of(perturbed_model())[role.removesuffix(MIXED)].run(arrays)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].shape == value.shape, name
        assert np.abs(value).max() > 1e-2, name
        np.testing.assert_allclose(found[name], value, atol=1e-4, err_msg=name)
    return found


@pytest.mark.parametrize("role", ["sweep", "sweep.mixed"])
@pytest.mark.parametrize(("views", "height", "width"), [(1, 96, 128), (3, 32, 16), (5, 48, 80)])
def test_the_graph_of_the_sweep_gives_the_outputs_of_the_model(
    card_path: Path, views: int, height: int, width: int, role: str
) -> None:
    found = compare(card_path, role, swept_views(views, height, width))
    assert {name: value.shape for name, value in found.items()} == {
        "colour": (views, 3, height, width),
        "gate": (views, height, width),
        "log_error": (views, height, width),
        "planes": (views, 8, height, width),
        "weights": (views, 4, height, width),
    }


@pytest.mark.parametrize("given", [0.0, 1.0])
@pytest.mark.parametrize(("frames", "height", "width"), [(2, 96, 128), (3, 32, 16), (8, 48, 80)])
def test_the_joint_graph_gives_the_outputs_of_the_model(
    card_path: Path, frames: int, height: int, width: int, given: float
) -> None:
    arrays = views_of(frames, height, width, given)
    found = compare(card_path, "joint", arrays)
    assert found["clean_video"].shape == (1, frames, 3, height, width)
    assert found["clean"].shape == (1, frames, RAXEL_ROWS, RAXEL_COLUMNS, 3)
    if given:
        assert np.ptp(found["made_up"]) > 0.1
    else:
        np.testing.assert_array_equal(found["made_up"], 1.0)


# -------------------------------------------------------------------------------------------------------- shipped


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
