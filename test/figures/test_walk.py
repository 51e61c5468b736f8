"""The walk of the figures: all of it recorded, its beginning tracked and laid over the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from posed_sets import write_rendered_set

from ros2_raxels import factory
from ros2_raxels.figures import walk
from ros2_raxels.recordings.open import open_source

FRAMES, TRACKED = 16, 12


def test_the_beginning_of_a_walk_is_tracked_and_laid_over_its_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_rendered_set(tmp_path / "room", FRAMES)
    monkeypatch.setattr(walk, "shown_walk", lambda of: folder)
    monkeypatch.setattr(walk, "make_tracker", lambda model: factory.make_tracker("none"))
    found = walk.tracked_walk(TRACKED)
    recorded = list(open_source(folder))
    np.testing.assert_array_equal(found.images, [frame.image for frame in recorded])
    np.testing.assert_array_equal(found.truth, [frame.camera_to_world for frame in recorded])
    assert found.estimate.shape == (TRACKED, 4, 4)
    assert found.error.translation_percent < 5.0
    off = np.linalg.norm(found.estimate[:, :3, 3] - found.truth[:TRACKED, :3, 3], axis=1)
    np.testing.assert_allclose(off, found.error.translation, atol=1e-9)
