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
from typing import Any

import cv2
import torch
from torch import Tensor, distributed
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
    """Training cannot go on; the message says where and what is kept."""


@dataclass(frozen=True)
class Draw:
    """What a step is trained on."""

    batch: ClipBatch
    task: Task
    with_evidence: bool = True


@dataclass(frozen=True)
class TrainSettings:
    """How to train.

    Attributes:
        minutes: of wall time, over all resumed runs.
        steps: at most so many, for runs to be compared; 0 is no limit.
        device: "cpu", "cuda" (of several processes each takes its own) or "cuda:1".
        rate: learning rate after warm-up, constant until the last part of the time.
        warm_up: steps.
        cool_down: last share of the time, in which the rate falls to zero.
        average_decay: of the moving average of the weights, which is what ships.
        clip: norm that gradients are cut to.
        save_every_s, validate_every_s: s.
        bf16: mixed precision.
        workers: processes that make the data; 0 leaves it to a thread, which can draw on a GPU.
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
    """A run in a folder; made again over the same folder it goes on where it was.

    Args:
        size: of the model; must be that of the checkpoint when there is one.
        draw: gives the data of a step: (step, rank) -> `Draw`. Everything random in it follows from these.
        folder: of the checkpoint.
        settings: see there.
        start: what `Progress` a new run begins with.
        validate: fixed table, or None.
        init: a checkpoint whose averaged weights a new run starts from, wherever name and shape fit.
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
        self.average = {name: p.detach().clone() for name, p in self.model.state_dict().items()}
        self._optimizer = torch.optim.AdamW(self.model.parameters(), settings.rate, betas=(0.9, 0.95), weight_decay=0.0)
        if self.checkpoint_path.exists():
            self._resume()
        if self.world > 1 and not distributed.is_initialized():
            distributed.init_process_group("nccl" if settings.device.startswith("cuda") else "gloo")
            # Its threads would abort the process if the interpreter ended under them.
            atexit.register(distributed.destroy_process_group)

    @property
    def checkpoint_path(self) -> Path:
        """Where the run is kept."""
        return self.folder / CHECKPOINT

    def _start_from(self, path: Path) -> None:
        _, _, tensors = checkpoint.load(path)
        known, wanted = checkpoint.part(tensors, "average"), self.model.state_dict()
        fits = {k: v for k, v in known.items() if k in wanted and wanted[k].shape == v.shape}
        if not any(k.startswith("blocks.") for k in fits):
            raise FileError(f"{path} has no weight that fits {self.size}; give a checkpoint of a like preset")
        self.model.load_state_dict(wanted | fits)

    def _resume(self) -> None:
        size, progress, tensors = checkpoint.load(self.checkpoint_path)
        if size != self.size:
            raise FileError(
                f"{self.checkpoint_path} is of another size ({size}) than asked for ({self.size}); "
                f"give --preset {progress.preset} or another --out"
            )
        self.model.load_state_dict(checkpoint.part(tensors, "model"))
        self.average = {k: v.to(self.settings.device) for k, v in checkpoint.part(tensors, "average").items()}
        checkpoint.restore_optimizer(self._optimizer, self.model, tensors)
        has_pixels = progress.has_pixels or self.progress.has_pixels
        self.progress = replace(progress, data=self.progress.data, has_pixels=has_pixels)

    def run(self, show: bool = True) -> Progress:
        """Train until the time is used up.

        Raises:
            TrainingError: a loss or a gradient is not finite; the last good state is kept.
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
        """Data of the steps to come, made by others while these are learned from."""
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
        """The same, made by one thread, which can draw on a GPU."""
        with ThreadPoolExecutor(1) as ahead:
            drawn = ahead.submit(self._draw, self.progress.step, self.rank)
            for step in itertools.count(self.progress.step + 1):
                now, drawn = drawn.result(), ahead.submit(self._draw, step, self.rank)
                yield now

    def save(self) -> None:
        """Write the checkpoint, by the first process only."""
        if self.rank == 0:
            checkpoint.save(self.checkpoint_path, self.model, self.size, self.average, self._optimizer, self.progress)

    def averaged(self) -> JointDenoiser:
        """A model with the averaged weights."""
        model = JointDenoiser(self.size).to(self.settings.device)
        model.load_state_dict(self.average)
        return model.eval()

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
            result = loss_of(self.model, batch, drawn.task, settings.weights, generator, drawn.with_evidence)
        self._demand_finite("loss", result.total, result.terms)
        self._optimizer.zero_grad(set_to_none=True)
        result.total.backward()  # type: ignore[no-untyped-call]
        self._share_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)
        # A finite loss can have a gradient that is not, and the next checkpoint would keep what it does to the weights.
        self._demand_finite("gradient", norm, result.terms)
        self._optimizer.step()
        self._update_average()
        return result.terms, len(batch.known)

    def _demand_finite(self, name: str, value: Tensor, terms: dict[str, float]) -> None:
        if not torch.isfinite(value):
            kept = (
                f"the state of at most {self.settings.save_every_s:.0f} s before is kept in {self.checkpoint_path}"
                if self.checkpoint_path.exists()
                else "nothing was saved yet"
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
        """Share of the run that is still to come."""
        left = 1.0 - self.progress.trained_s / max(60 * self.settings.minutes, 1e-9)
        return min(left, 1.0 - self.progress.step / self.settings.steps) if self.settings.steps else left

    def _share_gradients(self) -> None:
        if self.world < 2:
            return
        for p in self.model.parameters():
            # What a task does not use has no gradient; all processes must take part all the same.
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
            distributed.all_reduce(p.grad)
            p.grad /= self.world

    def _agreed(self, value: float) -> float:
        """That of the first process: all must stop after the same step, or those that go on wait for ever."""
        if self.world < 2:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.settings.device)
        distributed.broadcast(shared, 0)
        return float(shared)

    @torch.no_grad()
    def _update_average(self) -> None:
        # Early on the average follows quickly, so that the first weights do not linger.
        decay = min(self.settings.average_decay, (1 + self.progress.step) / (10 + self.progress.step))
        for name, value in self.model.state_dict().items():
            _blend(self.average[name], value, decay)


class _Steps(Dataset[Draw]):
    """`Draw` by number of the step."""

    def __init__(self, draw: Callable[[int, int], Draw], rank: int) -> None:
        self._draw, self._rank = draw, rank

    def __getitem__(self, step: int) -> Draw:
        return self._draw(step, self._rank)


def _one_thread(_: int) -> None:
    # As many processes as cores need no threads besides; torch sees to its own.
    cv2.setNumThreads(1)


def _blend(average: Tensor, value: Tensor, decay: float) -> None:
    average.mul_(decay).add_(value, alpha=1.0 - decay)
