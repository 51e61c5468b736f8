"""Fixtures of the tests of training: views of a room, and recorded clips."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ros2_raxels.training.batch import ClipBatch
    from ros2_raxels.training.pixels import PixelClips


@pytest.fixture(scope="session")
def views() -> ClipBatch:
    """Two clips of a room as `VIEWS` has them, see `training_rig.views_of_a_room`."""
    from training_rig import views_of_a_room

    return views_of_a_room()


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> PixelClips:
    """Clips of a posed set of eight frames."""
    from training_rig import recorded_clips

    return recorded_clips(tmp_path_factory.mktemp("recorded"))
