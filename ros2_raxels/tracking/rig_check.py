"""What the cameras of a rig say of its calibration, in words, before it is tracked with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from ros2_raxels.geometry.rig import Rig
from ros2_raxels.matching.matcher import Matcher
from ros2_raxels.matching.stereo_check import StereoCheck, check_stereo
from ros2_raxels.tracking.stereo_prior import partners_of


def rig_checks(rig: Rig, images: Mapping[str, npt.NDArray[np.uint8]]) -> Iterator[tuple[str, StereoCheck]]:
    """How well the first camera agrees with each that sees the same, by name of that.

    Args:
        rig: the cameras.
        images: of one moment, by name; those that are missing are left out.
    """
    matcher = Matcher(threads=1)
    seen = {name: matcher.look(image) for name, image in images.items()}
    lenses = {name: features.working_camera(rig[name].camera) for name, features in seen.items()}
    first = rig.leader
    for name in partners_of(rig):
        if first not in seen or name not in seen:
            continue
        grid = np.asarray(matcher.grid(seen[first].grey.shape))
        found = check_stereo(seen[first], lenses[first], seen[name], lenses[name], rig.between(first, name), grid)
        yield name, found


def rig_remarks(rig: Rig, images: Mapping[str, npt.NDArray[np.uint8]]) -> Iterator[str]:
    """The same in words, a line each."""
    for name, found in rig_checks(rig, images):
        yield found.words(rig.leader, name)
