"""Draw all figures into a folder, in about three minutes: ``python -m ros2_raxels.figures docs/images``."""

from __future__ import annotations

import sys
from pathlib import Path

from ros2_raxels.figures.ahead import draw_view_figure
from ros2_raxels.figures.animation import RATE_HZ, draw_animation, write_animation
from ros2_raxels.figures.clip import draw_evidence_figure, draw_guidance_figure, solved_clip
from ros2_raxels.figures.overview import draw_overview
from ros2_raxels.figures.raxels import draw_raxel_figure
from ros2_raxels.figures.walk import tracked_walk
from ros2_raxels.utils.files import make_folder

_WALK_FRAMES = 151
_WHOLE_WALK, _ANIMATION_S = 210, 20.0


def main(folder: Path) -> None:
    """Draw all figures into a folder.

    Raises:
        FileError: the folder cannot be made or written to.
    """
    make_folder(folder)
    draw_raxel_figure().write(folder / "raxels.png")
    walk = tracked_walk(_WALK_FRAMES)
    draw_overview(walk).write(folder / "overview.png")
    draw_view_figure(walk).write(folder / "views.png")
    clip = solved_clip(walk)
    draw_evidence_figure(clip).write(folder / "evidence.png")
    draw_guidance_figure(clip).write(folder / "guidance.png")
    write_animation(draw_animation(tracked_walk(_WHOLE_WALK), round(RATE_HZ * _ANIMATION_S)), folder / "walk.webp")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
