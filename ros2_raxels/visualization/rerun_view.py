"""A growing track in the Rerun viewer, or in a file for it: frames, raxels, trajectory, keyframes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ros2_raxels.geometry.camera import Camera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.geometry.raxels import encode_raxels
from ros2_raxels.recordings.source import Frame
from ros2_raxels.tracking.types import TrackedPose, TrackState
from ros2_raxels.utils.files import FileError, check_writable, replacing

SUFFIX = ".rrd"

WORLD, CAMERA, RAXELS = "/world", "/world/camera", "/world/raxels"
TRAJECTORY, KEYFRAMES, AT_THE_END = "/world/trajectory", "/world/keyframes", "/world/at_the_end"
CONFIDENCE, STATE = "/confidence", "/state"
"""Entities of the recording; the unit of the world is that of the track."""

TIME = "time"
"""Timeline: seconds since the first frame."""

_RAXEL_COLUMNS = 32
_IMAGE_DISTANCE = 0.4
"""Distance of the drawn frame from the camera. Raxels are at distance 1, whatever the scene."""

_BLUE, _RED, _GREY = (31, 111, 178), (200, 55, 45), (154, 154, 154)
_JPEG_QUALITY = 80


def check_view(target: str) -> None:
    """Check before the work that a view can be shown.

    Args:
        target: file to write, or empty for a window.

    Raises:
        FileError: rerun is not installed, there is no screen, or the file has another suffix or cannot be written.
    """
    try:
        import rerun  # noqa: F401
    except ImportError as error:
        raise FileError(
            "--view needs rerun; `pip install rerun-sdk` (requirements/view.txt has the version that is tested), or "
            "leave --view out"
        ) from error
    if not target:
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise FileError(
                "--view needs a screen, and neither DISPLAY nor WAYLAND_DISPLAY is set; give --view FILE.rrd, and look "
                "at it where there is one: rerun FILE.rrd"
            )
        return
    if Path(target).suffix != SUFFIX:
        raise FileError(f"--view {target}: recordings of rerun end in {SUFFIX}; give such a name, or none for a window")
    check_writable(Path(target))


class TrackView:
    """Shows a track frame by frame. `open_view` makes one."""

    def __init__(self, recording: Any) -> None:
        self._recording = recording
        self._first_ns: int | None = None
        self._before: FloatArray | None = None
        self._state: TrackState | None = None

    def show(self, frame: Frame, found: TrackedPose, camera: Camera | None) -> None:
        """Add a frame.

        Args:
            frame: as recorded.
            found: the tracker's answer to it.
            camera: that the tracker uses, at the size of the frame; None while it is not known.
        """
        import rerun

        self._first_ns = frame.stamp_ns if self._first_ns is None else self._first_ns
        self._recording.set_time(TIME, duration=(frame.stamp_ns - self._first_ns) / 1e9)
        pose = found.camera_to_world
        self._recording.log(CAMERA, rerun.Transform3D(mat3x3=pose[:3, :3], translation=pose[:3, 3]))
        self._recording.log(CAMERA, rerun.Image(frame.image).compress(jpeg_quality=_JPEG_QUALITY))
        if camera is not None:
            self._recording.log(CAMERA, _pinhole(camera))
        if found.state is TrackState.TRACKING:
            self._show_place(frame, found, camera)
        else:
            self._before = None
        self._recording.log(CONFIDENCE, rerun.Scalars(found.confidence))
        if found.state is not self._state:
            self._state = found.state
            self._recording.log(STATE, rerun.TextLog(" ".join([found.state.name, found.message]).strip()))

    def _show_place(self, frame: Frame, found: TrackedPose, camera: Camera | None) -> None:
        import rerun

        place = found.camera_to_world[:3, 3]
        # After a correction of the world, the step from the last pose is no motion.
        before = [] if self._before is None or found.corrected else [self._before]
        piece = [*(pose[:3, 3] for _, pose in found.earlier), *before, place]
        if len(piece) > 1:
            self._recording.log(TRAJECTORY, rerun.LineStrips3D([piece], colors=[_BLUE]))
        self._before = place
        if found.keyframe:
            self._recording.log(KEYFRAMES, rerun.Points3D([place], colors=[_RED], radii=[rerun.Radius.ui_points(4.0)]))
        if camera is not None:
            points, colours = _raxels(frame, camera, found.camera_to_world)
            radius = rerun.Radius.ui_points(2.0)
            self._recording.log(RAXELS, rerun.Points3D(points, colors=colours, radii=[radius]))

    def end(self, poses: Sequence[FloatArray]) -> None:
        """Add the whole track as it is at the end: camera_to_world (4x4) of all frames."""
        import rerun

        if len(poses) > 1:
            strip = np.array(poses)[:, :3, 3]
            self._recording.log(AT_THE_END, rerun.LineStrips3D([strip], colors=[_GREY]))


def _pinhole(camera: Camera) -> Any:
    import rerun

    return rerun.Pinhole(
        focal_length=[camera.fx, camera.fy],
        principal_point=[camera.cx, camera.cy],
        resolution=[camera.width, camera.height],
        camera_xyz=rerun.ViewCoordinates.RDF,
        image_plane_distance=_IMAGE_DISTANCE,
    )


def _raxels(frame: Frame, camera: Camera, camera_to_world: FloatArray) -> tuple[FloatArray, Any]:
    """Raxels (N, 3) of a coarse grid in the world, and the frame's colours along their rays, (N, 3) RGB uint8."""
    rows = max(1, round(_RAXEL_COLUMNS * camera.height / camera.width))
    points = encode_raxels(camera.bearings(rows, _RAXEL_COLUMNS), camera_to_world)
    colours = cv2.resize(frame.image, (_RAXEL_COLUMNS, rows), interpolation=cv2.INTER_AREA)
    seen = np.isfinite(points[..., 0])
    return points[seen], colours[seen]


