"""raxels evaluate --peers: a peer that is missing or unknown is refused before any work."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from posed_sets import write_rendered_set
from ros_testing import ROOT

from ros2_raxels.cli.main import main
from ros2_raxels.evaluation.tracks.track_scores import PEERS


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rendered_set(tmp_path_factory.mktemp("data") / "room", 8)


def test_without_pycolmap_the_pin_is_named_before_any_work(
    room: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    assert main(["evaluate", str(room.parent), "--tracks", "room", "--peers", "chain,colmap"]) == 2
    said = capsys.readouterr().err
    assert "pip install -r requirements/peers.txt" in said
    pins = ROOT / "requirements" / "peers.txt"
    assert "\npycolmap==" in pins.read_text()


def test_an_unknown_peer_is_refused(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(room.parent), "--peers", "chain,orb"]) == 2
    assert f"'orb' is no peer; choose from {', '.join(PEERS)}" in capsys.readouterr().err
