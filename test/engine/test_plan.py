"""engine.plan: names that change with everything that a plan depends on, and tensors read from its facts."""

from __future__ import annotations

import re
from dataclasses import fields, replace

import numpy as np
from plan_parts import KEY

from ros2_raxels.engine import TensorSpec
from ros2_raxels.engine.plan import Plan, PlanKey


def test_the_name_shows_graph_and_target_and_depends_on_every_field() -> None:
    assert re.fullmatch(r"rays-sm89-[0-9a-f]{16}", KEY.name)
    others = [replace(KEY, **{field.name: "other"}) for field in fields(PlanKey) if field.name != "sides"]
    others.append(replace(KEY, sides={"frames": (2, 4, 9)}))
    assert len({key.name for key in [KEY, *others]}) == 1 + len(fields(PlanKey))


def test_the_name_is_the_same_in_every_process() -> None:
    assert replace(KEY).name == KEY.name
    # The first 16 digits of sha256sum of the key as JSON with sorted names.
    assert KEY.name == "rays-sm89-7d7c21e5ab7b5c4e"


def test_inputs_and_outputs_are_read_from_the_facts() -> None:
    facts = {
        "inputs": [{"name": "x", "dtype": "float16", "shape": ["frames", 3], "profile": [[1, 3], [2, 3], [4, 3]]}],
        "outputs": [{"name": "y", "dtype": "int32", "shape": ["y.0"]}, {"name": "z", "dtype": "float32", "shape": []}],
    }
    plan = Plan(b"", facts)
    assert plan.inputs == (TensorSpec("x", ("frames", 3), np.dtype(np.float16)),)
    assert plan.outputs == (
        TensorSpec("y", ("y.0",), np.dtype(np.int32)),
        TensorSpec("z", (), np.dtype(np.float32)),
    )
