"""When keypoints of a clip, or of a stream, are learned ones, and the matcher that finds them."""

from __future__ import annotations

from ros2_raxels.engine import EngineError, Say
from ros2_raxels.engine.learned_graphs import NotImportedError, open_learned
from ros2_raxels.matching.learned import LearnedMatcher

AUTO, CLASSIC, LEARNED = MATCHERS = "auto", "classic", "learned"
"""Where evidence is weak, if they were imported; never; always, or with an error where that cannot be."""


def load_matcher(matcher: str, warn: Say, threads: int = 2) -> LearnedMatcher | None:
    """The matcher for weak evidence; None where there is to be none, or for `AUTO` can be none.

    Args:
        matcher: one of `MATCHERS`.
        warn: told in a line where it was imported and cannot be used.
        threads: see `matching.matcher.Matcher`.

    Raises:
        EngineError: it must be used, but was not imported, is damaged or cannot be run.
    """
    if matcher == CLASSIC:
        return None
    try:
        return LearnedMatcher(open_learned(), threads=threads)
    except EngineError as error:
        if matcher == LEARNED:
            raise
        if not isinstance(error, NotImportedError):
            warn(f"matcher: {CLASSIC}, because {error}")
        return None
