"""Tables of what was measured, made from the reports in ``docs/measured``.

A report is replaced by running its command again; nothing but the report holds the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ros2_raxels.manual.made import MadeError, Part, table
from ros2_raxels.utils.files import FileError, load_json

CLIPS = "evaluate_dev_denoiser.json"
NO_INTRINSICS = "no_intrinsics_dev.json"
CURVE = "curve_dev.json"
CLOSED_LOOP = "closed_loop_dev.json"
VIEWS = "views_dev.json"
PATHS = "paths.json"
TRACKS = "tracks_dev.json"
SPEED = {"EPYC": "benchmark.json", "Xeon": "benchmark_xeon.json"}
NODES = "node_*.json"
HONESTY = "honesty*.json"

_METHODS = {
    "raxels": "raxels",
    "geometry alone": "geometry alone",
    "opencv-both": "SIFT + checked flow + MAGSAC (OpenCV)",
}
_STEPS = (1, 2, 4, 8)

Report = Mapping[str, Any]


class Reports:
    """The reports in a folder.

    Args:
        folder: ``docs/measured``, or another for a test.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def named(self, name: str) -> Report:
        """One report.

        Raises:
            MadeError: it is not there, or is no JSON.
        """
        try:
            found = load_json(self._folder / name)
        except FileError as error:
            raise MadeError(str(error)) from error
        if not isinstance(found, dict):
            raise MadeError(f"{name} is no report: it must be an object of JSON; write it again")
        return found

    def matching(self, pattern: str) -> dict[str, Report]:
        """Reports by file, in the order of their names.

        Raises:
            MadeError: there is none.
        """
        names = sorted(path.name for path in self._folder.glob(pattern))
        if not names:
            raise MadeError(f"{self._folder.name} has no {pattern}; run the command that writes it")
        return {name: self.named(name) for name in names}


def parts(folder: Path) -> dict[str, Part]:
    """All tables, by the names that pages give in their marks."""
    makers: dict[str, Callable[[Reports], str]] = {
        "clips": clips,
        "in short": in_short,
        "clips by set": clips_by_set,
        "clips by steps": clips_by_steps,
        "coverage of clips": coverage,
        "focal lengths": focal_lengths,
        "closed loop": closed_loop,
        "views": views,
        "views by what was seen": views_by_what_was_seen,
        "confidence of views": confidence_of_views,
        "scores of paths": scores_of_paths,
        "sequences": sequences,
        "sequences in full": sequences_in_full,
        "nodes": nodes,
        "nodes in full": nodes_in_full,
        "speed": speed,
        "what poses say of themselves": honesty,
    }
    return {name: partial(make, Reports(folder)) for name, make in makers.items()}


# -------------------------------------------------------------------------------------------------------------- numbers


def number(value: float | None, digits: int = 3) -> str:
    """As the pages write them: .759, 1.00; a dash for what was not measured."""
    if value is None:
        return "–"
    text = f"{value:.{digits}f}"
    return text.removeprefix("0") if 0.0 <= value < 1.0 else text


def percent(share: float) -> str:
    """Of a share from 0 to 1; 100 only where it is all."""
    return (
        "100 %"
        if share == 1.0
        else f"{min(100 * share, 99.9 if share > 0.995 else 100.0):.{1 if share > 0.995 else 0}f} %"
    )


def _best(column: Sequence[str], values: Sequence[float | None], highest: bool) -> list[str]:
    """The same with the best in bold, and all that read like it."""
    known = [value for value in values if value is not None]
    if not known:
        return list(column)
    best = column[list(values).index((max if highest else min)(known))]
    return [f"**{cell}**" if cell == best else cell for cell in column]


def _says(report: Report) -> str:
    """What and when, for the line below a table."""
    machine = report["machine"]
    return f"{machine['cores']} cores of an {machine['cpu'].replace('(R)', '')}, {report['time'][:10]}"


# ---------------------------------------------------------------------------------------------------------------- clips


def _rows_of_clips(report: Report, columns: Sequence[tuple[str, bool, int, str]]) -> list[list[str]]:
    methods = [name for name in _METHODS if name in report["methods"]]
    made = []
    for key, highest, digits, unit in columns:
        values = [_value_of_clips(report["methods"][name], key) for name in methods]
        made.append(_best([f"{number(value, digits)}{unit}" for value in values], values, highest))
    return [[_METHODS[name], *cells] for name, *cells in zip(methods, *made, strict=True)]


def _value_of_clips(method: Report, key: str) -> float:
    found: float = method["ms"]["total"]["median"] if key == "ms" else method["mean"][key]
    return found


