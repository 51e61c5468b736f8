"""flow: time, noise, tasks and the sampler. What needs no torch is tested without it."""

from __future__ import annotations

import itertools
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.model.flow import Task, blend, draw_times, sample, schedule, step_towards

if TYPE_CHECKING:
    from torch import Tensor

steady = settings(max_examples=40, deadline=None, derandomize=True)


# -------------------------------------------------------------------------------------------------------- sampler


@steady
@given(st.integers(1, 50))
def test_the_schedule_goes_from_noise_to_data_in_equal_steps(steps: int) -> None:
    times = schedule(steps)
    assert (times[0], times[-1], len(times)) == (0.0, 1.0, steps + 1)
    np.testing.assert_allclose(np.diff(times), 1.0 / steps, atol=1e-12)


def sampled(*arguments: Any) -> Any:
    """What the last step predicts."""
    *_, last = sample(*arguments)
    return last


@pytest.mark.parametrize("steps", [0, -3])
def test_no_step_is_refused_by_value(steps: int) -> None:
    with pytest.raises(ValueError, match=f"{steps} denoising steps; take 1 or more"):
        schedule(steps)
    # At once, not when the first step is asked for.
    with pytest.raises(ValueError, match=f"{steps} denoising steps"):
        sample(lambda x, _: x, np.zeros(3), steps)


