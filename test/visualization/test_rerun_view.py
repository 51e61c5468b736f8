"""`raxels track --view`: what the recording holds where rerun is installed, and clear words where it is not."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from posed_sets import CAMERA, write_rendered_set
from ros_testing import ROOT

from ros2_raxels.cli.main import main
from ros2_raxels.recordings.open import open_source
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
