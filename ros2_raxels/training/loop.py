"""The training loop: steps, schedule, average, checkpoints, progress, validation; one process or many."""

from __future__ import annotations

import atexit
import itertools
import os
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import cv2
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ros2_raxels.model.denoiser import JointDenoiser
from ros2_raxels.model.flow import Task
from ros2_raxels.model.presets import ModelSize
from ros2_raxels.training import checkpoint
from ros2_raxels.training.batch import ClipBatch
from ros2_raxels.training.checkpoint import Progress
from ros2_raxels.training.losses import LossWeights, loss_of
from ros2_raxels.training.validation import Validation
from ros2_raxels.utils.files import FileError

CHECKPOINT = "checkpoint.safetensors"


class TrainingError(RuntimeError):
    """Training cannot continue; the message says at which step, and what was saved."""


@dataclass(frozen=True)
class Draw:
    """The data of one training step."""

    batch: ClipBatch
    task: Task
    with_evidence: bool = True


@dataclass(frozen=True)
class TrainSettings:
    """How to train.

    Attributes:
        minutes: of wall time, summed over all resumed runs.
        steps: upper limit, so that runs can be compared; 0 is no limit.
        device: "cpu", "cuda" (each of several processes takes its own) or "cuda:1".
        rate: learning rate after warm-up, constant until the last part of the time.
        warm_up: steps.
        cool_down: last share of the run, over which the rate falls to zero.
        average_decay: of the moving average of the weights, which is what ships.
        clip: largest norm of the gradients.
        save_every_s, validate_every_s: s.
        bf16: mixed precision; see `training.precision` for where it is fast.
        workers: processes that prepare the data; 0 leaves it to one thread, which can draw on a GPU.
        weights: of the loss.
    """

    minutes: float
    steps: int = 0
    device: str = "cpu"
    rate: float = 1e-3
    warm_up: int = 300
    cool_down: float = 0.3
    average_decay: float = 0.9995
    clip: float = 1.0
    save_every_s: float = 60.0
    validate_every_s: float = 600.0
    bf16: bool = True
    workers: int = 0
    weights: LossWeights = field(default_factory=LossWeights)


