"""Methods side by side: every clip is answered by each, in turns, and times and failures are kept."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ros2_raxels.evaluation.clips import methods
from ros2_raxels.evaluation.clips.clip_sets import Clip, ClipAnswer
from ros2_raxels.evaluation.clips.methods import Method, answer_all, speed_ratio, two_view_method
from ros2_raxels.geometry.poses import make_pose

POSES = np.array([make_pose(np.eye(3), [x, 0, 0]) for x in (0.0, 1.0)])
CLIPS = [Clip(f"s/{k}", "s", (Path("a"), Path("b")), np.full((2, 4), 100.0), POSES) for k in range(4)]


def exact(clip: Clip) -> tuple[ClipAnswer, str]:
    return ClipAnswer(clip.id, POSES, intrinsics=np.full((2, 4), 110.0), seconds=0.1, stage_s={"read": 0.01}), ""


def test_every_method_answers_every_clip_and_none_is_always_first() -> None:
    asked: list[str] = []

    def method(name: str) -> Method:
        def attempt(clip: Clip) -> tuple[ClipAnswer, str]:
            asked.append(f"{name} {clip.id}")
            return ClipAnswer(clip.id, POSES), ""

        return Method(name, attempt)

    found = [method("a"), method("b")]
    answer_all(CLIPS[:3], found)
    # The first clip once more for each, for what is loaded at first use.
    assert asked == ["a s/0", "b s/0", "a s/0", "b s/0", "b s/1", "a s/1", "a s/2", "b s/2"]
    assert [list(of.answers) for of in found] == [["s/0", "s/1", "s/2"]] * 2
    assert [of.failures for of in found] == [{}, {}]


def test_the_record_has_scores_times_and_failures() -> None:
    def attempt(clip: Clip) -> tuple[ClipAnswer, str]:
        if clip.id == "s/3":
            return ClipAnswer(clip.id, pairs={}), "too dark"
        answer, _ = exact(clip)
        scale = 1 + int(clip.id[-1])
        return ClipAnswer(clip.id, POSES, intrinsics=answer.intrinsics, seconds=0.1 * scale, stage_s={"read": 0.01}), ""

    method = Method("ours", attempt)
    answer_all(CLIPS, [method])
    record = method.record(CLIPS)
    assert record["failures"] == {"s/3": "too dark"}
    # A clip without an answer counts as wrong.
    assert record["mean"]["auc5"] == record["sets"]["s"]["auc5"] == pytest.approx(0.75)
    assert record["focal_error"] == pytest.approx(0.1)
    assert record["coverage"] is None
    # 100, 200 and 300 ms; the failure has no time.
    assert record["ms"] == {
        "read": pytest.approx({"median": 10.0, "p95": 10.0}),
        "total": pytest.approx({"median": 200.0, "p95": 290.0}),
    }


def test_the_ratio_of_speeds_is_that_of_the_medians() -> None:
    ours, peer, silent = Method("ours", exact), Method("peer", exact), Method("silent", exact)
    ours.answers = {"a": ClipAnswer("a", POSES, seconds=0.1)}
    peer.answers = {"a": ClipAnswer("a", POSES, seconds=0.25)}
    assert speed_ratio(ours, peer) == pytest.approx(2.5)
    assert speed_ratio(ours, silent) is None
    assert silent.median_ms() is None


@pytest.mark.parametrize("error", [ValueError("no\n  matches"), cv2.error("no\n  matches")])
def test_a_peer_that_fails_gives_an_answer_without_poses_and_says_why_in_a_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(peer: object, clip: Clip) -> ClipAnswer:
        raise error

    monkeypatch.setattr(methods.TwoViewPeer, "answer", fail)
    method = two_view_method()
    method.solve(CLIPS[0])
    assert method.name == "opencv-both"
    assert method.failures == {"s/0": "no matches"}
    assert method.answers["s/0"].relative(0, 1) is None
