"""Parameters of raxels_views."""

from __future__ import annotations

import math

from ros2_raxels.nodes.common.parameters import ENGINE_ROWS, IMAGE_ROWS, Parameter, Table
from ros2_raxels.view_synthesis.context import SpreadSettings
from ros2_raxels.view_synthesis.predictor import PredictorSettings

_PREDICTOR = PredictorSettings()


_SPREAD = SpreadSettings()


VIEWS_NODE = "raxels_views"

BASE_FRAME = "base_link"
"""Name that a robot's base usually has."""


VIEWS_TABLE: Table = (
    *IMAGE_ROWS,
    Parameter(
        "cameras",
        [""],
        "Names of the cameras of a rig, as for the pose node: each is heard on <name>/image and <name>/camera_info. "
        "The images of all are context, and a goal may ask for the views of any, by default of the first. TF must tell "
        "where each stands. One empty name means one camera, on `image` and `camera_info`.",
        at_configure=True,
    ),
    Parameter(
        "model",
        "",
        "Model card (.json) of the model that predicts views. Empty uses the installed one.",
        at_configure=True,
    ),
    *ENGINE_ROWS,
    Parameter(
        "world_frame",
        "raxels_world",
        "TF frame in which the poses of images are looked up: the pose node's tf.world_frame, or map or odom if "
        "something else localises the camera. map, odom and earth are assumed to be metric and other frames not, "
        "unless the pose node's status says otherwise.",
        at_configure=True,
    ),
    Parameter(
        "base_frame",
        BASE_FRAME,
        "The robot's base frame, for goals whose poses are those of the base. Where TF does not have it, such poses "
        "are those of the camera's optical frame, as they are in the pose node's ~/pose. Empty for a camera without a "
        "robot.",
        at_configure=True,
    ),
    Parameter(
        "goal_policy",
        "preempt",
        "What happens to a goal that arrives while another one runs: it takes over (preempt), or it is rejected "
        "(reject).",
        choices=("preempt", "reject"),
    ),
    Parameter(
        "steps", _PREDICTOR.steps, "Denoising steps, for goals that do not say how many.", unit="steps", low=1, high=64
    ),
    Parameter(
        "imagine_steps",
        _PREDICTOR.imagine_steps,
        "The same for goals without a trajectory.",
        unit="steps",
        low=1,
        high=64,
    ),
    Parameter("max_steps", 64, "A goal that asks for more steps is rejected.", unit="steps", low=1, high=1000),
    Parameter("max_poses", 1000, "A goal with a longer trajectory is rejected.", unit="poses", low=1, high=10000),
    Parameter("max_views", 32, "A goal that asks for more views is rejected.", unit="views", low=1, high=1000),
    Parameter(
        "max_imagined",
        8,
        "The same for goals without a trajectory. Their views are made together, and memory grows with the square of "
        "the number (8 take .5 GB, 32 take 2.5 GB).",
        unit="views",
        low=1,
        high=32,
    ),
    Parameter(
        "max_side_px",
        1024,
        "A goal that asks for larger views is rejected. Views have the detail of the images that are kept, "
        "which are at most 640 px wide.",
        unit="px",
        low=16,
        high=8192,
    ),
    Parameter(
        "max_distance",
        100.0,
        "Poses further than this from the newest context frame are refused, because nothing is known of what they "
        "would show.",
        unit="of world_frame",
        low=0.001,
        high=1e6,
    ),
    Parameter(
        "max_duration_s",
        30.0,
        "A goal that takes longer ends with the views that are done by then.",
        unit="s",
        low=0.01,
        high=3600.0,
    ),
    Parameter(
        "tf_timeout_s",
        0.5,
        "How long a goal waits for a transform that is not available yet.",
        unit="s",
        low=0.0,
        high=60.0,
    ),
    Parameter(
        "context.frames",
        _SPREAD.frames,
        "How many images, taken from different places, are kept. Views are made from the four of them that show the "
        "most of what is asked for.",
        unit="frames",
        low=1,
        high=32,
        at_configure=True,
    ),
    Parameter(
        "context.least_motion",
        _SPREAD.least_motion,
        "An image is kept if the camera has moved this far from every image that is kept.",
        unit="of world_frame",
        low=0.0,
        high=1e6,
        at_configure=True,
    ),
    Parameter(
        "context.least_turn_deg",
        round(math.degrees(_SPREAD.least_turn_rad), 6),
        "Or if it has turned this far.",
        unit="deg",
        low=0.0,
        high=180.0,
        at_configure=True,
    ),
    Parameter(
        "context.keep_s",
        _SPREAD.keep_s,
        "Images older than this are no longer kept.",
        unit="s",
        low=0.1,
        high=3600.0,
        at_configure=True,
    ),
    Parameter(
        "context.max_age_s",
        2.0,
        "No views are made if the newest image is older than this.",
        unit="s",
        low=0.01,
        high=3600.0,
    ),
    Parameter(
        "depth_in_units",
        False,
        "Publish ~/depth and ~/depth_sigma also while the scale is unknown, in the unit of world_frame. If false, they "
        "are published in m alone.",
    ),
    Parameter("image_format", "jpeg", "Format of the views: jpeg (quality 95) or png.", choices=("jpeg", "png")),
    Parameter(
        "self_consistency",
        True,
        "Estimate the pose of each finished view from its pixels, to compare it with the requested one; this takes "
        "about as long as making the view.",
    ),
)
