"""video: every frame at the time that the container gives, or at the frame rate."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from recordings_rig import CAMERA, HEIGHT_PX, WIDTH_PX, picture, refusal

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.recordings import video as module
from ros2_raxels.recordings.open import open_source
from ros2_raxels.recordings.source import EndedEarlyError, SourceError


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (WIDTH_PX, HEIGHT_PX))
    for index in range(14):
        writer.write(cv2.cvtColor(picture(index), cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def test_video_gives_its_frames_at_its_own_times(video: Path) -> None:
    source = open_source(video, camera=CAMERA)
    frames = list(source)
    assert (source.kind, source.length, source.name) == ("video", 14, "clip")
    assert source.rate_hz == pytest.approx(20.0)
    np.testing.assert_allclose(np.diff([f.stamp_ns for f in frames]), 50e6, atol=1e6)
    for frame in frames:
        assert np.abs(frame.image.astype(int) - picture(frame.index)).mean() < 12
        assert frame.camera == CAMERA
    assert [f.stamp_ns for f in open_source(video, rate_hz=10.0, limit=2)] == [0, 100_000_000]


def test_video_without_times_falls_back_to_its_rate(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ros2_raxels.recordings.video._position_ns", lambda capture: 0)
    assert [f.stamp_ns for f in open_source(video)][:3] == [0, 50_000_000, 100_000_000]


def test_unreadable_videos_are_refused(video: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.avi"
    broken.write_bytes(video.read_bytes()[:300])
    assert "broken.avi" in refusal(broken)
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert "empty.mp4" in refusal(tmp_path / "empty.mp4")
    assert "64x48" in refusal(video, camera=PinholeCamera(64, 48, 60, 60, 31.5, 23.5))


def test_a_video_that_was_cut_short_gives_its_frames_and_says_that_it_ended_early(tmp_path: Path) -> None:
    """A file that was made for streaming keeps its count in front when its end is lost."""
    source = open_source(Path(__file__).parent.parent / "data" / "cut.mp4")
    assert source.length == 40
    frames = iter(source)
    assert [next(frames).index for _ in range(15)] == list(range(15))
    with pytest.raises(EndedEarlyError, match=r"cut\.mp4 ended early: it was cut short after 15 of the 40 frames"):
        next(frames)
    assert len(list(open_source(Path(__file__).parent.parent / "data" / "cut.mp4", limit=15))) == 15


@pytest.mark.parametrize(("claimed", "fps", "is_early"), [(15, 20.0, False), (40, 20.0, True), (40, 57.0, False)])
def test_a_count_that_was_estimated_from_the_duration_is_no_cut(
    video: Path, monkeypatch: pytest.MonkeyPatch, claimed: int, fps: float, is_early: bool
) -> None:
    """The last frame of 14 stands at .65 s; a film of varying rate may claim 40 frames of that duration."""
    says = {cv2.CAP_PROP_FPS: fps, cv2.CAP_PROP_FRAME_COUNT: float(claimed)}

    class Claiming:
        def __init__(self, path: str) -> None:
            self._capture = opened(path)
            self.read, self.release = self._capture.read, self._capture.release
            self.isOpened = self._capture.isOpened

        def get(self, what: int) -> float:
            return says.get(what, self._capture.get(what))

    opened = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", Claiming)
    source = open_source(video)
    assert source.length == claimed
    if is_early:
        assert "14 of the 40 frames" in refusal(video, drain=True)
    else:
        assert len(list(source)) == 14


def test_a_video_says_where_its_times_come_from(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_source(video).notes == ("14 frames", "times from the container, 20 Hz of the container")
    assert open_source(video, rate_hz=10.0).notes[1] == "no times, 10 Hz given"


class ScriptedCamera:
    """A `cv2.VideoCapture` that hands out three frames and then breaks."""

    def __init__(self, device: int) -> None:
        self.device, self.frames, self.released = device, iter(range(3)), False

    def isOpened(self) -> bool:
        return True

    def get(self, _: int) -> float:
        return 25.0

    def read(self) -> tuple[bool, np.ndarray | None]:
        index = next(self.frames, None)
        return index is not None, None if index is None else np.ascontiguousarray(picture(index)[..., ::-1])

    def release(self) -> None:
        self.released = True


def test_a_live_camera_is_stamped_with_the_wall_clock_even_when_that_steps_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[ScriptedCamera] = []

    def capture(device: int) -> ScriptedCamera:
        opened.append(ScriptedCamera(device))
        return opened[-1]

    clock_ns = iter([1_000, 400, 5_000, 6_000])
    monkeypatch.setattr(cv2, "VideoCapture", capture)
    monkeypatch.setattr(module.time, "time_ns", lambda: next(clock_ns))
    source = open_source("4")
    assert (source.kind, source.name, source.rate_hz, source.length) == ("camera", "camera 4", 25.0, None)
    frames = iter(source)
    assert [next(frames).stamp_ns for _ in range(3)] == [1_000, 1_001, 5_000]
    with pytest.raises(SourceError, match="camera 4 stopped after 3 frames; check its cable"):
        next(frames)
    assert [camera.device for camera in opened] == [4, 4]
    assert all(camera.released for camera in opened)


def test_frames_of_a_live_camera_are_rgb_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", ScriptedCamera)
    frames = list(open_source("0", limit=2, camera=CAMERA))
    assert [frame.name for frame in frames] == ["camera 0#0", "camera 0#1"]
    for frame in frames:
        np.testing.assert_array_equal(frame.image, picture(frame.index))
    assert "camera 0 is 32x24 px but its camera is 64x48 px" in refusal(
        "0", drain=True, camera=PinholeCamera(64, 48, 60, 60, 31.5, 23.5)
    )
