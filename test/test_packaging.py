"""The packages as such: one version, all installed, documented interfaces, a set-up that says what is missing."""

from __future__ import annotations

import importlib
import os
import re
import runpy
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import setuptools

import ros2_raxels

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"ros2_raxels": ROOT, "raxels_interfaces": ROOT / "raxels_interfaces"}
EXECUTABLES = {"raxels", "pose_node", "view_server", "server", "camera_player"}
NEEDED_BY_SETUP = ["bash", "cut", "dirname", "env", "find", "flock", "grep", "mkdir", "sha256sum", "sort", "xargs"]


@pytest.fixture(scope="module")
def definition() -> dict[str, Any]:
    """What setup.py hands to setuptools."""
    handed: dict[str, Any] = {}
    patch = pytest.MonkeyPatch()
    patch.setattr(setuptools, "setup", lambda **arguments: handed.update(arguments))
    patch.chdir(ROOT)
    try:
        runpy.run_path(str(ROOT / "setup.py"))
    finally:
        patch.undo()
    return handed


def manifest(package: str) -> ET.Element:
    return ET.parse(PACKAGES[package] / "package.xml").getroot()


# ------------------------------------------------------------------------------------------------------------ manifests


def test_there_is_one_version(definition: dict[str, Any]) -> None:
    version = manifest("ros2_raxels").findtext("version")
    assert version is not None
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert manifest("raxels_interfaces").findtext("version") == version
    assert definition["version"] == version
    assert ros2_raxels.__version__ == version, "run `make setup`: the installed metadata is of another version"


@pytest.mark.parametrize("package", PACKAGES)
def test_the_changelog_is_as_bloom_reads_it(package: str) -> None:
    """By the parsers of bloom: dated versions as of REP-132, and above them what waits for the next one."""
    changelog = pytest.importorskip("catkin_pkg.changelog")
    core = pytest.importorskip("docutils.core")
    text = (PACKAGES[package] / "CHANGELOG.rst").read_text(encoding="utf-8")
    # Levels of warnings: whatever is not clean is an error.
    tree = core.publish_doctree(text, settings_overrides={"report_level": 2, "halt_level": 2, "doctitle_xform": False})
    titles = [section[0].astext() for section in tree.findall() if section.tagname == "section"]
    assert titles[0] == f"Changelog for package {package}"
    dated = titles[2:] if titles[1] == "Forthcoming" else titles[1:]
    versions = [changelog.version_and_date_from_title(title)[0] for title in dated]
    assert titles[1] == "Forthcoming" or versions[0] == manifest(package).findtext("version")


@pytest.mark.parametrize("package", PACKAGES)
def test_the_manifest_is_valid_for_a_release(package: str) -> None:
    """By the parser of colcon and bloom, without a warning."""
    parser = pytest.importorskip("catkin_pkg.package")
    warnings: list[str] = []
    found = parser.parse_package(str(PACKAGES[package]), warnings=warnings)
    found.validate(warnings=warnings)
    assert warnings == []
    assert len(found.description.split()) > 5


@pytest.mark.parametrize(
    ("package", "build_type"), [("ros2_raxels", "ament_python"), ("raxels_interfaces", "ament_cmake")]
)
def test_manifest(package: str, build_type: str) -> None:
    root = manifest(package)
    assert root.get("format") == "3"
    assert root.findtext("name") == package
    assert root.findtext("license") == "Apache-2.0"
    assert root.findtext("export/build_type") == build_type
    maintainer = root.find("maintainer")
    assert maintainer is not None
    # catkin_pkg refuses the package, and with it CMake's configure, over an address that cannot be one.
    assert re.fullmatch(r"[\w.-]+@[\w-]+(\.[\w-]+)+", maintainer.get("email", ""))


def test_manifest_names_every_ros_package_that_is_imported() -> None:
    named = {element.text for element in manifest("ros2_raxels") if element.tag.endswith("depend")}
    imported = {
        match.group(1)
        for path in [*(ROOT / "ros2_raxels").rglob("*.py"), *(ROOT / "launch").glob("*.py")]
        for match in re.finditer(r"^\s*(?:from|import) (\w+)", path.read_text(), re.MULTILINE)
    }
    ros = {name for name in imported if name.endswith(("_msgs", "_srvs", "_interfaces", "_ros"))}
    ros |= imported & {"rclpy", "cv_bridge", "launch", "ament_index_python"}
    assert ros <= named, f"package.xml lacks {sorted(ros - named)}"


# --------------------------------------------------------------------------------------------------------- installation


