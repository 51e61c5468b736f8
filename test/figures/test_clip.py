"""The figures of evidence and guidance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from figure_walk import RIGHT, WRONG, exact_walk, has, written

from ros2_raxels.figures.clip import draw_evidence_figure, draw_guidance_figure, solved_clip


@pytest.mark.slow
@pytest.mark.xdist_group("figures")
def test_the_figures_of_a_clip_tell_right_from_wrong(tmp_path: Path):
    clip = solved_clip(exact_walk())
    evidence = written(draw_evidence_figure(clip), tmp_path)
    assert evidence.shape == (332, 1136, 3)
    assert has(evidence[42:312, 756:1116], RIGHT)
    assert not has(evidence[42:312, 756:1116], WRONG)
    assert not has(evidence[42:312, 388:748], RIGHT)
    guidance = written(draw_guidance_figure(clip), tmp_path)
    assert guidance.shape == (332, 1136, 3)
    best = clip.guided[0][1:, :3, 3]
    truth = clip.truth[1:, :3, 3]
    assert np.abs(best / np.linalg.norm(best, axis=1).max() - truth).max() < 0.1
