"""The frame tree: composed and interpolated poses against SciPy, and the messages where there is no answer."""

from __future__ import annotations

import math
import re
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from ros2_raxels.geometry.frame_tree import FrameError, FrameTree, NoDataError, NotConnectedError, UnknownFrameError

S = 1_000_000_000
STILL = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
AHEAD = ((1.0, 2.0, 3.0), (0.0, 0.0, 0.0, 1.0))


def _matrix(translation, quaternion) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = Rotation.from_quat(quaternion).as_matrix(), translation
    return pose


def _random_sample(generator: np.random.Generator) -> tuple[tuple[float, ...], tuple[float, ...]]:
    q = generator.normal(size=4)
    return tuple(generator.normal(size=3)), tuple(q / np.linalg.norm(q))


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 9), st.integers(0, 2**32 - 1), st.data())
def test_any_frame_of_a_random_tree_in_any_other_is_the_product_along_the_path(size, seed, data):
    generator, tree = np.random.default_rng(seed), FrameTree()
    in_root = {"0": np.eye(4)}
    for k in range(1, size):
        parent, sample, static = str(generator.integers(k)), _random_sample(generator), bool(generator.integers(2))
        assert tree.insert(parent, str(k), 5 * S, *sample, static=static) == ""
        in_root[str(k)] = in_root[parent] @ _matrix(*sample)
    target, source = (data.draw(st.sampled_from(sorted(in_root))) for _ in range(2))
    expected = np.linalg.inv(in_root[target]) @ in_root[source]
    for stamp in (5 * S, 0):
        np.testing.assert_allclose(tree.lookup(target, source, stamp), expected, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.permutations(range(6)), st.floats(0.0, 1.0), st.integers(0, 4))
