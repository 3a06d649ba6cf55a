"""Debug pages at ``/debug/<name>``: the state of a running process as a text table or as JSON.

A page is a function that returns rows (a list of flat mappings) or one mapping. It runs on the event loop without
awaiting, so its content is consistent. It must be fast and must not show secrets.

The pages of a process that is not the leader say so: in the first line of a text, and in the header
``X-Leader-Election`` of every response.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, final

import msgspec
from aiohttp import web

from aimctl.runtime.manager.serving.http import check_new_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimctl.runtime.manager.serving.http import Routes

__all__ = ["DebugPages", "Page", "render_table", "standing_header", "wants_json"]

_RESERVED = "status"
"""``/debug/status`` has the data of the status page."""

Page: TypeAlias = "Callable[[], Sequence[Mapping[str, Any]] | Mapping[str, Any]]"
"""Returns the content of a debug page: rows with the same keys, or one mapping. It must not block."""


def render_table(content: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> str:
    """A text table with aligned columns and upper-case headings; a mapping becomes one line per key."""
    if isinstance(content, Mapping):
        rows: list[tuple[str, ...]] = [(str(key), _cell(value)) for key, value in content.items()]
    else:
        heads = list(dict.fromkeys(key for row in content for key in row))
        if not heads:
            return "none\n"
        rows = [tuple(head.upper() for head in heads)]
        rows += [tuple(_cell(row.get(head)) for head in heads) for row in content]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"
        for row in rows
    )


@final
class DebugPages:
    """The debug pages of a manager.

    Attributes:
        standing: what the pages say about leader election: one line of printable ASCII, "" for nothing.
    """

    def __init__(self) -> None:
        self.standing: Callable[[], str] = str
        self._pages: dict[str, Page] = {}
        self._included: dict[str, DebugPages] = {}

    def add(self, name: str, page: Page) -> None:
        """Serve ``page`` at ``/debug/<name>``.

        Raises:
            ValueError: the name is taken, empty, or contains a slash.
        """
        name = _short(name)
        check_new_name("debug page", name, {*self._pages, _RESERVED})
        self._pages[name] = page

    def remove(self, name: str) -> None:
        """Stop serving the page at ``/debug/<name>``.

        Raises:
            ValueError: there is no such page.
        """
        if self._pages.pop(_short(name), None) is None:
            raise ValueError(f"debug page {name!r} does not exist; pages: {', '.join(sorted(self._pages))}")

    def include(self, prefix: str, pages: DebugPages) -> None:
        """Also serve other pages, at ``/debug/<prefix>.<name>``, including those that are added later."""
        self._included[prefix] = pages

    def routes(self) -> Routes:
        """The routes of the pages, for :class:`HttpServer`."""
        return {"/debug": self.index, "/debug/": self.index, "/debug/{name}": self._page}

    def all_standings(self) -> str:
        """What the pages say about leader election, with those that are included."""
        of_clusters = [
            f"{prefix}: {line}" for prefix, pages in self._included.items() if (line := pages.standing())
        ]
        return "; ".join(filter(None, (self.standing(), *of_clusters)))

    async def index(self, request: web.Request) -> web.Response:
        """The list of the pages, for ``/debug``."""
        names = sorted([*self._all(), _RESERVED])
        return _respond(request, [{"page": f"/debug/{name}"} for name in names], self.all_standings())

    def _all(self) -> dict[str, tuple[Page, DebugPages]]:
        """Each page with the collection that it belongs to."""
        included = {
            f"{prefix}.{name}": (page, pages)
            for prefix, pages in self._included.items()
            for name, page in pages._pages.items()  # noqa: SLF001 - of this class
        }
        return {**{name: (page, self) for name, page in self._pages.items()}, **included}

    async def _page(self, request: web.Request) -> web.Response:
        found = self._all().get(request.match_info["name"])
        if found is None:
            return web.Response(status=404, text="no such page; /debug lists them\n")
        page, pages = found
        return _respond(request, page(), pages.standing())


def wants_json(request: web.Request) -> bool:
    """Whether a client wants JSON rather than text."""
    return request.query.get("format") == "json" or "application/json" in request.headers.get("Accept", "")


def standing_header(standing: str) -> dict[str, str]:
    """The headers of every response: the one about leader election, and that browsers must not guess its type."""
    found = {"X-Content-Type-Options": "nosniff"}
    return {**found, "X-Leader-Election": standing} if standing else found


def _short(name: str) -> str:
    return name.removeprefix("/debug/").strip("/")


def _respond(
    request: web.Request, content: Sequence[Mapping[str, Any]] | Mapping[str, Any], standing: str
) -> web.Response:
    headers = standing_header(standing)
    if wants_json(request):
        body = msgspec.json.encode(content, enc_hook=str)
        return web.Response(body=body, content_type="application/json", headers=headers)
    head = f"{standing}\n\n" if standing else ""
    return web.Response(text=head + render_table(content), headers=headers)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return str(value)
