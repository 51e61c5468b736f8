"""The matcher on images whose true correspondence is known."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from made_up_tracks import picked
from scipy.spatial.transform import Rotation

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.matching.features import Features, Keypoints
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.matching.tracks import (
    FLOW,
    KEYPOINT,
    Evidence,
    EvidenceSettings,
    PairMatches,
)

Image = npt.NDArray[np.uint8]
CAMERA = PinholeCamera(320, 240, 260.0, 255.0, 158.0, 121.0)


def textured(seed: int, width: int = 320, height: int = 240) -> Image:
    """Blobs of every size from 2 px on."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width), np.float32)
    for size in (2, 4, 8, 16, 32):
        grid = rng.normal(size=(height // size + 2, width // size + 2)).astype(np.float32)
        image += size**0.4 * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return (128 + 25 * image).clip(0, 255).astype(np.uint8)


def warp(image: Image, homography: FloatArray) -> Image:
    return cv2.warpPerspective(image, homography, image.shape[::-1], flags=cv2.INTER_CUBIC)


def mapped(homography: FloatArray, points: FloatArray) -> FloatArray:
    ends = np.column_stack([points, np.ones(len(points))]) @ homography.T
    return ends[:, :2] / ends[:, 2:]


def shift(x: float, y: float) -> FloatArray:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


TILTED = shift(14, -9) @ np.array([[1.03, -0.05, 0.0], [0.06, 0.98, 0.0], [1e-4, -6e-5, 1.0]])


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    return Matcher()


def match(
    matcher: Matcher, a: Features, b: Features, *, known: PairMatches | None = None, thorough: bool = True
) -> PairMatches:
    return matcher.match_all([(a, b)], [known], thorough)[0]


def collect(matcher: Matcher, images: list[Image], cameras: list[PinholeCamera] | None = None) -> Evidence:
    frames = matcher.look_all(images)
    cameras = cameras or [CAMERA] * len(images)
    return matcher.collect(frames, [f.working_camera(c) for f, c in zip(frames, cameras, strict=True)])


# -------------------------------------------------------------------------------------------------------- positions


@pytest.mark.parametrize("homography", [shift(7.4, -3.3), shift(-31, 12), TILTED], ids=["near", "far", "tilted"])
def test_tracks_end_where_the_warp_takes_them(matcher: Matcher, homography: FloatArray) -> None:
    image = textured(0)
    evidence = collect(matcher, [image, warp(image, homography)])
    start, end = evidence.pixels[:, 0], evidence.pixels[:, 1]
    error = np.linalg.norm(end - mapped(homography, start), axis=1)
    for kind in (KEYPOINT, FLOW):
        chosen = evidence.kind == kind
        assert chosen.sum() > 100
        assert np.median(error[chosen]) < 0.3
        assert np.quantile(error[chosen], 0.95) < 1.0
    assert {0, 1} == set(evidence.anchor)
    assert len(evidence.anchor) == EvidenceSettings().tracks
    np.testing.assert_allclose(evidence.plane[:, 1], (end - (158.0, 121.0)) / (260.0, 255.0), atol=1e-12)
    np.testing.assert_allclose(evidence.focal_px, np.sqrt(260.0 * 255.0))
    np.testing.assert_array_equal(evidence.weight, 1.0)


def test_tracks_cover_the_image(matcher: Matcher) -> None:
    image = textured(1)
    evidence = collect(matcher, [image, warp(image, shift(4, 3))])
    cells = (evidence.pixels[:, 0] // (80, 60)).astype(int)
    assert (np.bincount(cells[:, 0] + 4 * cells[:, 1], minlength=16) >= 6).all()


def test_tracks_through_three_frames(matcher: Matcher) -> None:
    image = textured(2)
    steps = [np.eye(3), shift(6, 2), TILTED]
    evidence = collect(matcher, [warp(image, step) for step in steps])
    origin = [mapped(np.linalg.inv(step), evidence.pixels[:, k]) for k, step in enumerate(steps)]
    error = np.linalg.norm([a - b for a, b in zip(origin, origin[1:] + origin[:1], strict=True)], axis=2)
    assert np.nanmedian(error) < 0.3
    assert np.nanquantile(error, 0.95) < 1.0
    assert (evidence.seen.sum(axis=1) == 3).mean() > 0.5
    assert evidence.seen[np.arange(len(evidence.anchor)), evidence.anchor].all()


def test_keypoints_of_a_track_are_those_of_the_frames_and_belong_to_one_track(matcher: Matcher) -> None:
    image = textured(3)
    frames = matcher.look_all([warp(image, step) for step in (np.eye(3), shift(20, 2), TILTED)])
    evidence = matcher.collect(frames, [CAMERA] * 3)
    chosen = picked(evidence, evidence.kind == KEYPOINT)
    assert len(chosen.anchor) > 100
    for k, frame in enumerate(frames):
        place = chosen.pixels[chosen.seen[:, k], k]
        # SIFT gives one place several keypoints of different orientation: as often as that, but no oftener.
        places, times = np.unique(place, axis=0, return_counts=True)
        known, limit = np.unique(matcher.keypoints(frame).pixels, axis=0, return_counts=True)
        allowed = {tuple(p): n for p, n in zip(known.tolist(), limit.tolist(), strict=True)}
        assert all(n <= allowed[tuple(p)] for p, n in zip(places.tolist(), times.tolist(), strict=True))
        starts = chosen.index[chosen.anchor == k]
        assert len(set(starts.tolist())) == len(starts)
        np.testing.assert_array_equal(matcher.keypoints(frame).pixels[starts], chosen.pixels[chosen.anchor == k, k])


def test_flow_starts_on_its_grid(matcher: Matcher) -> None:
    image = textured(4)
    evidence = collect(matcher, [image, warp(image, shift(3, 1))])
    chosen = picked(evidence, evidence.kind == FLOW)
    start = chosen.pixels[np.arange(len(chosen.anchor)), chosen.anchor]
    np.testing.assert_array_equal(start, matcher.grid((240, 320))[chosen.index])
    step = EvidenceSettings().grid_px
    np.testing.assert_array_equal(start % step, step // 2)


def occlusion(matcher: Matcher) -> tuple[float, float]:
    """Share of flow tracks that live, in background that a moving square covers in the other image, and elsewhere."""
    image, square = textured(5), textured(6)[:96, :96]
    first, second = image.copy(), image.copy()
    first[70:166, 60:156] = square
    second[70:166, 124:220] = square
    found = match(matcher, matcher.look(first), matcher.look(second))
    x, y = matcher.grid(first.shape).T
    rows = (y > 78) & (y < 158)
    covered = rows & (x > 164) & (x < 212)
    elsewhere = (x < 44) | (x > 236) | (y < 54) | (y > 182)
    alive = np.isfinite(found.flow[:, 0])
    assert covered.sum() >= 10
    return float(alive[covered].mean()), float(alive[elsewhere].mean())


def test_flow_into_occluded_places_is_dropped(matcher: Matcher) -> None:
    covered, elsewhere = occlusion(matcher)
    assert covered < 0.1
    assert elsewhere > 0.85
    unchecked, _ = occlusion(Matcher(EvidenceSettings(check_px=1e6, drift_px=1e6, correlation=-1.0)))
    assert unchecked > 0.5


def test_keypoints_match_when_each_is_the_others_best_and_clearly_so(matcher: Matcher) -> None:
    def keypoints(*descriptors: list[float]) -> Keypoints:
        padded = np.zeros((len(descriptors), 128), np.float32)
        padded[:, :3] = descriptors
        return Keypoints(np.zeros((len(descriptors), 2)), padded, np.ones(len(descriptors)))

    # One: clear. Two: so is its best, but that is nearer to three. Four: between two.
    first = keypoints([100, 0, 0], [0, 100, 0], [0, 90, 0], [0, 0, 105])
    second = keypoints([0, 0, 100], [0, 85, 0], [101, 0, 0], [0, 0, 111])
    index, score = matcher._match_keypoints(first, second)
    assert index.tolist() == [2, -1, 1, -1]
    # One minus the ratio of the nearest to the second nearest, over the ratio that is allowed.
    second_nearest = [np.hypot(100, 85), np.hypot(90, 100)]
    ratio = np.array([1.0, 5.0]) / second_nearest / matcher.settings.ratio
    np.testing.assert_allclose(score[[0, 2]], 1 - ratio, atol=1e-3)
    assert score[[1, 3]].tolist() == [0, 0]


def test_only_what_a_frame_sees_is_assembled_on_request(matcher: Matcher) -> None:
    image = textured(7)
    frames = matcher.look_all([image, warp(image, shift(5, 0)), warp(image, shift(60, 0))])
    matches = {(i, j): match(matcher, frames[i], frames[j]) for i, j in ((0, 1), (1, 2))}
    cameras = [CAMERA] * 3
    some = matcher.assemble(frames, cameras, matches, must_see=2)
    assert some.seen[:, 2].all()
    assert (some.seen[:, 0] & (some.kind == KEYPOINT)).any()
    # Flow is not chained: without a match of the pair the frame has none of it.
    assert not (some.seen[:, 0] & (some.kind == FLOW) & (some.anchor == 2)).any()
    assert not matcher.assemble(frames, cameras, matches).seen[:, 2].all()


# ----------------------------------------------------------------------------------------------------------- images


def test_colour_and_grey_frames_match_alike(matcher: Matcher) -> None:
    grey = [textured(8), warp(textured(8), shift(5, 2))]
    plain, colour = (collect(matcher, images) for images in (grey, [np.repeat(g[..., None], 3, axis=2) for g in grey]))
    np.testing.assert_array_equal(plain.pixels, colour.pixels)


@pytest.mark.parametrize(("frames", "cameras"), [(0, 0), (1, 1), (2, 3)])
def test_evidence_needs_two_frames_and_their_cameras(matcher: Matcher, frames: int, cameras: int) -> None:
    with pytest.raises(ValueError, match=f"{frames} frames and {cameras} cameras"):
        matcher.collect(matcher.look_all([textured(0)] * frames), [CAMERA] * cameras)


@pytest.mark.parametrize(("width", "height"), [(640, 480), (1280, 720), (333, 1000)])
def test_large_images_are_shrunk_with_their_camera(matcher: Matcher, width: int, height: int) -> None:
    camera = PinholeCamera(width, height, 0.8 * width, 0.82 * width, 0.48 * width, 0.52 * height, (-0.1, 0.02, 0, 0))
    frame = matcher.look(np.zeros((height, width), np.uint8))
    rows, columns = frame.grey.shape
    assert rows * columns == pytest.approx(105_000, rel=0.01)
    board = (np.indices((height, width)).sum(axis=0) % 2 * 255).astype(np.uint8)
    # Averaged, not picked.
    assert matcher.look(board).grey.std() < 64
    assert columns / rows == pytest.approx(width / height, rel=0.01)
    working = frame.working_camera(camera)
    assert (working.width, working.height) == (columns, rows)
    assert working.horizontal_fov_rad == pytest.approx(camera.horizontal_fov_rad, abs=1e-9)
    assert working.distortion == camera.distortion
    small = matcher.look(np.zeros((240, 320), np.uint8))
    assert small.grey.shape == (240, 320)
    assert small.working_camera(CAMERA) == CAMERA


@pytest.mark.parametrize(("width", "height"), [(320, 240), (800, 600)])
def test_rays_of_a_turning_camera_turn_with_it(matcher: Matcher, width: int, height: int) -> None:
    """The whole way from pixels as given to rays, whatever the working image: off by a fraction of its pixels."""
    camera = PinholeCamera(width, height, 0.8 * width, 0.8 * width, width / 2 - 9, height / 2 + 5)
    turn = Rotation.from_euler("yxz", [4.0, -2.0, 3.0], degrees=True).as_matrix()
    image = textured(9, width, height)
    second = warp(image, camera.matrix @ turn @ np.linalg.inv(camera.matrix))
    evidence = collect(matcher, [image, second], [camera, camera])
    error = np.linalg.norm(mapped(turn, evidence.plane[:, 0]) - evidence.plane[:, 1], axis=1) * evidence.focal_px[1]
    assert np.median(error) < 0.3
    assert np.quantile(error, 0.95) < 1.0


def test_points_of_a_large_image_are_measured_in_all_its_pixels(matcher: Matcher) -> None:
    image = cv2.GaussianBlur(textured(19, 960, 720), (0, 0), 1.0)
    second = warp(image, TILTED)
    a, b = matcher.look(image), matcher.look(second)
    assert a.full.image.shape == image.shape
    start, scale = matcher.grid(a.grey.shape), np.array(a.grey.shape[::-1]) / image.shape[::-1]
    ends = (mapped(TILTED, (start + 0.5) / scale - 0.5) + 0.5) * scale - 0.5
    error = np.linalg.norm(match(matcher, a, b).flow - ends, axis=1)
    assert np.isfinite(error).mean() > 0.8
    assert np.nanmedian(error) < 0.03
    assert np.nanquantile(error, 0.95) < 0.1


def test_only_points_that_are_asked_for_are_looked_for(matcher: Matcher) -> None:
    image = textured(20)
    a, b = matcher.look(image), matcher.look(warp(image, shift(3.3, -2.2)))
    grid = matcher.grid(a.grey.shape)
    some = np.arange(len(grid)) % 3 == 0
    (found,) = matcher.match_near([(a, b)], [grid + np.array([3.0, -2.0])], asked=[some])
    there = np.isfinite(found.flow[:, 0])
    assert not there[~some].any()
    assert found.reach == there.sum() / some.sum() > 0.9
    np.testing.assert_allclose(found.flow[there] - grid[there], np.tile([3.3, -2.2], (there.sum(), 1)), atol=0.3)


def test_what_went_elsewhere_than_the_others_is_followed_back() -> None:
    """Expected far from where they are, points are caught by something alike; all expected so are not suspected."""
    image = textured(21)
    truth = shift(3.3, -2.2)

    def found(near_sure_px: float) -> tuple[int, int]:
        matcher = Matcher(EvidenceSettings(near_sure_px=near_sure_px, correlation=-1.0))
        a, b = matcher.look(image), matcher.look(warp(image, truth))
        grid = matcher.grid(a.grey.shape)
        expected = grid + np.where(np.arange(len(grid))[:, None] % 5 == 0, (40.0, 30.0), (3.0, -2.0))
        (matches,) = matcher.match_near([(a, b)], [expected])
        wrong = np.linalg.norm(matches.flow - mapped(truth, grid), axis=1) > 2.0
        return int(wrong.sum()), int(np.isfinite(matches.flow[:, 0]).sum() - wrong.sum())

    wrong, right = found(EvidenceSettings().near_sure_px)
    unchecked_wrong, unchecked_right = found(1e6)
    assert unchecked_wrong > 20
    assert wrong < 0.2 * unchecked_wrong
    assert right > 0.95 * unchecked_right


def test_frames_of_different_size_share_keypoints(matcher: Matcher) -> None:
    image = textured(10)
    small = cv2.resize(image, (280, 210), interpolation=cv2.INTER_AREA)
    evidence = collect(matcher, [image, small], [CAMERA, CAMERA.resized(280, 210)])
    assert len(evidence.anchor) > 100
    assert (evidence.kind == KEYPOINT).all()
    error = np.linalg.norm(evidence.plane[:, 0] - evidence.plane[:, 1], axis=1) * evidence.focal_px[1]
    assert np.median(error) < 0.3
    assert np.quantile(error, 0.95) < 1.0
    assert matcher.common_keypoints(*matcher.look_all([image, small])) >= len(evidence.anchor)


def test_black_images_have_no_evidence(matcher: Matcher) -> None:
    black = np.zeros((240, 320), np.uint8)
    evidence = collect(matcher, [black, black, black])
    assert evidence.pixels.shape == evidence.plane.shape == (0, 3, 2)
    assert evidence.seen.shape == evidence.weight.shape == (0, 3)
    first, second = evidence.pair(0, 1)
    assert first.shape == second.shape == (0, 2)
    # Of 600 grid points a stray one may close its loop.
    assert len(collect(matcher, [black, textured(11)]).anchor) < 6


@pytest.mark.parametrize("size", [(1, 1), (9, 9), (16, 40)])
def test_tiny_images_are_no_error(matcher: Matcher, size: tuple[int, int]) -> None:
    image = textured(12)[: size[0], : size[1]]
    camera = PinholeCamera(size[1], size[0], 20.0, 20.0, 5.0, 5.0)
    evidence = collect(matcher, [image, image], [camera, camera])
    miss = np.linalg.norm(evidence.pixels[:, 0] - evidence.pixels[:, 1], axis=1)
    assert (miss < 0.5).all()


def test_unrelated_images_have_little_in_common(matcher: Matcher) -> None:
    evidence = collect(matcher, [textured(13), textured(14)])
    assert len(evidence.anchor) < 0.25 * EvidenceSettings().tracks


# ------------------------------------------------------------------------------------------------------- repetition


def test_the_answer_is_the_same_every_time_and_on_any_number_of_threads() -> None:
    images = [warp(textured(15), step) for step in (np.eye(3), shift(8, 3), TILTED)]
    answers = [collect(Matcher(threads=threads), images) for threads in (2, 2, 1)]
    for other in answers[1:]:
        for name in ("anchor", "index", "pixels", "plane", "focal_px", "weight", "kind"):
            np.testing.assert_array_equal(getattr(answers[0], name), getattr(other, name))


def test_a_thorough_match_after_a_coarse_one_is_the_same_as_at_once(matcher: Matcher) -> None:
    images = [textured(16), warp(textured(16), TILTED)]
    a, b = (matcher.look(image) for image in images)
    quick = match(matcher, a, b, thorough=False)
    assert quick.keypoints is None
    assert a.keypoints is None
    assert not quick.thorough
    later, once = match(matcher, a, b, known=quick), match(matcher, *(matcher.look(image) for image in images))
    for name in ("keypoints", "flow", "flow_back", "keypoint_score", "flow_score", "flow_back_score"):
        np.testing.assert_array_equal(getattr(later, name), getattr(once, name))
    # What is known well enough is not found again.
    assert match(matcher, a, b, known=once) is once
    assert match(matcher, a, b, known=once, thorough=False) is once
    assert match(matcher, a, b, known=quick, thorough=False) is quick


@pytest.mark.parametrize("homography", [shift(7.4, -3.3), TILTED], ids=["near", "tilted"])
def test_coarse_flow_is_as_exact_where_it_reaches(matcher: Matcher, homography: FloatArray) -> None:
    image = textured(19)
    found = match(matcher, matcher.look(image), matcher.look(warp(image, homography)), thorough=False)
    error = np.linalg.norm(found.flow - mapped(homography, matcher.grid(image.shape)), axis=1)
    assert found.reach == np.isfinite(error).mean()
    assert found.reach > 0.5
    assert np.nanmedian(error) < 0.3
    assert np.nanquantile(error, 0.95) < 1.0


def test_keypoints_are_compared_where_flow_does_not_reach() -> None:
    sparing = Matcher(EvidenceSettings(keypoint_reach=0.5))
    image = textured(20)
    frames = sparing.look_all([image, warp(image, shift(4, 2)), textured(21)])
    assert all(frame.keypoints is None for frame in frames)
    near, far = match(sparing, frames[0], frames[1]), match(sparing, frames[0], frames[2])
    assert near.reach > 0.8
    assert near.keypoints is None
    assert far.reach < 0.1
    assert far.keypoints is not None
    assert len(far.keypoints) == len(sparing.keypoints(frames[0]).pixels)


def test_flow_back_is_the_flow_of_the_swapped_pair(matcher: Matcher) -> None:
    a, b = matcher.look(textured(17)), matcher.look(warp(textured(17), TILTED))
    there, back = match(matcher, a, b), match(matcher, b, a)
    np.testing.assert_array_equal(there.flow_back, back.flow)
    np.testing.assert_array_equal(there.flow_back_score, back.flow_score)
    assert ((there.flow_score > 0) == np.isfinite(there.flow[:, 0])).all()
    assert there.flow_score.max() <= 1.0
    start = matcher.grid((240, 320))
    error = np.linalg.norm(there.flow_back - mapped(np.linalg.inv(TILTED), start), axis=1)
    assert np.nanmedian(error) < 0.3


def test_matches_given_are_used_as_they_are(matcher: Matcher) -> None:
    frames = matcher.look_all([textured(18)] * 3)
    grid = matcher.grid((240, 320))
    flow, back = np.full(grid.shape, np.nan), np.full(grid.shape, np.nan)
    flow[4], back[9] = (11.0, 22.0), (33.0, 44.0)
    sure, sure_back = np.zeros(len(grid)), np.zeros(len(grid))
    sure[4], sure_back[9] = 0.25, 0.75
    matches = {(0, 2): PairMatches(None, flow, back, None, sure, sure_back, True)}
    evidence = matcher.assemble(frames, [CAMERA] * 3, matches)
    np.testing.assert_array_equal(evidence.score, [[1.0, 0.0, 0.25], [0.75, 0.0, 1.0]])
    assert evidence.anchor.tolist() == [0, 2]
    assert evidence.index.tolist() == [4, 9]
    np.testing.assert_array_equal(evidence.pixels[:, 0], [grid[4], (33.0, 44.0)])
    np.testing.assert_array_equal(evidence.pixels[:, 2], [(11.0, 22.0), grid[9]])
    assert not evidence.seen[:, 1].any()
