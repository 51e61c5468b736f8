"""docs/first_commands.md: its commands can be run on recordings of those layouts, and find in them what it quotes."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest
from first_commands_rig import COUNT, smooth, write_recordings
from ros_testing import ROOT

from ros2_raxels.cli import track
from ros2_raxels.cli.track_summary import camera_words
from ros2_raxels.recordings.open import open_source

PAGE = (ROOT / "docs" / "first_commands.md").read_text(encoding="utf-8")
SECTIONS = {part.splitlines()[0]: part for part in PAGE.split("\n## ")[1:]}
RUNNABLE = {title: part for title, part in SECTIONS.items() if "\n```sh\n" in part}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("rosbags")
    folder = tmp_path_factory.mktemp("first_commands")
    write_recordings(folder, smooth(COUNT))
    return folder


def command(section: str) -> argparse.Namespace:
    """Its one command."""
    (line,) = re.findall(r"```sh\n(raxels track .*?)\n```", section, re.DOTALL)
    parser = argparse.ArgumentParser()
    track.add_arguments(parser)
    return parser.parse_args(shlex.split(line)[2:])


def transcript(section: str) -> list[str]:
    """Lines of the first block after the command."""
    return re.findall(r"```\n(.*?)\n```", section.split("```sh\n")[1].split("```\n", 1)[1], re.DOTALL)[0].splitlines()


def test_there_are_five() -> None:
    assert [title.split()[-1] for title in RUNNABLE] == ["phone", "RGB-D", "EuRoC", "KITTI", "camera"]


@pytest.mark.parametrize("title", RUNNABLE)
def test_a_command_finds_what_its_transcript_says(
    title: str, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the tracking, which other tests are for."""
    monkeypatch.chdir(recordings)
    arguments, quoted = command(RUNNABLE[title]), transcript(RUNNABLE[title])
    calibration = track._calibration(arguments)
    source = open_source(arguments.source, ignore_calibration=calibration is not None)
    assert [f"note: {note}" for note in source.notes] == [line for line in quoted if line.startswith("note: ")]
    origin = track._check_calibration(source, calibration)
    first = next(iter(source))
    camera = calibration.fitted(*first.image.shape[1::-1])[0] if calibration is not None else first.camera
    if camera is not None:
        assert camera_words(camera, True, origin) in quoted
    assert f"{source.name} ({source.kind}): {source.length} frames" in " ".join(quoted)
    assert quoted[-1] == f"{source.length} rows -> {arguments.out}"
