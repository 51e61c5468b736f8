"""model_clip: sizes and units of the model, and tensors that hold each frame and row where the model expects it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from views_scene import shifted

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.raxel_grid import RAXEL_COLUMNS, RAXEL_ROWS
from ros2_raxels.view_synthesis.model_clip import ModelClip, unit_reach

CAMERA = PinholeCamera(256, 78, 200.0, 190.0, 120.0, 40.0)
"""Half of it is 39 rows, which are padded to 48."""

POSES = np.array([shifted(1.0), shifted(1.0, 2.0), shifted(1.0, 0.0, 4.0, turn_deg=(0, 90, 0))])
RNG = np.random.default_rng(0)
IMAGES = list(RNG.integers(0, 256, (2, 78, 256, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def clip() -> ModelClip:
    """Two context frames and one to predict."""
    return ModelClip.of(IMAGES, CAMERA, POSES)


def test_images_are_128_wide_and_padded_to_whole_patches_with_their_last_row(clip: ModelClip) -> None:
    assert (clip.contexts, clip.frames, clip.height) == (2, 3, 39)
    assert clip.images.shape == (2, 48, 128, 3)
    # Half the size: means of two by two pixels.
    halved = np.array(IMAGES).reshape(2, 39, 2, 128, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(clip.images[:, :39], halved, atol=0.51)
    np.testing.assert_array_equal(clip.images[:, 39:], np.repeat(clip.images[:, 38:39], 9, axis=1))


def test_the_cameras_have_the_field_of_view_of_the_given_one(clip: ModelClip) -> None:
    assert clip.view_camera == CAMERA.resized(128, 39)
    assert (clip.camera.width, clip.camera.height) == (128, 48)
    assert clip.camera.matrix.tolist() == clip.view_camera.matrix.tolist()
    assert clip.bearings.shape == (3, RAXEL_ROWS, RAXEL_COLUMNS, 3)
    np.testing.assert_allclose(np.linalg.norm(clip.bearings, axis=-1), 1.0, rtol=1e-12)


def test_poses_are_in_the_first_cameras_frame_with_the_furthest_at_distance_one(clip: ModelClip) -> None:
    expected = np.array([shifted(), shifted(0.0, 0.5), shifted(0.0, 0.0, 1.0, turn_deg=(0, 90, 0))])
    np.testing.assert_allclose(clip.poses, expected, atol=1e-12)


def test_poses_that_do_not_move_stay_as_they_are() -> None:
    still = np.array([shifted(), shifted(1e-12, turn_deg=(0, 30, 0))])
    np.testing.assert_array_equal(unit_reach(still), still)


def test_images_that_would_take_all_memory_are_refused() -> None:
    """At a width of 128 px these would be 29,959 px high."""
    camera = PinholeCamera(35, 8192, 100.0, 100.0, 17.0, 4096.0)
    with pytest.raises(ValueError, match="35x8192 px are more than 4 times as high as wide; crop them"):
        ModelClip.of([np.zeros((8192, 35, 3), np.uint8)], camera, POSES)
    tallest = PinholeCamera(16, 64, 100.0, 100.0, 7.5, 31.5)
    assert ModelClip.of([np.zeros((64, 16, 3), np.uint8)], tallest, POSES).images.shape == (1, 512, 128, 3)


def test_inputs_hold_clean_context_frames_and_noise_for_the_rest(clip: ModelClip) -> None:
    rays, video = RNG.normal(size=clip.bearings.shape), clip.noise(np.random.default_rng(1))
    assert video.shape == (1, 3, 3, 48, 128)
    found = clip.joint_inputs(rays, 0.25, video, 0.5, None)
    np.testing.assert_array_equal(found["video_time"], np.array([[1.0, 1.0, 0.5]], np.float32))
    np.testing.assert_array_equal(found["ray_time"], np.full((1, 3), 0.25, np.float32))
    np.testing.assert_array_equal(found["rays"], rays[None].astype(np.float32))
    np.testing.assert_array_equal(found["bearings"], clip.bearings[None].astype(np.float32))
    # Bytes 0 to 255 are -1 to 1.
    context = np.moveaxis(clip.images, -1, 1) / 255.0 * 2.0 - 1.0
    np.testing.assert_allclose(found["video"][0, :2], context, atol=1e-6)
    np.testing.assert_array_equal(found["video"][0, 2], video[0, 2].astype(np.float32))
    assert {array.dtype for array in found.values()} == {np.dtype(np.float32)}
    assert (found["known"], found["given"]) == ([1.0], [0.0])
    for name in ("colour", "gate", "colour_log_error"):
        assert not found[name].any()
    assert (found["colour"].shape, found["gate"].shape) == ((1, 3, 3, 48, 128), (1, 3, 48, 128))


def test_what_was_swept_belongs_to_the_frames_after_the_context(clip: ModelClip) -> None:
    def swept(*shape: int) -> Any:
        return RNG.normal(size=(1, *shape, 48, 128)).astype(np.float32)

    out = {"colour": swept(3), "gate": swept(), "log_error": swept()}
    found = clip.swept_inputs(out)
    for name, source in (("colour", "colour"), ("gate", "gate"), ("colour_log_error", "log_error")):
        assert not found[name][0, :2].any()
        np.testing.assert_array_equal(found[name][0, 2:], out[source])
    assert found["given"] == [1.0]
    inputs = clip.joint_inputs(clip.bearings, 1.0, clip.noise(RNG), 0.0, found)
    assert all(inputs[name] is found[name] for name in found)


def test_answers_are_read_without_context_and_padding(clip: ModelClip) -> None:
    video = np.full((1, 3, 3, 48, 128), 9.0, np.float32)
    # Red, green and blue of the view: black, mid-grey and beyond white.
    video[0, 2, :, :39] = np.array([-1.0, 0.0, 1.2])[:, None, None]
    log_error, made_up = np.full((2, 1, 3, 48, 128), 9.0, np.float32)
    log_error[0, 2, :39], made_up[0, 2, :39] = np.log(0.5), 0.75
    out = {"clean_video": video, "video_log_error": log_error, "made_up": made_up}
    pictures = clip.pictures(out)
    assert pictures.shape == (1, 39, 128, 3)
    np.testing.assert_array_equal(pictures, np.broadcast_to(np.array([0, 128, 255], np.uint8), pictures.shape))
    # The model's range is 2, so half of it is a quarter of full range.
    np.testing.assert_allclose(clip.expected_error(out), np.full((1, 39, 128), 0.25), rtol=1e-6)
    np.testing.assert_array_equal(clip.made_up(out), np.full((1, 39, 128), 0.75))


def test_an_expected_error_is_at_most_full_range(clip: ModelClip) -> None:
    out = {"video_log_error": np.full((1, 3, 48, 128), 5.0, np.float32)}
    np.testing.assert_allclose(clip.expected_error(out), 1.0)


def test_the_spread_is_the_root_mean_square_between_two_samples(clip: ModelClip) -> None:
    a, b = np.zeros((2, 1, 3, 3, 48, 128), np.float32)
    # Half of the channels' pixels differ by 0.8 of a range of 2; context and padding do not count.
    b[0, 2, :, :39, ::2], b[0, :2], b[0, 2, :, 39:] = 0.8, 5.0, 5.0
    found = clip.spread({"clean_video": a}, {"clean_video": b})
    np.testing.assert_allclose(found, [0.4 * np.sqrt(0.5)], rtol=1e-6)
