"""How long it takes until the first frame is answered; run as a program it is the process that is timed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Startup:
    """A process from its start on, s since then.

    Attributes:
        imported: when all modules were imported.
        loaded: when the tracker, its model verified and loaded, was ready for frames.
        answered: when the first frame had its answer.
    """

    imported: float
    loaded: float
    answered: float


def start_process(model: str) -> Startup:
    """Start a process that makes a tracker and gives it a frame.

    Args:
        model: as for `load.make_tracker`.

    Raises:
        RuntimeError: it failed; the message has its last words.
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
