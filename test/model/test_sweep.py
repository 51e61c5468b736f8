"""model.sweep: plane-sweep stereo at the start, and what the network that reads the sweep may and may not depend on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import uniform_filter
from views_scene import TexturedPlane, depth_of_plane, perturb, psnr_db, shifted

from ros2_raxels.geometry.camera import PinholeCamera
from ros2_raxels.geometry.poses import FloatArray
from ros2_raxels.view_synthesis.plane_sweep import sweep

torch = pytest.importorskip("torch")

from ros2_raxels.model.sweep import SweepEncoder, SweptViews  # noqa: E402

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

CAMERA = PinholeCamera(96, 64, 90.0, 90.0, 47.5, 31.5)
DEPTHS, CONTEXTS = 16, 4
POSES = np.array(
    [shifted(-0.1, 0.03, 0.05, turn_deg=(1, -2, 1)), shifted(-0.2, -0.05), shifted(-0.3, 0.1), shifted(-0.4)]
)
"""Of context cameras, newest first; the target's is the identity, and the largest baseline that of the second."""


pytestmark = pytest.mark.usefixtures("one_torch_thread")


def encoder(spread: float = 0.0) -> SweepEncoder:
    torch.manual_seed(0)
    made = SweepEncoder(DEPTHS, CONTEXTS, 8)
    perturb(made, spread)
    return made.eval()


def views_of(model: SweepEncoder, *stacks: npt.NDArray[np.uint8]) -> SweptViews:
    """Of one clip with these sweeps."""
    with torch.no_grad():
        found: SweptViews = model(torch.as_tensor(np.array(stacks))[None])
    return found