def test_entry_points_can_be_called(definition: dict[str, Any]) -> None:
    scripts = definition["entry_points"]["console_scripts"]
    assert {script.split(" = ")[0] for script in scripts} == EXECUTABLES
    for script in scripts:
        module, function = script.split(" = ")[1].split(":")
        assert callable(getattr(importlib.import_module(module), function)), script


def test_everything_shared_is_installed_once(definition: dict[str, Any]) -> None:
    installed = [f"{folder}/{Path(file).name}" for folder, files in definition["data_files"] for file in files]
    assert len(installed) == len(set(installed))
    for folder in ("config", "launch", "engines", "examples"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert f"share/ros2_raxels/{path.relative_to(ROOT).as_posix()}" in installed
    assert "share/ament_index/resource_index/packages/ros2_raxels" in installed
    assert "share/ros2_raxels/package.xml" in installed
    assert not [name for name in definition["packages"] if name.split(".")[0] != "ros2_raxels"]


def colcon_environment() -> dict[str, str]:
    """That of a user who activated .venv and sourced its setup file; a sourced ROS is left as it is."""
    environment = dict(os.environ)
    # Underneath pytest Python has its library path already, but the children are other programs too.
    environment.pop("COLCON_PREFIX_PATH", None)
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    # Without this colcon adds `-l`, and a busy machine compiles with one process.
    environment["MAKEFLAGS"] = f"-j{os.cpu_count() or 1}"
    if (Path(sys.prefix) / "share" / "rclpy").is_dir():
        environment["AMENT_PREFIX_PATH"] = environment["CMAKE_PREFIX_PATH"] = sys.prefix
        environment.pop("PYTHONPATH", None)
    return environment


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Both packages built by colcon, from the checkout as a user does it, into a folder of our own."""
    if shutil.which("colcon", path=colcon_environment()["PATH"]) is None:
        pytest.skip("colcon is not installed")
    folder = tmp_path_factory.mktemp("colcon")
    command = ["colcon", "--log-base", f"{folder}/log", "build", "--build-base", f"{folder}/build"]
    command += ["--install-base", f"{folder}/install", "--cmake-args", "-DBUILD_TESTING=OFF"]
    built = subprocess.run(command, cwd=ROOT, env=colcon_environment(), capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stdout + built.stderr
    yield folder / "install"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_colcon_builds_both_packages(workspace: Path) -> None:
    package = workspace / "ros2_raxels"
    executables = {path.name for path in (package / "lib" / "ros2_raxels").iterdir() if os.access(path, os.X_OK)}
    assert executables == EXECUTABLES
    assert (package / "share/ament_index/resource_index/packages/ros2_raxels").is_file()
    assert (package / "share/ros2_raxels/config/fastdds.xml").read_bytes() == (ROOT / "config/fastdds.xml").read_bytes()
    assert (workspace / "raxels_interfaces/share/raxels_interfaces/action/PredictViews.action").is_file()


@pytest.mark.slow
def test_sourced_workspace_comes_before_what_is_below_it(workspace: Path) -> None:
    script = (
        f'. "{workspace}/setup.bash" && cd / && "{workspace}/ros2_raxels/lib/ros2_raxels/raxels" --help >/dev/null '
        '&& python3 -c "import ros2_raxels, raxels_interfaces.action as action; '
        'print(ros2_raxels.__file__, ros2_raxels.__version__, action.__file__, sep=chr(10))"'
    )
    environment = colcon_environment()
    ran = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    library, version, action = ran.stdout.splitlines()
    assert library.startswith(f"{workspace}/ros2_raxels/")
    assert version == manifest("ros2_raxels").findtext("version")
    assert action.startswith(f"{workspace}/raxels_interfaces/")


# ----------------------------------------------------------------------------------------------------------- interfaces


def constants(interface: type) -> dict[str, int]:
    # They are properties of the metaclass, hence not in vars().
    return {name: getattr(interface, name) for name in dir(interface) if name.isupper() and name != "SLOT_TYPES"}


def test_pose_status() -> None:
    from raxels_interfaces.msg import PoseStatus

    assert PoseStatus.get_fields_and_field_types() == {
        "header": "std_msgs/Header",
        "child_frame_id": "string",
        "state": "uint8",
        "confidence": "float",
        "hypothesis_spread_rotation_rad": "float",
        "hypothesis_spread_translation": "float",
        "residual_px": "float",
        "correspondences": "uint32",
        "inliers": "uint32",
        "motion": "uint8",
        "scale_source": "uint8",
        "scale_is_metric": "boolean",
        "scale": "float",
        "scale_sigma": "float",
        "latency_s": "float",
        "processing_s": "float",
        "frames_received": "uint64",
        "frames_processed": "uint64",
        "frames_dropped": "uint64",
        "resets": "uint32",
        "engine_id": "string",
        "message": "string",
    }
    assert constants(PoseStatus) == {
        "STATE_WAITING": 0,
        "STATE_INITIALISING": 1,
        "STATE_TRACKING": 2,
        "STATE_HELD": 3,
        "STATE_LOST": 4,
        "MOTION_UNKNOWN": 0,
        "MOTION_STILL": 1,
        "MOTION_TURNING": 2,
        "MOTION_MOVING": 3,
        "SCALE_NONE": 0,
        "SCALE_FIXED": 1,
        "SCALE_ODOM": 2,
        "SCALE_HEIGHT": 3,
        "SCALE_DEPTH": 4,
        "SCALE_STEREO": 5,
        "SCALE_IMU": 6,
    }


def test_predict_views_goal() -> None:
    from raxels_interfaces.action import PredictViews

    assert PredictViews.Goal.get_fields_and_field_types() == {
        "trajectory": "nav_msgs/Path",
        "pose_of": "uint8",
        "reference_time": "builtin_interfaces/Time",
        "context": "sequence<sensor_msgs/CompressedImage>",
        "context_camera_info": "sequence<sensor_msgs/CameraInfo>",
        "num_views": "uint32",
        "width": "uint32",
        "height": "uint32",
        "steps": "uint32",
        "seed": "uint64",
        "max_duration": "builtin_interfaces/Duration",
        "stream_views": "boolean",
        "want_depth": "boolean",
        "depth_in_units": "boolean",
        "want_error": "boolean",
        "want_unseen": "boolean",
        "camera": "string",
    }
    assert constants(PredictViews.Goal) == {"POSE_OF_BASE": 0, "POSE_OF_OPTICAL": 1}


def test_predict_views_result() -> None:
    from raxels_interfaces.action import PredictViews

    codes = constants(PredictViews.Result)
    assert codes["NONE"] == 0
    assert len(set(codes.values())) == len(codes)
    assert {name: code // 100 for name, code in codes.items()} == {
        "NONE": 0,
        **dict.fromkeys(["INVALID_GOAL", "UNKNOWN_FRAME", "TOO_MANY_POSES", "INVALID_SIZE"], 1),
        **dict.fromkeys(["NO_TRANSFORM", "NO_CONTEXT", "STALE_CONTEXT", "UNKNOWN_SCALE"], 2),
        **dict.fromkeys(["TIMEOUT", "CANCELLED", "PREEMPTED"], 3),
        **dict.fromkeys(["ENGINE_FAILED", "INTERNAL"], 4),
    }
    fields = PredictViews.Result.get_fields_and_field_types()
    assert fields["error_code"] == "uint16"
    assert fields["error_msg"] == "string"
    per_view = {"views", "view_poses", "confidence", "self_consistency_rotation", "self_consistency_translation"}
    per_view |= {"depths", "errors", "unseen"}
    assert per_view == {name for name, kind in fields.items() if kind.startswith("sequence")}
    assert {"camera_info", "seed_used", "model_id", "inference_time"} <= set(fields)


def test_fields_are_added_at_the_end() -> None:
    from raxels_interfaces.action import PredictViews

    assert [*PredictViews.Goal.get_fields_and_field_types()][-5:] == [
        "want_depth",
        "depth_in_units",
        "want_error",
        "want_unseen",
        "camera",
    ]
    assert [*PredictViews.Result.get_fields_and_field_types()][-5:] == [
        "inference_time",
        "depths",
        "depth_is_metric",
        "errors",
        "unseen",
    ]


def test_rank_paths_answers_with_a_code_and_a_score_for_each_path() -> None:
    from raxels_interfaces.msg import PathScore
    from raxels_interfaces.srv import RankPaths

    answer = RankPaths.Response.get_fields_and_field_types()
    assert answer["error_code"] == "uint16"
    assert answer["scores"] == "sequence<raxels_interfaces/PathScore>"
    assert set(PathScore.get_fields_and_field_types().values()) == {"float", "uint32"}


def test_predict_views_feedback_tells_progress() -> None:
    from raxels_interfaces.action import PredictViews

    fields = set(PredictViews.Feedback.get_fields_and_field_types())
    assert {"state", "step", "steps", "views_done", "views_total", "elapsed", "remaining", "preview"} <= fields
    states = constants(PredictViews.Feedback)
    assert sorted(states.values()) == list(range(len(states)))


@pytest.mark.parametrize("service", ["SaveKeyframes", "LoadKeyframes", "SetPose"])
def test_services_answer_with_success_and_words(service: str) -> None:
    answer = getattr(importlib.import_module("raxels_interfaces.srv"), service).Response.get_fields_and_field_types()
    assert answer["success"] == "boolean"
    assert answer["message"] == "string"
    assert ("keyframes" in answer) == service.endswith("Keyframes")


def test_every_field_is_explained() -> None:
    interfaces = ROOT / "raxels_interfaces"
    definitions = [path for kind in ("msg", "srv", "action") for path in sorted((interfaces / kind).iterdir())]
    assert len(definitions) == 7
    for path in definitions:
        explained = False
        for line in path.read_text().splitlines():
            if not line or line == "---":
                explained = False
            elif line.startswith("#"):
                explained = not line.startswith("# ---")
            elif "=" in line:
                # The words of a group of constants are on the lines; the field below takes them over.
                explained = explained or "#" in line
            else:
                assert explained, f"{path.name}: {line}"


# --------------------------------------------------------------------------------------------------------------- set-up


def bare_checkout(folder: Path) -> Path:
    (folder / "scripts").mkdir(parents=True)
    return Path(shutil.copy(ROOT / "scripts" / "setup.sh", folder / "scripts"))


def test_setup_names_what_is_missing_before_it_does_anything(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in [
        "bash",
        "cut",
        "dirname",
        "env",
        "find",
        "flock",
        "grep",
        "mkdir",
        "sha256sum",
        "sort",
        "uname",
        "xargs",
    ]:
        found = shutil.which(name)
        assert found, name
        (tools / name).symlink_to(found)
    (tools / "make").symlink_to(sys.executable)
    # Has neither headers nor ensurepip, as Debian's does without its two packages.
    fake = tools / "python3"
    fake.write_text('#!/bin/sh\ncase "$2" in *print*) echo 3.11 ;; *) exit 1 ;; esac\n')
    fake.chmod(0o755)
    script = bare_checkout(tmp_path / "checkout")
    ran = subprocess.run([script], env={"PATH": str(tools)}, capture_output=True, text=True, timeout=20)
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert "setup: missing: python3-venv python3-dev cmake g++\n" in ran.stderr
    assert "apt-get install -y python3-venv python3-dev cmake g++\n" in ran.stderr
    assert [path.name for path in (tmp_path / "checkout").iterdir()] == ["scripts"]


@pytest.mark.parametrize("version", ["3.9", "3.15"])
def test_setup_refuses_a_python_without_wheels(tmp_path: Path, version: str) -> None:
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\necho {version}\n")
    fake.chmod(0o755)
    script = bare_checkout(tmp_path / "checkout")
    environment = {"PATH": os.environ["PATH"], "PYTHON": str(fake)}
    ran = subprocess.run([script], env=environment, capture_output=True, text=True, timeout=20)
    assert ran.returncode == 1
    assert f"is Python {version}; ROS 2 wheels exist for 3.10 to 3.14" in ran.stderr


@pytest.mark.parametrize("name", ["a b", "a:b", "a;b", "a'b", "a$b"])
def test_setup_refuses_a_path_that_would_break_later(tmp_path: Path, name: str) -> None:
    script = bare_checkout(tmp_path / name)
    ran = subprocess.run([script], capture_output=True, text=True, timeout=20)
    assert ran.returncode == 1
    assert str(tmp_path / name) in ran.stderr
    assert "Move the checkout elsewhere" in ran.stderr


def test_make_demo_takes_a_source_with_blanks_and_quotes(tmp_path: Path) -> None:
    source, venv = tmp_path / "my mother's videos" / "a $HOME b", tmp_path / "venv"
    source.mkdir(parents=True)
    (venv / "bin").mkdir(parents=True)
    (venv / "setup.sh").touch()
    raxels = venv / "bin" / "raxels"
    raxels.write_text('#!/bin/sh\nprintf "[%s]" "$@"; test -d "$2"\n')
    raxels.chmod(0o755)
    # `make` itself reads a dollar sign as two.
    words = [f"SOURCE={source}".replace("$", "$$"), "ARGS=--speed 2", f"VENV={venv}"]
    done = subprocess.run(
        ["make", "--no-print-directory", "-o", "setup", "demo", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"[demo][{source}][--speed][2]"), done.stderr
