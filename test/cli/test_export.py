"""`raxels export`: options choose the graphs, and a checkpoint that is none is wrong input."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commands_rig import CapSys, error_line

pytest.importorskip("torch")
pytest.importorskip("safetensors")

from ros2_raxels.cli import export as command
from ros2_raxels.cli.main import main
from ros2_raxels.training.export import Parts


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ([], None),
        (["--only", "poses"], Parts(poses=True, views=False, mixed=True)),
        (["--only", "views", "--no-mixed"], Parts(poses=False, views=True, mixed=False)),
        (["--no-mixed"], Parts(poses=True, views=True, mixed=False)),
    ],
)
def test_options_choose_the_graphs(
    options: list[str], parts: Parts | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: CapSys
) -> None:
    given: list[Any] = []

    def export(checkpoint: Path, out: Path, name: str, _: Any, parts: Parts | None) -> Any:
        given.append((checkpoint, out, name, parts))
        graph = SimpleNamespace(file="small_encode.onnx", sha256="0123456789abcdef")
        return SimpleNamespace(graphs={"encode": graph}, expected={"clips": 2})

    monkeypatch.setattr(command, "export", export)
    monkeypatch.setattr(command.Validation, "synthetic", lambda: None)
    out = tmp_path / "engines"
    assert main(["export", "run.safetensors", "--out", str(out), "--name", "small", *options]) == 0
    assert given == [(Path("run.safetensors"), out, "small", parts)]
    assert capsys.readouterr().out.splitlines() == [
        f"encode: {out}/small_encode.onnx, sha256 0123456789ab",
        "expected on clips: {'clips': 2}",
    ]


def test_a_checkpoint_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: CapSys) -> None:
    monkeypatch.setattr(command.Validation, "synthetic", lambda: None)
    assert main(["export", str(tmp_path / "gone"), "--out", str(tmp_path)]) == 2
    assert "gone is not a checkpoint of this version" in error_line(capsys)
