"""nodes.views.rig_context: cameras by name, and which of them add nothing."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.action")

from ros2_raxels.nodes.views.rig_context import RigContext

S = 1_000_000_000


class Camera:
    """As much of a `LiveContext` as is asked for here."""

    def __init__(self, newest_ns: int | None, unplaced: str = "", kept: int = 0) -> None:
        self.newest_ns, self.unplaced, self.kept, self.worlds = newest_ns, unplaced, kept, 0

    def why_empty(self) -> str:
        return "" if self.newest_ns else "no publisher"

    def why_old(self) -> str:
        return "it is idle"

    def why_unplaced(self) -> str:
        return self.unplaced

    def forget(self) -> None:
        self.worlds += 1


def rig(**cameras: Camera) -> RigContext:
    return RigContext(cameras)  # type: ignore[arg-type]


def test_no_name_is_that_of_the_first_camera() -> None:
    left, right = Camera(S), Camera(S)
    found = rig(left=left, right=right)
    assert found.names == ("left", "right")
    assert (found[""], found["right"]) == (left, right)


def test_frames_and_images_of_all_cameras_count() -> None:
    found = rig(left=Camera(3 * S, kept=2), right=Camera(5 * S, kept=3), back=Camera(None))
    assert (found.kept, found.newest_ns, found.why_empty()) == (5, 5 * S, "")
    found.forget()
    assert [camera.worlds for camera in found.cameras.values()] == [1, 1, 1]


def test_without_any_image_the_first_camera_says_why() -> None:
    found = rig(left=Camera(None), right=Camera(None))
    assert (found.newest_ns, found.why_empty()) == (None, "no publisher")


def test_cameras_that_add_nothing_are_named_with_the_reason() -> None:
    found = rig(
        left=Camera(9 * S), right=Camera(6 * S), back=Camera(None), top=Camera(8 * S, unplaced="TF has no top_optical")
    )
    expected = {"left": "", "right": "it is idle", "back": "no publisher", "top": "TF has no top_optical"}
    assert found.missing(max_age_s=2.0) == expected


def test_a_camera_without_others_is_not_compared() -> None:
    assert rig(**{"": Camera(None)}).missing(2.0) == {}
