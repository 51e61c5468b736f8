"""``camera``: plays a recording as if it were a camera, at its own pace."""

from __future__ import annotations

import queue
import sys
import threading
import time
from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.task import Future

from ros2_raxels.nodes.camera_parameters import CAMERA_NODE, CAMERA_TABLE
from ros2_raxels.nodes.camera_topics import CameraTopics, Filled
from ros2_raxels.nodes.common.messages import stamp_message
from ros2_raxels.nodes.common.parameters import declare
from ros2_raxels.nodes.common.runner import USAGE_ERROR, run
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.resampled import ResampledSource
from ros2_raxels.recordings.schedule import Schedule
from ros2_raxels.recordings.source import DepthOptions, FrameSource, SourceError
from ros2_raxels.utils.argument_types import size_px

_AHEAD = 8
_POLL_S = 0.05
_SETTLE_S = 0.3
_JOIN_S = 0.4
_ACKNOWLEDGE_S = 1.0
_UNKNOWN_NODE = ("_NODE_NAMESPACE_UNKNOWN_", "_NODE_NAME_UNKNOWN_")
"""What rclpy calls a node whose topics were discovered before its name."""


@dataclass(frozen=True)
class _Ready:
    """A frame as messages, and when it is due after the first one, s."""

    messages: Filled
    stamp_ns: int
    due_s: float


