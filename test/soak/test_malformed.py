"""Every malformed image is refused by the code that reads images."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("raxels_interfaces.msg")


from std_msgs.msg import Header

from ros2_raxels.nodes.common.messages import image_array
from ros2_raxels.recordings.image_codec import ImageError
from ros2_raxels.soak.malformed import malformed_image


def test_every_malformed_image_is_refused():
    generator = np.random.default_rng(0)
    for _ in range(500):
        with pytest.raises(ImageError):
            image_array(malformed_image(generator, Header(frame_id="eye")))
