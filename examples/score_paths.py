#!/usr/bin/env python3
"""A planner that looks before it goes: three candidate paths, scored by what the camera would see along them.

A pose node (or anything that places the camera in TF) and a view server must run, images must come, and the camera must
have moved a little:

    ros2 run ros2_raxels pose_node --ros-args -r image:=/camera/image_raw -r camera_info:=/camera/camera_info &
    ros2 run ros2_raxels view_server --ros-args -r image:=/camera/image_raw -r camera_info:=/camera/camera_info &
    python3 examples/score_paths.py --camera-frame camera_optical_frame

The score of a path is the mean confidence of its views: the probability that each is close to what the camera would
see. A careful robot takes the path with the highest, an explorer the one with the lowest.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from ros2_raxels.client import ViewClient, ViewClientError, Views, make_goal
from ros2_raxels.geometry.frame_tree import FrameError
from ros2_raxels.geometry.poses import FloatArray, make_pose, rotation_from_vector
from ros2_raxels.nodes.common.tf_listener import make_reader

CANDIDATES = {"left": -1.0, "straight": 0.0, "right": 1.0}
POSES = 4
TF_TIMEOUT_S = 5.0


def arc(turn_rad: float, length: float) -> FloatArray:
    """(POSES, 4, 4) optical frames along a circle on the ground, from where the camera is; positive turns right."""
    poses = []
    for share in np.linspace(0.0, 1.0, POSES + 1)[1:]:
        angle = share * turn_rad
        forward = share * length * np.sinc(angle / np.pi)
        sideways = forward * np.tan(angle / 2.0)
        poses.append(make_pose(rotation_from_vector([0.0, angle, 0.0]), (sideways, 0.0, forward)))
    return np.array(poses)


def score(views: Views) -> float:
    """Mean confidence; 0 for a path of which there is no view."""
    return float(views.confidence.mean()) if len(views.confidence) else 0.0


def report(name: str, views: Views) -> str:
    """A line of the table."""
    if not views.ok:
        return f"{name:9} {score(views):6.2f}   {views.code_name}: {views.message}"
    turned = np.degrees(views.rotation_rad)
    checked = f"{np.nanmean(turned):.1f} deg" if np.isfinite(turned).any() else "not known"
    return f"{name:9} {score(views):6.2f}   {len(views.images)} views, poses found again within {checked}"


def main() -> int:
    """Exit status: 0 when a path was chosen."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--camera-frame", required=True, help="the camera's optical frame in TF")
    parser.add_argument("--world-frame", default="raxels_world", help="of the view server (default: raxels_world)")
    parser.add_argument("--length", type=float, default=0.3, help="of each path, in the world's unit (default: 0.3)")
    parser.add_argument("--turn-deg", type=float, default=30.0, help="of the paths to the sides (default: 30)")
    args = parser.parse_args()
    with ViewClient() as client:
        reader = make_reader(client.node)
        try:
            camera_to_world = reader.wait_for(args.world_frame, args.camera_frame, 0, TF_TIMEOUT_S)
            scores = {}
            for name, side in CANDIDATES.items():
                path = camera_to_world @ arc(side * np.radians(args.turn_deg), args.length)
                views = client.predict(make_goal(path, args.world_frame, seed=1))
                scores[name] = score(views)
                print(report(name, views), flush=True)
        except (FrameError, ViewClientError) as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            reader.destroy()
    print(f"surest of the way {max(scores, key=lambda name: scores[name])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
