"""Responses of a server that sends anything: strategies for hypothesis."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

HIDDEN = "h1dd3n"
"""Part of every valid body. A body of a successful response may hold a Secret, so no message may quote it."""

SECRET = {
    "kind": "Secret",
    "apiVersion": "v1",
    "metadata": {
        "name": "a",
        "namespace": "d",
        "uid": "u",
        "resourceVersion": "7",
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {"l": HIDDEN},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "q", "controller": True}],
        "finalizers": ["f"],
        "managedFields": [{"manager": "m", "operation": "Update"}],
    },
    "data": {"password": HIDDEN},
}
LIST = {
    "kind": "SecretList",
    "apiVersion": "v1",
    "metadata": {"resourceVersion": "9", "continue": "", "remainingItemCount": 0},
    "items": [SECRET, {**SECRET, "metadata": {**SECRET["metadata"], "name": "b"}}],
}
EVENT = {"type": "MODIFIED", "object": SECRET}
STATUS = {
    "kind": "Status",
    "apiVersion": "v1",
    "status": "Failure",
    "reason": "Conflict",
    "code": 409,
    "message": "no",
    "details": {
        "name": "a",
        "kind": "secrets",
        "causes": [{"reason": "x", "message": "y", "field": "z"}],
        "retryAfterSeconds": 1,
    },
}
GROUPS = {
    "kind": "APIGroupList",
    "groups": [{"name": "x", "versions": [{"groupVersion": "x/v1", "version": "v1"}]}],
}
BODIES = (SECRET, LIST, EVENT, STATUS, GROUPS)

odd_numbers = st.sampled_from([0, -1, 2**63, 2**64, -(10**30), 10**400, 1e308, 0.5])
odd_texts = st.sampled_from(
    ["", "x" * 1000, "\x00", "\ud7ff", "../..", "%", "NaN", "\u202e", "9" * 500, "ConfigMap"]
)
odd_values = (
    st.none()
    | st.booleans()
    | odd_numbers
    | odd_texts
    | st.sampled_from([[], {}, [None], [[]], {"": None}, {"kind": []}])
)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """The paths of all values inside."""
    found = [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


def replaced(value: Any, path: tuple, new: Any, *, drop: bool) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    key, *rest = path
    if not rest and drop:
        del copy[key]
    else:
        copy[key] = replaced(copy[key], tuple(rest), new, drop=drop)
    return copy


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid body with wrong, missing or absurd values."""
    body: Any = draw(st.sampled_from(BODIES))
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(places(body)))
        body = replaced(body, path, draw(odd_values), drop=draw(st.booleans()))
        if not isinstance(body, dict | list) or not body:
            break
    data = json.dumps(body).encode()
    if draw(st.booleans()):
        at = draw(st.integers(0, len(data)))
        data = draw(
            st.sampled_from(
                [data[:at], data[:at] + b"\xff" + data[at:], data[:at] + data, data + b"\n" + data]
            )
        )
    return data


bodies = (
    mutated()
    | st.binary(max_size=60)
    | st.sampled_from(
        [
            b"",
            b"null",
            b"<html>login</html>",
            b"[" * 100_000,
            b'{"a":' * 100_000,
            b'{"metadata":{"name":"a"},"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
            b"9" * 5000,
            b'{"kind":"SecretList","metadata":{},"items":' + b"[" * 3000 + b"]" * 3000 + b"}",
        ]
    )
)
statuses = st.sampled_from(
    [
        200,
        200,
        200,
        201,
        202,
        204,
        206,
        301,
        304,
        400,
        401,
        403,
        404,
        409,
        410,
        418,
        422,
        429,
        500,
        503,
        504,
        599,
    ]
)
headers = st.dictionaries(
    st.sampled_from(["Retry-After", "Content-Type", "Warning", "Location"]),
    st.sampled_from(
        [
            "",
            "x",
            "-5",
            "1e9",
            "9" * 400,
            "Wed, 99 Foo 9999",
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "\u0663",
            "0",
            '299 - "x"',
        ]
    ),
)


class Answer:
    def __init__(self, status: int, head: Mapping[str, str], body: bytes, sizes: Sequence[int] = ()) -> None:
        self.status, self.headers, self._body, self._sizes = status, head, body, sizes

    async def read(self) -> bytes:
        return self._body

    async def chunks(self) -> AsyncIterator[bytes]:
        at = 0
        for size in self._sizes:
            yield self._body[at : at + size]
            at += size
        yield self._body[at:]
