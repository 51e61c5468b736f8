"""Fixtures of the tests of commands: a rendered set, its clips, a model of views and frames for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from posed_sets import write_rendered_set
from view_tasks import IMAGES, write_image
from views_scene import exported_card

from ros2_raxels.evaluation.clips.clip_sets import make_clips, write_clips


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with one rendered set."""
    return write_rendered_set(tmp_path_factory.mktemp("data") / "room").parent


@pytest.fixture
def clips_json(rendered: Path, tmp_path: Path) -> Path:
    path = tmp_path / "clips.json"
    write_clips(path, make_clips(rendered, 3))
    return path


@pytest.fixture(scope="session")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model that makes views."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    return exported_card(tmp_path_factory)


@pytest.fixture(scope="session")
def predictor(card: Path) -> Any:
    from ros2_raxels.view_synthesis.predictor import ViewPredictor

    return ViewPredictor.load(card)


@pytest.fixture
def frames(tmp_path: Path) -> list[str]:
    """Files of the context, oldest first."""
    folder = tmp_path / "frames"
    folder.mkdir()
    return [write_image(folder / f"{index}.png", image) for index, image in enumerate(IMAGES)]
