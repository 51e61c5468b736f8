"""Classical two-view geometry as a peer: as good as the independent yardstick's, and clear about what it lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from posed_sets import DEV, write_rendered_set, yardstick

from ros2_raxels.evaluation.clips.clip_sets import (
    Clip,
    make_clips,
)
from ros2_raxels.evaluation.clips.metrics import (
    mean_over_sets,
    score_sets,
)
from ros2_raxels.evaluation.clips.peers import TwoViewPeer, chain_two_view
from ros2_raxels.geometry.trajectory import absolute_error
from ros2_raxels.recordings.open import open_source
from ros2_raxels.utils.files import FileError


def records(clips: list[Clip]) -> dict[str, Any]:
    return {"clips": [clip.record() for clip in clips]}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with one rendered set."""
    return write_rendered_set(tmp_path_factory.mktemp("data") / "room").parent


def check_peer(clips: list[Clip]) -> None:
    """Our classical peer must be as good as the yardstick's, no better and no worse."""
    tool = yardstick("score_poses")
    cv2.setRNGSeed(0)
    peer = TwoViewPeer()
    answers = {clip.id: peer.answer(clip) for clip in clips}
    cv2.setRNGSeed(0)
    theirs = tool.peer(records(clips), "both")
    assert theirs["name"] == peer.name
    assert all(answer.seconds is not None and answer.seconds > 0 for answer in answers.values())
    ours, expected = mean_over_sets(score_sets(clips, answers)), tool.score(records(clips), theirs)[0]["MEAN OVER SETS"]
    assert ours.auc5 == pytest.approx(expected["auc5"], abs=0.01)
    assert ours.auc30 == pytest.approx(expected["auc30"], abs=0.01)


def test_the_peer_is_as_good_as_the_yardsticks(rendered: Path) -> None:
    check_peer(make_clips(rendered, 4))


@pytest.mark.data
@pytest.mark.skipif(not DEV.is_dir(), reason="recorded data is not there")
def test_the_peer_is_as_good_as_the_yardsticks_on_recorded_data() -> None:
    check_peer([clip for clip in make_clips(DEV, 3) if clip.set_name in ("drone_field", "kitti_seq1", "llff_fern")])


def test_the_peer_finds_rendered_cameras(rendered: Path) -> None:
    clips = [clip for clip in make_clips(rendered, 6) if not clip.id.endswith("x1")]
    peer = TwoViewPeer()
    score = mean_over_sets(score_sets(clips, {clip.id: peer.answer(clip) for clip in clips}))
    assert score.rot_med_deg < 2
    assert score.dir_med_deg < 15


def test_images_without_texture_have_a_finite_answer(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    cv2.imwrite(str(path), np.full((60, 80), 128, np.uint8))
    answer = TwoViewPeer().answer(Clip("a", "s", (path, path), np.array([[80, 80, 40, 30]] * 2)))
    assert answer.pairs is not None
    assert np.isfinite(answer.pairs[0, 1]).all()


def test_the_peer_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"gone\.png cannot be read"):
        TwoViewPeer().answer(Clip("a", "s", (tmp_path / "gone.png",) * 2))
    path = tmp_path / "grey.png"
    cv2.imwrite(str(path), np.full((60, 80), 128, np.uint8))
    with pytest.raises(FileError, match="clip a has no 'intrinsics'"):
        TwoViewPeer().answer(Clip("a", "s", (path, path)))


def test_the_chained_peer_follows_a_rendered_camera(rendered: Path) -> None:
    source = open_source(rendered / "room")
    chain = chain_two_view(source)
    truth = np.array([frame.camera_to_world for frame in source])
    assert chain.indices[0] == 0
    assert len(chain.poses) == len(chain.indices) > 3
    assert absolute_error(chain.poses, truth[chain.indices]).translation_percent < 15
