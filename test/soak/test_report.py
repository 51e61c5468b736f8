"""The report of a soak counts what became of every frame, and says what is broken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from soak_records import RATE_HZ, SECONDS, quiet_record, verdict

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")


from ros2_raxels.soak.record import Ended
from ros2_raxels.soak.report import slope_of, summarise


def test_the_report_counts_frames_by_what_became_of_them():
    report = summarise(quiet_record())
    frames, withheld = report["frames"], 25
    sent = SECONDS * RATE_HZ - withheld
    assert (frames["due"], frames["withheld_by_faults"], frames["sent"]) == (6000, withheld, sent)
    assert frames["answered"] == frames["tracked"] == len(quiet_record().answers)
    assert frames["unanswered"] == sent - frames["answered"]
    assert frames["never_arrived"] == sent + 7 - 5981
    assert (frames["node_replaced"], frames["node_rejected"]) == (1978, 7)
    drop = report["by_fault"]["drop"]
    # 5 s with every second frame and 3 s of aftermath.
    assert (drop["events"], drop["sent"]) == (1, 25 + 30)
    # Fault and frames end at 105.0 s; frame 1050 is a third one, the next is answered.
    assert drop["recovered_after_s"] == pytest.approx(0.1)
    assert report["by_fault"]["none"]["sent"] == sent - 55
    assert 0.03 <= report["latency_p50_s"] <= report["latency_p95_s"] == 0.04
    assert [m["sent"] for m in report["minutes"]] == [600, 575, *[600] * 8]
    assert report["minutes"][0]["goals"] == {"NONE": 1}
    assert report["goals"]["outcomes"] == {"ahead": {"NONE": 1}, "nonsense": {"rejected": 1}}
    assert verdict(quiet_record()) == []


def test_growing_memory_is_broken_but_a_step_at_the_start_or_noise_is_not():
    slope, grown = slope_of(quiet_record(growth_mb_per_h=300.0).memory["raxels_pose"])
    assert slope == pytest.approx(300.0, rel=0.01)
    # Minutes 10 to 19: the warm-up is left out.
    assert grown == pytest.approx(300.0 * 9 / 60, rel=0.01)
    words = "memory of raxels_pose grows by 300 MB an hour, 45 MB so far; the limit is 30 (--memory-slope)"
    assert verdict(quiet_record(growth_mb_per_h=300.0)) == [words]
    assert verdict(quiet_record(growth_mb_per_h=20.0)) == []
    noise = np.random.default_rng(0).normal(300e6, 5e6, 2 * SECONDS)
    assert verdict(quiet_record(memory={"raxels_pose": [(float(s), round(v)) for s, v in enumerate(noise)]})) == []
    assert slope_of([(float(s), 300_000_000 + s * 10_000) for s in range(200)]) == (None, None)


def test_a_time_without_poses_is_broken_unless_a_fault_explains_it():
    words = "no pose for 20.1 s from second 299.9 on, which no fault explains (fault then: none)"
    assert verdict(quiet_record(silent=(300.0, 320.0))) == [words]
    assert verdict(quiet_record(silent=(99.0, 108.0))) == []
    (nothing,) = verdict(quiet_record(silent=(-1.0, 600.0)))
    assert nothing.startswith("no pose at all in 5975 frames")
    (few,) = verdict(quiet_record(), least=80.0)
    assert few.startswith("only 66.7 % of the undisturbed frames have a pose, at least 80 % should")


def test_dead_nodes_failed_goals_and_errors_in_a_log_are_broken():
    bad = "[WARN] [1.5] [soak.raxels_pose]: image 3 is bad"
    log = ["Traceback (most recent call last):", bad, "[ERROR] [2.0] [x]: y"]
    record = quiet_record(
        logs={"raxels_pose": [*log, f"{bad.replace('3', '4')} (7 more since last logged)"]},
        goals=[Ended(5.0, "ahead", "INTERNAL", 1.0, "internal error: x")],
        died=["raxels_views ended with exit status -9: last words (see view_server.log)"],
    )
    assert verdict(replace(record, unusable="pose has NaN"))[1] == (
        "raxels_pose published a pose that cannot be used: pose has NaN"
    )
    assert verdict(record) == [
        "raxels_views ended with exit status -9: last words (see view_server.log)",
        "a goal (ahead) at second 5 ended with INTERNAL: internal error: x",
        "in the log of raxels_pose: Traceback (most recent call last):",
        "in the log of raxels_pose: [ERROR] [2.0] [x]: y",
    ]
    assert summarise(record)["log"]["warnings"] == {"soak.raxels_pose: image # is bad": 2}
