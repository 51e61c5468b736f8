"""State of a training run in one safetensors file: weights, their average, moments of the optimiser, progress."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ros2_raxels.model.presets import ModelSize
from ros2_raxels.utils.files import FileError, replacing

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True)
class Progress:
    """How far a run has come, and what it was started with.

    Attributes:
        step: number of finished steps.
        trained_s: wall time that they took.
        clips: number seen so far.
        seed: of everything random.
        preset: name of the size.
        data: where the clips came from, in words.
        has_pixels: whether some of them had pixels, so that the video branch is trained.
    """

    step: int = 0
    trained_s: float = 0.0
    clips: int = 0
    seed: int = 0
    preset: str = "compact"
    data: str = ""
    has_pixels: bool = False


def save(
    path: Path,
    model: torch.nn.Module,
    size: ModelSize,
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    progress: Progress,
) -> None:
    """Write everything that resuming needs, atomically.

    Raises:
        FileError: the folder cannot be written to, or the disk is full.
    """
    names = [name for name, _ in model.named_parameters()]
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"moment.{names[index]}.{key}": torch.as_tensor(state[key]) for key in _MOMENTS}
    _write(path, tensors, size, progress)


def save_weights(path: Path, size: ModelSize, average: dict[str, Tensor], progress: Progress) -> None:
    """Write the averaged weights alone, in half precision: to run the model in torch, and to start other runs from.

    Raises:
        FileError: the folder cannot be written to, or the disk is full.
    """
    _write(path, {f"average.{name}": value.half() for name, value in average.items()}, size, progress)


def _write(path: Path, tensors: dict[str, Tensor], size: ModelSize, progress: Progress) -> None:
    record = {"size": size.record(), "progress": asdict(progress)}
    try:
        with replacing(path) as temporary:
            save_file(
                {k: v.detach().cpu().contiguous() for k, v in tensors.items()},
                temporary,
                {"raxels": json.dumps(record)},
            )
    except (OSError, SafetensorError) as error:
        raise FileError(
            f"{path} could not be written ({error}); the last one is kept. Make room or give another --out"
        ) from error


def load(path: Path) -> tuple[ModelSize, Progress, dict[str, Tensor]]:
    """Size, progress and all tensors of a checkpoint.

    Raises:
        FileError: the file is missing, truncated, or not a checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            record: dict[str, Any] = json.loads(file.metadata()["raxels"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, not a dict
        return ModelSize.from_record(record["size"]), Progress(**record["progress"]), tensors
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise FileError(f"{path} is not a checkpoint of this version ({error}); give another, or start over") from error


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Tensors below a prefix, without it: ``model``, ``average`` or ``moment``."""
    return {key[len(prefix) + 1 :]: value for key, value in tensors.items() if key.startswith(f"{prefix}.")}


def restore_optimizer(optimizer: torch.optim.Optimizer, model: torch.nn.Module, tensors: dict[str, Tensor]) -> None:
    """Put the saved moments back."""
    moments = part(tensors, "moment")
    state = optimizer.state_dict()
    for index, (name, _) in enumerate(model.named_parameters()):
        if f"{name}.step" in moments:
            state["state"][index] = {key: moments[f"{name}.{key}"] for key in _MOMENTS}
    optimizer.load_state_dict(state)
