"""Options that several commands share: which model, which seed."""

from __future__ import annotations

import argparse

from ros2_raxels.estimation.learned_matcher import AUTO, MATCHERS
from ros2_raxels.utils.argument_types import natural


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    """The option that chooses the denoiser."""
    parser.add_argument(
        "--model", default="", metavar="CARD", help="model card (.json), or none for geometry alone (default: shipped)"
    )


def add_matcher_argument(parser: argparse.ArgumentParser, auto: str) -> None:
    """The option that chooses the keypoints; `auto` says when learned ones are taken by default."""
    parser.add_argument(
        "--matcher",
        choices=MATCHERS,
        default=AUTO,
        help=f"auto: learned keypoints {auto}, if imported (raxels engine import); default: auto",
    )


def add_predictor_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of all commands that make views."""
    parser.add_argument("--seed", type=natural, default=0, help="of the noise; the same seed gives the same views")
    parser.add_argument("--model", default="", metavar="CARD", help="model card (.json) (default: shipped)")
