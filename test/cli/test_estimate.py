"""`raxels estimate`: an answer for every clip, and one bad clip costs no other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands_rig import CapSys, Ran, error_line, run_once
from learned_rig import FakeGraphs
from posed_sets import yardstick

from ros2_raxels.cli.main import main
from ros2_raxels.estimation import learned_matcher
from ros2_raxels.estimation.estimator import Estimator
from ros2_raxels.evaluation.clips.clip_sets import make_clips, read_answers, write_clips
from ros2_raxels.evaluation.clips.metrics import mean_over_sets, score_sets


@pytest.fixture(scope="module")
def answered(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Three clips of the rendered set, answered."""
    folder = tmp_path_factory.mktemp("answered")
    write_clips(folder / "clips.json", make_clips(rendered, 3))
    return run_once(folder, "estimate", "--clips", str(folder / "clips.json"), "--out", str(folder / "answer.json"))


def test_estimate_answers_clips(answered: Ran, rendered: Path) -> None:
    assert (answered.status, answered.err) == (0, "")
    assert answered.out.startswith("3 clips, median ")
    answers, clips = read_answers(answered.folder / "answer.json"), make_clips(rendered, 3)
    assert answers.name == "raxels"
    for clip in clips:
        answer = answers.clips[clip.id]
        assert answer.camera_to_first is not None
        assert answer.camera_to_first.shape == (4, 4, 4)
        np.testing.assert_allclose(answer.camera_to_first[0], np.eye(4), atol=1e-9)
        np.testing.assert_array_equal(answer.intrinsics, clip.intrinsics)
        assert answer.confidence is not None
        assert ((answer.confidence >= 0) & (answer.confidence <= 1)).all()
        assert answer.seconds is not None
        assert 0 < answer.seconds < 20
    assert mean_over_sets(score_sets(clips, answers.clips)).rra15 == 1


def test_the_yardstick_reads_our_answers(answered: Ran) -> None:
    clips, answer = (json.loads((answered.folder / f"{name}.json").read_text()) for name in ("clips", "answer"))
    table, seconds = yardstick("score_poses").score(clips, answer)
    assert table["MEAN OVER SETS"]["rra15"] == 1
    assert seconds > 0


def test_estimate_without_intrinsics_neither_reads_nor_needs_them(clips_json: Path, tmp_path: Path) -> None:
    record = json.loads(clips_json.read_text())
    for clip in record["clips"]:
        del clip["intrinsics"]
    clips_json.write_text(json.dumps({"clips": record["clips"][:1]}))
    out = tmp_path / "answer.json"
    assert main(["estimate", "--clips", str(clips_json), "--out", str(out), "--no-intrinsics"]) == 0
    (answer,) = read_answers(out).clips.values()
    assert answer.intrinsics is not None
    assert (answer.intrinsics[:, 0] > 0).all()
    np.testing.assert_allclose(answer.intrinsics[:, 2:], [[79.5, 59.5]] * 4)


def test_one_bad_clip_does_not_lose_the_others(clips_json: Path, tmp_path: Path, capsys: CapSys) -> None:
    record = json.loads(clips_json.read_text())
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    record["clips"][0]["images"][1] = str(tmp_path / "gone.png")
    record["clips"][1]["images"][2] = str(bad)
    clips_json.write_text(json.dumps(record))
    out = tmp_path / "answer.json"
    assert main(["estimate", "--clips", str(clips_json), "--out", str(out)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    for line, clip, file in zip(lines, record["clips"], ("gone.png", "bad.jpg"), strict=False):
        assert line.startswith(f"raxels: clip {clip['id']} failed: ")
        assert file in line
    assert lines[2] == "raxels: 2 of 3 clips failed and are answered with confidence 0"
    answers = read_answers(out).clips
    assert len(answers) == 3
    for clip in record["clips"][:2]:
        np.testing.assert_array_equal(answers[clip["id"]].camera_to_first, np.tile(np.eye(4), (4, 1, 1)))
        np.testing.assert_array_equal(answers[clip["id"]].confidence, np.zeros(4))
    good = answers[record["clips"][2]["id"]]
    assert good.confidence is not None
    assert good.confidence.max() > 0


def test_a_solver_that_breaks_costs_one_clip(
    clips_json: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: CapSys
) -> None:
    def fail(*_: object) -> None:
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr(Estimator, "estimate", fail)
    assert main(["estimate", "--clips", str(clips_json), "--out", str(tmp_path / "answer.json")]) == 1
    assert "failed: Singular matrix" in capsys.readouterr().err
    assert len(read_answers(tmp_path / "answer.json").clips) == 3


def test_estimate_says_what_is_wrong_before_it_works(clips_json: Path, tmp_path: Path, capsys: CapSys) -> None:
    assert main(["estimate", "--clips", str(tmp_path / "gone.json"), "--out", str(tmp_path / "a.json")]) == 2
    assert "gone.json cannot be read" in error_line(capsys)
    assert main(["estimate", "--clips", str(clips_json), "--out", str(tmp_path / "no" / "a.json")]) == 2
    assert "does not exist; create it" in error_line(capsys)


def test_the_learned_matcher_is_asked_for_by_name(
    clips_json: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: CapSys
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    arguments = ["estimate", "--clips", str(clips_json), "--out", str(tmp_path / "answer.json"), "--model", "none"]
    assert main([*arguments, "--matcher", "learned"]) == 2
    assert "run `raxels engine import learned-matcher`; --matcher classic does without" in error_line(capsys)
    graphs = FakeGraphs()
    monkeypatch.setattr(learned_matcher, "open_learned", lambda: graphs)
    record = json.loads(clips_json.read_text())
    clips_json.write_text(json.dumps({"clips": record["clips"][:1]}))
    assert main([*arguments, "--matcher", "learned"]) == 0
    assert len(graphs.keypoints.asked) == 4
    assert capsys.readouterr().out.startswith("1 clips (learned matcher asked for 1), median ")
    assert main([*arguments, "--matcher", "classic"]) == 0
    assert len(graphs.keypoints.asked) == 4
