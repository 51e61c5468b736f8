"""Goals for the view server, one at a time, of every kind that a planner may send."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from threading import Event as Flag
from typing import Any

import numpy as np

from ros2_raxels.client import ViewClient, ViewClientError, make_goal
from ros2_raxels.geometry.poses import FloatArray, make_pose
from ros2_raxels.soak.camera import NAMESPACE
from ros2_raxels.soak.record import Ended

_ACTION = f"{NAMESPACE}/raxels_views/predict_views"
_KINDS = {"ahead": 0.7, "imagined": 0.1, "cancelled": 0.1, "nonsense": 0.1}
_VIEWS = 4
_STEP = 0.05
"""Distance between views, in the unit of the poses."""

_CANCEL_AFTER_S = 0.2


class Goals:
    """Sends goals from a thread of its own.

    Args:
        every_s: pause between goals.
        seed: of the kinds.
        newest: frame id and pose of the newest tracked image; None before there is one.
        now_s: seconds after the first frame.
    """

    def __init__(
        self,
        every_s: float,
        seed: int,
        newest: Callable[[], tuple[str, FloatArray] | None],
        now_s: Callable[[], float],
    ) -> None:
        self.ended: list[Ended] = []
        self._every_s, self._newest, self._now_s = every_s, newest, now_s
        self._generator = np.random.default_rng(seed)
        self._client = ViewClient(_ACTION, "planner")
        self._stopping = Flag()
        self._thread = threading.Thread(target=self._run, name="goals", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and leave the network. A running goal is not waited for and does not count."""
        self._stopping.set()
        self._client.close()

    def _run(self) -> None:
        kinds, shares = list(_KINDS), list(_KINDS.values())
        while not self._stopping.wait(self._every_s):
            newest = self._newest()
            if newest is None:
                continue
            kind = str(self._generator.choice(kinds, p=shares))
            at_s, begun = self._now_s(), time.monotonic()
            outcome, words = self._send(kind, *newest)
            if not self._stopping.is_set():
                self.ended.append(Ended(at_s, kind, outcome, time.monotonic() - begun, words))

    def _send(self, kind: str, frame: str, pose: FloatArray) -> tuple[str, str]:
        try:
            pending = self._client.send(self._goal(kind, frame, pose))
            if kind == "cancelled":
                self._stopping.wait(_CANCEL_AFTER_S)
                pending.cancel()
            views = pending.result()
            return views.code_name, views.message
        except ViewClientError as error:
            return ("rejected" if "rejected" in str(error) else "no answer"), str(error)
        except Exception as error:
            # At the end the client is torn down under a running goal. At any other time this is worth reporting.
            return "no answer", f"{type(error).__name__}: {error}"

    def _goal(self, kind: str, frame: str, pose: FloatArray) -> Any:
        if kind == "imagined":
            return make_goal(views=_VIEWS)
        steps = [math.nan] * _VIEWS if kind == "nonsense" else _STEP * np.arange(1, _VIEWS + 1)
        return make_goal([pose @ make_pose(np.eye(3), (0.0, 0.0, step)) for step in steps], frame)
