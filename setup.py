"""Package definition for colcon (ament_python) and pip alike."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "ros2_raxels"
ROOT = Path(__file__).resolve().parent


def manifest(tag: str) -> str:
    """Text of a tag of package.xml, the one place where name, version and description are written."""
    text = ET.parse(ROOT / "package.xml").getroot().findtext(tag)
    if not text:
        raise SystemExit(f"package.xml has no <{tag}>")
    return " ".join(text.split())


def shared(folder: str, pattern: str) -> list[tuple[str, list[str]]]:
    """Files of a folder and its subfolders, each to its place under share/ros2_raxels."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / folder).rglob(pattern)):
        relative = path.relative_to(ROOT)
        if path.is_file() and "__pycache__" not in relative.parts:
            found.setdefault(f"share/{PACKAGE}/{relative.parent.as_posix()}", []).append(relative.as_posix())
    return sorted(found.items())


setup(
    name=PACKAGE,
    version=manifest("version"),
    description=manifest("description"),
    license="Apache-2.0",
    author="ros2_raxels maintainers",
    author_email="maintainers@ros2-raxels.org",
    maintainer="ros2_raxels maintainers",
    maintainer_email="maintainers@ros2-raxels.org",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={PACKAGE: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        *shared("launch", "*.py"),
        *shared("config", "*"),
        *shared("engines", "*"),
        *shared("examples", "*.py"),
    ],
    python_requires=">=3.10",
    # Requirements proper are rosdep's (package.xml) and requirements/*.txt: the same module has another name in apt
    # than on PyPI, and a name listed here but installed under the other makes the executables refuse to start.
    install_requires=["setuptools"],
    # colcon runs pytest only for packages whose test extra names it.
    extras_require={"test": ["pytest", "hypothesis"]},
    zip_safe=True,
    entry_points={
        "console_scripts": [
            "raxels = ros2_raxels.cli.main:main",
            "pose_node = ros2_raxels.nodes.pose.pose_node:main",
            "view_server = ros2_raxels.nodes.views.view_server:main",
            "server = ros2_raxels.nodes.server:main",
            "camera_player = ros2_raxels.nodes.camera_player:main",
        ],
    },
)
