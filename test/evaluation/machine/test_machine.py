"""What numbers of speed depend on: processor, cores, versions."""

from __future__ import annotations

from ros2_raxels.evaluation.machine.machine import matrix_product_gflops
from ros2_raxels.utils.memory import peak_rss_bytes, rss_bytes


def test_the_processor_is_measured() -> None:
    assert 0.5 < matrix_product_gflops(1, seconds=0.1) < 1e5
    assert 10e6 < rss_bytes() <= peak_rss_bytes()
