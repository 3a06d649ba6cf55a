"""Get and list, with the semantics of resourceVersion, limit and continue.

Contract:
    * A list without parameters includes everything written before the request.
    * All pages of a list show the state of the first page. Once the history does not cover that state, the next page is
      410 with a token for an inconsistent continuation, as on the real server.
    * A resourceVersion that is newer than the current one is 504 with ``ResourceVersionTooLarge``; one that is older
      than the history is 410.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, final

import msgspec

from aimctl.devcluster.apiserver.objects.selectors import (
    EVERYTHING,
    SelectorError,
    Selectors,
    parse_fields,
    parse_labels,
)
from aimctl.devcluster.apiserver.schema.errors import OMITTED, FieldError
from aimctl.devcluster.apiserver.wire import statuses
from aimctl.devcluster.apiserver.wire.rendering import Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aimctl.devcluster.apiserver.objects.kinds import ServedKind
    from aimctl.devcluster.apiserver.wire.requests import Query
    from aimctl.devcluster.storage.history import Collection
    from aimctl.devcluster.storage.records import Record
    from aimctl.devcluster.storage.store import Storage

__all__ = ["ListOptions", "list_page", "parse_list_options", "parse_version", "read_one", "selectors_of"]

_MATCH = "resourceVersionMatch"
_LATEST = -1
"""The resourceVersion of a token that continues with the current state."""
_LIST_EXPIRED = "The resourceVersion for the provided list is too old."
_CONTINUE_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list"
    " without the continue parameter, or use the continue token in this response to retrieve the remainder of"
    " the results. Continuing with the provided token results in an inconsistent list - objects that were"
    " created, modified, or deleted between the time the first chunk was returned and now may show up in the"
    " list."
)


@final
@dataclass(frozen=True, slots=True)
class ListOptions:
    """``metav1.ListOptions``. ``send_initial_events`` is None if it was not given."""

    selectors: Selectors = EVERYTHING
    version: int | None = None
    match: str = ""
    limit: int = 0
    continue_token: str = ""
    timeout_seconds: int | None = None
    bookmarks: bool = False
    send_initial_events: bool | None = None


def selectors_of(kind: ServedKind, query: Query) -> Selectors:
    """The selectors of a request. Raises StatusError 400."""
    label_text, field_text = query.text("labelSelector"), query.text("fieldSelector")
    try:
        return Selectors(parse_labels(label_text), parse_fields(field_text, kind.rules.field_paths))
    except SelectorError as error:
        unsupported = str(error).removeprefix("field label not supported: ")
        if unsupported != str(error) and not kind.custom and not kind.rules.field_paths:
            known = 'only "metadata.name", "metadata.namespace"'
            raise statuses.bad_request(f'"{unsupported}" is not a known field selector: {known}') from error
        raise statuses.bad_request(str(error)) from error


def parse_version(text: str, *, listed: bool = False) -> int | None:
    """A resourceVersion, or None if empty.

    Raises:
        StatusError: it is not a number: 400 for a list, otherwise 500, as from the real server.
    """
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        if listed:
            raise statuses.bad_request(f"invalid resource version: {statuses.unreadable_version(text)}")
        raise statuses.unreadable_version(text)
    return int(text)


def parse_list_options(kind: ServedKind, query: Query, *, watch: bool) -> ListOptions:
    """Parse the query of a list or watch.

    Raises:
        StatusError: 400 for an invalid value, 422 for an invalid combination.
    """
    match = query.text("resourceVersionMatch")
    initial = query.flag("sendInitialEvents") if query.text("sendInitialEvents") else None
    errors = list(_contradictions(query, match, watch=watch, initial=initial))
    if errors:
        raise statuses.invalid("meta.k8s.io", "ListOptions", "", errors)
    return ListOptions(
        selectors=selectors_of(kind, query),
        version=parse_version(query.text("resourceVersion"), listed=not watch),
        match=match,
        limit=max(0, query.number("limit") or 0),
        continue_token=query.text("continue"),
        timeout_seconds=query.number("timeoutSeconds"),
        bookmarks=query.flag("allowWatchBookmarks"),
        send_initial_events=initial,
    )


def _contradictions(query: Query, match: str, *, watch: bool, initial: bool | None) -> Iterable[FieldError]:
    if initial is not None and not watch:
        yield _forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")
    elif watch:
        yield from _watch_contradictions(query, match, initial=initial is not None)
    elif match:
        yield from _list_contradictions(query, match)


def _watch_contradictions(query: Query, match: str, *, initial: bool) -> Iterable[FieldError]:
    if initial and match != "NotOlderThan":
        yield _forbidden(_MATCH, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
    elif match and not initial:
        text = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        yield _forbidden(_MATCH, text)
    elif query.text("continue") and not initial:
        yield _forbidden(_MATCH, "resourceVersionMatch is forbidden when continue is provided")
    if match not in ("", "NotOlderThan"):
        yield FieldError("FieldValueNotSupported", _MATCH, match, 'supported values: "NotOlderThan"')


def _list_contradictions(query: Query, match: str) -> Iterable[FieldError]:
    version = query.text("resourceVersion")
    if not version:
        yield _forbidden(_MATCH, "resourceVersionMatch is forbidden unless resourceVersion is provided")
    if query.text("continue"):
        yield _forbidden(_MATCH, "resourceVersionMatch is forbidden when continue is provided")
    if match not in ("Exact", "NotOlderThan"):
        text = 'supported values: "Exact", "NotOlderThan", ""'
        yield FieldError("FieldValueNotSupported", _MATCH, match, text)
    if match == "Exact" and version == "0":
        yield _forbidden(_MATCH, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"')


def _forbidden(field: str, text: str) -> FieldError:
    return FieldError("FieldValueForbidden", field, OMITTED, text)


def read_one(
    storage: Storage,
    kind: ServedKind,
    collection: Collection,
    key: str,
    *,
    name: str,
    version: int | None,
    as_of: int | None = None,
) -> Record:
    """Read one object.

    Args:
        storage: the storage.
        kind: the kind at the requested version.
        collection: the kind's objects.
        key: the object's key.
        name: the object's name, for the error.
        version: the object must not be older than this resourceVersion.
        as_of: read the state at this resourceVersion, which an interceptor requested; None for the current one.

    Raises:
        StatusError: 404, 504.
    """
    if version is not None and version > storage.version:
        raise statuses.too_large_version(version, storage.version)
    if as_of is None:
        record = collection.records.get(key)
    else:
        record = next((each for each in collection.snapshot(as_of, key) if each.key == key), None)
    if record is None:
        raise statuses.not_found(kind.resource, name)
    return record


def list_page(
    storage: Storage,
    collection: Collection,
    prefix: str,
    options: ListOptions,
    *,
    as_of: int | None = None,
    convert: Callable[[Iterable[Record]], Iterable[Record]] | None = None,
) -> Page:
    """Read one page of a list.

    Args:
        storage: the storage.
        collection: the kind's objects.
        prefix: of the keys to list; "" for all.
        options: of the request.
        as_of: that of :func:`read_one`.
        convert: returns records in the version of the request, to which selectors apply; None if they are.

    Raises:
        StatusError: 400 for an invalid token, 410, 504.
    """
    start = ""
    version = storage.version
    exact = False
    if options.version == 0 and not options.continue_token:
        # The real server answers such lists from its cache, which has no pages.
        options = replace(options, limit=0)
    if options.continue_token:
        if options.version not in (None, 0):
            raise statuses.bad_request("specifying resource version is not allowed when using continue")
        version, start = _decode_token(options.continue_token, prefix)
        if version == _LATEST:
            version = storage.version
        elif version < collection.compacted:
            raise statuses.expired(_CONTINUE_EXPIRED, **{"continue": _encode_token(_LATEST, prefix, start)})
        exact = True
    elif options.version:
        if options.version > storage.version:
            raise statuses.too_large_version(options.version, storage.version)
        # Without a match, a limit makes the version exact, as in servers before 1.19.
        exact = options.match == "Exact" or (not options.match and options.limit > 0)
        if exact:
            version = options.version
    if as_of is not None:
        version, exact = as_of, True
    if exact and version < collection.compacted:
        raise statuses.expired(_LIST_EXPIRED)
    records, total = _state_at(collection, version if exact else storage.version, prefix, start)
    found = (records if convert is None else convert(records), total)
    return _page_of(found, options, version, prefix)


def _state_at(collection: Collection, version: int, prefix: str, start: str) -> tuple[Iterable[Record], int]:
    """The records at a version, and their number."""
    if collection.position_after(version) == collection.position:
        return collection.scan(prefix, start), collection.count(prefix, start)
    records = collection.snapshot(version, prefix, start)
    return records, len(records)


def _page_of(found: tuple[Iterable[Record], int], options: ListOptions, version: int, prefix: str) -> Page:
    records, total = found
    selectors = options.selectors
    chosen = records if selectors.everything else (each for each in records if selectors.matches(each))
    if not options.limit:
        return Page(list(chosen), version)
    page = list(islice(chosen, min(options.limit, total) + 1))
    if len(page) <= options.limit:
        return Page(page, version)
    page.pop()
    token = _encode_token(version, prefix, page[-1].key + "\0")
    return Page(page, version, token, total - len(page) if selectors.everything else None)


def _encode_token(version: int, prefix: str, start: str) -> str:
    token = {"v": "meta.k8s.io/v1", "rv": version, "start": start.removeprefix(prefix)}
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).rstrip(b"=").decode()


def _decode_token(text: str, prefix: str) -> tuple[int, str]:
    try:
        token: Any = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error) as error:
        wrong = re.search(r"[^A-Za-z0-9_-]", text)
        place = wrong.start() if wrong else len(text) // 4 * 4
        why = f"illegal base64 data at input byte {place}" if wrong or len(text) % 4 == 1 else str(error)
        raise _bad_token(why) from error
    version, start, form = (
        (token.get(name) for name in ("rv", "start", "v")) if isinstance(token, dict) else ("",) * 3
    )
    if form != "meta.k8s.io/v1":
        raise _bad_token(f"server does not recognize this encoded version {form or ''}")
    if not isinstance(version, int) or version == 0:
        raise _bad_token("incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if not isinstance(start, str) or not start:
        raise _bad_token("encoded start key empty (version meta.k8s.io/v1)")
    return version, prefix + start


def _bad_token(why: str) -> statuses.StatusError:
    return statuses.bad_request(f"invalid continue token: continue key is not valid: {why}")
