from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import msgspec
import pytest

from aimctl.kubetypes import ObjectKey, Resource
from aimctl.kubetypes.builtin import PODS
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube import (
    AlreadyExists,
    ApiError,
    BadRequest,
    Conflict,
    DecodeError,
    Forbidden,
    Gone,
    Invalid,
    MethodNotAllowed,
    NotServed,
    ServerError,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    UnsupportedMedia,
)
from aimctl.runtime.kube.answers import error_from_answer, parse_list, parse_retry_after, shortened
from aimctl.runtime.kube.errors import error_from_status
from aimctl.testing.virtualtime import virtual_time
from support.scripted import pod, pod_list, status_body

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CLOCK = LoopClock(lambda: NOW)


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (400, "BadRequest", BadRequest),
        (401, "Unauthorized", Unauthorized),
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotServed),
        (405, "MethodNotAllowed", MethodNotAllowed),
        (409, "AlreadyExists", AlreadyExists),
        (409, "Conflict", Conflict),
        (410, "Expired", Gone),
        (413, "RequestEntityTooLarge", TooLarge),
        (415, "UnsupportedMediaType", UnsupportedMedia),
        (418, "", ApiError),
        (422, "Invalid", Invalid),
        (429, "TooManyRequests", TooManyRequests),
        (500, "InternalError", ServerError),
        (503, "ServiceUnavailable", ServerError),
    ],
)
def test_an_error_answer_is_the_error_of_its_status(code: int, reason: str, kind: type[ApiError]) -> None:
    body = msgspec.json.encode(status_body(code, reason, "what was wrong", causes=[{"field": "spec"}]))
    error = error_from_answer(code, {}, body, clock=CLOCK)
    assert type(error) is kind
    assert (error.status, error.reason, error.message, str(error)) == (
        code,
        reason,
        "what was wrong",
        "what was wrong",
    )
    assert error.details["causes"] == [{"field": "spec"}]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0.0),
        ("9" * 400, 300.0),
        ("301", 300.0),
        (format_datetime(NOW + timedelta(days=2_000_000), usegmt=True), 300.0),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 300.0),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
        ("Wed, 21 Oct 2026 07:28:00 +99999999999999", None),
        ("soon", None),
        ("-3", None),
        ("1.5", None),
        ("Wed, 21 Oct 2026 07:28:00", None),
        ("", None),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, clock=CLOCK) == seconds


def test_the_header_wins_over_the_details_and_the_details_over_nothing() -> None:
    body = msgspec.json.encode(status_body(429, "TooManyRequests", retryAfterSeconds=3))
    assert error_from_answer(429, {"Retry-After": "8"}, body, clock=CLOCK).retry_after == 8
    assert error_from_answer(429, {}, body, clock=CLOCK).retry_after == 3


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(10**400, 300.0), (-5, None), (0, None), (1e300, 300.0), ("5", None), (None, None)],
)
def test_the_wait_in_the_details_is_limited(seconds: Any, expected: float | None) -> None:
    error = error_from_status(429, "TooManyRequests", details={"retryAfterSeconds": seconds})
    assert error.retry_after == expected


def test_a_body_that_is_no_status_is_shown_shortened_on_one_line() -> None:
    html = b"<html>\n <h1>Bad\tGateway</h1>\x1b[31m" + b"x" * 100_000
    error = error_from_answer(502, {}, html, clock=CLOCK)
    assert isinstance(error, ServerError)
    assert error.message.startswith("HTTP 502: <html> <h1>Bad Gateway</h1>")
    assert len(error.message) < 250
    assert "\x1b" not in error.message
    assert "\n" not in error.message


@pytest.mark.parametrize("body", [b"", b"[1]", b"\xff\xfe", b'{"kind":"Pod","code":1}'])
def test_any_error_body_gives_an_error(body: bytes) -> None:
    error = error_from_answer(404, {}, body, clock=CLOCK)
    assert isinstance(error, NotServed)
    assert "404" in str(error)


def test_shortened_says_that_it_is_shortened() -> None:
    assert shortened(b"short") == "short"
    assert shortened("ä".encode() * 500).endswith("…")


async def test_a_page_carries_its_items_version_token_and_rest() -> None:
    page = await parse_list(
        PODS, msgspec.json.encode(pod_list(pod("a", rv=3), pod("b"), rv=9, more="t", remaining=4))
    )
    assert [str(item.key) for item in page.items] == ["default/a", "default/b"]
    assert (page.resource_version, page.continue_token, page.remaining) == ("9", "t", 4)
    assert page.items[0].meta.resource_version == "3"


async def test_a_list_whose_items_are_null_is_empty() -> None:
    assert (await parse_list(PODS, b'{"kind":"PodList","metadata":{},"items":null}')).items == ()