def clips(reports: Reports) -> str:
    """Every method over all sets."""
    columns = [
        ("auc5", True, 3, ""),
        ("auc30", True, 3, ""),
        ("rra15", True, 2, ""),
        ("rta15", True, 2, ""),
        ("rot_med_deg", False, 2, " deg"),
        ("dir_med_deg", False, 1, " deg"),
        ("ms", False, 0, " ms"),
    ]
    head = ["", "AUC@5", "AUC@30", "RRA@15", "RTA@15", "rotation, median", "direction, median", "time per clip, median"]
    return table(head, _rows_of_clips(reports.named(CLIPS), columns), right=1)


def clips_by_set(reports: Reports) -> str:
    """AUC@5 / AUC@30 of every method on every set."""
    methods = reports.named(CLIPS)["methods"]
    named = [name for name in _METHODS if name in methods]
    rows = [
        [f"`{name}`", *(_auc(methods[method]["sets"].get(name)) for method in named)]
        for name in sorted(methods["raxels"]["sets"])
    ]
    return table(["AUC@5 / AUC@30", *(_METHODS[name] for name in named)], rows, right=1)


def _auc(scores: Report | None) -> str:
    return "–" if scores is None else f"{number(scores['auc5'])} / {number(scores['auc30'])}"


def clips_by_steps(reports: Reports) -> str:
    """AUC@5 / AUC@30 by the number of denoising steps."""
    methods = reports.named(CURVE)["methods"]
    kinds = {
        "denoiser alone": "denoiser alone, without guidance",
        "denoiser and guidance": "denoiser and guidance, without two-view hypotheses",
        "pixels only": "pixels only, as in the paper",
    }
    rows = [[words, *(_auc(methods[f"{kind}, {n} steps"]["mean"]) for n in _STEPS)] for kind, words in kinds.items()]
    words = f"The default, with two-view hypotheses beside the samples, reaches {_auc(methods['raxels']['mean'])}."
    return f"{table(['steps', *map(str, _STEPS)], rows, right=1)}\n\n{words}"


def coverage(reports: Reports) -> str:
    """What the regions of the covariances of clips hold."""
    held = reports.named(CLIPS)["methods"]["raxels"]["coverage"]
    rows = [[what, *(percent(held[f"{what}_{level}"]) for level in (68, 95))] for what in ("rotation", "direction")]
    return table(["truth inside the stated region", "of 68 %", "of 95 %"], rows, right=1)


def focal_lengths(reports: Reports) -> str:
    """Clips whose focal length is estimated."""
    ours = reports.named(NO_INTRINSICS)["methods"]["raxels"]
    return table(
        ["focal length", "AUC@5 / AUC@30", "its error, median over clips"],
        [["estimated", _auc(ours["mean"]), f"{100 * ours['focal_error']:.1f} %"]],
        right=1,
    )


def closed_loop(reports: Reports) -> str:
    """Poses, views made at them, and poses of these views."""
    found = reports.named(CLOSED_LOOP)["closed_loop"]
    rows = []
    for kind in ("recorded", "procedural"):
        cells = [_turn_and_direction(found[kind][which]) for which in ("loop", "shuffled")]
        rows.append([f"{found[kind]['clips']} {kind} clips", *cells])
    return table(["rotation / direction", "A and B of one clip", "A and B of different clips (control)"], rows, right=1)


def _turn_and_direction(found: Report) -> str:
    return f"{found['rotation_deg']:.1f} / {found['direction_deg']:.0f} deg"


# ---------------------------------------------------------------------------------------------------------------- views


def views(reports: Reports) -> str:
    """PSNR and SSIM of views beside simple peers."""
    report = reports.named(VIEWS)
    methods = {name: found["mean"] for name, found in report["views"]["methods"].items()}
    for name, sets in report.get("yardstick_peers", {}).items():
        mean = sets["MEAN OVER SETS"]
        methods[name] = {"psnr_db": mean["psnr"], "ssim": mean["ssim"]}
    names = list(methods)
    decibels = [methods[name]["psnr_db"] for name in names]
    structure = [methods[name]["ssim"] for name in names]
    first = _best([f"{value:.2f} dB" for value in decibels], decibels, highest=True)
    second = _best([number(value) for value in structure], structure, highest=True)
    return table(["", "PSNR", "SSIM"], [list(row) for row in zip(names, first, second, strict=True)], right=1)


def views_by_what_was_seen(reports: Reports) -> str:
    """PSNR by the share of a view that a known frame has seen."""
    rows = [
        [_range(group), str(group["views"]), f"{group['psnr_db']:.1f} dB", f"{group['repeat_psnr_db']:.1f} dB"]
        for group in reports.named(VIEWS)["views"]["seen"]
    ]
    return table(["share that was seen", "views", "raxels", "repeat"], rows, right=1)


def _range(group: Report) -> str:
    return f"{group['from']:g} to {min(group['to'], 1.0):g}"


