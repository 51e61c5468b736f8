"""Camera poses and predicted views from one monocular camera, for ROS 2.

Subpackages import in one direction only: nodes, then tracker and predictor, then estimator, then engine, then geometry.
Nothing below ``nodes`` knows ROS.
"""

from importlib import metadata

try:
    __version__ = metadata.version("ros2_raxels")
except metadata.PackageNotFoundError:
    # A checkout on PYTHONPATH that was never installed: package.xml alone knows, and this is no place to parse it.
    __version__ = "0+uninstalled"
