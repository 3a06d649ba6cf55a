"""MkDocs hooks of the documentation site: the pages are written for GitHub, and the site shows them unchanged.

Contract:
    * Headings have the anchors that GitHub gives them, so that one link is correct in both places.
    * CONTRIBUTING.md, CHANGELOG.md and SECURITY.md of the root are pages of the site. Other files of the repository
      that a page links to are copied as text to `source/`.
    * Lists are indented as Python-Markdown expects; GitHub accepts less. Vertical bars in the code of a table are not
      escaped.
    * Mermaid diagrams become SVG when the site is built. A diagram that cannot be drawn ends the build.
    * The pages in `docs/` are never changed.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

__all__ = ["anchor", "nested", "relinked"]

ROOT = Path(__file__).resolve().parent.parent
ROOT_PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
SOURCE = "source"
_LINK = re.compile(r"(?<=\]\()([^()\s#]+)(?=[)#])")
_FENCE = re.compile(r"^( *)(```+)(.*)$")
_ITEM = re.compile(r"^( *)([-*+]|\d+[.)])( +)(\S.*)$")
_CODE = re.compile(r"`[^`\n]+`")
_DIAGRAM = re.compile(r"^( *)```mermaid\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)


def anchor(heading: str, _separator: str = "-") -> str:
    """The anchor of a heading, as GitHub forms it."""
    return re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-")


def nested(text: str) -> str:
    """A page whose list items are indented by four columns for each level, with an empty line before each list."""
    done: list[str] = []
    columns: list[int] = []  # where the text of each enclosing item starts
    fence = ""
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip(" "))
        if fence:
            done.append(_moved(line, columns) if line.strip() else "")
            fence = "" if line.strip() == fence else fence
            continue
        if not line.strip():
            done.append("")
            continue
        while columns and indent < columns[-1]:
            columns.pop()
        item, base = _ITEM.match(line), columns[-1] if columns else 0
        if item and indent - base < 4:
            if done and done[-1].strip() and not _ITEM.match(done[-1]) and not columns:
                after_item = any(_ITEM.match(one) for one in _paragraph(done))
                done += [] if after_item else [""]
            done.append("    " * len(columns) + f"{item[2]} {item[4]}")
            columns.append(indent + len(item[2]) + len(item[3]))
            continue
        opened = _FENCE.match(line)
        fence = opened[2] if opened else ""
        done.append(_moved(_unescaped(line), columns))
    return "\n".join(done) + "\n"


def _unescaped(line: str) -> str:
    """A row of a table without the escapes in its code."""
    return (
        _CODE.sub(lambda code: code[0].replace("\\|", "|"), line) if line.lstrip().startswith("|") else line
    )


def _moved(line: str, columns: list[int]) -> str:
    return "    " * len(columns) + (line[columns[-1] :] if columns else line)


def _paragraph(lines: list[str]) -> list[str]:
    """The last lines up to an empty one."""
    start = len(lines)
    while start and lines[start - 1].strip():
        start -= 1
    return lines[start:]


def relinked(text: str, folder: str, known: set[str]) -> str:
    """A page with links that are valid in the site.

    Args:
        text: of the page.
        folder: of the page in the repository, such as `docs/concepts`; empty for the root.
        known: paths of the files that the site has.
    """

    def link(match: re.Match[str]) -> str:
        target = match[1]
        if "://" in target or target.startswith("mailto:"):
            return target
        return posixpath.relpath(_in_site(posixpath.normpath(posixpath.join(folder, target)), known), here)

    here = folder.removeprefix("docs").strip("/") or "."
    return _LINK.sub(link, text)


def _in_site(path: str, known: set[str]) -> str:
    inside = path.removeprefix("docs/")
    if path.startswith("docs/") and inside in known:
        return inside
    return path if path in ROOT_PAGES else f"{SOURCE}/{path}.txt"


# ---- called by MkDocs


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Give headings the anchors of GitHub."""
    config.mdx_configs["toc"] = {**config.mdx_configs.get("toc", {}), "slugify": anchor}
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the root, and the files that pages link to."""
    from mkdocs.structure.files import File

    known = {file.src_uri for file in files}
    pages = [
        (path.src_uri, Path(str(path.abs_src_path)), "docs") for path in files if path.is_documentation_page()
    ]
    pages += [(name, ROOT / name, "") for name in ROOT_PAGES]
    linked: set[str] = set()
    for uri, path, top in pages:
        folder = posixpath.join(top, posixpath.dirname(uri)).rstrip("/")
        for target in _LINK.findall(path.read_text(encoding="utf-8")):
            if "://" not in target and not target.startswith("mailto:"):
                linked.add(_in_site(posixpath.normpath(posixpath.join(folder, target)), known))
    for name in ROOT_PAGES:
        text = relinked((ROOT / name).read_text(encoding="utf-8"), "", known)
        files.append(File.generated(config, name, content=text))
    for uri in sorted(linked):
        original = ROOT / uri.removeprefix(f"{SOURCE}/").removesuffix(".txt")
        if uri.startswith(f"{SOURCE}/") and original.is_file():
            files.append(File.generated(config, uri, abs_src_path=str(original)))
    return files


def on_page_markdown(markdown: str, *, page: Page, files: Files, **_: Any) -> str:
    """Prepare a page for Python-Markdown."""
    from site_diagrams import svg_of

    known = {file.src_uri for file in files}
    uri = page.file.src_uri
    if uri not in ROOT_PAGES:
        markdown = relinked(markdown, posixpath.join("docs", posixpath.dirname(uri)).rstrip("/"), known)
    return _DIAGRAM.sub(lambda found: f"{found[1]}{svg_of(found[2])}", nested(markdown))