def gradient(parameter: Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def grey_levels(views: SweptViews) -> FloatArray:
    """(H, W, 3) 0 to 255 of the first view of the first clip."""
    return np.asarray((views.colour[0, 0].numpy().transpose(1, 2, 0) + 1.0) * 127.5)


def scene_and_sweep(contexts: int, index: int = 9) -> tuple[TexturedPlane, npt.NDArray[np.uint8]]:
    """A plane at a depth of the sweep, and the sweep of it."""
    poses = POSES[:contexts]
    baseline = float(np.linalg.norm(poses[:, :3, 3], axis=1).max())
    scene = TexturedPlane(depth_of_plane(CAMERA, baseline, DEPTHS, index))
    return scene, sweep(scene.views(CAMERA, poses), list(poses), CAMERA, np.eye(4), DEPTHS)


def noise(seed: int, contexts: int = CONTEXTS, height: int = 16, width: int = 24) -> npt.NDArray[np.uint8]:
    """A sweep without sense: RGB at most alpha, and a quarter of the pixels unseen."""
    rng = np.random.default_rng(seed)
    alpha = rng.integers(0, 256, (contexts, 1, DEPTHS, height, width)) * (
        rng.random((contexts, 1, 1, height, width)) < 0.75
    )
    colour = rng.random((contexts, 3, DEPTHS, height, width)) * alpha
    return np.concatenate([colour, alpha], axis=1).astype(np.uint8)


def classical(stack: npt.NDArray[np.uint8]) -> FloatArray:
    """(H, W, 3) 0 to 255: plane-sweep stereo of (K, 4, D, H, W) by the book, in float64."""
    values = stack / 255.0
    grey = np.einsum("c,kcdhw->kdhw", [0.299, 0.587, 0.114], values[:, :3])
    seen = values[:, 3].sum(axis=0)
    mean = grey.sum(axis=0) / (seen + 1e-4)
    cost = np.maximum((grey**2).sum(axis=0) / (seen + 1e-4) - mean**2, 0.0)
    cost += np.where(seen < 0.5, 0.07, np.where(seen < 1.5, 0.02, 0.0))

    def box(side: int) -> FloatArray:
        size = (0, side, side)
        inside = uniform_filter(np.ones_like(cost), size, mode="constant")
        return np.asarray(uniform_filter(cost, size, mode="constant") / inside)

    logit = -400.0 * (0.7 * box(7) + 0.3 * box(3))
    chosen = np.exp(logit - logit.max(axis=0))
    chosen /= chosen.sum(axis=0)
    there = np.einsum("dhw,kcdhw->kchw", chosen, values)
    recency = np.linspace(1.0, 0.3, CONTEXTS)[: len(stack), None, None]
    colour = (recency[:, None] * there[:, :3]).sum(axis=0) / (recency * (there[:, 3] + 1e-4)).sum(axis=0)
    return np.asarray(255.0 * colour.transpose(1, 2, 0))


# ---------------------------------------------------------------------------------------------------- at the start


@pytest.mark.parametrize(("contexts", "least_db"), [(2, 22.0), (3, 27.0), (4, 29.5)])
def test_a_fresh_encoder_sees_the_plane_that_is_there(contexts: int, least_db: float) -> None:
    """Better the more it is given."""
    scene, stack = scene_and_sweep(contexts)
    truth, newest = scene.view(CAMERA, np.eye(4)), scene.view(CAMERA, POSES[0])
    # All contexts are to the left of the target, so a strip on the right is seen by few.
    both_see = np.s_[:, :56]
    found = psnr_db(grey_levels(views_of(encoder(), stack))[both_see], truth[both_see])
    repeated = psnr_db(newest[both_see], truth[both_see])
    assert found > least_db
    assert found > repeated + 8.0


@pytest.mark.parametrize("contexts", [1, 2, 3, 4])
def test_a_fresh_encoder_is_plane_sweep_stereo(contexts: int) -> None:
    stacks = [scene_and_sweep(contexts)[1], noise(contexts, contexts)]
    for stack in stacks:
        # 1e-3 of the range from -1 to 1.
        np.testing.assert_allclose(grey_levels(views_of(encoder(), stack)), classical(stack), atol=0.1)


def test_at_the_start_all_pixels_are_rather_known_than_made_up() -> None:
    views = views_of(encoder(), noise(0), noise(1))
    for value, expected in ((views.gate, -4.0), (views.log_error, -2.0)):
        assert value.shape == (1, 2, 16, 24)
        np.testing.assert_allclose(value.numpy(), expected, atol=1e-6)
    np.testing.assert_array_equal(views.given.numpy(), [1.0])


def test_what_nobody_saw_is_black() -> None:
    stack = noise(2)
    stack[..., 4:9, 5:20] = 0
    found = grey_levels(views_of(encoder(), stack))
    np.testing.assert_allclose(found[4:9, 5:20], 0.0, atol=1e-3)
    assert found[:4].mean() > 50.0


def test_nothing_swept_is_marked_as_not_given() -> None:
    nothing = SweptViews.nothing(torch.ones(2, 3, 3, 16, 32))
    assert nothing.planes is None
    assert nothing.weights is None
    values = nothing[:-2]
    assert [tuple(value.shape) for value in values] == [(2, 3, 3, 16, 32), (2, 3, 16, 32), (2, 3, 16, 32), (2,)]
    assert all((value == 0).all() for value in values)


# ------------------------------------------------------------------------------------------------------ dependence


@pytest.mark.parametrize("spread", [0.0, 0.1])
@pytest.mark.parametrize("contexts", [1, 2, 3])
def test_contexts_that_saw_nothing_change_next_to_nothing(contexts: int, spread: float) -> None:
    model, stack = encoder(spread), scene_and_sweep(contexts)[1]
    padded = np.concatenate([stack, np.zeros((CONTEXTS - contexts, *stack.shape[1:]), np.uint8)])
    few, many = views_of(model, stack), views_of(model, padded)
    np.testing.assert_array_equal(many.gate.numpy(), few.gate.numpy())
    np.testing.assert_array_equal(many.log_error.numpy(), few.log_error.numpy())
    # Where contexts saw, the zeros weigh one part in ten thousand.
    seen = stack[:, 3].min(axis=(0, 1)) == 255
    assert seen.mean() > 0.25
    np.testing.assert_allclose(grey_levels(many)[seen], grey_levels(few)[seen], atol=0.3)


def test_newer_contexts_weigh_more() -> None:
    """Where no depth is better than another, as in frames of one colour each."""
    stack = np.zeros((CONTEXTS, 4, DEPTHS, 8, 8), np.uint8)
    stack[:, 3] = 255
    weight = np.array([1.0, 0.7 / 3 * 2 + 0.3, 0.7 / 3 + 0.3, 0.3])
    for context in range(CONTEXTS):
        one = stack.copy()
        one[context, :3] = 200
        expected = 200.0 * weight[context] / weight.sum()
        np.testing.assert_allclose(grey_levels(views_of(encoder(), one)), expected, atol=0.1)


def test_clips_and_views_of_a_batch_do_not_see_each_other() -> None:
    model = encoder(0.1)
    stacks = np.array([[noise(10 * clip + view) for view in range(3)] for clip in range(2)])
    with torch.no_grad():
        together = model(torch.as_tensor(stacks))
    assert together.colour.shape == (2, 3, 3, 16, 24)
    np.testing.assert_array_equal(together.given.numpy(), [1.0, 1.0])
    for clip, view in np.ndindex(2, 3):
        alone = views_of(model, stacks[clip, view])
        for name in ("colour", "gate", "log_error"):
            all_of_it, own = getattr(together, name), getattr(alone, name)
            np.testing.assert_allclose(all_of_it[clip, view].numpy(), own[0, 0].numpy(), atol=1e-5, err_msg=name)
    assert together.gate.std(dim=(0, 1)).min() > 1e-3


def test_what_the_network_learns_counts() -> None:
    stack = noise(3)
    fresh, learned = views_of(encoder(), stack), views_of(encoder(0.1), stack)
    for name in ("colour", "gate", "log_error"):
        assert (getattr(learned, name) - getattr(fresh, name)).abs().mean() > 1e-3, name


def test_every_weight_gets_a_gradient() -> None:
    model = encoder(0.1)
    views = model(torch.as_tensor(noise(4))[None, None])
    (views.colour.square().mean() + views.gate.square().mean() + views.log_error.square().mean()).backward()
    parameters = dict(model.named_parameters())
    assert len(parameters) > 30
    for name, p in parameters.items():
        assert torch.isfinite(gradient(p)).all(), name
        assert gradient(p).abs().max() > 0, name
    # Every depth, context and head by itself.
    assert (gradient(model.bias).abs() > 0).all()
    assert (gradient(model.net.out).abs().amax(dim=(1, 2, 3)) > 0).all()


def test_a_fresh_encoder_learns_from_the_first_step() -> None:
    model = encoder()
    views = model(torch.as_tensor(noise(5))[None, None])
    (views.colour.square().mean() + views.gate.square().mean()).backward()
    assert gradient(model.net.out).abs().max() > 0
    assert gradient(model.bias).abs().max() > 0