class Trainer:
    """A training run that lives in a folder; created again on the same folder, it resumes.

    Under ``torchrun`` each process trains on clips of its own, and gradients are averaged over all of them.

    Attributes:
        model: being trained.
        average: of its weights over the steps, which is what ships.
        progress: so far.

    Args:
        size: of the model; must be that of the checkpoint, where there is one.
        draw: the data of a step, (step, rank) -> `Draw`. Everything random in it follows from these two.
        folder: of the checkpoint.
        settings: see there.
        start: `Progress` that a new run begins with.
        validate: fixed table to report, or None.
        init: a checkpoint whose averaged weights a new run starts from, where name and shape match.
    """

    def __init__(
        self,
        size: ModelSize,
        draw: Callable[[int, int], Draw],
        folder: Path,
        settings: TrainSettings,
        start: Progress,
        validate: Validation | None = None,
        init: Path | None = None,
    ) -> None:
        self.settings, self.folder, self.size, self.progress = settings, folder, size, start
        self._draw, self._validate = draw, validate
        self.rank, self.world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        if settings.device == "cuda" and self.world > 1:
            self.settings = settings = replace(settings, device=f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
        torch.manual_seed(start.seed)
        self.model = JointDenoiser(size).to(settings.device)
        if init is not None and not self.checkpoint_path.exists():
            self._start_from(init)
        self.average = AveragedModel(self.model, multi_avg_fn=warmed_up_average(settings.average_decay))
        self._optimizer = torch.optim.AdamW(self.model.parameters(), settings.rate, betas=(0.9, 0.95), weight_decay=0.0)
        if self.checkpoint_path.exists():
            self._resume()
        # The weights that a run starts from are the first of the average.
        self.average.n_averaged.fill_(1 + self.progress.step)
        self._loss = self._shared_loss()

    @property
    def checkpoint_path(self) -> Path:
        """Where the run is saved."""
        return self.folder / CHECKPOINT

    def _start_from(self, path: Path) -> None:
        _, _, tensors = checkpoint.load(path)
        known, wanted = checkpoint.part(tensors, "average"), self.model.state_dict()
        fits = {k: v for k, v in known.items() if k in wanted and wanted[k].shape == v.shape}
        if not any(k.startswith("blocks.") for k in fits):
            raise FileError(f"{path} has no weights that fit {self.size}; give a checkpoint of a similar preset")
        self.model.load_state_dict(wanted | fits)

    def _resume(self) -> None:
        size, progress, tensors = checkpoint.load(self.checkpoint_path)
        if size != self.size:
            raise FileError(
                f"{self.checkpoint_path} holds a model of another size ({size}) than asked for ({self.size}); "
                f"give --preset {progress.preset} or another --out"
            )
        self.model.load_state_dict(checkpoint.part(tensors, "model"))
        self.average.module.load_state_dict(checkpoint.part(tensors, "average"))
        checkpoint.restore_optimizer(self._optimizer, self.model, tensors)
        has_pixels = progress.has_pixels or self.progress.has_pixels
        self.progress = replace(progress, data=self.progress.data, has_pixels=has_pixels)

    def _shared_loss(self) -> nn.Module:
        """The loss as a module; with several processes, one whose gradients are the mean over all of them."""
        loss = _Loss(self.model, self.settings.weights)
        if self.world < 2:
            return loss
        device = torch.device(self.settings.device)
        if not distributed.is_initialized():
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
            # Its threads would abort the process if the interpreter ended under them.
            atexit.register(distributed.destroy_process_group)
        devices = [device] if device.type == "cuda" else None
        # Each process draws its own task, and no task uses all weights.
        return DistributedDataParallel(loss, device_ids=devices, find_unused_parameters=True)

    def run(self, show: bool = True) -> Progress:
        """Train until the time, or the number of steps, is used up.

        Raises:
            TrainingError: a loss or a gradient is not finite; the last checkpoint is kept.
            FileError: the checkpoint cannot be written.
        """
        begin, before_s = time.monotonic(), self.progress.trained_s
        saved = validated = begin
        bar = tqdm(disable=not show or self.rank > 0, unit="step", initial=self.progress.step, mininterval=5.0)
        with bar, closing(self._from_processes() if self.settings.workers else self._from_thread()) as coming:
            while self._left() > 0.0:
                terms, clips = self._step(next(coming))
                now = time.monotonic()
                self.progress = replace(
                    self.progress,
                    step=self.progress.step + 1,
                    trained_s=self._agreed(before_s + now - begin),
                    clips=self.progress.clips + clips * self.world,
                )
                bar.update()
                bar.set_postfix(
                    {"clips": self.progress.clips, **{k: f"{v:.3f}" for k, v in terms.items()}}, refresh=False
                )
                if now - saved > self.settings.save_every_s:
                    self.save()
                    saved = time.monotonic()
                if self._validate is not None and now - validated > self.settings.validate_every_s:
                    self._report(bar)
                    validated = time.monotonic()
            self.save()
            if self._validate is not None:
                self._report(bar)
        return self.progress

    def _from_processes(self) -> Generator[Draw, None, None]:
        """Data of the steps to come, prepared by other processes during the current step."""
        yield from DataLoader(
            _Steps(self._draw, self.rank),
            batch_size=None,
            sampler=itertools.count(self.progress.step),
            num_workers=self.settings.workers,
            # A forked child would inherit the locks of OpenCV's threads in whatever state they are.
            multiprocessing_context="spawn",
            worker_init_fn=_one_thread,
        )

    def _from_thread(self) -> Generator[Draw, None, None]:
        """The same, prepared by one thread, which can draw on a GPU."""
        with ThreadPoolExecutor(1) as ahead:
            drawn = ahead.submit(self._draw, self.progress.step, self.rank)
            for step in itertools.count(self.progress.step + 1):
                now, drawn = drawn.result(), ahead.submit(self._draw, step, self.rank)
                yield now

    def save(self) -> None:
        """Write the checkpoint; only the first process does."""
        if self.rank == 0:
            average = self.averaged().state_dict()
            checkpoint.save(self.checkpoint_path, self.model, self.size, average, self._optimizer, self.progress)

    def averaged(self) -> JointDenoiser:
        """The model with the averaged weights, which later steps change."""
        return cast(JointDenoiser, self.average.module.eval())

    def _report(self, bar: Any) -> None:
        if self.rank == 0 and self._validate is not None:
            p, line = self.progress, self._validate.line(self.averaged())
            bar.write(f"step {p.step}, {p.trained_s / 60:.0f} min: {line}")

    def _step(self, drawn: Draw) -> tuple[dict[str, float], int]:
        step, settings = self.progress.step, self.settings
        for group in self._optimizer.param_groups:
            group["lr"] = settings.rate * self._share_of_rate(step)
        batch = drawn.batch.to(settings.device)
        seed = (self.progress.seed * 1_000_003 + step) * max(self.world, 1) + self.rank
        generator = torch.Generator(settings.device).manual_seed(seed)
        with self._precision():
            total, terms = self._loss(batch, drawn.task, generator, drawn.with_evidence)
        self._demand_finite("loss", total, terms)
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)
        # A finite loss can have a gradient that is not, which would spoil the weights and then the next checkpoint.
        self._demand_finite("gradient", norm, terms)
        self._optimizer.step()
        self.average.update_parameters(self.model)
        return terms, len(batch.known)

    def _demand_finite(self, name: str, value: Tensor, terms: dict[str, float]) -> None:
        if not torch.isfinite(value):
            kept = (
                f"the state from at most {self.settings.save_every_s:.0f} s earlier is kept in {self.checkpoint_path}"
                if self.checkpoint_path.exists()
                else "nothing has been saved yet"
            )
            raise TrainingError(
                f"{name} is {value.item()} at step {self.progress.step} (terms {terms}); {kept}. "
                "Lower --rate and resume"
            )

    def _precision(self) -> AbstractContextManager[Any]:
        if not self.settings.bf16:
            return nullcontext()
        return torch.autocast(torch.device(self.settings.device).type, torch.bfloat16)

    def _share_of_rate(self, step: int) -> float:
        return min(1.0, (step + 1) / self.settings.warm_up, max(self._left(), 0.02) / self.settings.cool_down)

    def _left(self) -> float:
        """Share of the run that is left."""
        left = 1.0 - self.progress.trained_s / max(60 * self.settings.minutes, 1e-9)
        return min(left, 1.0 - self.progress.step / self.settings.steps) if self.settings.steps else left

    def _agreed(self, value: float) -> float:
        """The first process's value: all must stop after the same step, or those that go on would wait for ever."""
        if self.world < 2:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.settings.device)
        distributed.broadcast(shared, 0)
        return float(shared)


