"""Methods side by side on the same clips: their answers, failures and times."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
from tqdm import tqdm

from ros2_raxels.evaluation.clips.clip_sets import Clip, ClipAnswer
from ros2_raxels.evaluation.clips.metrics import coverage, focal_error, mean_over_sets, score_sets
from ros2_raxels.evaluation.clips.peers import TwoViewPeer
from ros2_raxels.evaluation.machine.timing import Spread

Attempt = Callable[[Clip], tuple[ClipAnswer, str]]


@dataclass
class Method:
    """A method, its answers by clip id, and the reasons for those that failed.

    Attributes:
        attempt: answers a clip, and says why where it fails (empty where it does not).
    """

    name: str
    attempt: Attempt
    answers: dict[str, ClipAnswer] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def solve(self, clip: Clip) -> None:
        """Answer a clip and keep the outcome."""
        self.answers[clip.id], reason = self.attempt(clip)
        if reason:
            self.failures[clip.id] = reason

    def record(self, clips: Sequence[Clip]) -> dict[str, Any]:
        """As ``report.json`` holds it."""
        scores = score_sets(clips, self.answers)
        return {
            "mean": mean_over_sets(scores).record(),
            "sets": {name: score.record() for name, score in scores.items()},
            "focal_error": focal_error(clips, self.answers),
            "coverage": coverage(clips, self.answers),
            "ms": self.stages_ms(),
            "failures": self.failures,
        }

    def stages_ms(self) -> dict[str, dict[str, float]]:
        """Median and 95th percentile of each stage, and of the whole, over the clips that have them."""
        answers = list(self.answers.values())
        stages = dict.fromkeys(name for answer in answers for name in answer.stage_s)
        times = {name: [a.stage_s[name] for a in answers if name in a.stage_s] for name in stages}
        times["total"] = [a.seconds for a in answers if a.seconds is not None]
        spreads = {name: Spread.of(t) for name, t in times.items() if t}
        return {name: {"median": spread.p50, "p95": spread.p95} for name, spread in spreads.items()}

    def median_ms(self) -> float | None:
        """Median of the total over the clips; None when none was answered."""
        return self.stages_ms().get("total", {}).get("median")


def two_view_method() -> Method:
    """Classical two-view geometry."""
    peer = TwoViewPeer()
    return Method(peer.name, lambda clip: _peer_answer(peer, clip))


def _peer_answer(peer: TwoViewPeer, clip: Clip) -> tuple[ClipAnswer, str]:
    try:
        return peer.answer(clip), ""
    except (ValueError, cv2.error) as error:
        return ClipAnswer(clip.id, pairs={}), " ".join(str(error).split())


def answer_all(clips: Sequence[Clip], methods: Sequence[Method]) -> None:
    """Have every method answer every clip."""
    for method in methods:
        # Not timed: what is loaded on first use should not be charged to a clip.
        method.attempt(clips[0])
    for number, clip in enumerate(tqdm(clips, unit="clip", disable=not sys.stderr.isatty())):
        # Alternating, so that no method always profits from images that another has read into the cache.
        for method in methods if number % 2 == 0 else methods[::-1]:
            method.solve(clip)


def speed_ratio(ours: Method, peer: Method) -> float | None:
    """Ratio of median times, the peer's over ours; None when one of them answered nothing."""
    own_ms, peer_ms = ours.median_ms(), peer.median_ms()
    return peer_ms / own_ms if own_ms and peer_ms else None
