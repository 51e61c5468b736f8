"""Hears the other cameras of a rig, and puts images of one moment together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from rclpy.node import Node

from ros2_raxels.nodes.common import diagnostics
from ros2_raxels.nodes.common.diagnostics import Health
from ros2_raxels.nodes.common.messages import check_image, stamp_ns
from ros2_raxels.nodes.common.parameters import Parameters
from ros2_raxels.nodes.common.subscription import image_subscription
from ros2_raxels.nodes.pose.intrinsics import Intrinsics
from ros2_raxels.nodes.pose.rig_intake import Beside
from ros2_raxels.recordings.grouping import Group, Grouper
from ros2_raxels.recordings.image_codec import ImageError

_APART = 10
"""Groups in a row with one camera alone, after which their clocks are doubted."""


class RigListener:
    """Subscriptions of all cameras but the first, whose images are handed in. For the executor's thread.

    Args:
        node: whose remappings hold.
        settings: parameters of the node.
        names: of the cameras, the first one leads.
        report: told of what goes wrong, in one line.

    Attributes:
        intrinsics: of the other cameras, by name.
    """

    def __init__(self, node: Node, settings: Parameters, names: Sequence[str], report: Callable[[str], None]) -> None:
        self._node, self._settings, self._report = node, settings, report
        self._names = tuple(names)
        self.intrinsics = {name: Intrinsics(node, settings, report, camera=name) for name in self._names[1:]}

    def listen(self, take: Callable[[Group[Any]], None]) -> None:
        """Subscribe; `take` is given the images of a moment by name, all messages."""
        self._take = take
        transport = self._settings.text("image_transport")
        self._grouper: Grouper[Any] = Grouper(self._names, round(1e9 * self._settings.number("rig.tolerance_s")))
        # camera_info first, as for the only camera.
        self._infos = [intrinsics.listen() for intrinsics in self.intrinsics.values()]
        self._images = {
            name: image_subscription(self._node, transport, partial(self._on_image, name), name)
            for name in self._names[1:]
        }
        self._heard_at = dict.fromkeys(self._names[1:], time.monotonic())

    def destroy(self) -> None:
        """Hear no more."""
        for listener in (*self._infos, *self._images.values()):
            listener.destroy()

    def update(self) -> None:
        """As `FollowingSubscription.update`."""
        for listener in (*self._infos, *self._images.values()):
            listener.update()

    def see_leader(self, message: Any) -> None:
        """An image of the first camera has come."""
        self._add(self._names[0], message)

    def _on_image(self, name: str, message: Any) -> None:
        self._heard_at[name] = time.monotonic()
        try:
            check_image(message)
        except ImageError as error:
            self._report(f"camera {name!r}: {error}")
            return
        self._add(name, message)

    def _add(self, name: str, message: Any) -> None:
        for group in self._grouper.add(name, stamp_ns(message.header.stamp), message):
            self._take(group)

    def beside(self, group: Group[Any]) -> dict[str, Beside]:
        """The images of the other cameras of a group, each with its camera_info."""
        return {
            name: Beside(message, self.intrinsics[name].heard_for(message.header))
            for name, message in group.items.items()
            if name in self.intrinsics
        }

    def health(
        self, left_out: Mapping[str, str], complete: bool, first: str = "", contradicts: Sequence[str] = ()
    ) -> Health:
        """Of the cameras, by name.

        Args:
            left_out: why a camera is not used as it should be.
            complete: whether all of them are used.
            first: what is wrong with the first camera.
            contradicts: what images say against the calibration.
        """
        values = {self._names[0]: first} | {name: self._said_of(name, left_out) for name in self._names[1:]}
        wrong = [f"{name}: {words}" for name, words in values.items() if words]
        wrong += contradicts
        if self._grouper.alone >= _APART:
            wrong.append(
                "images of different cameras never come within rig.tolerance_s of each other; synchronise their "
                "clocks, or raise it"
            )
        values = {f"camera {name}": words or "ok" for name, words in values.items()}
        values |= {f"missing {name}": str(self._grouper.missing[name]) for name in self._names}
        values |= {f"late {name}": str(self._grouper.late[name]) for name in self._names}
        if not wrong and not complete:
            wrong = ["no moment yet at which all cameras were there"]
        return Health("cameras", diagnostics.WARN if wrong else diagnostics.OK, "; ".join(wrong), values)

    def _said_of(self, name: str, left_out: Mapping[str, str]) -> str:
        silent_s = time.monotonic() - max(self._heard_at[name], self._images[name].publisher_since)
        if silent_s > self._settings.number("stall_timeout_s"):
            why = self._images[name].why_silent(self.intrinsics[name].newest)
            return f"no image for {silent_s:.1f} s: {why}"
        if name in left_out:
            return left_out[name]
        if name in self._grouper.silent:
            return "its images come too late for those of their moment; they are left out"
        return ""