class _Loss(nn.Module):
    """`loss_of` as the one forward pass that `DistributedDataParallel` needs to see."""

    def __init__(self, model: JointDenoiser, weights: LossWeights) -> None:
        super().__init__()
        self.model, self._weights = model, weights

    def forward(
        self, batch: ClipBatch, task: Task, generator: torch.Generator, with_evidence: bool
    ) -> tuple[Tensor, dict[str, float]]:
        """The total to be minimised, and each weighted term."""
        step = loss_of(self.model, batch, task, self._weights, generator, with_evidence)
        return step.total, step.terms


_Weights = list[Tensor] | tuple[Tensor, ...]


def warmed_up_average(decay: float) -> Callable[[_Weights, _Weights, Tensor | int], None]:
    """An exponential moving average for `AveragedModel`, whose decay grows to the given one over the first steps.

    Early on the average follows quickly, so that the first weights do not linger.
    """

    def update(average: _Weights, current: _Weights, averaged: Tensor | int) -> None:
        """Blend in the weights after a step; `averaged` counts those before it, and those that the run starts from."""
        step = int(averaged) - 1
        ema = get_ema_multi_avg_fn(min(decay, (1 + step) / (10 + step)))  # type: ignore[no-untyped-call]
        ema(average, current, averaged)

    return update


class _Steps(Dataset[Draw]):
    """The `Draw` of each step, by its number."""

    def __init__(self, draw: Callable[[int, int], Draw], rank: int) -> None:
        self._draw, self._rank = draw, rank

    def __getitem__(self, step: int) -> Draw:
        return self._draw(step, self._rank)


def _one_thread(_: int) -> None:
    # There are as many processes as cores, so threads would only compete. Torch limits its own.
    cv2.setNumThreads(1)
