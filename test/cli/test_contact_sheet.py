"""A contact sheet shows worlds that differ."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.cli.contact_sheet import contact_sheet

# To draw the tiles takes eight seconds, and one process keeps them.
pytestmark = pytest.mark.xdist_group("tiles")


def test_a_contact_sheet_shows_different_worlds() -> None:
    sheet = contact_sheet(0, 2, 3, 48, 36)
    assert sheet.shape == (72, 144, 3)
    tiles = sheet.reshape(2, 36, 3, 48, 3).swapaxes(1, 2).reshape(6, -1).astype(float)
    assert np.corrcoef(tiles)[np.triu_indices(6, 1)].max() < 0.8