@steady
@given(st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_with_an_exact_prediction_the_sampler_walks_straight_to_the_data(steps: int, seed: int) -> None:
    noise, data = np.random.default_rng(seed).normal(size=(2, 3, 5))
    asked: list[float] = []

    def predict(x: FloatArray, time: float) -> FloatArray:
        np.testing.assert_allclose(x, (1 - time) * noise + time * data, atol=1e-12)
        asked.append(time)
        return data

    np.testing.assert_array_equal(sampled(predict, noise, steps), data)
    assert asked == schedule(steps)[:-1]


@pytest.mark.parametrize("steps", [21, 200])
def test_many_steps_stay_finite_where_the_gap_is_clipped(steps: int) -> None:
    noise, data = np.random.default_rng(0).normal(size=(2, 7))
    seen: list[FloatArray] = []

    def predict(x: FloatArray, _: float) -> FloatArray:
        seen.append(x)
        return data

    np.testing.assert_array_equal(sampled(predict, noise, steps), data)
    distance = [np.linalg.norm(x - data) for x in seen]
    assert all(later < now for now, later in itertools.pairwise(distance))


def test_two_steps_by_hand() -> None:
    """From 8 and a prediction of half of x: 4; half way from 8 to 4 is 6; predicted 3."""
    assert list(sample(lambda x, _: 0.5 * x, 8.0, 1)) == [4.0]
    assert list(sample(lambda x, _: 0.5 * x, 8.0, 2)) == [4.0, 3.0]


def test_a_step_is_taken_when_it_is_asked_for() -> None:
    asked: list[float] = []

    def predict(x: float, time: float) -> float:
        asked.append(time)
        return 0.5 * x

    steps = sample(predict, 8.0, 4)
    assert asked == []
    assert next(steps) == 4.0
    assert asked == [0.0]
    assert len(list(steps)) == 3
    assert asked == [0.0, 0.25, 0.5, 0.75]


def test_a_walk_that_begins_later_divides_what_is_left() -> None:
    """From .5 in two steps: .5 and .75, half of what is left; from 8 and 4 to 6, predicted 3."""
    asked: list[float] = []

    def predict(x: float, time: float) -> float:
        asked.append(time)
        return 0.5 * x

    assert list(sample(predict, 8.0, 2, None, 0.5)) == [4.0, 3.0]
    assert asked == [0.5, 0.75]


def test_predictions_may_say_more_than_the_clean_data() -> None:
    """The sampler goes on with that part alone, and yields all of it."""
    said = list(sample(lambda x, time: {"clean": 0.5 * x, "time": time}, 8.0, 2, itemgetter("clean")))
    assert said == [{"clean": 4.0, "time": 0.0}, {"clean": 3.0, "time": 0.5}]


def test_rays_and_video_are_denoised_side_by_side() -> None:
    """As each by itself, with what is predicted of one depending on both."""

    def predict(x: tuple[float, float], _: float) -> tuple[float, float]:
        return 0.5 * x[0], x[1] - x[0]

    # From (8, 2): predicted (4, -6); half way (6, -2); predicted (3, -8).
    assert list(sample(predict, (8.0, 2.0), 2)) == [(4.0, -6.0), (3.0, -8.0)]
    assert step_towards((4.0, -6.0), (8.0, 2.0), 0.0, 0.5) == (6.0, -2.0)


# -------------------------------------------------------------------------------------------------------- blending


def tensors(seed: int) -> tuple[Tensor, Tensor]:
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(seed)
    noise, data = torch.randn(2, 2, 3, 4, 5, generator=generator, dtype=torch.float64)
    return noise, data


@steady
@given(st.integers(0, 1000), st.lists(st.floats(0, 1), min_size=6, max_size=6))
def test_each_frame_is_blended_at_its_own_time(seed: int, times: list[float]) -> None:
    torch = pytest.importorskip("torch")
    noise, data = tensors(seed)
    noisy = blend(noise, data, torch.tensor(times, dtype=torch.float64).reshape(2, 3))
    for b, n in itertools.product(range(2), range(3)):
        t = times[3 * b + n]
        np.testing.assert_allclose(noisy[b, n], (1 - t) * noise[b, n] + t * data[b, n], atol=1e-12)


def test_ends_of_time_are_noise_and_data() -> None:
    torch = pytest.importorskip("torch")
    noise, data = tensors(0)
    assert torch.equal(blend(noise, data, torch.zeros(2, 3)), noise)
    assert torch.equal(blend(noise, data, torch.ones(2, 3)), data)


# ---------------------------------------------------------------------------------------------------------- tasks


def times_of(task: Task, clips: int = 4000, seed: int = 0, sources: int = 1) -> tuple[FloatArray, FloatArray]:
    torch = pytest.importorskip("torch")
    video, rays = draw_times(task, clips, 3, torch.Generator().manual_seed(seed), sources)
    assert video.shape == rays.shape == (clips, 3)
    return video.numpy(), rays.numpy()


def assert_ray_times(rays: FloatArray) -> None:
    """All frames of a clip alike; .4 of the clips pure noise, within four deviations of a share of 4000."""
    np.testing.assert_array_equal(rays, rays[:, :1].repeat(3, axis=1))
    assert abs((rays == 0).mean() - 0.4) < 4 * np.sqrt(0.4 * 0.6 / len(rays))
    some = rays[:, 0][rays[:, 0] > 0]
    # Logit-normal about -1.6: its median is .168.
    assert np.median(some) == pytest.approx(1 / (1 + np.exp(1.6)), abs=0.015)
    assert some.max() < 1


def assert_video_times(video: FloatArray) -> None:
    """First frame clean; the others of a clip alike and noisy."""
    assert (video[:, 0] == 1).all()
    np.testing.assert_array_equal(video[:, 1], video[:, 2])
    assert abs((video[:, 1] == 0).mean() - 0.4) < 4 * np.sqrt(0.4 * 0.6 / len(video))
    assert video[:, 1].max() < 1
    assert np.median(video[:, 1][video[:, 1] > 0]) == pytest.approx(1 / (1 + np.exp(0.8)), abs=0.02)


def test_poses_come_from_clean_video_and_noisy_rays() -> None:
    video, rays = times_of(Task.POSE)
    assert (video == 1).all()
    assert_ray_times(rays)


def test_views_come_from_clean_rays_and_a_clean_first_frame() -> None:
    video, rays = times_of(Task.VIEWS)
    assert (rays == 1).all()
    assert_video_times(video)


def test_imagination_starts_from_a_clean_first_frame_alone() -> None:
    video, rays = times_of(Task.IMAGINE)
    assert_video_times(video)
    np.testing.assert_array_equal(rays, rays[:, :1].repeat(3, axis=1))
    # Several steps lead through all noise levels: logit-normal about -.4.
    assert ((rays > 0) & (rays < 1)).all()
    assert np.median(rays) == pytest.approx(1 / (1 + np.exp(0.4)), abs=0.02)
    # Noise levels of the modalities are independent of each other.
    noisy = video[:, 1] > 0
    assert abs(np.corrcoef(video[noisy, 1], rays[noisy, 0])[0, 1]) < 0.1


def test_all_sources_are_clean() -> None:
    video, _ = times_of(Task.VIEWS, sources=2)
    assert (video[:, :2] == 1).all()
    assert (video[:, 2] < 1).all()


def test_times_follow_the_generator() -> None:
    first, again, other = (times_of(Task.IMAGINE, 8, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
