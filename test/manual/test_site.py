"""The site of docs/: it builds without a warning, every link on it leads somewhere, and none of it needs a network."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from ros_testing import ROOT

from ros2_raxels.manual import site

pytest.importorskip("mkdocs")


class Page(HTMLParser):
    """What a page links to, loads, and can be linked at."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors.add(given.get("id", ""))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        self.loads += [given[name] for name in ("src",) if name in given]
        self.loads += [given["href"]] if tag == "link" else []


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, made as `make docs` makes it."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(folder)))
    return folder


@pytest.fixture(scope="module")
def pages(built: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in built.rglob("*.html")}


def test_every_page_of_docs_is_on_it_and_so_are_those_outside(built: Path, pages: dict[Path, Page]):
    names = {path.relative_to(built).as_posix() for path in pages}
    expected = {path.with_suffix(".html").name for path in (ROOT / "docs").glob("*.md")}
    expected |= {Path(name).with_suffix(".html").name for name in site.TAKEN_IN.values()}
    assert len(expected) > 20
    assert expected <= names


def test_every_link_leads_somewhere(built: Path, pages: dict[Path, Page]):
    broken = []
    for path, page in pages.items():
        for link in page.links:
            target, anchor = urldefrag(unquote(link))
            if re.match(r"(https?|mailto):", target) or path.name == "404.html":
                continue
            there = (path.parent / target).resolve() if target else path
            if not there.exists() or (anchor and there in pages and anchor not in pages[there].anchors):
                broken.append(f"{path.relative_to(built)}: {link}")
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, Page]):
    assert [load for page in pages.values() for load in page.loads if re.match(r"(https?:)?//", load)] == []


def test_files_and_folders_of_the_checkout_are_shown_as_texts(built: Path):
    shown = built / "source" / "config" / "raxels.yaml.txt"
    assert shown.read_text() == (ROOT / "config" / "raxels.yaml").read_text()
    assert "stereo.yaml" in (built / "source" / "config" / "recipes.txt").read_text().splitlines()


def test_anchors_are_those_of_github():
    assert site.anchor("What a robot gets") == "what-a-robot-gets"
    assert site.anchor("Interface of `raxels_pose`") == "interface-of-raxels_pose"
    assert site.anchor("TF, and more: 2 - 3") == "tf-and-more-2---3"


def test_links_are_led_to_places_on_the_site():
    text = "[a](../README.md#measured), [b](tuning.md), [c](../config/raxels.yaml), [d](https://ros.org), [e](#here)"
    assert site.for_site(text, ROOT / "docs" / "recipes.md") == (
        "[a](index.md#measured), [b](tuning.md), [c](source/config/raxels.yaml.txt), [d](https://ros.org), [e](#here)"
    )
    assert site.for_site("[a](docs/tuning.md)", ROOT / "README.md") == "[a](tuning.md)"


def test_a_link_that_leads_nowhere_stays_for_mkdocs_to_name():
    assert site.for_site("[a](no.md)", ROOT / "docs" / "recipes.md") == "[a](no.md)"


def test_bars_in_the_code_of_tables_lose_their_backslash():
    assert site.for_site("| `loop\\|eight` | x |\n`a\\|b`", ROOT / "README.md") == "| `loop|eight` | x |\n`a\\|b`"