def test_poses_are_interpolated_whatever_the_order_they_arrived_in(seed, order, share, gap):
    generator, tree = np.random.default_rng(seed), FrameTree()
    stamps = np.cumsum(generator.integers(1, S // 20, 6)) + 10**18
    samples = [_random_sample(generator) for _ in stamps]
    for k in order:
        assert tree.insert("world", "eye", int(stamps[k]), *samples[k]) == ""
    before, after = int(stamps[gap]), int(stamps[gap + 1])
    stamp = before + int(share * (after - before))
    share = (stamp - before) / (after - before)
    turn = Slerp([0, 1], Rotation.from_quat([samples[gap][1], samples[gap + 1][1]]))(share)
    place = (1 - share) * np.array(samples[gap][0]) + share * np.array(samples[gap + 1][0])
    np.testing.assert_allclose(tree.lookup("world", "eye", stamp), _matrix(place, turn.as_quat()), atol=1e-7)
    for stamp, sample in zip(stamps, samples, strict=True):
        np.testing.assert_allclose(tree.lookup("world", "eye", int(stamp)), _matrix(*sample), atol=1e-12)
    with pytest.raises(NoDataError):
        tree.lookup("world", "eye", int(stamps[0]) - 1)
    with pytest.raises(NoDataError):
        tree.lookup("world", "eye", int(stamps[-1]) + 1)


def test_stamp_zero_is_the_latest_time_common_to_all_edges_of_the_path():
    tree = FrameTree()
    for stamp in (1, 2, 3):
        tree.insert("map", "odom", stamp * S // 10, (stamp, 0.0, 0.0), STILL[1])
    tree.insert("odom", "base", S // 10, *STILL)
    tree.insert("odom", "base", 2 * S // 10, (0.0, 1.0, 0.0), STILL[1])
    tree.insert("base", "eye", 0, *AHEAD, static=True)
    np.testing.assert_allclose(tree.lookup("map", "eye")[:3, 3], (3.0, 3.0, 3.0))
    np.testing.assert_allclose(tree.lookup("base", "eye")[:3, 3], AHEAD[0])


def test_a_static_edge_holds_at_any_time_and_the_last_one_wins():
    tree = FrameTree()
    tree.insert("base", "eye", 7 * S, *STILL, static=True)
    tree.insert("base", "eye", 7 * S, *AHEAD, static=True)
    for stamp in (1, 7 * S, 10**18):
        np.testing.assert_allclose(tree.lookup("/base", "/eye", stamp)[:3, 3], AHEAD[0])
    assert "fixed to base by /tf_static" in tree.insert("other", "eye", 7 * S, *STILL)
    assert tree.other_parent("eye", "base") == "other"


def test_a_gap_above_the_common_ancestor_or_beside_the_path_does_not_matter():
    tree = FrameTree()
    tree.insert("odom", "base", 1 * S, *STILL)
    tree.insert("base", "eye", 0, *AHEAD, static=True)
    tree.insert("base", "arm", 5 * S, *STILL)
    np.testing.assert_allclose(tree.lookup("arm", "eye", 5 * S)[:3, 3], AHEAD[0])


def test_messages_name_frames_edges_and_milliseconds():
    tree = FrameTree()
    tree.insert("odom", "base_link", 10 * S, *STILL)
    tree.insert("odom", "base_link", 10 * S + S // 10, *STILL)
    tree.insert("base_link", "eye", 0, *STILL, static=True)
    tree.insert("island", "hut", 0, *STILL, static=True)
    with pytest.raises(UnknownFrameError, match="'base_lnk'; did you mean base_link"):
        tree.lookup("odom", "base_lnk", 10 * S)
    with pytest.raises(NotConnectedError, match=r"hut \(root of its tree: island\) with eye \(root: odom\)"):
        tree.lookup("eye", "hut", 10 * S)
    with pytest.raises(NoDataError, match=r"odom -> base_link at 10\.300000000 s: that is 200\.0 ms after its newest"):
        tree.lookup("odom", "eye", 10 * S + 3 * S // 10)
    with pytest.raises(NoDataError, match=r"odom -> base_link at 9\.950000000 s: that is 50\.0 ms before its oldest"):
        tree.lookup("eye", "odom", 10 * S - S // 20)
    assert tree.frames == ["base_link", "eye", "hut", "island", "odom"]


@pytest.mark.parametrize(
    ("parent", "child", "translation", "quaternion", "words"),
    [
        ("a", "b", (math.nan, 0, 0), (0, 0, 0, 1), "a -> b ignored: .*not finite"),
        ("a", "b", (0, 0, 0), (0, math.inf, 0, 1), "not finite"),
        ("a", "b", (0, 0, 0), (0, 0, 0, 0), "not of unit norm"),
        ("a", "b", (0, 0, 0), (0, 0, 0, 1.01), "not of unit norm"),
        ("a", "/a", (0, 0, 0), (0, 0, 0, 1), "its own parent"),
        ("", "b", (0, 0, 0), (0, 0, 0, 1), "without a name"),
        ("a", "/", (0, 0, 0), (0, 0, 0, 1), "without a name"),
    ],
)
def test_invalid_edges_are_ignored_with_the_reason(parent, child, translation, quaternion, words):
    tree = FrameTree()
    reason = tree.insert(parent, child, S, translation, quaternion)
    assert re.search(words, reason), reason
    assert tree.frames == []


def test_a_rounded_quaternion_is_normalised():
    tree = FrameTree()
    tree.insert("a", "b", S, (0, 0, 0), (0, 0, 0.7075, 0.7075))
    turn = tree.lookup("a", "b", S)[:3, :3]
    np.testing.assert_allclose(turn, Rotation.from_euler("z", 90, degrees=True).as_matrix(), atol=1e-12)


def test_old_poses_are_dropped_and_a_jump_back_in_time_starts_anew():
    tree = FrameTree(keep_s=2.0)
    for stamp in range(10 * S, 14 * S, S // 10):
        tree.insert("a", "b", stamp, (stamp / S, 0, 0), STILL[1])
    assert tree.lookup("a", "b", 12 * S)[0, 3] == pytest.approx(12.0)
    with pytest.raises(NoDataError):
        tree.lookup("a", "b", 11 * S)
    tree.insert("a", "b", 10 * S, (-1, 0, 0), STILL[1])
    assert tree.lookup("a", "b")[0, 3] == -1.0
    with pytest.raises(NoDataError, match="after its newest"):
        tree.lookup("a", "b", 13 * S)


def test_clear_keeps_static_poses():
    tree = FrameTree()
    tree.insert("map", "base", S, *STILL)
    tree.insert("base", "eye", 0, *AHEAD, static=True)
    tree.clear()
    assert tree.frames == ["base", "eye"]
    np.testing.assert_allclose(tree.lookup("base", "eye", 9 * S)[:3, 3], AHEAD[0])


def test_a_loop_of_edges_is_an_error_that_names_it():
    tree = FrameTree()
    for parent, child in (("a", "b"), ("b", "c"), ("c", "a"), ("x", "y")):
        tree.insert(parent, child, S, *AHEAD)
    with pytest.raises(NotConnectedError, match="does not connect a "):
        tree.lookup("y", "a", S)
    for stamp in (S, 0):
        with pytest.raises(NotConnectedError, match=r"form a loop \(b -> c -> a -> b\)"):
            tree.lookup("a", "b", stamp)


def test_another_parent_counts_while_it_is_alive_and_a_static_one_always():
    now = [100.0]
    tree = FrameTree(keep_s=10.0, clock=lambda: now[0])
    tree.insert("base", "eye", S, *STILL)
    assert (tree.other_parent("/eye", "/world"), tree.other_parent("eye", "base")) == ("base", "")
    now[0] += 10.5
    assert tree.other_parent("eye", "world") == ""
    tree.insert("base", "eye", S, *STILL, static=True)
    now[0] += 1e6
    assert tree.other_parent("eye", "world") == "base"


def test_a_child_that_changes_its_parent_is_found_under_each_at_its_time():
    tree = FrameTree()
    for parent, stamp in (("left", 1), ("left", 2), ("right", 3), ("right", 4)):
        tree.insert(parent, "cup", stamp * S // 10, (stamp, 0, 0), STILL[1])
    tree.insert("table", "left", 0, *STILL, static=True)
    tree.insert("table", "right", 0, (0, 9, 0), STILL[1], static=True)
    assert tree.lookup("table", "cup", 15 * S // 100)[:2, 3].tolist() == [1.5, 0.0]
    assert tree.lookup("table", "cup", 25 * S // 100)[:2, 3].tolist() == [2.0, 0.0]
    assert tree.lookup("table", "cup", 35 * S // 100)[:2, 3].tolist() == [3.5, 9.0]


def test_names_and_poses_from_a_topic_do_not_fill_the_memory():
    tree = FrameTree(keep_s=1e6)
    reasons = [tree.insert("root", f"leaf{k}", S, *STILL) for k in range(10_002)]
    assert [bool(reason) for reason in reasons[-3:]] == [False, True, True]
    assert "10000 frames already" in reasons[-1]
    for stamp in range(30_000):
        tree.insert("root", "leaf0", S + stamp, *STILL)
    with pytest.raises(NoDataError, match="before its oldest"):
        tree.lookup("root", "leaf0", S + 9_999)
    assert tree.lookup("root", "leaf0", S + 10_000)[0, 3] == 0.0


def test_lookups_during_inserts_give_consistent_poses():
    tree, ended, wrong = FrameTree(keep_s=0.05), threading.Event(), []

    def write() -> None:
        stamp = S
        while not ended.is_set():
            stamp += S // 1000
            tree.insert("a", "b", stamp, (stamp / S, 0, 0), STILL[1])
            tree.insert("b", "c", stamp, (-stamp / S, 0, 0), STILL[1])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(500):
            try:
                wrong += [abs(tree.lookup("a", "c")[0, 3])]
            except FrameError:
                continue
    finally:
        ended.set()
        writer.join()
    assert len(wrong) > 100
    assert max(wrong) < 1e-9
