"""files: JSON is read with care: what is missing or wrong is named by file, field and value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ros2_raxels.utils.files import (
    FileError,
    has,
    load_json,
    make_folder,
    numbers,
    of_kind,
    shown,
    take,
    take_list,
    user_folder,
    write_json,
)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    record = {"a": [1, 2.5, None, "é"], "b": {"c": True}}
    write_json(tmp_path / "a.json", record, indent=1)
    assert load_json(tmp_path / "a.json") == record


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file or directory; check the path"),
        (b"{", "is not JSON (Expecting property name"),
        (b"\xff\xfe\x00", "is not JSON ('utf-8' codec"),
    ],
)
def test_a_file_that_is_no_json_is_named(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileError) as caught:
        load_json(path)
    assert str(caught.value).startswith(f"{path} {words}")


def test_a_value_is_taken_and_its_absence_named() -> None:
    assert take({"a": 0}, "a", "f.json") == 0
    assert has({"a": 0}, "a")
    for record in ({}, {"a": None}):
        assert not has(record, "a")
        with pytest.raises(FileError, match=r"^f\.json has no 'a'; add it$"):
            take(record, "a", "f.json")
    assert not has([], "a")
    with pytest.raises(FileError, match=r"^f\.json = \[\] must be an object with 'a'; correct it$"):
        take([], "a", "f.json")


def test_a_list_is_a_list() -> None:
    assert take_list({"a": []}, "a", "f.json") == []
    with pytest.raises(FileError, match=r"^f\.json: a = 'x' must be a list; correct it$"):
        take_list({"a": "x"}, "a", "f.json")


@pytest.mark.parametrize(("value", "kind"), [("x", str), (7, int), ([1], list)])
def test_a_value_of_the_kind_asked_for_is_given_back(value: Any, kind: Any) -> None:
    assert of_kind(value, kind, "f.json: a") is value


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        (7, str, "= 7 must be a text"),
        ("7", int, "= '7' must be a whole number"),
        (7.0, int, "= 7.0 must be a whole number"),
        (True, int, "= True must be a whole number"),
        ({}, list, "= {} must be a list"),
    ],
)
def test_a_value_of_another_kind_is_refused(value: Any, kind: Any, words: str) -> None:
    with pytest.raises(FileError) as caught:
        of_kind(value, kind, "f.json: a")
    assert str(caught.value) == f"f.json: a {words}; correct it"


def test_numbers_have_the_shape_asked_for() -> None:
    np.testing.assert_array_equal(numbers([[1, 2], [3, 4.5]], (2, 2), "a"), [[1.0, 2.0], [3.0, 4.5]])
    assert numbers([[1, 2]] * 5, (-1, 2), "a").shape == (5, 2)
    assert numbers(3, (), "a") == 3.0
    assert np.isnan(numbers([np.nan], (1,), "a", finite=False)).all()


@pytest.mark.parametrize(
    ("value", "shape", "words"),
    [
        ([1, 2], (3,), "a = [1, 2] must be 3 finite number(s); correct it"),
        ([[1], [2, 3]], (-1, 2), "a = [[1], [2, 3]] must be Nx2 finite number(s); correct it"),
        ([1, float("inf")], (2,), "a = [1, inf] must be 2 finite number(s); correct it"),
        ("x", (), "a = 'x' must be a finite number(s); correct it"),
        ({"b": 1}, (1,), "a = {'b': 1} must be 1 finite number(s); correct it"),
    ],
)
def test_other_numbers_are_refused(value: Any, shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(FileError) as caught:
        numbers(value, shape, "a")
    assert str(caught.value) == words


def test_long_values_are_cut_short_in_messages() -> None:
    assert shown("x" * 58) == repr("x" * 58)
    assert shown("x" * 59) == "'" + "x" * 59 + "..."
    assert len(shown(list(range(10**5)))) == 63


def test_a_folder_is_made_or_named(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text(json.dumps(1))
    with pytest.raises(FileError, match=r"file/b cannot be made \(Not a directory\); give another --out"):
        make_folder(tmp_path / "file" / "b")


def test_a_users_files_are_where_the_variable_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache")
    assert user_folder("XDG_CACHE_HOME", ".cache") == Path("/var/cache/ros2_raxels")
    # A relative path is to be ignored.
    for value in ("cache", ""):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert user_folder("XDG_CACHE_HOME", ".cache") == tmp_path / ".cache" / "ros2_raxels"