def confidence_of_views(reports: Reports) -> str:
    """How often a view of a stated confidence is good."""
    found = reports.named(VIEWS)["views"]["confidence"]["raxels, 1 step"]
    bins = found["bins"]
    rows = [
        ["mean of the stated", *(number(group["stated"], 2) for group in bins)],
        ["share with 20 dB or more", *(number(group["good"], 2) for group in bins)],
        ["views", *(str(group["views"]) for group in bins)],
    ]
    words = f"Rank correlation with PSNR {number(found['rank_correlation'], 2)}, Brier score {number(found['brier'])}."
    return f"{table(['stated', *map(_range, bins)], rows, right=1)}\n\n{words}"


def scores_of_paths(reports: Reports) -> str:
    """How often a path of a stated probability is free."""
    found = reports.named(PATHS)
    rows = [
        ["mean of the stated", *(number(group["stated"], 2) for group in found["bins"])],
        ["share that was free", *(number(group["free"], 3) for group in found["bins"])],
        ["paths", *(str(group["paths"]) for group in found["bins"])],
    ]
    brier, plain = number(found["brier"]), number(found["brier_of_mean"])
    words = f"{found['paths']} paths in {found['rooms']} rooms: Brier score {brier}, {plain} for the mean of all."
    return f"{table(['stated', *map(_range, found['bins'])], rows, right=1)}\n\n{words}"


# ------------------------------------------------------------------------------------------------------------ sequences


def _ate(error: Report | None) -> float | None:
    return None if error is None else error["ate_percent"]


def _rows_of_sequences(report: Report) -> list[list[str]]:
    """Name, live and at the end, and every peer, the best in bold."""
    rows = []
    for track in report["tracks"]:
        peers = [track.get("peers", {}).get(name) for name in ("chain", "colmap")]
        errors = [_ate(track["live"]), _ate(track["error"]), *(_ate(peer and peer.get("error")) for peer in peers)]
        live, end, chain, colmap = _best([number(error, 2) for error in errors], errors, highest=False)
        few = peers[1] and peers[1]["frames"] < min(200, track["frames"])
        note = f" ({peers[1]['frames']} of {track['frames']} frames)" if few else ""
        rows.append([f"`{track['name']}`", str(track["frames"]), f"{live} / {end}", chain, f"{colmap}{note}"])
    return rows


def sequences(reports: Reports) -> str:
    """The tracker given every frame, for the README."""
    head = ["ATE, % of the path", "frames", "live / at the end", "chained two-view peer", "COLMAP (offline)"]
    return table(head, _rows_of_sequences(reports.named(TRACKS)), right=1)


def sequences_in_full(reports: Reports) -> str:
    """The same with shares and times."""
    report = reports.named(TRACKS)
    rows = []
    for row, track in zip(_rows_of_sequences(report), report["tracks"], strict=True):
        time = track["image_to_pose"]
        cells = [percent(track["tracked"] / track["frames"]), f"{time['p50']:.0f} / {time['p95']:.0f} ms"]
        rows.append([*row, number(track["live"]["scale_drift"], 2), *cells, f"{track['whole']['mean']:.0f} ms"])
    head = ["ATE, % of the path", "frames", "live / at the end", "chained peer", "COLMAP", "scale drift, live"]
    head += ["tracked", "image to pose, median / p95", "mean, keyframes included"]
    return f"{table(head, rows, right=1)}\n\n{_says(report)}."


# ---------------------------------------------------------------------------------------------------------------- nodes


def _nodes(reports: Reports) -> dict[str, Report]:
    found = reports.matching(NODES).values()
    return {report["source"]: report for report in found}


def _beside(run: Report, peer: str) -> str:
    ours = f"{percent(run['tracked'])}, {number(run['ate_percent'], 2)}"
    other = run.get("peers", {}).get(peer)
    return ours if other is None else f"{ours} ({percent(other['tracked'])}, {number(other['ate_percent'], 2)})"


def nodes(reports: Reports) -> str:
    """Frames tracked and ATE through the real nodes, by load, with ORB-SLAM3 in brackets."""
    found = _nodes(reports)
    loads = sorted({run["load"] for report in found.values() for run in report["node"]["runs"]})
    titles = ["idle" if load == 0 else f"{load} busy process{'es' if load > 1 else ''}" for load in loads]
    rows = []
    for name, report in found.items():
        runs = {run["load"]: run for run in report["node"]["runs"]}
        rows.append([f"`{name}`", *(_beside(runs[load], "orbslam3") if load in runs else "–" for load in loads)])
    return table(["tracked, ATE % of the path", *titles], rows, right=1)


