"""learned_graphs: what is in the cache is verified before it is used, counted and removed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from learned_rig import Arrays, CornersGraph

from ros2_raxels.engine import EngineError
from ros2_raxels.engine.learned_graphs import (
    KEYPOINTS,
    STAGE,
    FiniteEngine,
    NotImportedError,
    card_path,
    clear_learned,
    learned_folder,
    learned_size_bytes,
    open_learned,
)
from ros2_raxels.engine.model_card import Graph, ModelCard, sha256
from ros2_raxels.utils.files import write_json

AGAIN = "run `raxels engine import learned-matcher` again"


def imported(cache: Path, roles: tuple[str, ...]) -> Path:
    """A cache with graphs that are none, but have the checksums of the card."""
    folder = learned_folder(cache)
    folder.mkdir(parents=True)
    graphs = {}
    for role in roles:
        file = folder / f"{role}.onnx"
        file.write_bytes(role.encode())
        graphs[role] = Graph(file.name, sha256(file), "fp32")
    write_json(card_path(cache), ModelCard("learned-matcher", "", graphs, 1.0, {}).record())
    return folder


def test_nothing_was_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(NotImportedError, match="run `raxels engine import learned-matcher`"):
        open_learned()
    assert learned_size_bytes() == 0
    assert clear_learned() == (0, 0)


def test_a_file_that_is_not_the_one_of_the_card(tmp_path: Path) -> None:
    folder = imported(tmp_path, (KEYPOINTS, f"{STAGE}0"))
    (folder / f"{STAGE}0.onnx").write_bytes(b"other")
    with pytest.raises(EngineError, match=f"stage_0.onnx is not the file that its card means.*{AGAIN}"):
        open_learned(tmp_path)


@pytest.mark.parametrize(
    ("card", "reason"),
    [("{", "card.json is not a model card"), ('{"format": 1}', "is of format 1"), ("[]", "is not a model card")],
)
def test_a_card_that_is_damaged_or_old(tmp_path: Path, card: str, reason: str) -> None:
    imported(tmp_path, (KEYPOINTS, f"{STAGE}0"))
    card_path(tmp_path).write_text(card)
    with pytest.raises(EngineError, match=f"{reason}.*{AGAIN}"):
        open_learned(tmp_path)


def test_a_card_without_stages_or_keypoints(tmp_path: Path) -> None:
    imported(tmp_path, (KEYPOINTS,))
    with pytest.raises(EngineError, match=f"names no stages.*{AGAIN}"):
        open_learned(tmp_path)
    imported(tmp_path / "other", (f"{STAGE}0",))
    with pytest.raises(EngineError, match=f"has no graph 'keypoints'.*{AGAIN}"):
        open_learned(tmp_path / "other")


def test_a_graph_that_onnx_runtime_refuses(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    imported(tmp_path, (KEYPOINTS, f"{STAGE}0"))
    with pytest.raises(EngineError, match=f"keypoints.onnx cannot be loaded.*{AGAIN}"):
        open_learned(tmp_path)


def test_an_answer_that_is_not_a_number_is_an_error_that_names_the_graph() -> None:
    class Answers(CornersGraph):
        pixel = 3.0

        def run(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
            return {"pixels": np.array([[self.pixel, 1.0]], np.float32), "keep_a": np.array([True])}

    graph = Answers()
    engine = FiniteEngine(graph, KEYPOINTS)  # type: ignore[arg-type]
    np.testing.assert_array_equal(engine.run({})["pixels"], [[3.0, 1.0]])
    graph.pixel = np.nan
    with pytest.raises(EngineError, match=f"^keypoints of the learned matcher gives NaN for pixels; {AGAIN}$"):
        engine.run({})


def test_it_is_counted_and_removed(tmp_path: Path) -> None:
    folder = imported(tmp_path, (KEYPOINTS, f"{STAGE}0"))
    size = sum(file.stat().st_size for file in folder.iterdir())
    assert learned_size_bytes(tmp_path) == size
    assert clear_learned(tmp_path) == (3, size)
    assert not folder.exists()
