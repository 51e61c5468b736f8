"""lightglue: stages together are the network, and its answers do not depend on the order of images and keypoints."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from ros2_raxels.model.lightglue import STAGE_OUTPUTS, LightGlue, LightGlueSize, _SelfBlock  # noqa: E402

SIZE = LightGlueSize(descriptor=8, width=16, heads=2, layers=3)
EXACT = 1e-5


@pytest.fixture(scope="module")
def net() -> LightGlue:
    torch.manual_seed(0)
    return LightGlue(SIZE).eval()


def keypoints(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    return torch.rand(count, 2) * 2 - 1, torch.nn.functional.normalize(torch.randn(count, 8), dim=1)


def answer(net: LightGlue, stages: tuple[int, ...], a: tuple, b: tuple) -> dict[str, torch.Tensor]:  # type: ignore[type-arg]
    known = [a[1], b[1]]
    found: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        for stage in net.stages(stages):
            found = dict(zip(STAGE_OUTPUTS, stage(a[0], b[0], *known), strict=True))
            known = [found["state_a"], found["state_b"]]
    return found


def test_stages_together_are_the_network(net: LightGlue) -> None:
    a, b = keypoints(12, 1), keypoints(15, 2)
    whole, parts = answer(net, (3,), a, b), answer(net, (1, 1, 1), a, b)
    for name in STAGE_OUTPUTS:
        torch.testing.assert_close(parts[name], whole[name], atol=EXACT, rtol=0)
    assert int(whole["unsure"]) == 0, "after the last layer nobody waits for another"


def test_the_other_image_first_gives_the_same_answer(net: LightGlue) -> None:
    a, b = keypoints(12, 1), keypoints(15, 2)
    there, back = answer(net, (3,), a, b), answer(net, (3,), b, a)
    torch.testing.assert_close(there["state_a"], back["state_b"], atol=EXACT, rtol=0)
    assert there["best_a"].tolist() == back["best_b"].tolist()
    assert there["keep_a"].tolist() == back["keep_b"].tolist()


def test_the_order_of_keypoints_does_not_matter(net: LightGlue) -> None:
    a, b = keypoints(12, 1), keypoints(15, 2)
    order = torch.randperm(12)
    found, other = answer(net, (2, 1), a, b), answer(net, (2, 1), (a[0][order], a[1][order]), b)
    torch.testing.assert_close(other["score_a"], found["score_a"][order], atol=EXACT, rtol=0)
    assert other["best_a"].tolist() == found["best_a"][order].tolist()


def test_scores_are_the_product_of_both_shares_and_of_being_matchable(net: LightGlue) -> None:
    a, b = keypoints(6, 1), keypoints(5, 2)
    found = answer(net, (3,), a, b)
    last = net.log_assignment[2]
    with torch.no_grad():
        x, y = found["state_a"], found["state_b"]
        alike = last.final_proj(x) @ last.final_proj(y).T / math.sqrt(SIZE.width)
        can = [torch.sigmoid(last.matchability(side))[:, 0] for side in (x, y)]
        wanted = torch.softmax(alike, 1) * torch.softmax(alike, 0) * can[0][:, None] * can[1]
    torch.testing.assert_close(found["score_a"], wanted.max(dim=1).values, atol=EXACT, rtol=0)
    assert found["best_b"].tolist() == wanted.argmax(dim=0).tolist()


def test_the_unsure_are_counted_and_kept(net: LightGlue) -> None:
    a, b = keypoints(12, 1), keypoints(15, 2)
    first = net.stages((1, 2))[0]
    assert first.sureness is not None
    with torch.no_grad():
        found = dict(zip(STAGE_OUTPUTS, first(a[0], b[0], a[1], b[1]), strict=True))
        doubts = [first.sureness(found[f"state_{side}"]) < 0.8 + 0.1 * math.exp(0.0) for side in "ab"]
    assert int(found["unsure"]) == int(doubts[0].sum() + doubts[1].sum())
    assert bool(found["keep_a"][doubts[0]].all())


def test_places_turn_queries_and_keys_so_that_only_their_difference_counts(net: LightGlue) -> None:
    block = net.transformers[0].self_attn
    assert isinstance(block, _SelfBlock)
    place, state = keypoints(10, 3)[0], torch.randn(10, SIZE.width)
    with torch.no_grad():
        here, there = (block(state, net.posenc(place + shift)) for shift in (0.0, 0.7))
    torch.testing.assert_close(here, there, atol=1e-4, rtol=0)


def test_the_authors_thresholds_are_no_weights(net: LightGlue) -> None:
    weights = {**net.state_dict(), "confidence_thresholds": torch.zeros(3)}
    LightGlue(SIZE).load(weights)
    del weights["input_proj.bias"]
    with pytest.raises(RuntimeError, match=r"input_proj\.bias"):
        LightGlue(SIZE).load(weights)
