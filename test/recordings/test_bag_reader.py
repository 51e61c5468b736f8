"""bag_reader: topics, counts and stamps of the messages of a bag."""

from __future__ import annotations

from pathlib import Path

import pytest
from bags_rig import FIRST_NS, image_message, info_message, write_bag
from recordings_rig import picture

from ros2_raxels.recordings.bag_files import BagFile
from ros2_raxels.recordings.bag_reader import IMAGE_TYPES, INFO_TYPE, BrokenBagError, broken, reading
from ros2_raxels.recordings.source import SourceError


def test_messages_of_several_topics_come_in_the_order_of_recording(tmp_path: Path) -> None:
    images = [image_message(stamp_ns, picture(k)) for k, stamp_ns in enumerate((FIRST_NS, 0))]
    path = write_bag(tmp_path / "bag", {"/a": images, "/b": images[:1], "/b/camera_info": [info_message([0] * 4)]})
    with reading(path, BagFile(path)) as bag:
        assert bag.counts(*IMAGE_TYPES) == {"/a": 2, "/b": 1}
        assert bag.counts() == {"/a": 2, "/b": 1, "/b/camera_info": 1}
        assert sorted(topic for topic, _, _ in bag.read("/a", "/b"))[:2] == ["/a", "/a"]
        assert [stamp for stamp, _ in bag.messages("/a")] == [FIRST_NS, FIRST_NS + 57_000_000]
        assert list(bag.read()) == []
        assert bag.only(INFO_TYPE, "of lenses", "one", "--x") == "/b/camera_info"
        with pytest.raises(
            SourceError, match=r"has 2 topics of images .*/a, /b.* and must have one; give one, or leave --x"
        ):
            bag.only(IMAGE_TYPES[0], "of images", "one", "--x")


def test_whatever_the_reader_trips_over_is_said_in_a_line_with_a_remedy() -> None:
    error = broken(Path("a.mcap"), ValueError("two\n lines"))
    assert isinstance(error, BrokenBagError)
    assert (
        str(error) == "a.mcap is broken or truncated (two lines); repair it with `ros2 bag reindex` or `mcap recover`"
    )
