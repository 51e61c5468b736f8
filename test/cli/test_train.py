"""`raxels train`: what cannot be trained is refused before the work. Training itself is tested with the loop."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands_rig import CapSys, error_line

torch = pytest.importorskip("torch")

from ros2_raxels.cli.main import main  # noqa: E402


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_a_device_that_is_not_there_is_refused_in_a_line(device: str, tmp_path: Path, capsys: CapSys) -> None:
    assert main(["train", "--preset", "tiny", "--device", device, "--out", str(tmp_path / "run")]) == 2
    line = error_line(capsys)
    assert line.startswith(f"raxels: --device {device} cannot be used (")
    assert line.endswith("give cpu, or cuda on a machine with a GPU\n")
    assert not (tmp_path / "run").exists()


def test_a_folder_without_clips_is_refused(tmp_path: Path, capsys: CapSys) -> None:
    (tmp_path / "clips").mkdir()
    options = ["--pixels", str(tmp_path / "clips"), "--out", str(tmp_path / "run")]
    assert main(["train", "--preset", "tiny", *options]) == 2
    assert f"{tmp_path / 'clips'} holds no rendered clips and no usable posed set" in error_line(capsys)
