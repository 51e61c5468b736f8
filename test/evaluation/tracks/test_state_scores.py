"""state_scores: frames are found by their stamps, errors are of what was tracked, and peers are heard or named."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from ros2_raxels.evaluation.tracks.state_scores import read_states, run_peer, score_states
from ros2_raxels.scenes.trajectories import handheld_loop
from ros2_raxels.tracking.frame_state import FrameState, writing_states
from ros2_raxels.utils.files import FileError

TRUTH = handheld_loop(6.0, 10.0, seed=3)[:30]
STAMPS_NS = [k * 100_000_000 for k in range(30)]


def states(*numbers: int, shift_m: float = 0.0) -> list[FrameState]:
    """Of these frames, half as large as the truth, each second one to the side."""
    found = []
    for index, k in enumerate(numbers):
        pose = TRUTH[k].copy()
        pose[:3, 3] = 0.5 * (pose[:3, 3] + (shift_m * (index % 2), 0, 0))
        found.append(FrameState(STAMPS_NS[k] + 3_000_000, "TRACKING", pose))
    return found


def test_the_score_is_that_of_the_frames_with_a_pose_of_their_own() -> None:
    given = states(*range(5, 15), *range(20, 28))
    given += [FrameState(STAMPS_NS[28], "HELD", np.eye(4)), FrameState(STAMPS_NS[29] + 10**9, "TRACKING", np.eye(4))]
    given += [FrameState(STAMPS_NS[0], "TRACKING")]
    score = score_states(given, STAMPS_NS, TRUTH, 10.0)
    assert (score.frames, score.tracked) == (30, pytest.approx(18 / 30))
    assert score.ate_percent == pytest.approx(0.0, abs=1e-6)
    assert score.longest_gap_s == pytest.approx(0.6)
    wrong = score_states(states(*range(30), shift_m=0.1), STAMPS_NS, TRUTH, 10.0)
    assert wrong.ate_percent is not None
    assert wrong.ate_percent > 1


def test_without_truth_or_poses_there_is_no_error() -> None:
    assert score_states(states(*range(9)), STAMPS_NS, None, 10.0).ate_percent is None
    nothing = score_states([], STAMPS_NS, TRUTH, 10.0)
    assert (nothing.tracked, nothing.ate_percent, nothing.longest_gap_s) == (0.0, None, None)


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "states.jsonl"
    with writing_states(path) as write:
        for state in [*states(3), FrameState(7, "LOST")]:
            write(state)
    tracked, lost = read_states(path)
    assert (tracked.stamp_ns, tracked.state) == (STAMPS_NS[3] + 3_000_000, "TRACKING")
    expected = states(3)[0].pose
    assert tracked.pose is not None
    assert expected is not None
    np.testing.assert_allclose(tracked.pose, expected, atol=1e-7)
    assert (lost.stamp_ns, lost.state, lost.pose) == (7, "LOST", None)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2 is not JSON"),
        ('{"state": "LOST"}', "line 2 has no 'stamp'; add it"),
        ('{"stamp": 1, "state": "LOST", "pose": [1]}', "line 2: pose = [1] must be 7 finite number(s)"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "states.jsonl"
    path.write_text(f'{{"stamp": 0, "state": "LOST"}}\n{line}\n')
    with pytest.raises(FileError) as caught:
        read_states(path)
    assert words in str(caught.value)


def program(path: Path, text: str) -> str:
    path.write_text(text)
    return f"{sys.executable} '{path}' {{set}} {{out}}"


def test_a_peer_is_told_the_set_and_the_file(tmp_path: Path) -> None:
    text = "import sys, json\n_, folder, out = sys.argv\n"
    text += "open(out, 'w').write(json.dumps({'stamp': 2.5, 'state': 'LOST'}))\nprint('a'); print(folder, out)\n"
    folder = tmp_path / "a set"
    found, words = run_peer(program(tmp_path / "a peer.py", text), folder, 30.0)
    assert [(state.stamp_ns, state.state) for state in found] == [(2_500_000_000, "LOST")]
    assert words == "{set} {out}"


def test_what_a_peer_answered_counts_whatever_its_status(tmp_path: Path) -> None:
    text = "import sys\nopen(sys.argv[2], 'w').write('')\nsys.exit('only few')\n"
    assert run_peer(program(tmp_path / "peer.py", text), tmp_path, 30.0) == ([], "only few")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import sys; sys.exit('no vocabulary')", "ended with exit status 1: no vocabulary"),
        ("pass", "states.jsonl cannot be read"),
        ("input()", "timed out after 0.2 seconds; correct the command"),
    ],
)
def test_a_peer_that_fails_is_named(tmp_path: Path, text: str, words: str) -> None:
    command = program(tmp_path / "peer.py", "import time\n" + text.replace("input()", "time.sleep(60)"))
    with pytest.raises(FileError) as caught:
        run_peer(command, tmp_path, 0.2 if "timed" in words else 30.0)
    assert words in str(caught.value)
    with pytest.raises(FileError, match="nowhere/program"):
        run_peer("/nowhere/program {out}", tmp_path, 30.0)
