"""A plan that is nothing but bytes, and its key."""

from __future__ import annotations

from ros2_raxels.engine.plan import Plan, PlanKey

KEY = PlanKey("rays", "ab" * 32, "mixed", {"frames": (2, 4, 8)}, "tensorrt_rtx", "1.7", "sm89", "x86_64")


PLAN = Plan(b"plan" * 1000, {"inputs": [{"name": "x"}], "outputs": [], "compile_s": 1.5})
