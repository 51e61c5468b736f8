"""rerun_view: what is logged for each frame, what recordings hold where Rerun is installed, and refusals in words."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pytest
from posed_sets import CAMERA, write_rendered_set
from ros_testing import ROOT
from views_scene import shifted

from ros2_raxels.cli.main import main
from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.source import Frame
from ros2_raxels.tracking.types import TrackedPose, TrackState
from ros2_raxels.visualization import rerun_view

FRAMES = 16
CapSys = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rendered_set(tmp_path_factory.mktemp("data") / "room", FRAMES)


def read(path: Path) -> dict[tuple[str, str], list[tuple[float, Any]]]:
    """Time, s, and value of all rows by entity and component; what holds at all times is at 0."""
    from rerun.chunk import RrdReader

    found: dict[tuple[str, str], list[tuple[float, Any]]] = {}
    for chunk in RrdReader(path).stream().to_chunks():
        batch = chunk.to_record_batch()
        columns = {name: batch.column(name).to_pylist() for name in batch.schema.names}
        times_ns = batch.column(rerun_view.TIME).cast("int64").to_pylist() if rerun_view.TIME in columns else [0]
        for name, values in columns.items():
            if ":" in name:
                rows = found.setdefault((chunk.entity_path, name), [])
                rows += [(ns / 1e9, v) for ns, v in zip(times_ns, values, strict=True) if v is not None]
    return {key: sorted(rows, key=lambda row: row[0]) for key, rows in found.items()}


@pytest.fixture(scope="module")
def recorded(room: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[tuple[str, str], Any], np.ndarray]:
    """The view and the trajectory of one run."""
    pytest.importorskip("rerun", reason="pip install -r requirements/view.txt")
    folder = tmp_path_factory.mktemp("view")
    arguments = ["--out", str(folder / "a.tum"), "--view", str(folder / "a.rrd")]
    assert main(["track", str(room), *arguments]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["a.rrd", "a.tum"]
    return read(folder / "a.rrd"), np.loadtxt(folder / "a.tum")[:, 1:4]


def test_a_view_has_frames_raxels_trajectory_and_keyframes(recorded: tuple[Any, Any]) -> None:
    view, _ = recorded
    entities = {entity for entity, _ in view if not entity.startswith("/__")}
    assert entities == {
        *(rerun_view.WORLD, rerun_view.CAMERA, rerun_view.RAXELS),
        *(rerun_view.TRAJECTORY, rerun_view.KEYFRAMES, rerun_view.AT_THE_END),
        *(rerun_view.CONFIDENCE, rerun_view.STATE),
    }


def test_the_trajectory_ends_where_the_tracker_says(recorded: tuple[Any, Any], room: Path) -> None:
    view, settled = recorded
    ((_, (at_the_end,)),) = view[rerun_view.AT_THE_END, "LineStrips3D:strips"]
    np.testing.assert_allclose(at_the_end, settled, atol=1e-5)
    pieces = view[rerun_view.TRAJECTORY, "LineStrips3D:strips"]
    # The first piece goes from the first frame to the one that started the trajectory, each other to the next frame.
    (begun_s, (first,)), *others = pieces
    assert len(first) + len(others) == FRAMES
    assert begun_s == pytest.approx((len(first) - 1) / 10)
    assert [time_s for time_s, _ in others] == pytest.approx(np.arange(len(first), FRAMES) / 10)
    walked = [*first, *(piece[1] for _, (piece,) in others)]
    assert [piece[0] for _, (piece,) in others] == walked[len(first) - 1 : -1]
    cameras = [translation[0] for _, translation in view[rerun_view.CAMERA, "Transform3D:translation"]]
    assert len(cameras) == FRAMES
    np.testing.assert_allclose(cameras[len(first) - 1 :], walked[len(first) - 1 :], atol=1e-6)
    # No loop in so short a walk: what was answered is about what is known at the end.
    reach = np.linalg.norm(np.ptp(settled, axis=0))
    np.testing.assert_allclose(walked, settled, atol=0.05 * reach)


def test_frames_are_seen_through_their_camera(recorded: tuple[Any, Any], room: Path) -> None:
    view, _ = recorded
    blobs = view[rerun_view.CAMERA, "EncodedImage:blob"]
    for frame, (time_s, (blob,)) in zip(open_source(room), blobs, strict=True):
        assert time_s == pytest.approx(frame.stamp_ns / 1e9)
        shown = cv2.imdecode(np.array(blob, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert np.abs(shown.astype(float) - frame.image).mean() < 6
    (matrix,) = view[rerun_view.CAMERA, "Pinhole:image_from_camera"][-1][1]
    assert np.reshape(matrix, (3, 3)).T.tolist() == pytest.approx(
        np.array([[CAMERA.fx, 0, CAMERA.cx], [0, CAMERA.fy, CAMERA.cy], [0, 0, 1]])
    )


def test_raxels_lie_at_unit_distance_from_the_camera_and_keyframes_on_the_way(recorded: tuple[Any, Any]) -> None:
    view, _ = recorded
    cameras = dict(view[rerun_view.CAMERA, "Transform3D:translation"])
    raxels = view[rerun_view.RAXELS, "Points3D:positions"]
    assert raxels
    for time_s, points in raxels:
        assert len(points) == 32 * 24
        distances = np.linalg.norm(np.array(points) - cameras[time_s][0], axis=1)
        np.testing.assert_allclose(distances, 1.0, atol=1e-5)
    keyframes = view[rerun_view.KEYFRAMES, "Points3D:positions"]
    assert keyframes
    for time_s, (place,) in keyframes:
        np.testing.assert_allclose(place, cameras[time_s][0], atol=1e-6)
    confidence = [value for _, (value,) in view[rerun_view.CONFIDENCE, "Scalars:scalars"]]
    assert len(confidence) == FRAMES
    assert all(0 <= value <= 1 for value in confidence)
    states = [text for _, (text,) in view[rerun_view.STATE, "TextLog:text"]]
    assert [text.split()[0] for text in states] == ["INITIALISING", "TRACKING"]


def test_without_rerun_the_way_to_it_is_named_before_any_work(
    room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: CapSys
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    arguments = ["track", str(room), "--out", str(tmp_path / "a.tum"), "--view", str(tmp_path / "a.rrd")]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("raxels: --view needs rerun; `pip install rerun-sdk` (requirements/view.txt")
    assert list(tmp_path.iterdir()) == []
    pins = (ROOT / "requirements" / "view.txt").read_text()
    assert re.search(r"^rerun-sdk==", pins, re.MULTILINE)


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (["--view"], "--view needs a screen, and neither DISPLAY nor WAYLAND_DISPLAY is set; give --view FILE.rrd"),
        (["--view", "a.mp4"], "--view a.mp4: recordings of rerun end in .rrd"),
        (["--view", "gone/a.rrd"], "gone/a.rrd: folder .* does not exist; create it"),
    ],
)
def test_what_cannot_be_shown_is_said_before_any_work(
    room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: CapSys, view: list[str], message: str
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", sys)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert main(["track", str(room), "--out", str(tmp_path / "a.tum"), *view]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


class Recording:
    """Keeps what is logged, by entity."""

    def __init__(self) -> None:
        self.logged: dict[str, list[Any]] = {}
        self.times_s: list[float] = []

    def log(self, entity: str, value: Any) -> None:
        self.logged.setdefault(entity, []).append(value)

    def set_time(self, timeline: str, duration: float) -> None:
        assert timeline == rerun_view.TIME
        self.times_s.append(duration)


class Archetypes(ModuleType):
    """As much of rerun as a view uses: every archetype is the arguments that it was made of."""

    class Image(SimpleNamespace):
        """Remembers how it was compressed."""

        def compress(self, jpeg_quality: int) -> tuple[str, int]:
            return "jpeg", jpeg_quality

    Radius = SimpleNamespace(ui_points=lambda size: size)
    ViewCoordinates = SimpleNamespace(RDF="right, down, forward")

    def __getattr__(self, name: str) -> Any:
        return lambda *given, **named: (name, *given, named)


@pytest.fixture
def without_rerun(monkeypatch: pytest.MonkeyPatch) -> Recording:
    module = Archetypes("rerun")
    module.Image = lambda image: Archetypes.Image(image=image)  # type: ignore[method-assign, assignment]
    monkeypatch.setitem(sys.modules, "rerun", module)
    return Recording()


def tracked(x: float, **fields: Any) -> TrackedPose:
    state = fields.pop("state", TrackState.TRACKING)
    found = SimpleNamespace(
        state=state, camera_to_world=shifted(x), confidence=0.5, message="", corrected=False, keyframe=False, earlier=()
    )
    return cast(TrackedPose, SimpleNamespace(**{**vars(found), **fields}))


def test_the_trajectory_has_no_step_over_a_correction_or_a_loss(without_rerun: Recording) -> None:
    view, image = rerun_view.TrackView(without_rerun), np.zeros((4, 6, 3), np.uint8)
    answers = [
        tracked(1.0, earlier=((0, shifted(0.0)), (1, shifted(0.5)))),
        tracked(2.0, keyframe=True),
        tracked(9.0, corrected=True),
        tracked(10.0),
        tracked(10.0, state=TrackState.LOST, message="too few matches"),
        tracked(20.0),
        tracked(21.0),
    ]
    for k, found in enumerate(answers):
        view.show(Frame(k, 10**9 + k * 10**8, image, None, None, ""), found, None)
    strips = [strip[1][0] for strip in without_rerun.logged[rerun_view.TRAJECTORY]]
    along_x = [[float(point[0]) for point in strip] for strip in strips]
    assert along_x == [[0.0, 0.5, 1.0], [1.0, 2.0], [9.0, 10.0], [20.0, 21.0]]
    assert without_rerun.times_s == pytest.approx(np.arange(7) / 10)
    ((_, (place,), _),) = without_rerun.logged[rerun_view.KEYFRAMES]
    assert place.tolist() == [2.0, 0.0, 0.0]
    # Only changes of the state are told.
    states = [text for _, text, _ in without_rerun.logged[rerun_view.STATE]]
    assert states == ["TRACKING", "LOST too few matches", "TRACKING"]
    # No raxels without a camera.
    assert rerun_view.RAXELS not in without_rerun.logged


def test_raxels_have_the_colours_that_the_frame_shows_along_their_rays(without_rerun: Recording) -> None:
    image = np.zeros((96, 128, 3), np.uint8)
    image[:48], image[48:] = (200, 0, 0), (0, 0, 200)
    camera = PinholeCamera(128, 96, 100.0, 100.0, 63.5, 47.5)
    rerun_view.TrackView(without_rerun).show(Frame(0, 0, image, camera, None, ""), tracked(3.0), camera)
    ((_, points, named),) = without_rerun.logged[rerun_view.RAXELS]
    assert points.shape == (24 * 32, 3)
    rays = points - (3.0, 0.0, 0.0)
    np.testing.assert_allclose(np.linalg.norm(rays, axis=1), 1.0, atol=1e-9)
    # y points down.
    assert (named["colors"][rays[:, 1] < 0] == (200, 0, 0)).all()
    assert (named["colors"][rays[:, 1] > 0] == (0, 0, 200)).all()
    transform, jpeg, pinhole = without_rerun.logged[rerun_view.CAMERA]
    assert transform[1]["translation"].tolist() == [3.0, 0.0, 0.0]
    assert jpeg == ("jpeg", 80)
    assert pinhole[1]["focal_length"] == [100.0, 100.0]
    assert pinhole[1]["resolution"] == [128, 96]


def test_the_whole_track_is_added_at_the_end(without_rerun: Recording) -> None:
    view = rerun_view.TrackView(without_rerun)
    view.end([shifted(1.0)])
    assert without_rerun.logged == {}
    view.end([shifted(1.0), shifted(2.0, 3.0)])
    ((_, (strip,), _),) = without_rerun.logged[rerun_view.AT_THE_END]
    assert strip.tolist() == [[1.0, 0.0, 0.0], [2.0, 3.0, 0.0]]
