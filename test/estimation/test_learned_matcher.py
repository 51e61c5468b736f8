"""learned_matcher: who gets it, who is told, and who goes without."""

from __future__ import annotations

from pathlib import Path

import pytest
from learned_rig import FakeGraphs

from ros2_raxels.engine import EngineError
from ros2_raxels.engine.learned_graphs import NotImportedError, card_path
from ros2_raxels.estimation import learned_matcher
from ros2_raxels.estimation.learned_matcher import MATCHERS, load_matcher
from ros2_raxels.matching.learned import LearnedMatcher


def test_what_was_not_imported_is_missed_by_those_alone_who_must_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    said: list[str] = []
    assert load_matcher("auto", said.append) is None
    assert load_matcher("classic", said.append) is None
    with pytest.raises(NotImportedError, match="run `raxels engine import learned-matcher`"):
        load_matcher("learned", said.append)
    assert said == []


def test_what_was_imported_is_used_unless_it_is_declined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned_matcher, "open_learned", FakeGraphs)
    found = {matcher: load_matcher(matcher, pytest.fail, threads=1) for matcher in MATCHERS}
    assert found.pop("classic") is None
    assert all(isinstance(matcher, LearnedMatcher) for matcher in found.values())


def test_what_is_damaged_is_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    card_path().parent.mkdir(parents=True)
    card_path().write_text("nothing")
    said: list[str] = []
    assert load_matcher("auto", said.append) is None
    (line,) = said
    assert line.startswith("matcher: classic, because the learned matcher cannot be used: ")
    with pytest.raises(EngineError, match="cannot be used"):
        load_matcher("learned", pytest.fail)
