"""Check the documentation site: `check_site.py FOLDER` reads every page that was built.

Contract:
    * Every link to a page, file or anchor of the site leads somewhere. Links to other sites are not followed.
    * Every page can be reached from the home page.
    * Pages and style sheets load nothing from other servers.
    * All findings are printed to standard error, one per line. Exit status 1 if there are any, 2 if there is no site.
"""

from __future__ import annotations

import posixpath
import re
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["Document", "findings", "main", "read"]

HOME = "index.html"
UNLINKED = {"404.html"}
"""Pages that a server shows, and no page links to."""
_CSS_URL = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s;]+)""")
_LOADED = {
    ("link", "href"),
    ("script", "src"),
    ("img", "src"),
    ("iframe", "src"),
    ("source", "src"),
    ("image", "href"),
}


@dataclass
class Document(HTMLParser):
    """What one page contains.

    Attributes:
        anchors: ids of its elements.
        links: targets of its links.
        loads: addresses of what a browser loads with it.
    """

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start the parser."""
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the anchors and addresses of an element."""
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value)
            elif (tag, name) in _LOADED:
                self.loads.append(value)
            elif name == "style":
                self.loads += _CSS_URL.findall(value)
            if name == "href" and tag == "a":
                self.links.append(value)


def read(folder: Path) -> dict[str, Document]:
    """Every page of a site by its path."""
    documents = {}
    for path in sorted(folder.rglob("*.html")):
        document = documents[path.relative_to(folder).as_posix()] = Document()
        document.feed(path.read_text(encoding="utf-8"))
    return documents


def target_of(page: str, link: str) -> tuple[str, str] | None:
    """The path and the anchor to which a link of a page leads; None if it leads to another site."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    path = unquote(parts.path)
    if not path:
        return page, unquote(parts.fragment)
    joined = posixpath.normpath(posixpath.join("/", posixpath.dirname(page), path)).lstrip("/")
    if path.endswith(("/", "/.", "/..")) or path in {".", ".."}:
        joined = posixpath.join(joined, HOME)
    return joined, unquote(parts.fragment)


def findings(folder: Path) -> list[str]:
    """What is wrong with the site in a folder."""
    documents = read(folder)
    found = []
    reached, waiting = {HOME}, [HOME]
    for page, document in documents.items():
        for link in [*document.links, *document.loads]:
            target = target_of(page, link)
            if target is None:
                continue
            path, anchor = target
            if not (folder / path).is_file():
                found.append(f"{page}: {link} leads to no file")
            elif anchor and path in documents and anchor not in documents[path].anchors:
                found.append(f"{page}: {link} leads to no anchor")
        found += [
            f"{page}: {address} is loaded from another server"
            for address in document.loads
            if _foreign(address)
        ]
    for path in sorted(folder.rglob("*.css")):
        text = path.read_text(encoding="utf-8")
        found += [
            f"{path.relative_to(folder).as_posix()}: {address} is loaded from another server"
            for address in _CSS_URL.findall(text)
        ]
    while waiting:
        page = waiting.pop()
        targets = {target[0] for link in documents[page].links if (target := target_of(page, link))}
        new = (targets & documents.keys()) - reached
        reached |= new
        waiting += new
    found += [f"{page}: no page links to it" for page in sorted(documents.keys() - reached - UNLINKED)]
    return found


def _foreign(address: str) -> bool:
    parts = urlsplit(address)
    return bool(parts.netloc) and parts.scheme in {"", "http", "https"}


def main(arguments: list[str]) -> int:
    """Check the site in the folder that is the only argument; return the exit status."""
    folder = Path(arguments[0])
    if not (folder / HOME).is_file():
        print(f"check_site.py: {folder} has no {HOME}: run 'make docs-site'", file=sys.stderr)
        return 2
    wrong = findings(folder)
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{len(read(folder))} pages, {len(wrong)} findings")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