class CameraPlayer(Node):
    """Publishes the images of a recording by absolute deadlines, so that it cannot drift; see `CameraTopics`.

    One thread reads ahead and decodes, another publishes; the executor's stays free for parameters and signals.

    Args:
        options: of ``rclpy.node.Node``.

    Raises:
        SourceError: on `start`, when the recording cannot be opened.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(CAMERA_NODE, **options)
        self.finished: Future = Future()
        self._settings = declare(self, CAMERA_TABLE)
        self._stopping = threading.Event()
        self._queue: queue.Queue[_Ready | SourceError | None] = queue.Queue(_AHEAD)
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Open the recording and begin."""
        source = self._sized(self._open())
        reliable = self._settings.text("reliability") == "reliable"
        qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT)
        frames = (self._settings.text("frame_id"), self._settings.text("base_frame"))
        self._topics = CameraTopics(self, source, qos, *frames)
        for note in source.notes if source.rig is not None else ():
            self.get_logger().info(note)
        self._threads = [
            threading.Thread(target=self._read, args=(source,), name="reader", daemon=True),
            threading.Thread(target=self._play, name="player", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End both threads; one that is still busy after a short wait is left to the process's end."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(_JOIN_S)

    def _open(self) -> FrameSource:
        spec = self._settings.text("source")
        if not spec:
            raise SourceError("parameter source is empty; say what to play: --ros-args -p source:=PATH")
        return open_source(
            spec,
            image_topic=self._settings.text("image_topic") or None,
            camera_name=self._settings.text("camera") or None,
            depth=DepthOptions(topic=self._settings.text("depth_topic") or None),
            limit=self._settings.integer("limit") or self._settings.integer("max_frames") or None,
        )

    def _sized(self, source: FrameSource) -> FrameSource:
        """The recording at the wanted size."""
        text = self._settings.text("size")
        if not text:
            return source
        try:
            size = size_px(text)
        except ArgumentTypeError as error:
            raise SourceError(f"parameter size: {error}") from error
        if source.has_depth:
            raise SourceError(f"size = {text!r} is for recordings without depth images; leave it out")
        return ResampledSource(source, *size)

    # ----------------------------------------------------------------------------------------- reader's thread

    def _read(self, source: FrameSource) -> None:
        try:
            for ready in self._prepared(source):
                if not self._hand_over(ready):
                    return
            self._hand_over(None)
        except SourceError as error:
            self._hand_over(error)
        except Exception as error:
            # Whatever a decoder raises, the process must end with a word instead of waiting for ever.
            self._hand_over(SourceError(f"reading failed: {type(error).__name__}: {error}"))

    def _prepared(self, source: FrameSource) -> Iterator[_Ready]:
        schedule = Schedule(self._settings.number("speed") * self._settings.number("rate"), 1.0 / source.rate_hz)
        while True:
            empty = True
            schedule.restart()
            for frame in source:
                empty = False
                yield _Ready(self._topics.filled(frame), frame.stamp_ns, schedule.due_s(frame.stamp_ns))
            if empty:
                raise SourceError(f"{source.name} has no frames; give a recording with images")
            if not self._settings.flag("loop"):
                return

    def _hand_over(self, item: _Ready | SourceError | None) -> bool:
        while not self._stopping.is_set():
            try:
                self._queue.put(item, timeout=_POLL_S)
                return True
            except queue.Full:
                continue
        return False

    # ----------------------------------------------------------------------------------------- player's thread

    def _play(self) -> None:
        code = 0
        try:
            self._wait_for_subscribers()
            self._play_all()
        except SourceError as error:
            print(error, file=sys.stderr)
            code = USAGE_ERROR
        except Exception:
            # Publishing fails once the context is down, which is how a signal ends the playing.
            if not self._stopping.is_set() and self.context.ok():
                self.finished.set_result(1)
                raise
        self.finished.set_result(code)

    def _wait_for_subscribers(self) -> None:
        wanted = self._settings.integer("wait_for_subscribers")
        if not wanted:
            return
        until = time.monotonic() + self._settings.number("wait_timeout_s")
        while (listening := self._listeners()) < wanted:
            if time.monotonic() > until:
                who = f"only {listening} of {wanted} listen" if listening else "nobody listens"
                self.get_logger().warning(f"{who} to {self._topics.images[0].topic_name}; playing anyway")
                return
            if self._stopping.wait(_POLL_S):
                return
        # The other side discovers each of its subscriptions on its own; images before its camera_info are of no use.
        self._stopping.wait(_SETTLE_S)

    def _listeners(self) -> int:
        """Nodes that listen to the images or to their camera_info; 0 while none listens to the images."""
        if not any(images.get_subscription_count() for images in self._topics.images):
            return 0
        # Nodes, not subscriptions: one that changes its QoS has two for a while, and would pass for its neighbour.
        topics = [p.topic_name for p in (*self._topics.images, *self._topics.infos)]
        infos = [info for topic in topics for info in self.get_subscriptions_info_by_topic(topic)]
        return len({(info.node_namespace, info.node_name) for info in infos} - {_UNKNOWN_NODE})

    def _play_all(self) -> None:
        late_s: list[float] = []
        begun: float | None = None
        while (ready := self._next()) is not None:
            if begun is None:
                begun = time.monotonic()
            self._stopping.wait(max(0.0, begun + ready.due_s - time.monotonic()))
            if self._stopping.is_set():
                break
            late_s.append(time.monotonic() - begun - ready.due_s)
            self._publish(ready)
        seconds = time.monotonic() - begun if begun is not None else 0.0
        self._acknowledge()
        print(_summary(late_s, seconds), flush=True)

    def _next(self) -> _Ready | None:
        while not self._stopping.is_set():
            try:
                item = self._queue.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if isinstance(item, SourceError):
                raise item
            return item
        return None

    def _publish(self, ready: _Ready) -> None:
        recorded = self._settings.flag("use_source_stamps")
        stamp = stamp_message(ready.stamp_ns) if recorded else self.get_clock().now().to_msg()
        self._topics.send(ready.messages, stamp)

    def _acknowledge(self) -> None:
        # A reliable subscriber may still be asking for the last image; with the process gone it would never get it.
        if not self._stopping.is_set():
            for images in self._topics.images:
                images.wait_for_all_acked(Duration(seconds=_ACKNOWLEDGE_S))


def _summary(late_s: Sequence[float], seconds: float) -> str:
    if not late_s:
        return "played 0 frames"
    rate_hz = (len(late_s) - 1) / seconds if seconds > 0 else 0.0
    return f"played {len(late_s)} frames at {rate_hz:.1f} Hz, late by p95 {np.percentile(late_s, 95) * 1e3:.1f} ms"


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; see `runner.run` for the exit status."""
    return run(CameraPlayer, arguments)


if __name__ == "__main__":
    sys.exit(main())
