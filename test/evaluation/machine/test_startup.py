"""The process whose start is timed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ros2_raxels.evaluation.machine.startup import start_process


def test_a_process_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"loads the tracker failed: .*gone\.json is not a model card"):
        start_process(str(tmp_path / "gone.json"))
