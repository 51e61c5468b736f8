"""Records of soaks that never ran: ten minutes with one fault, and changes to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")


from scipy.spatial.transform import Rotation

from ros2_raxels.soak.faults import AFTERMATH_S, FAULTS, Event, fault_at
from ros2_raxels.soak.record import Answer, Ended, NodeCounts, Record, Sent
from ros2_raxels.soak.report import broken, summarise

SECONDS, RATE_HZ = 600, 10


def frames_of(event: Event) -> list[Sent]:
    """10 Hz; of the fault every second frame is withheld."""
    sent = []
    for number in range(SECONDS * RATE_HZ):
        at = number / RATE_HZ
        name = fault_at([event], at, AFTERMATH_S)
        withheld = number % 2 == 1 and fault_at([event], at) != "none"
        sent.append(Sent(at, None if withheld else number, name))
    return sent


def quiet_record(growth_mb_per_h: float = 0.0, silent: tuple[float, float] = (0.0, 0.0), **changes: object) -> Record:
    """Ten minutes with one fault; every third frame goes unanswered, and all in the silent time."""
    event = Event(FAULTS[0], 100.0)
    sent = frames_of(event)
    answers = {
        s.stamp_ns: Answer(s.at_s + 0.02, True, 0.02 + 0.01 * (s.stamp_ns % 3))
        for s in sent
        if s.stamp_ns is not None and s.stamp_ns % 3 and not silent[0] < s.at_s < silent[1]
    }
    memory = [
        (float(at), round(1e6 * (300 + 40 * (at < 60) + growth_mb_per_h * at / 3600))) for at in range(2 * SECONDS)
    ]
    values: dict[str, object] = {
        "seconds": float(SECONDS),
        "events": [event],
        "sent": sent,
        "bad_sent": 7,
        "answers": answers,
        "counts": NodeCounts(5981, len(answers), 1978, 7),
        "memory": {"raxels_pose": memory},
        "goals": [Ended(5.0, "ahead", "NONE", 1.5, ""), Ended(65.0, "nonsense", "rejected", 0.1, "no")],
        "logs": {"raxels_pose": ["[INFO] [1.0] [raxels_pose]: fine"]},
    }
    return Record(**{**values, **changes})


def verdict(record: Record, slope: float = 30.0, least: float = 25.0) -> list[str]:
    return broken(record, summarise(record), slope, least)


def walked_record(wild: slice = slice(0), world_of_number: int = 3000) -> Record:
    """A path of 10 m, seen in two worlds of other origins, directions and units, to 1 cm; some poses are wild."""
    rng = np.random.default_rng(0)
    truth = np.column_stack([np.linspace(0.0, 10.0, 500), np.sin(np.arange(500) / 50), np.zeros(500)])
    record = quiet_record()
    sent = [replace(s, frame=number % 500) for number, s in enumerate(record.sent)]
    places = {}
    for s in sent:
        if s.stamp_ns is not None:
            world = s.stamp_ns >= world_of_number
            turned = Rotation.from_euler("z", 40.0 + 90.0 * world, degrees=True)
            seen = truth[s.frame] + rng.normal(0.0, 0.01, 3)
            places[s.stamp_ns] = (int(world), turned.apply(seen) * (0.3 + world) + 5.0 * world)
    for number in range(*wild.indices(len(sent))):
        if number in places:
            places[number] = (places[number][0], np.array([271.0, 0.0, 0.0]))
    return replace(record, sent=sent, truth=truth, places=places)