@pytest.mark.parametrize(
    "body",
    [
        b'{"kind":"Table","metadata":{},"rows":[]}',
        b'{"kind":"Pod","metadata":{"name":"a"}}',
        b'{"kind":"PodList","metadata":{},"items":[1]}',
        b'{"kind":"PodList","metadata":{},"items":[{}]}',
        b'{"kind":"PodList","items":[]',
        b"\xff",
    ],
)
async def test_a_body_that_is_not_a_list_is_a_decode_error(body: bytes) -> None:
    """Checklist 54: lists in Table form are refused (and anything else that is not a list of objects)."""
    with pytest.raises(DecodeError):
        await parse_list(PODS, body)


THINGS = Resource.untyped("example.com", "v1", "Thing", "things")
CLUSTER_PODS = Resource.untyped("", "v1", "Pod", "pods", namespaced=False)
NAMESPACED_NODES = Resource.untyped("", "v1", "Node", "nodes")
MISSPELT = Resource.untyped("", "v1", "pod", "pods")
NODE_LIST = {"kind": "NodeList", "metadata": {}, "items": [{"metadata": {"name": "n"}}]}
THING = {"kind": "Thing", "metadata": {"name": "a", "namespace": "d"}}


@pytest.mark.parametrize(
    ("resource", "body", "text"),
    [
        (MISSPELT, pod_list(), "kind is 'PodList', not 'podList'.*correct kind='pod'"),
        (PODS, {"kind": "SecretList", "metadata": {}, "items": []}, "kind is 'SecretList'"),
        (PODS, pod_list() | {"apiVersion": "v2"}, "apiVersion is 'v2', not 'v1'"),
        (CLUSTER_PODS, pod_list(pod()), "Pod default/a is in a namespace.*namespaced=False"),
        (NAMESPACED_NODES, NODE_LIST, "Node n is in no namespace.*namespaced=True"),
        (THINGS, {"kind": "thingList", "metadata": {}, "items": []}, "kind is 'thingList'"),
        (THINGS, {"kind": "X", "metadata": {}, "items": [{**THING, "kind": "Thin"}]}, "kind is 'Thin'"),
    ],
)
async def test_a_list_of_another_kind_version_or_scope_is_rejected(
    resource: Resource[Any], body: dict[str, Any], text: str
) -> None:
    with pytest.raises(DecodeError, match=text):
        await parse_list(resource, msgspec.json.encode(body), skip_unreadable=True)


@pytest.mark.parametrize("kind", ["ThingList", "Things", "PartialObjectMetadataList", ""])
async def test_the_list_of_a_custom_kind_may_have_any_name(kind: str) -> None:
    body = msgspec.json.encode({"kind": kind, "metadata": {}, "items": [THING]})
    assert [item.key.name for item in (await parse_list(THINGS, body)).items] == ["a"]


BROKEN_ITEMS: list[tuple[Any, ObjectKey | None]] = [
    (None, None),
    (1, None),
    ("x", None),
    ([], None),
    ({}, None),
    ({"metadata": None}, None),
    ({"metadata": {}}, None),
    ({"metadata": {"name": "b", "labels": 5}}, ObjectKey("", "b")),
    ({"metadata": {"name": "b", "namespace": "default", "uid": 5}}, ObjectKey("default", "b")),
    ({"metadata": {"name": 5}}, None),
    ({"kind": "Secret", "metadata": {"name": "b", "namespace": "default"}}, ObjectKey("default", "b")),
]


@pytest.mark.parametrize(("item", "key"), BROKEN_ITEMS)
@pytest.mark.parametrize("others", [(), ("a", "c")])
async def test_items_that_cannot_be_read_are_skipped_on_request(
    item: Any, key: ObjectKey | None, others: tuple[str, ...]
) -> None:
    page = pod_list(*(pod(name) for name in others))
    page["items"].insert(1, item)
    body = msgspec.json.encode(page)
    with pytest.raises(DecodeError):
        await parse_list(PODS, body)
    if isinstance(item, dict) and item.get("kind") and not others:
        with pytest.raises(DecodeError, match="Secret"):  # all items are of another kind
            await parse_list(PODS, body, skip_unreadable=True)
        return
    result = await parse_list(PODS, body, skip_unreadable=True)
    assert tuple(one.key.name for one in result.items) == others
    assert [one.key for one in result.unreadable] == [key]


@virtual_time
async def test_decoding_a_large_list_yields_to_the_event_loop() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    body = msgspec.json.encode(pod_list(*(pod(f"p{i}") for i in range(2600))))
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(other())
        await asyncio.sleep(0)
        before = turns
        assert len((await parse_list(PODS, body)).items) == 2600
        assert turns - before == 5
        task.cancel()
