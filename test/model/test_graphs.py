"""model.graphs: each graph computes its part of the model, under the names that serving gives its tensors."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

torch = pytest.importorskip("torch")

from model_rig import TINY, assert_alike, encoded, inputs_of, model_of, swept_of, tracks_of, video_of  # noqa: E402

from ros2_raxels.model import graphs  # noqa: E402
from ros2_raxels.model.graphs import EncodeGraph, JointGraph, RayGraph, SweepGraph, graph_of  # noqa: E402

if TYPE_CHECKING:
    from torch import Tensor

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.mark.parametrize(
    ("role", "kind", "inputs", "outputs"),
    [
        ("encode", EncodeGraph, graphs.TRACK_INPUTS, graphs.TOKEN_OUTPUTS),
        ("rays", RayGraph, graphs.RAY_INPUTS, graphs.RAY_OUTPUTS),
        ("sweep", SweepGraph, graphs.SWEEP_INPUTS, graphs.SWEEP_OUTPUTS),
        ("joint", JointGraph, graphs.JOINT_INPUTS, graphs.JOINT_OUTPUTS),
    ],
)
def test_a_role_has_its_graph_and_inputs_in_the_order_of_their_names(
    role: str, kind: type, inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> None:
    graph, *names = graph_of(model_of(TINY), role)
    assert type(graph) is kind
    assert names == [inputs, outputs]
    assert tuple(inspect.signature(graph.forward).parameters) == inputs


def test_what_a_model_does_not_have_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="the model has no graph 'sweep'"):
        graph_of(model_of(replace(TINY, sweep_depths=0)), "sweep")
    with pytest.raises(ValueError, match="the model has no graph 'views'"):
        graph_of(model_of(TINY), "views")
    with pytest.raises(ValueError, match="a model without evidence has no graph for it"):
        graph_of(model_of(replace(TINY, evidence_blocks=0)), "encode")


@torch.no_grad()
def test_tokens_are_those_of_the_model() -> None:
    model, tracks = model_of(TINY), tracks_of()
    found = EncodeGraph(model)(*(tracks[name] for name in graphs.TRACK_INPUTS))
    expected = encoded(model, tracks)._asdict()
    for name, value in zip(graphs.TOKEN_OUTPUTS, found, strict=True):
        assert torch.equal(value, expected[name]), name


@torch.no_grad()
def test_hypotheses_share_one_clip_and_are_answered_as_each_alone() -> None:
    model, many = model_of(TINY), inputs_of(TINY, clips=3)
    evidence = encoded(model, tracks_of(clips=1))
    one = {name: many[name][:1] for name in ("bearings", "known")}
    rays, log_error = RayGraph(model)(
        many["rays"], many["ray_time"], *one.values(), evidence.tokens, evidence.turn, evidence.mask
    )
    assert (len(rays), len(log_error)) == (3, 3)
    for hypothesis in range(3):
        alone = {name: many[name][hypothesis : hypothesis + 1] for name in ("rays", "ray_time")}
        expected = model(**alone, **one, evidence=evidence)
        assert_alike(rays[hypothesis], expected.rays[0])
        assert_alike(log_error[hypothesis], expected.log_error[0])
    assert (rays[0] - rays[1]).abs().max() > 1e-2


@torch.no_grad()
@pytest.mark.parametrize("numbers_first", [False, True])
def test_a_sweep_is_read_as_by_the_model(numbers_first: bool) -> None:
    model, generator = model_of(TINY), torch.Generator().manual_seed(6)
    assert model.sweep is not None
    swept = torch.randint(256, (2, 3, 4, TINY.sweep_depths, 16, 24), generator=generator, dtype=torch.uint8)
    votes = torch.rand(2, TINY.sweep_depths, 16, 24, generator=generator)
    found = SweepGraph(model.sweep, numbers_first=numbers_first)(swept, votes)
    expected = model.sweep(swept[None], votes[None])._asdict()
    for name, value in zip(graphs.SWEEP_OUTPUTS, found, strict=True):
        assert value.std() > 1e-3, name
        assert_alike(value, expected[name][0])


@torch.no_grad()
def test_rays_and_video_are_denoised_as_by_the_model() -> None:
    model, inputs, swept = model_of(TINY), inputs_of(TINY) | video_of(TINY), swept_of(TINY)
    out = model(**inputs, swept=swept)
    of_sweep: dict[str, Tensor] = {
        "colour": swept.colour,
        "gate": swept.gate,
        "colour_log_error": swept.log_error,
        "given": swept.given,
    }
    given = inputs | of_sweep
    found = JointGraph(model)(*(given[name] for name in graphs.JOINT_INPUTS))
    expected = (out.rays, out.log_error, out.video, out.video_log_error, out.made_up)
    for name, value, of_model in zip(graphs.JOINT_OUTPUTS, found, expected, strict=True):
        assert value.std() > 1e-3, name
        assert torch.equal(value, of_model), name
