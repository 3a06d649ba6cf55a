"""The status page: ``/debug`` in a browser, and its data at ``/debug/status``.

Contract:
    * The document is the same for every client and contains no data. It reads ``/debug/status?format=json`` every few
      seconds while it is visible. The Content-Security-Policy allows only the scripts and styles of the document, by
      their hashes, and requests to the same server. The script inserts all values as text.
    * Sections are read in slices of :data:`SLICE` rows, between which the event loop continues. Only one answer is made
      at a time. The time between two of them is at least nine times what the former one took, so that the page takes at
      most a tenth of the event loop, whatever the numbers of objects and browsers are. Clients with the same filter get
      the same answer within :data:`FRESH_SECONDS` or that time.
    * A section that raises an error has the error in the place of the rest of its rows. The others are complete.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, final

import msgspec
import structlog
from aiohttp import web

from aimctl.runtime.callbacks import raise_if_ending
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.manager.serving.debug import render_table, standing_header, wants_json
from aimctl.runtime.manager.serving.sections import Table, words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aimctl.runtime.clock import Clock
    from aimctl.runtime.manager.serving.debug import DebugPages
    from aimctl.runtime.manager.serving.http import Routes
    from aimctl.runtime.manager.serving.sections import StatusSection

__all__ = ["FRESH_SECONDS", "MAX_FILTER", "SLICE", "StatusPage", "read_section"]

FRESH_SECONDS = 1.0
SLICE = 100
MAX_FILTER = 200
"""Characters of a filter."""

_PAUSE_FACTOR = 9.0
_KEPT_ANSWERS = 8


@final
class _Answer:
    """The sections at one time."""

    def __init__(self, standing: str, tables: list[Table]) -> None:
        self.standing = standing
        self.tables = tables
        self._body = b""

    async def as_json(self) -> bytes:
        """For the script of the document. It is encoded once, in a thread."""
        if not self._body:
            self._body = await asyncio.to_thread(self._encode)
        return self._body

    def _encode(self) -> bytes:
        sections = [table.as_json() for table in self.tables]
        return msgspec.json.encode({"standing": self.standing, "sections": sections})


async def read_section(table: Table, section: StatusSection, clock: Clock) -> float:
    """Add the rows of a section to its table; returns the seconds that this took, without the time of other tasks."""
    spent, began = 0.0, clock.monotonic()
    try:
        found = section()
        for number, row in enumerate([found] if isinstance(found, Mapping) else found, 1):
            table.add(row)
            if number % SLICE == 0:
                spent += clock.monotonic() - began
                await asyncio.sleep(0)
                began = clock.monotonic()
    except BaseException as error:  # noqa: BLE001 - a section may be code of others; the page must show the rest
        raise_if_ending(error)
        table.error = f"{type(error).__name__}: {error}"
        structlog.get_logger(__name__).warning(
            "a section of the status page failed", section=table.title, error=table.error
        )
    return spent + clock.monotonic() - began


@final
class StatusPage:
    """The status page of a manager.

    Args:
        pages: its debug pages, whose standing it shows.
        clock: time; None for that of the event loop.
    """

    def __init__(self, pages: DebugPages, clock: Clock | None = None) -> None:
        self._pages = pages
        self._clock: Clock = clock or LoopClock()
        self._sections: dict[str, StatusSection] = {}
        self._last: set[str] = set()
        self._included: dict[str, StatusPage] = {}
        self._lock = asyncio.Lock()
        self._answers: dict[str, tuple[float, _Answer]] = {}
        """By filter: until when it is used, and the answer."""
        self._next_at: float = 0.0

    def add(self, title: str, section: StatusSection, *, last: bool = False) -> None:
        """Show a section after those that exist; ``last``: also after those that are added later without it.

        Raises:
            ValueError: the title is empty or taken.
        """
        if not title.strip():
            raise ValueError("a section of the status page needs a title")
        if title in self._sections:
            raise ValueError(f"section {title!r} of the status page exists already: choose another title")
        self._sections[title] = section
        if last:
            self._last.add(title)

    def include(self, prefix: str, page: StatusPage) -> None:
        """Also show the sections of another page, with ``<prefix>: `` before their titles."""
        self._included[prefix] = page

    def routes(self) -> Routes:
        """The routes of the document and the data. Other clients than browsers get the list of pages for ``/debug``."""
        return {"/debug": self._document, "/debug/": self._document, "/debug/status": self._data}

    def sign_in(self, request: web.Request) -> web.Response | None:
        """The response to a browser that has no token: the document, which asks for one. None for other requests."""
        if request.path not in {"/debug", "/debug/"} or not _wants_document(request):
            return None
        return _document_response(401)

    async def answer(self, filter_: str = "", *, gone: Callable[[], bool] = lambda: False) -> _Answer:
        """The sections with the rows that match a filter.

        Args:
            filter_: words, separated by spaces; "" for all rows.
            gone: whether the client has closed its connection. It then gets an answer without sections, so that those
                of a user who types a filter do not queue.
        """
        if known := self._fresh(filter_):
            return known
        async with self._lock:
            if known := self._fresh(filter_):
                return known
            if gone():
                return _Answer("", [])
            await self._clock.sleep(max(0.0, self._next_at - self._clock.monotonic()))
            made, spent = await self._read(words_of(filter_))
            now = self._clock.monotonic()
            self._next_at = now + _PAUSE_FACTOR * spent
            self._answers.pop(filter_, None)
            while len(self._answers) >= _KEPT_ANSWERS:
                del self._answers[next(iter(self._answers))]
            self._answers[filter_] = max(self._next_at, now + FRESH_SECONDS), made
            return made

    def _fresh(self, filter_: str) -> _Answer | None:
        until, known = self._answers.get(filter_, (0.0, None))
        return known if self._clock.monotonic() < until else None

    async def _read(self, words: tuple[str, ...]) -> tuple[_Answer, float]:
        spent, tables = 0.0, []
        for title, section in list(self._all()):
            table = Table(title, words)
            spent += await read_section(table, section, self._clock)
            tables.append(table)
        return _Answer(self._pages.all_standings(), tables), spent

    def _all(self) -> Iterator[tuple[str, StatusSection]]:
        yield from sorted(self._sections.items(), key=lambda item: item[0] in self._last)
        for prefix, page in self._included.items():
            for title, section in page._all():  # noqa: SLF001 - of this class
                yield f"{prefix}: {title}", section

    async def _document(self, request: web.Request) -> web.Response:
        if _wants_document(request):
            return _document_response(200)
        return await self._pages.index(request)

    async def _data(self, request: web.Request) -> web.Response:
        filter_ = request.query.get("filter", "")
        if len(filter_) > MAX_FILTER:
            return web.Response(status=400, text=f"filter: at most {MAX_FILTER} characters\n")

        def gone() -> bool:
            return request.transport is None or request.transport.is_closing()

        found = await self.answer(filter_, gone=gone)
        headers = {"Cache-Control": "no-store", **standing_header(found.standing)}
        if not wants_json(request):
            return web.Response(text="\n".join(_text(found)), headers=headers)
        return web.Response(body=await found.as_json(), content_type="application/json", headers=headers)


def _text(found: _Answer) -> Iterator[str]:
    if found.standing:
        yield f"{found.standing}\n"
    for table in found.tables:
        rows: list[Mapping[str, Any]] = table.rows
        yield f"# {table.title}"
        yield render_table(rows)
        if table.matching > len(rows):
            yield f"{table.matching - len(rows)} more rows are left out\n"
        if table.error:
            yield f"incomplete: {table.error}\n"


def _wants_document(request: web.Request) -> bool:
    return "text/html" in request.headers.get("Accept", "") and "format" not in request.query


@cache
def _document() -> tuple[str, str]:
    """The document, and its Content-Security-Policy."""
    # Only a browser needs it, and it takes milliseconds.
    from importlib import resources

    text = resources.files(__package__).joinpath("status.html").read_text(encoding="utf-8")
    hashes = {
        tag: base64.b64encode(hashlib.sha256(_content(text, tag).encode()).digest()).decode()
        for tag in ("script", "style")
    }
    policy = (
        "default-src 'none'",
        f"script-src 'sha256-{hashes['script']}'",
        f"style-src 'sha256-{hashes['style']}'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
    return text, "; ".join(policy)


def _content(document: str, tag: str) -> str:
    """The content of the only element with this tag."""
    return document.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]


def _document_response(status: int) -> web.Response:
    text, policy = _document()
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return web.Response(status=status, text=text, content_type="text/html", charset="utf-8", headers=headers)
