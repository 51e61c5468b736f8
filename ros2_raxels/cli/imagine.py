"""``raxels imagine``: video and trajectory together, from one image each."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ros2_raxels.cli.model_arguments import add_predictor_arguments
from ros2_raxels.cli.view_output import WIDEST_PX, record_of, size_of_views, write_views
from ros2_raxels.engine import EngineError
from ros2_raxels.estimation.estimator import Estimator
from ros2_raxels.factory import make_predictor
from ros2_raxels.geometry.camera import USUAL_FOCAL, PinholeCamera, ordinary_camera
from ros2_raxels.recordings.image_codec import ImageArray
from ros2_raxels.recordings.source import read_image
from ros2_raxels.utils.argument_types import intrinsics_px, positive
from ros2_raxels.utils.files import make_folder, write_json
from ros2_raxels.view_synthesis.predictor import ViewPredictor
from ros2_raxels.view_synthesis.self_consistency import check_views

REPORT = "imagine.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="each is imagined by itself")
    parser.add_argument("--frames", type=positive, default=4, metavar="N", help="to imagine (default: 4)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help=f"a folder for each image, and {REPORT}")
    parser.add_argument(
        "--width",
        type=positive,
        default=None,
        metavar="PX",
        help=f"of the frames, at most that of the image (default: the image's, up to {WIDEST_PX})",
    )
    parser.add_argument("--steps", type=positive, default=None, metavar="N", help="denoising steps (default: 8)")
    parser.add_argument(
        "--intrinsics",
        type=intrinsics_px,
        metavar="FX,FY,CX,CY",
        help=f"px, of all images (default: an ordinary lens, focal length {USUAL_FOCAL} of the longer side)",
    )
    add_predictor_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Imagine from every image.

    Returns:
        0, or 1 when some images could not be read; the report says why.

    Raises:
        FileError: the model cannot be read, or nothing can be written.
    """
    make_folder(args.out)
    predictor, estimator = make_predictor(args.model), Estimator()
    records = []
    for index, path in enumerate(tqdm(args.images, unit="image", disable=not sys.stderr.isatty())):
        records.append(_imagine(predictor, estimator, path, f"{index:03d}_{path.stem}", args))
    report = {"model": predictor.card.name, "seed": args.seed, "images": records}
    write_json(args.out / REPORT, report, indent=1)
    failed = [record for record in records if "error" in record]
    for record in failed:
        print(f"raxels: {record['image']} failed: {record['error']}", file=sys.stderr)
    print(f"{args.frames} frames from each of {len(records) - len(failed)} images -> {args.out}")
    return 1 if failed else 0


def _imagine(
    predictor: ViewPredictor, estimator: Estimator, path: Path, name: str, args: argparse.Namespace
) -> dict[str, Any]:
    try:
        image = read_image(path)
        camera = _camera(image, args.intrinsics)
        size = size_of_views(camera, args.width)
        views = predictor.imagine(image, camera, args.frames, seed=args.seed, steps=args.steps, size=size)
    except (ValueError, EngineError) as error:
        return {"image": str(path), "error": str(error)}
    write_views(args.out / name, views)
    intrinsics = [camera.fx, camera.fy, camera.cx, camera.cy]
    assumed = args.intrinsics is None
    return {
        "image": str(path),
        "folder": name,
        "intrinsics": intrinsics,
        "intrinsics_assumed": assumed,
        **record_of(views, check_views(predictor, estimator, [image], np.eye(4)[None], views)),
    }


def _camera(image: ImageArray, intrinsics: tuple[float, float, float, float] | None) -> PinholeCamera:
    height, width = image.shape[:2]
    if intrinsics is not None:
        return PinholeCamera(width, height, *intrinsics)
    return ordinary_camera(width, height)
