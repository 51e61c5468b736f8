"""Processes that keep cores busy beside what is measured. Run as a program, this module is one of them.

They compute without a pause, in sessions of their own, at the priority of their parent, and are not pinned: the
scheduler places them as it would any other program of a robot.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ros2_raxels.harness.processes import Child, Family

_CHUNK = 200_000
"""Additions between two looks for the parent, about a hundredth of a second."""


@contextmanager
def busy_processes(count: int) -> Iterator[list[Child]]:
    """So many processes within the block, each of which takes all of a core that it can get."""
    family = Family()
    me, silent = [str(os.getpid())], Path(os.devnull)
    try:
        yield [family.start("ros2_raxels.harness.busy", me, os.environ, silent) for _ in range(count)]
    finally:
        family.end()


def _main(parent: int) -> None:
    """Compute until the parent is gone."""
    try:
        while os.getppid() == parent:
            sum(range(_CHUNK))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    _main(int(sys.argv[1]))
