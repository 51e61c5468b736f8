"""track_summary: when a track has failed, which rows it has, and what is said of its camera."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_raxels.cli.track_summary import camera_words, failure, rows
from ros2_raxels.evaluation.tracks.recorded_track import Track
from ros2_raxels.geometry.camera import PinholeCamera, ordinary_camera
from ros2_raxels.geometry.fisheye import FisheyeCamera
from ros2_raxels.recordings.source import Frame
from ros2_raxels.tracking.types import SolveQuality, TrackedPose, TrackState

IMAGE = np.zeros((60, 80, 3), np.uint8)


def track_of(states: str, stamps_ns: list[int] | None = None) -> Track:
    """A track of T (tracking), H (held), L (lost) and I (initialising)."""
    letters = {"T": TrackState.TRACKING, "H": TrackState.HELD, "L": TrackState.LOST, "I": TrackState.INITIALISING}
    track = Track()
    for index, letter in enumerate(states):
        stamp_ns = index if stamps_ns is None else stamps_ns[index]
        message = "" if letter == "T" else f"because of {letter}"
        pose = TrackedPose(stamp_ns, np.eye(4), np.eye(6), letters[letter], SolveQuality(), message=message)
        track.add(Frame(index, stamp_ns, IMAGE, None, None, "x"), pose, 0.001)
    return track


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ("TTHH", ""),
        ("TTHHL", "only 2 of 5 frames were tracked: because of H"),
        ("IIII", "none of 4 frames was tracked: because of I"),
    ],
)
def test_less_than_half_is_a_failure(states: str, words: str) -> None:
    assert failure(track_of(states)) == words


def test_rows_are_the_solved_frames_or_all_with_remarks() -> None:
    track = track_of("ITHTL")
    assert rows(track, all_frames=False) == ([1, 3], {})
    numbers, remarks = rows(track, all_frames=True)
    assert numbers == [0, 1, 2, 3, 4]
    assert remarks == {
        0: "not solved (initialising): the next row is a guess",
        2: "not solved (held): the next row is a guess",
        4: "not solved (lost): the next row is a guess",
    }


def test_rows_ascend_one_for_a_stamp_and_a_solved_frame_outranks_another() -> None:
    track = track_of("TTTHT", [30, 10, 10, 30, 20])
    assert rows(track, all_frames=True) == ([2, 4, 0], {})


def test_the_camera_is_named_with_its_source_and_how_far_it_is_to_be_believed() -> None:
    camera = PinholeCamera(80, 60, 70.0, 71.0, 39.5, 29.5, (-0.3, 0.08, 0.0, 0.001))
    assert camera_words(camera, True, "a.yaml, cam0") == (
        "intrinsics given: fx 70.0, fy 71.0, cx 39.5, cy 29.5 px, k1 -0.3, k2 0.08, p2 0.001; from a.yaml, cam0"
    )
    assert camera_words(FisheyeCamera(80, 60, 30.0, 30.0, 39.5, 29.5, (0.0, 0.01, 0.0, 0.0)), True, "rig.json") == (
        "intrinsics given: fx 30.0, fy 30.0, cx 39.5, cy 29.5 px, equidistant, k2 0.01; from rig.json"
    )
    assert camera_words(PinholeCamera(80, 60, 70.0, 70.0, 39.5, 29.5), False, "").startswith(
        "intrinsics estimated: fx 70.0, fy 70.0, cx 39.5, cy 29.5 px; the focal length from the motion"
    )
    assert camera_words(ordinary_camera(80, 60), False, "").startswith("intrinsics assumed: fx 64.0")
    assert camera_words(None, False, "") == "intrinsics unknown"
