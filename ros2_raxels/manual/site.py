"""Makes a site of ``docs/``: hooks of mkdocs, which ``mkdocs.yml`` names.

Pages are written to be read in the checkout as well, so their links lead to files of the checkout. Here pages that lie
outside ``docs/`` are taken in, and every other file that a page links to becomes a text beside the site. Thus no link
needs a network.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ros2_raxels.manual.changelog import as_markdown

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

TAKEN_IN = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "QUALITY_DECLARATION.md": "quality_declaration.md",
    "CHANGELOG.rst": "changelog.md",
    "engines/README.md": "models.md",
}
"""Pages outside ``docs/``, from the root of the checkout, and their names on the site."""

_LINK = re.compile(r"(\]\()([^)\s]+)(\))")
_CODE_IN_TABLE = re.compile(r"`[^`\n]*`")


def anchor(heading: str, separator: str = "-") -> str:
    """Of a heading, as GitHub makes it: links work there and here alike."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", separator)


def site_path(target: Path) -> str:
    """Where a file or folder of the checkout is on the site, from its root.

    Args:
        target: absolute.
    """
    inside = target.relative_to(ROOT).as_posix()
    if inside in TAKEN_IN:
        return TAKEN_IN[inside]
    if target.is_relative_to(DOCS) and target.is_file():
        return target.relative_to(DOCS).as_posix()
    # As a text, because a browser would offer to save a .py, and a folder is shown as the list of its files.
    return f"source/{inside}.txt"


def linked(text: str) -> list[str]:
    """Targets of all links of a page within the checkout, without anchors."""
    targets = (match[2].partition("#")[0] for match in _LINK.finditer(text))
    return [target for target in targets if target and not re.match(r"https?:", target)]


def for_site(text: str, page: Path) -> str:
    """A page with links that lead to the places on the site.

    Args:
        text: Markdown.
        page: where it lies in the checkout.
    """
    folder = Path(site_path(page)).parent.as_posix()

    def moved(match: re.Match[str]) -> str:
        name, hash_sign, fragment = match[2].partition("#")
        if not name or re.match(r"https?:", name):
            return match[0]
        target = (page.parent / name).resolve()
        # A link that leads nowhere stays, for mkdocs to name it.
        place = os.path.relpath(site_path(target), folder) if target.exists() else name
        return f"{match[1]}{place}{hash_sign}{fragment}{match[3]}"

    return _LINK.sub(moved, _without_escapes(text))


def _without_escapes(text: str) -> str:
    r"""GitHub wants `\|` for a bar in the code of a table; Python-Markdown wants `|` and shows the backslash."""
    lines = text.split("\n")
    return "\n".join(
        _CODE_IN_TABLE.sub(lambda code: code[0].replace("\\|", "|"), line) if line.startswith("|") else line
        for line in lines
    )


def source_of(path: Path) -> str:
    """A file as it is, or the names in a folder."""
    if path.is_dir():
        return "".join(f"{entry.name}\n" for entry in sorted(path.iterdir()) if not entry.name.startswith((".", "__")))
    return path.read_text(encoding="utf-8")


def page_text(path: Path) -> str:
    """Markdown of a page of the checkout."""
    text = path.read_text(encoding="utf-8")
    return as_markdown(text) if path.suffix == ".rst" else text


# ---------------------------------------------------------------------------------------------------- hooks of mkdocs


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Anchors as GitHub has them."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = anchor
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take in the pages outside ``docs/``, and what pages link to."""
    from mkdocs.structure.files import File

    pages = [DOCS / file.src_uri for file in files.documentation_pages()]
    for inside, name in TAKEN_IN.items():
        pages.append(ROOT / inside)
        files.append(File.generated(config, name, content=for_site(page_text(ROOT / inside), ROOT / inside)))
    for page in pages:
        for name in linked(page_text(page)):
            target = (page.parent / name).resolve()
            place = site_path(target) if target.exists() and target.is_relative_to(ROOT) else ""
            if place.startswith("source/") and files.get_file_from_path(place) is None:
                files.append(File.generated(config, place, content=source_of(target)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links of a page of ``docs/``, led to places on the site; those of pages taken in are so already."""
    return markdown if page.file.generated_by else for_site(markdown, DOCS / page.file.src_uri)
