"""The record of a soak: answers belong to the frames with their stamps, and only timely ones have a latency."""

from __future__ import annotations

import numpy as np

from ros2_raxels.soak.record import Answer, NodeCounts, Record, Sent


def record(sent: list[Sent], answers: dict[int, Answer]) -> Record:
    return Record(9.0, [], sent, 0, answers, NodeCounts(), {}, [], {})


def test_an_answer_belongs_to_the_frame_with_its_stamp() -> None:
    first, withheld, unanswered = Sent(0.0, 100, "none"), Sent(0.1, None, "drop"), Sent(0.2, 300, "none")
    answer = Answer(0.05, True, 0.05)
    known = record([first, withheld, unanswered], {100: answer, 999: Answer(1.0, False, 0.0)})
    assert known.answer(first) is answer
    assert known.answer(withheld) is None
    assert known.answer(unanswered) is None


def test_latencies_are_those_of_timely_frames_that_were_answered() -> None:
    sent = [Sent(0.0, 1, "none"), Sent(0.1, 2, "late", timely=False), Sent(0.2, 3, "none"), Sent(0.3, 4, "none")]
    answers = {stamp: Answer(stamp, True, 0.01 * stamp) for stamp in (1, 2, 4)}
    np.testing.assert_allclose(record(sent, answers).latencies(), [[0.0, 0.01], [0.3, 0.04]])
    assert record([], {}).latencies().shape == (0, 2)