@contextmanager
def open_view(target: str, name: str) -> Iterator[TrackView]:
    """A view in a window, or in a file that is complete when the block ends.

    Args:
        target: has passed `check_view`.
        name: of what is tracked.
    """
    import rerun

    recording = rerun.RecordingStream(f"ros2_raxels: {name}")
    if not target:
        rerun.spawn(executable_path=str(_viewer()), default_blueprint=_layout(), recording=recording)
        yield _begun(recording)
        recording.flush()
        return
    with replacing(Path(target)) as temporary:
        recording.save(temporary, default_blueprint=_layout())
        yield _begun(recording)
        recording.disconnect()


def _viewer() -> Path:
    """The viewer's program that came with the package, found even if its environment is not active."""
    import rerun_cli

    return Path(rerun_cli.__file__).with_name("rerun")


def _begun(recording: Any) -> TrackView:
    import rerun

    # The world is the first camera's optical frame: x right, y down, z ahead.
    recording.log(WORLD, rerun.ViewCoordinates.RDF, static=True)
    return TrackView(recording)


def _layout() -> Any:
    """A large view of the world that keeps what was passed; frame, confidence and state beside it."""
    import rerun.blueprint as blueprint

    ever = blueprint.VisibleTimeRanges(
        timeline=TIME,
        start=blueprint.TimeRangeBoundary.infinite(),
        end=blueprint.TimeRangeBoundary.cursor_relative(),
    )
    world = blueprint.Spatial3DView(origin=WORLD, name="world", overrides={TRAJECTORY: ever, KEYFRAMES: ever})
    beside = blueprint.Vertical(
        blueprint.Spatial2DView(origin=CAMERA, name="camera"),
        blueprint.TimeSeriesView(origin=CONFIDENCE, name="confidence"),
        blueprint.TextLogView(origin=STATE, name="state"),
    )
    return blueprint.Blueprint(blueprint.Horizontal(world, beside, column_shares=[2, 1]), collapse_panels=True)
