"""A recording played through the real camera and pose nodes in processes of their own, and what is heard of it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.recordings.source import FrameSource
from ros2_raxels.utils.ros_environment import ros_environment, ros_name
from ros2_raxels.utils.terminal import StatusLine

if TYPE_CHECKING:
    from ros2_raxels.harness.observer import Heard, Observer
    from ros2_raxels.harness.processes import Child, Family

_NODES = "ros2_raxels.nodes"

_START_TIMEOUT_S = 30.0
_SETTLE_S = 0.6
_DRAIN_TIMEOUT_S = 5.0
_STEP_S = 0.1
_LAST = 9


class PlayError(RuntimeError):
    """Playing cannot go on; the message says which part failed and why, with the last lines of its output."""


@dataclass(frozen=True)
class Play:
    """What the camera node is told to play.

    Attributes:
        spec: of the recording, as for `open_source`.
        source: the same, opened.
        max_frames: at most so many; 0 for all.
        speed: so many times as fast as it was recorded.
        topic: image topic of a bag with several.
        source_stamps: stamp with the recording's own times.
        camera_to_base: 4x4 of the optical frame in the base, m, which is then in the TF tree; None for no base.
        size: width and height at which images are played, px; None as recorded.
        as_rig: whether the pose node follows all cameras of a rig, and not the first one alone. The camera node says
            where they are on the base then.
    """

    spec: str
    source: FrameSource
    max_frames: int = 0
    speed: float = 1.0
    topic: str | None = None
    source_stamps: bool = False
    camera_to_base: FloatArray | None = None
    size: tuple[int, int] | None = None
    as_rig: bool = False

    @property
    def frames(self) -> int | None:
        """Expected number of frames, if known."""
        counts = [n for n in (self.source.length, self.max_frames or None) if n is not None]
        return min(counts, default=None)


def play(wanted: Play, out: Path, interrupted: Event) -> tuple[Heard, int]:
    """Play a recording through both nodes.

    Args:
        wanted: what is played.
        out: folder of the logs of the nodes.
        interrupted: set once the user wants it to end.

    Returns:
        What was heard, and the number of frames that were played.

    Raises:
        PlayError: a node did not start, or ended.
        KeyboardInterrupt: the user wants it to end.
    """
    from ros2_raxels.harness.observer import Observer
    from ros2_raxels.harness.processes import Family

    family = Family()
    told = None if wanted.as_rig else wanted.camera_to_base
    observer = Observer(wanted.source.camera is not None, interrupted, told)
    try:
        played = _run_nodes(wanted, out, observer, family)
    finally:
        family.end()
        observer.close()
    return observer.heard, played


def _run_nodes(wanted: Play, out: Path, observer: Observer, family: Family) -> int:
    """Start both nodes and watch until the recording ends; the number of frames that were played."""
    from ros2_raxels.harness.observer import IMAGE_TOPIC, INFO_TOPIC, POSE_TOPIC, STATUS_TOPIC

    line = _Progress(wanted.frames, has_latency=not wanted.source_stamps)
    pose = family.start(f"{_NODES}.pose.pose_node", _pose_arguments(wanted), ros_environment(), out / "pose_node.log")
    _wait_for(observer, pose, (POSE_TOPIC, STATUS_TOPIC), line)
    camera = family.start(
        f"{_NODES}.camera_player", _camera_arguments(wanted), ros_environment(), out / "camera_player.log"
    )
    _wait_for(observer, camera, (IMAGE_TOPIC, INFO_TOPIC) if wanted.source.camera else (IMAGE_TOPIC,), line)
    while camera.code is None:
        line.update(observer)
        _check(pose)
        observer.spin(_STEP_S)
    _check(camera)
    _drain(observer, pose)
    line.end(observer)
    return _played_frames(camera)


def _wait_for(observer: Observer, child: Child, topics: tuple[str, ...], line: _Progress) -> None:
    until = time.monotonic() + _START_TIMEOUT_S
    while not observer.hears(*topics):
        line.show(f"starting {child.module}")
        _check(child)
        if child.code == 0:
            # A recording of a few frames may be over before its topics were seen.
            return
        if time.monotonic() > until:
            raise PlayError(
                f"{child.module} did not offer {', '.join(topics)} in {_START_TIMEOUT_S:.0f} s; see {child.log}"
            )
        observer.spin(_STEP_S)


def _pose_arguments(wanted: Play) -> list[str]:
    # Waiting for intrinsics that will never come would cost the beginning of the recording.
    guess = ["-p", "camera_info_timeout_s:=0.0", "-p", "allow_uncalibrated:=true"]
    patience = [] if wanted.source.camera is not None else guess
    # How often transforms come is measured, whatever unit they are in.
    patience += ["-p", "odometry.unscaled:=publish"]
    return ["--ros-args", *(word for pair in _topics(wanted) for word in pair), *patience]


def _topics(wanted: Play) -> Iterator[tuple[str, str]]:
    """Arguments by which the pose node hears the camera node."""
    if not wanted.as_rig or wanted.source.rig is None:
        yield from (("-r", "image:=/camera/image_raw"), ("-r", "camera_info:=/camera/camera_info"))
        return
    names = [ros_name(name) for name in wanted.source.rig.names]
    yield "-p", f"cameras:={json.dumps(names)}"
    for name in names:
        yield "-r", f"{name}/image:=/camera/{name}/image_raw"
        yield "-r", f"{name}/camera_info:=/camera/{name}/camera_info"


def _camera_arguments(wanted: Play) -> list[str]:
    # JSON strings are YAML strings: a path of digits stays a path, and one with blanks stays one value.
    parameters: dict[str, Any] = {
        "source": json.dumps(wanted.spec if wanted.spec.isdecimal() else str(Path(wanted.spec).expanduser().resolve())),
        "speed": float(wanted.speed),
        "limit": wanted.max_frames,
        "use_source_stamps": str(wanted.source_stamps).lower(),
        # The pose node and the observer.
        "wait_for_subscribers": 2,
        "wait_timeout_s": 2 * _START_TIMEOUT_S,
    }
    if wanted.size is not None:
        parameters["size"] = json.dumps("{}x{}".format(*wanted.size))
    if wanted.topic:
        parameters["image_topic"] = json.dumps(wanted.topic)
    settings = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    return ["--ros-args", *settings]


def _check(child: Child) -> None:
    if child.code:
        words = "".join(f"\n  | {line}" for line in child.last_words)
        raise PlayError(
            f"{child.module} ended with exit status {child.code}; its last words (all in {child.log}):{words}"
        )


def _drain(observer: Observer, pose: Child) -> None:
    """Wait until the pose node has answered everything that it received."""
    until = time.monotonic() + _DRAIN_TIMEOUT_S
    before = -1
    while time.monotonic() < until and before != len(observer.heard.confidence):
        before = len(observer.heard.confidence)
        observer.spin(_SETTLE_S)
        _check(pose)


def _played_frames(camera: Child) -> int:
    found = re.search(r"played (\d+) frames", "\n".join(camera.last_words))
    if not found or found[1] == "0":
        raise PlayError(f"{camera.module} played nothing; see {camera.log}")
    return int(found[1])


class _Progress:
    """Progress of the demo on the status line."""

    def __init__(self, frames: int | None, has_latency: bool) -> None:
        self._frames, self._has_latency = frames, has_latency
        self._line = StatusLine()
        self._begun = time.monotonic()
        self.show = self._line.show

    def update(self, observer: Observer) -> None:
        """Show the current state."""
        self.show(self._text(observer))

    def end(self, observer: Observer) -> None:
        """Show the final state, and keep that line."""
        self._line.keep(self._text(observer))

    def _text(self, observer: Observer) -> str:
        heard = observer.heard
        sent = f"{len(heard.published_ns)}" + (f"/{self._frames}" if self._frames else "")
        text = f"{time.monotonic() - self._begun:5.1f} s  frames {sent}  poses {len(heard.poses)}  {heard.state}"
        if heard.latency_s and self._has_latency:
            newest = next(reversed(heard.latency_s))
            text += f"  latency {heard.latency_s[newest] * 1e3:.0f} ms"
        return text


def frame_numbers(published_ns: Sequence[int], recorded_ns: Sequence[int], played: int, speed: float) -> dict[int, int]:
    """Frame number by the stamp with which the frame was published.

    Some stamps may be missing, most often the first ones, while the observer is being discovered. The camera keeps to
    its schedule, so that the frame is the nearest one on it.

    Args:
        published_ns: stamps that were heard.
        recorded_ns: of the frames; empty where unknown.
        played: number of frames that were published.
        speed: of playing.
    """
    published = sorted(published_ns)
    if len(published) == played or not recorded_ns or not published:
        return {stamp: index for index, stamp in enumerate(published)}
    due = (np.array(recorded_ns[:played], np.int64) - recorded_ns[0]) / speed
    heard = np.array(published, np.int64) - published[-1]
    # The last ones are hardly ever missed, and hardly ever all of them late.
    late = np.median(heard[-_LAST:] - due[-_LAST:][-len(heard) :])
    numbers = np.abs(due[None] - (heard - late)[:, None]).argmin(1)
    return {stamp: int(number) for stamp, number in zip(published, numbers, strict=True)}
