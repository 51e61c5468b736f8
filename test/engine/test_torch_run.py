"""engine.torch_run: torch computes from a model's weights what its exported graphs compute; bad weights are refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from track_inputs import clip_of, rays_of
from views_scene import exported_card, perturbed_model

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from safetensors.numpy import load_file, save_file  # noqa: E402

from ros2_raxels.engine import EngineError  # noqa: E402
from ros2_raxels.engine.choose import EngineOptions, open_engines  # noqa: E402
from ros2_raxels.engine.model_card import ModelCard, sha256  # noqa: E402
from ros2_raxels.engine.onnx_runtime import OnnxRuntimeEngine  # noqa: E402
from ros2_raxels.engine.torch_run import open_torch_engines  # noqa: E402
from ros2_raxels.evaluation.machine.graph_work import matrix_flop  # noqa: E402
from ros2_raxels.model.graphs import TRACK_INPUTS  # noqa: E402

pytestmark = [pytest.mark.usefixtures("one_torch_thread"), pytest.mark.xdist_group("exported_card")]


@pytest.fixture(scope="module")
def card_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Card of the exported `perturbed_model`."""
    return exported_card(tmp_path_factory)


def test_torch_computes_from_the_weights_what_the_graphs_compute(card_path: Path) -> None:
    """Weights are kept in half precision, so those of the model that it is compared with are rounded too."""
    folder, model = card_path.parent, perturbed_model()
    card = ModelCard.read(card_path)
    said: list[str] = []
    engines = open_engines(card, folder, ("encode", "rays"), EngineOptions("torch", say=said.append))
    assert said == [f"engine: {engines['encode'].describe()} and {engines['rays'].describe()}"]
    assert engines["rays"].describe() == f"torch {torch.__version__} (cpu), tiny rays"
    reference = OnnxRuntimeEngine(card.graph_path(folder, "rays"), threads=1)
    assert (engines["rays"].inputs, engines["rays"].outputs) == (reference.inputs, reference.outputs)
    rounded = model
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


def test_weights_that_torch_cannot_use_are_refused_by_name(card_path: Path, tmp_path: Path) -> None:

    folder, card = card_path.parent, ModelCard.read(card_path)
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


def test_weights_that_are_left_out_make_the_answer_nan(card_path: Path, tmp_path: Path) -> None:
    """A graph that used them after all must not give a plausible answer."""
    folder = card_path.parent
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
    card_path: Path,
) -> None:

    folder, card = card_path.parent, ModelCard.read(card_path)
    engine, arrays = open_torch_engines(card, folder, ("encode",))["encode"], clip_of(20, 2)
    # Two ways of counting: torch's operators while they run, and the shapes of the exported graph.
    assert engine.flop(arrays) == pytest.approx(matrix_flop(card.graph_path(folder, "encode"), arrays), rel=0.05)
    if not torch.cuda.is_available():
        with pytest.raises(EngineError, match="nothing is recorded without a GPU; run it where torch sees one"):
            engine.replay_s(arrays, 1)
