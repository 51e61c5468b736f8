"""Scores of whole recordings: against the truth, beside a peer, and as tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from posed_sets import write_rendered_set

from ros2_raxels.evaluation.clips.peers import PeerTrajectory
from ros2_raxels.evaluation.machine.timing import Spread
from ros2_raxels.evaluation.tracks import track_scores
from ros2_raxels.evaluation.tracks.track_scores import (
    PeerScore,
    TrackScore,
    accuracy_table,
    evaluate_track,
    run_peer,
    time_table,
)
from ros2_raxels.factory import make_tracker
from ros2_raxels.geometry.trajectory import TrajectoryScore, path_length, score_trajectory
from ros2_raxels.recordings.open import open_source
from ros2_raxels.utils.files import FileError

FRAMES = 16


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rendered_set(tmp_path_factory.mktemp("data") / "room", FRAMES)


def test_a_recording_is_tracked_scored_and_drawn_beside_a_peer(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source(room)
    truth = np.array([frame.camera_to_world for frame in source])
    # Right in a unit of its own, on every third frame.
    shown = truth[::3].copy()
    shown[:, :3, 3] *= 5.0
    asked: list[tuple[str, int]] = []

    def peer(name: str, source: object, most: int) -> PeerTrajectory:
        asked.append((name, most))
        return PeerTrajectory(list(range(0, FRAMES, 3)), shown, 2.5, "every third frame")

    monkeypatch.setattr(track_scores, "run_peer", peer)
    score, drawn = evaluate_track(source, make_tracker("none"), ["chain"], most=7)
    assert asked == [("chain", 7)]
    assert (score.name, score.frames, score.lost, score.losses) == ("room", FRAMES, 0, 0)
    assert score.tracked + score.held == FRAMES
    assert score.path == pytest.approx(path_length(truth))
    assert score.error is not None
    assert score.live is not None
    assert score.error.ate_percent < 5
    assert score.live.ate_percent < 10
    assert score.image_to_pose.mean <= score.whole.mean
    chain = score.peers["chain"]
    assert (chain.frames, chain.seconds, chain.note) == (6, 2.5, "every third frame")
    assert chain.error == score_trajectory(shown, truth, source.rate_hz, list(range(0, FRAMES, 3)))
    assert chain.error is not None
    assert chain.error.ate == pytest.approx(0.0, abs=1e-9)
    assert score.record()["peers"]["chain"]["error"]["ate_percent"] == pytest.approx(0.0, abs=1e-7)
    assert drawn.beside["chain"][0] == list(range(0, FRAMES, 3))
    np.testing.assert_array_equal(drawn.truth, truth)


def test_a_recording_without_truth_cannot_be_scored(room: Path) -> None:
    source = open_source(room / "images", limit=2)
    with pytest.raises(FileError, match="--tracks: images has frames without a true pose; choose another set"):
        evaluate_track(source, make_tracker("none"), [])


def test_a_peer_is_run_by_its_name(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []
    monkeypatch.setattr(track_scores, "chain_two_view", lambda *arguments: given.append(arguments))
    monkeypatch.setattr(track_scores, "map_offline", lambda *arguments: given.append(arguments))
    monkeypatch.setattr(track_scores, "cores", lambda: 3)
    source = open_source(room)
    run_peer("chain", source)
    run_peer("colmap", source, most=9)
    assert given == [(source,), (source, FRAMES, 3, 9)]


ERROR = TrajectoryScore(9, 0.12345, 1.234, 0.5, 5.0, 0.01, 0.1, 0.02, 0.2, 1.05, None)
SPREAD = Spread(11.0, 14.0, 20.0, 12.0)
TRACK = TrackScore(
    "a", 10, 5.0, 8, 1, 1, 1, 3, ERROR, replace(ERROR, ate_percent=2.5), SPREAD, replace(SPREAD, mean=500.0)
)


def test_a_table_has_a_row_live_one_at_the_end_and_one_for_each_peer() -> None:
    peers = {"chain": PeerScore(4, 3.4, "keyframes", None)}
    header, live, end, peer = accuracy_table([replace(TRACK, peers=peers)])
    assert header[:6] == ["set", "method", "frames", "posed", "lost", "losses"]
    assert live[:6] == ["a", "raxels", "10", "8", "1", "1"]
    percent = header.index("% of path")
    assert (live[percent], end[percent], peer[percent]) == ("2.50", "1.23", "-")
    # Ten frames of half a second.
    assert live[-2:] == ["5", "frame by frame"]
    assert end[1] == "raxels, at the end"
    assert end[header.index("ATE Sim(3)")] == "0.1235"
    # What is not known is a dash.
    assert end[header.index("range")] == "-"
    assert peer == ["", "chain", "", "4", "", "", *["-"] * 9, "3", "keyframes"]
    assert {len(row) for row in (header, live, end, peer)} == {len(header)}


def test_times_are_those_to_the_pose_and_those_of_the_whole() -> None:
    header, row = time_table([TRACK])
    assert header[:4] == ["set", "keyframes", "p50", "p95"]
    assert row == ["a", "3", "11.0", "14.0", "20.0", "11.0", "14.0", "20.0", "500.0"]
