"""``raxels``: the command line. A command's module is imported only when that command is called."""

from __future__ import annotations

import argparse
import importlib
import os
import shlex
import sys
import traceback
from collections.abc import Sequence

from ros2_raxels import __version__
from ros2_raxels.utils.ros_environment import ONE_BLAS_THREAD
from ros2_raxels.utils.terminal import INTERRUPTED

WRONG_INPUT = 2
UNEXPECTED = 3
BROKEN_PIPE = 141

_COMMANDS = {
    "estimate": ("ros2_raxels.cli.estimate", "camera poses for clips of images"),
    "views": ("ros2_raxels.cli.views", "predicted views along trajectories"),
    "imagine": ("ros2_raxels.cli.imagine", "video and trajectory together, from one image"),
    "track": ("ros2_raxels.cli.track", "trajectory of a recording or a live camera"),
    "render": ("ros2_raxels.cli.render", "render clips of random worlds to train on"),
    "train": ("ros2_raxels.cli.train", "train the joint denoiser, or go on with it"),
    "export": ("ros2_raxels.cli.export", "turn a checkpoint into the graphs that serving loads"),
    "calibrate": ("ros2_raxels.cli.calibrate", "fit the confidence of views of a model"),
    "evaluate": ("ros2_raxels.cli.evaluate", "accuracy and speed beside classical two-view geometry"),
    "benchmark": ("ros2_raxels.cli.benchmark", "speed and memory on this machine, by stage"),
    "engine": ("ros2_raxels.cli.engine", "compile TensorRT plans, list and remove them, check the chosen engine"),
    "soak": ("ros2_raxels.soak", "real nodes for minutes or hours, faults on a schedule, and what they did"),
    "doctor": ("ros2_raxels.doctor", "what is wrong with this machine and its ROS graph, and what to do about it"),
    "demo": ("ros2_raxels.demo", "see it work on a recording, or on a rendered room without one"),
}

_EXIT_STATUS = "exit status: 0 done, 1 some of it failed, 2 wrong input, 3 unexpected error, 130 stopped with Ctrl-C"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: arguments without the program's name; None takes the process's own.

    Returns:
        The exit status, see ``raxels --help``. Errors are one line on stderr.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    os.environ.setdefault(*ONE_BLAS_THREAD)
    try:
        status = _run(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Python flushes stdout once more at exit, and must not meet the closed pipe then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        print("raxels: stopped", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        return _report(error)


def _run(arguments: list[str]) -> int:
    command = next((argument for argument in arguments if not argument.startswith("-")), None)
    try:
        args = _parser(command).parse_args(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    args.command_line = shlex.join(["raxels", *arguments])
    return int(importlib.import_module(_COMMANDS[args.command][0]).run(args))


def _parser(command: str | None) -> argparse.ArgumentParser:
    """The parser, with the options of one command alone: those of the others would cost their imports."""
    parser = argparse.ArgumentParser(
        prog="raxels",
        description="Poses, trajectories and predicted views of one camera.",
        epilog=_EXIT_STATUS,
    )
    parser.add_argument("--version", action="version", version=f"raxels {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, summary) in _COMMANDS.items():
        described = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == command:
            importlib.import_module(module).add_arguments(described)
    return parser


def _report(error: Exception) -> int:
    from ros2_raxels.recordings.image_codec import ImageError
    from ros2_raxels.utils.files import FileError

    if os.environ.get("RAXELS_DEBUG"):
        traceback.print_exception(error)
    message = " ".join(str(error).split())
    if isinstance(error, (FileError, ImageError)):
        print(f"raxels: {message}", file=sys.stderr)
        return WRONG_INPUT
    kind = type(error).__name__
    print(f"raxels: unexpected {kind}: {message} (RAXELS_DEBUG=1 shows where)", file=sys.stderr)
    return UNEXPECTED


if __name__ == "__main__":
    sys.exit(main())
