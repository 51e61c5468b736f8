"""`raxels render`: what is there is kept, what is missing is made, another recipe is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from commands_rig import CapSys, error_line, files_of

from ros2_raxels.cli.main import main
from ros2_raxels.scenes.shards import read_shard


def test_render_goes_on_where_it_was_and_refuses_another_recipe(tmp_path: Path, capsys: CapSys) -> None:
    out = tmp_path / "new" / "clips"
    size = ["--frames", "2", "--width", "48", "--height", "36"]
    arguments = ["render", str(out), "--clips", "1", *size, "--seed", "5", "--workers", "1"]
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"1 clips of 2 frames in 1 shards -> {out}\n"
    assert files_of(out) == ["clips_00000.npz", "recipe.json"]
    assert json.loads((out / "recipe.json").read_text()) == {
        "seed": 5,
        "count": 1,
        "frames": 2,
        "width": 48,
        "height": 36,
        "augmented": True,
    }
    path = out / "clips_00000.npz"
    shard = read_shard(path)
    assert shard.images.shape == (1, 2, 36, 48, 3)
    np.testing.assert_allclose(shard.camera_to_first[0, 0], np.eye(4), atol=1e-9)
    # A shard that is there is left as it is, also by a second run that has nothing to do.
    path.write_bytes(b"left alone")
    assert main(arguments) == 0
    assert path.read_bytes() == b"left alone"
    # One that is missing is made again, and the same.
    path.unlink()
    assert main(arguments) == 0
    again = read_shard(path)
    for name, value in vars(shard).items():
        np.testing.assert_array_equal(getattr(again, name), value, err_msg=name)
    capsys.readouterr()
    for change in (["--seed", "6"], ["--frames", "3"], ["--width", "64"], ["--clean"]):
        assert main([*arguments, *change]) == 2
        line = error_line(capsys)
        assert line.startswith(f"raxels: {out / 'recipe.json'} says {{'seed': 5, 'count': 1, 'frames': 2,")
        assert line.endswith("give another folder or the same values\n")
    assert files_of(out) == ["clips_00000.npz", "recipe.json"]


def test_render_refuses_what_it_cannot_do(tmp_path: Path, capsys: CapSys) -> None:
    assert main(["render", "/dev/null/clips"]) == 2
    assert "/dev/null/clips cannot be made (Not a directory)" in error_line(capsys)
    for option in ("--clips", "--frames", "--width", "--height", "--workers"):
        assert main(["render", str(tmp_path / "out"), option, "0"]) == 2
        assert f"argument {option}: '0' must be a whole number of at least 1" in capsys.readouterr().err
    for text in ("0", "221", "wide"):
        assert main(["render", str(tmp_path / "out"), "--fisheye", text]) == 2
        assert f"argument --fisheye: '{text}' must be degrees of view, from 1 to 220" in capsys.readouterr().err
    assert main(["render", str(tmp_path / "out"), "--fisheye", "150"]) == 2
    assert "--fisheye is for a sequence" in error_line(capsys)
    assert main(["render", str(tmp_path / "out"), "--rig", "stereo"]) == 2
    assert "--rig is for a sequence" in error_line(capsys)
    assert main(["render", str(tmp_path / "out"), "--depth"]) == 2
    assert "--depth is for a sequence" in error_line(capsys)
    assert main(["render", str(tmp_path / "out"), "--sequence", "loop", "--depth", "--rig", "stereo"]) == 2
    assert "--depth is for one camera without distortion; leave --fisheye and --rig out" in error_line(capsys)
    assert not (tmp_path / "out").exists()


def test_a_recipe_that_is_none_is_named(tmp_path: Path, capsys: CapSys) -> None:
    (tmp_path / "recipe.json").write_text("{")
    assert main(["render", str(tmp_path), "--clips", "1"]) == 2
    assert str(tmp_path / "recipe.json") in error_line(capsys)
