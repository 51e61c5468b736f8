"""onnx_file: a torch module is written whole, with the sides that may have any length, and without a word."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from torch.export import Dim  # noqa: E402

from ros2_raxels.engine.onnx_file import write_onnx  # noqa: E402
from ros2_raxels.engine.onnx_runtime import OnnxRuntimeEngine  # noqa: E402
from ros2_raxels.utils.files import FileError  # noqa: E402


class Doubled(torch.nn.Module):  # type: ignore[name-defined, misc]
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


def write(path: Path) -> None:
    rows = Dim("rows", min=2, max=64)
    write_onnx(Doubled(), (torch.ones(3, 4),), ("x",), ("twice",), ({0: rows},), path)


def test_it_is_written_quietly_and_runs_with_other_lengths(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(tmp_path / "twice.onnx")
    assert "torchvision" not in "".join(capfd.readouterr())
    engine = OnnxRuntimeEngine(tmp_path / "twice.onnx", threads=1)
    x = np.arange(28, dtype=np.float32).reshape(7, 4)
    np.testing.assert_array_equal(engine.run({"x": x})["twice"], 2 * x)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="does not exist"):
        write(tmp_path / "gone" / "twice.onnx")
