"""``raxels export``: a checkpoint to the ONNX graphs and the card that serving loads."""

from __future__ import annotations

import argparse
from pathlib import Path

from ros2_raxels.training.export import Parts, export
from ros2_raxels.training.validation import Validation
from ros2_raxels.utils.files import make_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("checkpoint", type=Path, metavar="FILE", help="checkpoint.safetensors of raxels train")
    parser.add_argument("--out", type=Path, default=Path("engines"), metavar="DIR", help="default: engines")
    parser.add_argument("--only", choices=("poses", "views"), help="only the graphs of one task (default: all)")
    parser.add_argument("--no-mixed", action="store_true", help="leave out the graphs in half precision")
    parser.add_argument("--name", default="compact", help="name of the model (default: compact)")


def run(args: argparse.Namespace) -> int:
    """Export.

    Returns:
        0.

    Raises:
        FileError: the checkpoint cannot be read, or the folder cannot be written.
    """
    make_folder(args.out)
    parts = None
    if args.only or args.no_mixed:
        parts = Parts(poses=args.only != "views", views=args.only != "poses", mixed=not args.no_mixed)
    card = export(args.checkpoint, args.out, args.name, Validation.synthetic(), parts)
    for role, graph in card.graphs.items():
        print(f"{role}: {args.out / graph.file}, sha256 {graph.sha256[:12]}")
    print(f"expected on {', '.join(card.expected)}: {card.expected}")
    return 0