def nodes_in_full(reports: Reports) -> str:
    """The same with gaps and latencies of the idle machine."""
    rows = []
    for name, report in _nodes(reports).items():
        for run in report["node"]["runs"]:
            gap, late = run["tf_gap_ms"], run["latency_ms"]
            rows.append(
                [
                    f"`{name}`",
                    str(run["load"]),
                    _beside(run, "orbslam3"),
                    f"{gap['p99']:.0f} ms",
                    f"{late['p50']:.0f} / {late['p95']:.0f} ms",
                    f"{run['longest_gap_s']:.2f} s",
                ]
            )
    head = ["recording", "busy processes", "tracked, ATE % of the path (ORB-SLAM3)", "TF gap p99", "latency p50 / p95"]
    return table([*head, "longest gap"], rows, right=1)


# ---------------------------------------------------------------------------------------------------------------- speed


def speed(reports: Reports) -> str:
    """Milliseconds of every stage, on each machine."""
    found = {name: reports.named(file) for name, file in SPEED.items()}
    columns = [_speed(report) for report in found.values()]
    rows = [[what, *(column[what] for column in columns)] for what in columns[0]]
    head = ["ms, median / p95", *(f"{name}, {report['time'][:10]}" for name, report in found.items())]
    return table(head, rows, right=1)


def _speed(report: Report) -> dict[str, str]:
    tracker = report["tracker"]
    late = [value for _, value in sorted(report["views"]["ms_by_steps"].items())]
    added = tracker["stages"]["improve"]["mean"] * tracker["frames"] / max(tracker["keyframes"], 1)
    estimate = report["estimate"]["ms"]
    return {
        f"image to pose ({tracker['width']}x{tracker['height']})": _p50_p95(tracker["image_to_pose"]),
        "of which matching": _p50_p95(tracker["stages"]["evidence"]),
        "of which solving": _p50_p95(tracker["stages"]["solve"]),
        "a keyframe, beside the frames (mean)": f"{added:.0f}",
        "a clip of 4 frames": _median(estimate["raxels"]["total"]),
        "the peer, SIFT + checked flow + MAGSAC": _median(estimate["opencv-both"]["total"]),
        "4 views, in 1 step": _p50_p95(late[0]),
        "process start to first frame": f"{1e3 * report['startup']['processes_s'][0]['answered']:.0f}",
    }


def _p50_p95(found: Report) -> str:
    digits = 0 if found["p50"] >= 100 else 1
    return f"{found['p50']:.{digits}f} / {found['p95']:.{digits}f}"


def _median(found: Report) -> str:
    return f"{found['median']:.0f} / {found['p95']:.0f}"


# ------------------------------------------------------------------------------------------------------------- in short


def in_short(reports: Reports) -> str:
    """Clips, views and speed in a line each, for the README."""
    measured = reports.named(CLIPS)
    clip, peer = (measured["methods"][name]["mean"] for name in ("raxels", "opencv-both"))
    of = f"{measured['data']['clips']} from {len(measured['methods']['raxels']['sets'])} sets"
    view = reports.named(VIEWS)["views"]["methods"]
    tracker = reports.named(SPEED["EPYC"])["tracker"]
    late = tracker["image_to_pose"]
    lines = [
        f"**Clips** of 4 frames, {of}: AUC@5 / AUC@30 {_auc(clip)}; SIFT, checked flow and MAGSAC reach {_auc(peer)}.",
    ]
    ours, repeated = _quality(view["raxels, 1 step"]), _quality(view["repeat"])
    lines.append(f"**Views**, four ahead of four known frames: {ours}; repeating the newest frame gives {repeated}.")
    size = f"{tracker['width']}x{tracker['height']}"
    lines.append(f"**Speed**: image to pose {late['p50']:.0f} ms in the median, {late['p95']:.0f} ms at p95 ({size}).")
    return "\n".join(f"- {line}" for line in lines)


def _quality(method: Report) -> str:
    return f"{method['mean']['psnr_db']:.1f} dB / SSIM {number(method['mean']['ssim'], 2)}"


# -------------------------------------------------------------------------------------------------------------- honesty


def honesty(reports: Reports) -> str:
    """What the regions of poses hold, by recording and condition."""
    keys = ("position_inside_68", "position_inside_95", "rotation_inside_68", "rotation_inside_95")
    rows = []
    for report in reports.matching(HONESTY).values():
        for run in report["runs"]:
            scored = "rmse_percent" in run
            held = [f"{100 * run[key]:.0f}" for key in keys] if scored else ["–"] * 4
            position, rotation = f"{held[0]} / {held[1]} %", f"{held[2]} / {held[3]} %"
            blunders = f"{100 * run['blunders']:.1f} %" if scored else "–"
            rows.append([f"`{run['set']}`", run["condition"], percent(run["tracked"]), position, rotation, blunders])
    return table(
        ["recording", "condition", "tracked", "position in 68 / 95", "rotation in 68 / 95", "blunders"], rows, 2
    )
