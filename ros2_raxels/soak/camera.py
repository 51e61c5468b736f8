"""A camera on the network that misbehaves on schedule and records what it sent."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Event as Flag
from typing import Any, TypeVar

import numpy as np
import rclpy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from ros2_raxels.geometry import camera as lens
from ros2_raxels.nodes.common.messages import camera_info_message, image_message, stamp_message
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.soak.faults import AFTERMATH_S, Event, fault_at
from ros2_raxels.soak.malformed import malformed_image
from ros2_raxels.soak.record import Sent

_Item = TypeVar("_Item")

NAMESPACE = "/soak"
FRAME = "soak_camera_optical_frame"

_OTHER_FRAME = "soak_other_camera_optical_frame"
_OTHER_SIZE = (320, 240)
_LATE_S = 0.5
_JUMP_S = 100.0
_DROPPED = 0.3
_LONGER = 1.05
_MALFORMED_HZ = 100.0
_OTHER_HZ = 10.0
_DEPTH = 5


def there_and_back(items: Sequence[_Item]) -> list[_Item]:
    """The order in which frames are played over and over, so that the motion never jumps."""
    return [*items, *items[-2:0:-1]]


class Camera:
    """Publishes `image` and `camera_info` of `NAMESPACE` from a thread of its own.

    Args:
        frames: played as `there_and_back` says.
        camera: of all of them.
        rate_hz: frames a second.
        events: what goes wrong, and when.
        seed: of the random numbers of the faults.
    """

    def __init__(
        self, frames: Sequence[ImageArray], camera: lens.Camera, rate_hz: float, events: Sequence[Event], seed: int
    ) -> None:
        self.sent: list[Sent] = []
        self.bad_sent = 0
        """Frames that need no answer."""
        self.failure: Exception | None = None
        self._frames = [image_message(frame, Header(frame_id=FRAME)) for frame in there_and_back(frames)]
        self._black = image_message(np.zeros_like(frames[0]), Header(frame_id=FRAME))
        self._other = image_message(np.full((*_OTHER_SIZE[::-1], 3), 90, np.uint8), Header(frame_id=_OTHER_FRAME))
        self._info = camera_info_message(camera, Header(frame_id=FRAME))
        self._nan_info = camera_info_message(camera, Header(frame_id=FRAME))
        self._nan_info.k = [np.nan] * 9
        longer = replace(camera, fx=_LONGER * camera.fx, fy=_LONGER * camera.fy)
        self._other_info = camera_info_message(longer, Header(frame_id=FRAME))
        self._period_s, self._events = 1.0 / rate_hz, events
        self._generator = np.random.default_rng(seed)
        self._late: list[tuple[float, int, Image]] = []
        self._owed = {"malformed": 0.0, "other_camera": 0.0}
        self._last_ns = 0
        self._begun = 0.0
        self._stopping = Flag()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._lenses = {"nan_info": self._nan_info, "other_info": self._other_info}
        self._acts: dict[str, Callable[[Image, float], Sent]] = {
            "drop": self._drop,
            "late": self._send_late,
            "black": lambda _, at: self._send(self._black, at),
            "malformed": self._beside_malformed,
            "restart": lambda _, at: self._withhold(at),
            "silence": lambda _, at: self._withhold(at),
            "clock_jump": self._send_from_the_past,
            "repeat": self._repeat,
            "other_camera": self._beside_another,
        }
        self._open()

    # ------------------------------------------------------------------------------------------------------ network

    def _open(self) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node("camera", context=self._context, namespace=NAMESPACE)
        self._infos = self._node.create_publisher(CameraInfo, "camera_info", _DEPTH)
        self._images = self._node.create_publisher(Image, "image", _DEPTH)

    def _leave(self) -> None:
        self._node.destroy_node()
        self._context.try_shutdown()

    @property
    def listeners(self) -> int:
        """Number of subscribers of the images."""
        return int(self._images.get_subscription_count())

    def begin(self) -> None:
        """Send the first frame now, and the others as they fall due."""
        self._begun = time.monotonic()
        self._thread.start()

    @property
    def now_s(self) -> float:
        """Since the first frame; 0 before it."""
        return time.monotonic() - self._begun if self._begun else 0.0

    def stop(self) -> None:
        """Send nothing more."""
        self._stopping.set()
        if self._begun:
            self._thread.join()

    def close(self) -> None:
        """Stop, and leave the network."""
        self.stop()
        self._leave()

    # ------------------------------------------------------------------------------------------------- its own thread

    def _run(self) -> None:
        try:
            number, away = 0, False
            while not self._stopping.wait(max(0.0, number * self._period_s - self.now_s)):
                at = number * self._period_s
                fault = fault_at(self._events, at)
                if (fault == "restart") != away:
                    away = not away
                    self._leave() if away else self._open()
                self._step(number, at, fault)
                # After the machine was suspended, the frames of that time are not made up for.
                number = max(number + 1, int(self.now_s / self._period_s))
            if away:
                self._open()
        except Exception as error:
            self.failure = error

    def _step(self, number: int, at: float, fault: str) -> None:
        while self._late and self._late[0][0] <= at and fault != "restart":
            _, stamp, image = heapq.heappop(self._late)
            self._publish(self._images, image, stamp)
        index = number % len(self._frames)
        if fault not in ("restart", "silence"):
            self._publish(self._infos, self._lenses.get(fault, self._info), time.time_ns())
        sent = self._acts.get(fault, self._send)(self._frames[index], at)
        self.sent.append(replace(sent, frame=index))

    @staticmethod
    def _publish(publisher: Any, message: Any, stamp: int) -> None:
        message.header.stamp = stamp_message(stamp)
        publisher.publish(message)

    def _name(self, at: float) -> str:
        return fault_at(self._events, at, AFTERMATH_S)

    def _send(self, picture: Image, at: float) -> Sent:
        self._last_ns = time.time_ns()
        self._publish(self._images, picture, self._last_ns)
        return Sent(at, self._last_ns, self._name(at))

    def _withhold(self, at: float) -> Sent:
        return Sent(at, None, self._name(at))

    def _drop(self, picture: Image, at: float) -> Sent:
        return self._withhold(at) if self._generator.random() < _DROPPED else self._send(picture, at)

    def _send_late(self, picture: Image, at: float) -> Sent:
        if len(self.sent) % 3:
            return self._send(picture, at)
        stamp = time.time_ns()
        heapq.heappush(self._late, (at + _LATE_S, stamp, picture))
        return Sent(at, stamp, self._name(at), timely=False, expected=False)

    def _send_from_the_past(self, picture: Image, at: float) -> Sent:
        stamp = time.time_ns() - round(_JUMP_S * 1e9)
        self._publish(self._images, picture, stamp)
        return Sent(at, stamp, self._name(at), timely=False)

    def _repeat(self, picture: Image, at: float) -> Sent:
        if len(self.sent) % 3 or not self._last_ns:
            return self._send(picture, at)
        self._publish(self._images, picture, self._last_ns)
        self.bad_sent += 1
        return self._withhold(at)

    def _beside_malformed(self, picture: Image, at: float) -> Sent:
        sent = self._send(picture, at)
        for _ in range(self._due("malformed", _MALFORMED_HZ)):
            bad = malformed_image(self._generator, Header(frame_id=FRAME))
            self._publish(self._images, bad, time.time_ns())
        return sent

    def _beside_another(self, picture: Image, at: float) -> Sent:
        sent = self._send(picture, at)
        for _ in range(self._due("other_camera", _OTHER_HZ)):
            self._publish(self._images, self._other, time.time_ns())
        return sent

    def _due(self, fault: str, rate_hz: float) -> int:
        """Number of bad frames that fall due with this good one."""
        owed = self._owed[fault] + rate_hz * self._period_s
        count = int(owed)
        self._owed[fault] = owed - count
        self.bad_sent += count
        return count
