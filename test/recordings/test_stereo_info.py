"""stereo_info: where the right camera stands by R and P, as camera_calibration and drivers write them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from ros2_raxels.geometry.poses import FloatArray, inverse_pose, make_pose, rotation_from_vector
from ros2_raxels.recordings.stereo_info import contradiction, stereo_mount


def info(tx: float = 0.0, r: FloatArray | None = None, focal: float = 256.0) -> SimpleNamespace:
    p = [focal, 0, 160, tx, 0, focal, 120, 0, 0, 0, 1, 0]
    return SimpleNamespace(p=p, r=(np.zeros(9) if r is None else r.ravel()))


def test_the_right_camera_stands_a_baseline_to_the_right() -> None:
    mount = stereo_mount(info(), info(tx=-256.0 * 0.12), rectified=True)
    np.testing.assert_allclose(mount, make_pose(np.eye(3), (0.12, 0.0, 0.0)))
    back = stereo_mount(info(tx=-256.0 * 0.12), info(), rectified=True)
    np.testing.assert_allclose(back, inverse_pose(mount))


def test_images_that_are_not_rectified_are_turned_by_r() -> None:
    """OpenCV's stereoRectify turns both cameras until they look the same way, across the baseline."""
    truth = make_pose(rotation_from_vector(np.array([0.01, 0.03, -0.02])), (0.118, 0.004, -0.002))
    x = truth[:3, 3] / np.linalg.norm(truth[:3, 3])
    y = np.cross((0.0, 0.0, 1.0), x) / np.linalg.norm(np.cross((0.0, 0.0, 1.0), x))
    left = np.stack([x, y, np.cross(x, y)])
    right = left @ truth[:3, :3]
    tx = -256.0 * float(np.linalg.norm(truth[:3, 3]))
    found = stereo_mount(info(r=left), info(tx=tx, r=right), rectified=False)
    np.testing.assert_allclose(found, truth, atol=1e-12)


@pytest.mark.parametrize("pair", [(info(), info()), (info(), info(tx=-9.0, focal=0.0)), (info(), info(tx=np.nan))])
def test_what_is_no_pair_says_nothing(pair: tuple[SimpleNamespace, SimpleNamespace]) -> None:
    assert stereo_mount(*pair, rectified=False) is None


def test_a_baseline_of_tf_that_contradicts_the_calibration_is_told_in_numbers() -> None:
    by_p = make_pose(np.eye(3), (0.12, 0.0, 0.0))
    assert contradiction(make_pose(rotation_from_vector((0, 0, 0.01)), (0.124, 0.0, 0.001)), by_p) == ""
    assert contradiction(make_pose(np.eye(3), (0.06, 0.0, 0.0)), by_p) == (
        "TF puts them 60.0 mm apart and P of their camera_info 120.0 mm, in places 60.0 mm and 0.00 deg apart; TF is "
        "gone by: correct the one that is wrong"
    )
    assert "5.73 deg apart" in contradiction(make_pose(rotation_from_vector((0, 0.1, 0)), (0.12, 0.0, 0.0)), by_p)
