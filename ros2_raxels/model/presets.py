"""Sizes of the model, by name."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ros2_raxels.geometry.raxel_grid import RAXEL_COLUMNS, RAXEL_ROWS


@dataclass(frozen=True)
class ModelSize:
    """Everything that determines the shapes of the weights.

    Attributes:
        width: channels of a token.
        heads: of attention; width / heads is a multiple of 8.
        evidence_blocks: self-attention blocks over tracks; 0 is a model without evidence (pixels only, like the paper).
        joint_blocks: blocks of the two branches.
        raxel_patch: side of a ray token on the raxel grid.
        video_patch_px: side of a video token.
        video_size_px: (height, width) of the frames that the model is trained on; any multiple of the patch will do.
        sweep_depths: planes of the sweep that the video branch is given; 0 is a model without a sweep.
        sweep_contexts: known frames that are swept at most.
        sweep_width: channels of the network that reads the sweep, at full resolution.
        decoupled: False joins both modalities in one self-attention (the ablation of the decoupled attention).
        pluecker: True replaces raxels by Pluecker rays (the ablation of the representation).
    """

    width: int
    heads: int
    evidence_blocks: int
    joint_blocks: int
    raxel_patch: int = 4
    video_patch_px: int = 16
    video_size_px: tuple[int, int] = (96, 128)
    sweep_depths: int = 32
    sweep_contexts: int = 4
    sweep_width: int = 32
    decoupled: bool = True
    pluecker: bool = False

    def __post_init__(self) -> None:
        if self.width % self.heads or (self.width // self.heads) % 8:
            raise ValueError(f"width {self.width} over {self.heads} heads: a head must be a multiple of 8 channels")
        for name, size, patch in (
            ("raxel grid", (RAXEL_ROWS, RAXEL_COLUMNS), self.raxel_patch),
            ("video", self.video_size_px, self.video_patch_px),
        ):
            if size[0] % patch or size[1] % patch:
                raise ValueError(f"{name} of {size[0]}x{size[1]} does not divide into patches of {patch}")

    @property
    def ray_channels(self) -> int:
        """Values of one ray: the point at unit distance, or direction and moment."""
        return 6 if self.pluecker else 3

    def record(self) -> dict[str, Any]:
        """Plain values, as checkpoints and model cards hold them."""
        return {**asdict(self), "video_size_px": list(self.video_size_px)}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> ModelSize:
        """Inverse of `record`."""
        return cls(**{**record, "video_size_px": tuple(record["video_size_px"])})


PRESETS = {
    # As large as an estimate on two cores has time for, see `raxels evaluate`.
    "compact": ModelSize(width=128, heads=4, evidence_blocks=4, joint_blocks=4),
    # Pixels only, as in the paper, for many GPUs.
    "base": ModelSize(
        width=768,
        heads=12,
        evidence_blocks=0,
        sweep_depths=0,
        joint_blocks=16,
        video_patch_px=8,
        video_size_px=(192, 256),
        raxel_patch=2,
    ),
    # Runs in seconds, for tests.
    "tiny": ModelSize(width=32, heads=2, evidence_blocks=1, joint_blocks=1, sweep_depths=8, sweep_width=8),
}
