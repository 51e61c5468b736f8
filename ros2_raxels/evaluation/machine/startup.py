"""Time from the start of a process to its first pose. Run as a program, this module is that process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Startup:
    """Milestones of a process, s after its start.

    Attributes:
        imported: all modules were imported.
        loaded: the tracker was ready for frames, its model verified and loaded.
        answered: the first frame was answered.
    """

    imported: float
    loaded: float
    answered: float


def start_process(model: str) -> Startup:
    """Start a process that creates a tracker and tracks one frame.

    Args:
        model: as for `factory.make_tracker`.

    Raises:
        RuntimeError: it failed; the message ends with the last line of its output.
    """
    begin = time.monotonic()
    command = [sys.executable, "-m", "ros2_raxels.evaluation.machine.startup", model]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise RuntimeError(f"a process that loads the tracker failed: {last[0]}")
    # The monotonic clock of Linux is the same for all processes.
    return Startup(*(at - begin for at in json.loads(done.stdout)))


def _main(model: str) -> None:
    import numpy as np

    from ros2_raxels.factory import make_tracker

    times = [time.monotonic()]
    tracker = make_tracker(model)
    times.append(time.monotonic())
    image = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    tracker.track(image, 0, None)
    times.append(time.monotonic())
    print(json.dumps(times))


if __name__ == "__main__":
    _main(sys.argv[1])
