from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from aimctl.kubetypes import MetadataOnly
from aimctl.kubetypes.builtin import NODES, PODS, SELF_SUBJECT_ACCESS_REVIEWS
from aimctl.runtime.kube import (
    Client,
    ConnectionFailed,
    DecodeError,
    Gone,
    NotFound,
    NotServed,
    Object,
    ObjectKey,
    Resource,
    ServerError,
    TooManyRequests,
    WriteRefused,
    freeze,
)
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.scripted import Answer, ScriptedTransport, event, failure, missing, pod, pod_list

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ALL = "/api/v1/pods"
COLLECTION = "/api/v1/namespaces/default/pods"
ONE = COLLECTION + "/a"


class Hooks:
    """Hooks of a client that record their calls in order."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def client(self, transport: ScriptedTransport, **options: Any) -> Client:
        return Client(
            transport,
            clock=virtual_clock(),
            write_guard=lambda: self.calls.append("guard"),
            on_write=lambda obj: self.calls.append(("write", obj.key.name, obj.meta.resource_version)),
            on_delete=lambda resource, key, uid: self.calls.append(("delete", resource.kind, key, uid)),
            **options,
        )


@pytest.fixture
def wire() -> ScriptedTransport:
    return ScriptedTransport()


@pytest.fixture
def hooks() -> Hooks:
    return Hooks()


def reader(wire: ScriptedTransport) -> Client:
    return Client(wire, clock=virtual_clock())


async def test_a_list_sends_only_the_options_given(wire: ScriptedTransport) -> None:
    wire.on("GET", COLLECTION, pod_list())
    client = reader(wire)
    await client.list(PODS, "default")
    await client.list(
        PODS,
        "default",
        label_selector="a=b,c",
        field_selector="spec.nodeName=n",
        limit=500,
        continue_token="t",
        resource_version="7",
        resource_version_match="NotOlderThan",
    )
    assert wire.seen[0].query == {}
    assert wire.seen[1].query == {
        "labelSelector": "a=b,c",
        "fieldSelector": "spec.nodeName=n",
        "limit": "500",
        "continue": "t",
        "resourceVersion": "7",
        "resourceVersionMatch": "NotOlderThan",
    }


async def test_metadata_only_requests_the_projection(wire: ScriptedTransport) -> None:
    wire.on("GET", ALL, pod_list(), Answer(chunks=())).on("GET", ONE, pod())
    client = reader(wire)
    await client.list(PODS, metadata_only=True)
    async with client.watch(
        PODS, resource_version="1", timeout_seconds=1, idle_seconds=9, metadata_only=True
    ):
        pass
    await client.get(PODS, "a", "default", metadata_only=True)
    kinds = [seen.headers["Accept"] for seen in wire.seen]
    assert kinds == [
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    ]
    assert wire.streams == [ALL]


async def test_an_object_of_which_only_the_metadata_was_read_has_no_view(wire: ScriptedTransport) -> None:
    """A view of defaults would be a wrong answer."""
    wire.on("GET", ALL, pod_list(pod()), Answer(chunks=(event("ADDED", pod()),))).on("GET", ONE, pod())
    client = reader(wire)
    found = [await client.get(PODS, "a", "default", metadata_only=True)]
    found += (await client.list(PODS, metadata_only=True)).items
    async with client.watch(
        PODS, resource_version="1", timeout_seconds=1, idle_seconds=9, metadata_only=True
    ) as events:
        found += [each.object async for each in events]
    assert len(found) == 3
    for obj in found:
        assert obj.resource == PODS
        with pytest.raises(
            MetadataOnly, match=r"Pod default/a: only its metadata was read.*projection='full'"
        ):
            _ = obj.view
        with pytest.raises(MetadataOnly):
            _ = obj.view_or_none


async def test_list_all_follows_the_pages(wire: ScriptedTransport) -> None:
    wire.on("GET", ALL, pod_list(pod("a"), more="t1"), pod_list(pod("b"), more="t2"), pod_list(pod("c")))
    names = [item.key.name async for item in reader(wire).list_all(PODS, page_size=1)]
    assert names == ["a", "b", "c"]
    assert [seen.query.get("continue") for seen in wire.seen] == [None, "t1", "t2"]
    assert {seen.query["limit"] for seen in wire.seen} == {"1"}


async def test_a_page_with_the_token_of_its_own_request_is_an_error(wire: ScriptedTransport) -> None:
    """Such as from a proxy that ignores the query: the list would never end, and need all memory."""
    wire.on("GET", ALL, pod_list(pod("a"), more="t1"), pod_list(pod("b"), more="t1"))
    with pytest.raises(DecodeError, match=r"list pods: .* would never end") as caught:
        [item async for item in reader(wire).list_all(PODS, page_size=1)]
    assert caught.value.remedy
    assert len(wire.seen) == 2


async def test_an_expired_page_token_restarts_with_one_unpaginated_list_that_repeats_only_what_changed(
    wire: ScriptedTransport,
) -> None:
    wire.on(
        "GET",
        ALL,
        pod_list(pod("a", rv=1), pod("b", rv=1), more="t1"),
        failure(410, "Expired"),
        pod_list(pod("a", rv=1), pod("b", rv=2), pod("c", rv=1)),
    )
    given = [
        (item.key.name, item.meta.resource_version) async for item in reader(wire).list_all(PODS, page_size=2)
    ]
    assert given == [("a", "1"), ("b", "1"), ("b", "2"), ("c", "1")]
    assert wire.seen[-1].query == {}


async def test_a_410_for_the_first_page_is_raised(wire: ScriptedTransport) -> None:
    wire.on("GET", ALL, failure(410, "Expired"))
    with pytest.raises(Gone):
        [item async for item in reader(wire).list_all(PODS)]
    assert len(wire.seen) == 1


@virtual_time
async def test_a_read_is_repeated_twice_after_the_retry_after_of_the_server() -> None:
    wire = ScriptedTransport()
    wire.on(
        "GET",
        ONE,
        failure(429, headers={"Retry-After": "2"}),
        failure(503, headers={"Retry-After": "3"}),
        pod(),
    )
    assert (await reader(wire).get(PODS, "a", "default")).key.name == "a"
    assert asyncio.get_running_loop().time() == 5


@virtual_time
async def test_a_third_429_is_raised_with_its_retry_after() -> None:
    wire = ScriptedTransport().on("GET", ONE, failure(429, headers={"Retry-After": "1"}))
    with pytest.raises(TooManyRequests) as caught:
        await reader(wire).get(PODS, "a", "default")
    assert caught.value.retry_after == 1
    assert len(wire.seen) == 3
    assert asyncio.get_running_loop().time() == 2


@pytest.mark.parametrize(
    "answer",
    [
        failure(429),
        failure(429, headers={"Retry-After": "6"}),
        failure(500, headers={"Retry-After": "1"}),
        ConnectionFailed("gone"),
    ],
)
async def test_other_errors_of_reads_are_raised_at_once(wire: ScriptedTransport, answer: Any) -> None:
    wire.on("GET", ONE, answer)
    with pytest.raises((TooManyRequests, ServerError, ConnectionFailed)):
        await reader(wire).get(PODS, "a", "default")
    assert len(wire.seen) == 1


WRITES: dict[str, tuple[str, Callable[[Client], Awaitable[Any]]]] = {
    "create": ("POST", lambda c: c.create(PODS, pod())),
    "update": ("PUT", lambda c: c.update(PODS, pod())),
    "patch": ("PATCH", lambda c: c.patch(PODS, "a", {"x": 1}, "default")),
    "apply": ("PATCH", lambda c: c.apply(PODS, pod())),
    "delete": ("DELETE", lambda c: c.delete(PODS, "a", "default")),
    "raw": ("POST", lambda c: c.raw("POST", "/x", body=b"{}")),
}


@pytest.mark.parametrize("verb", WRITES)
async def test_a_write_is_never_repeated(wire: ScriptedTransport, verb: str) -> None:
    method, write = WRITES[verb]
    wire.on(method, "*", failure(429, headers={"Retry-After": "0"}))
    with pytest.raises(TooManyRequests):
        await write(reader(wire))
    assert len(wire.seen) == 1


@pytest.mark.parametrize("verb", WRITES)
async def test_a_refused_write_is_not_sent(wire: ScriptedTransport, verb: str) -> None:
    def refuse() -> None:
        raise WriteRefused("not the leader")

    with pytest.raises(WriteRefused):
        await WRITES[verb][1](Client(wire, clock=virtual_clock(), write_guard=refuse))
    assert wire.seen == []


async def test_reads_do_not_call_the_guard(wire: ScriptedTransport, hooks: Hooks) -> None:
    wire.on("GET", "*", pod())
    client = hooks.client(wire)
    await client.get(PODS, "a", "default")
    await client.raw("GET", "/version")
    await client.logs("a", "default")
    assert hooks.calls == []


@pytest.mark.parametrize("verb", ["create", "update", "patch", "apply"])
async def test_the_guard_is_called_before_a_write_and_the_hook_after_it(
    wire: ScriptedTransport, hooks: Hooks, verb: str
) -> None:
    method, write = WRITES[verb]
    wire.on(method, "*", pod(rv=8))
    await write(hooks.client(wire))
    assert hooks.calls == ["guard", ("write", "a", "8")]


async def test_a_dry_run_is_sent_as_such_and_calls_no_hook(wire: ScriptedTransport, hooks: Hooks) -> None:
    wire.on("POST", "*", pod()).on("PUT", "*", pod()).on("PATCH", "*", pod())
    client = hooks.client(wire)
    await client.create(PODS, pod(), dry_run=True)
    await client.update(PODS, pod(), dry_run=True)
    await client.patch(PODS, "a", {}, "default", dry_run=True)
    await client.apply(PODS, pod(), dry_run=True)
    assert hooks.calls == ["guard"] * 4
    assert [seen.query["dryRun"] for seen in wire.seen] == ["All"] * 4


async def test_responses_of_other_subresources_and_reviews_call_no_hook(
    wire: ScriptedTransport, hooks: Hooks
) -> None:
    scale = {
        "kind": "Scale",
        "metadata": {"name": "a", "namespace": "default", "uid": "u", "resourceVersion": "9"},
    }
    review = {
        "kind": "SelfSubjectAccessReview",
        "metadata": {"creationTimestamp": None},
        "status": {"allowed": True},
    }
    wire.on("PATCH", ONE + "/scale", scale).on("POST", "*", review).on("PATCH", ONE + "/status", pod(rv=3))
    client = hooks.client(wire)
    await client.patch(PODS, "a", {}, "default", subresource="scale")
    answer = await client.create(SELF_SUBJECT_ACCESS_REVIEWS, {"spec": {}})
    assert answer.view.status.allowed
    assert hooks.calls == ["guard", "guard"]
    await client.patch(PODS, "a", {}, "default", subresource="status")
    assert hooks.calls[-1] == ("write", "a", "3")


async def test_a_response_of_another_kind_is_a_decode_error(wire: ScriptedTransport, hooks: Hooks) -> None:
    wire.on("PUT", ONE, {"kind": "Status", "metadata": {}, "status": "Success"})
    with pytest.raises(DecodeError, match="Status"):
        await hooks.client(wire).update(PODS, pod())
    assert hooks.calls == ["guard"]


async def test_create_finds_its_namespace_and_fills_in_the_kind(wire: ScriptedTransport) -> None:
    wire.on("POST", "*", pod("a-1", namespace="here"), pod(namespace="there"))
    client = reader(wire)
    await client.create(PODS, {"metadata": {"generateName": "a-"}}, "here")
    await client.create(
        PODS, {"metadata": {"name": "a", "namespace": "there"}, "spec": freeze({"l": [{"x": 1}]})}
    )
    assert [seen.path for seen in wire.seen] == [
        "/api/v1/namespaces/here/pods",
        "/api/v1/namespaces/there/pods",
    ]
    assert wire.seen[1].json == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a", "namespace": "there"},
        "spec": {"l": [{"x": 1}]},
    }
    assert wire.seen[0].query == {"fieldManager": "aimctl"}


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        ("merge", "application/merge-patch+json"),
        ("json", "application/json-patch+json"),
        ("strategic", "application/strategic-merge-patch+json"),
    ],
)
async def test_each_kind_of_patch_has_its_content_type(
    wire: ScriptedTransport, kind: Any, content_type: str
) -> None:
    wire.on("PATCH", ONE, pod())
    patch = [{"op": "add", "path": "/x", "value": 1}] if kind == "json" else {"x": None}
    await reader(wire).patch(PODS, "a", patch, "default", kind=kind)
    assert wire.seen[0].headers["Content-Type"] == content_type
    assert wire.seen[0].json == patch


async def test_apply_sends_its_field_manager_and_forces_by_default(wire: ScriptedTransport) -> None:
    wire.on("PATCH", "*", pod())
    client = Client(wire, clock=virtual_clock(), field_manager="me", field_validation="Strict")
    await client.apply(PODS, pod(), subresource="status", field_manager="other")
    await client.apply(PODS, pod(), force=False)
    first, second = wire.seen
    assert first.path == ONE + "/status"
    assert first.query == {"fieldManager": "other", "fieldValidation": "Strict", "force": "true"}
    assert first.headers["Content-Type"] == "application/apply-patch+yaml"
    assert second.query == {"fieldManager": "me", "fieldValidation": "Strict"}


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.get(PODS, "a"),
        lambda c: c.get(PODS, "", "default"),
        lambda c: c.create(PODS, {"metadata": {"name": "a"}}),
        lambda c: c.update(PODS, {"metadata": {"namespace": "default"}}),
        lambda c: c.update(NODES, {"metadata": None}),
        lambda c: c.apply(PODS, {}),
        lambda c: c.patch(PODS, "a", {}),
        lambda c: c.delete(PODS, "", "default"),
        lambda c: c.logs("", "default"),
    ],
)
async def test_a_request_that_would_address_something_else_is_not_sent(
    wire: ScriptedTransport, call: Any
) -> None:
    with pytest.raises(ValueError, match="name"):
        await call(reader(wire))
    assert wire.seen == []


BAD_SEGMENTS = ["..", ".", "a/b", "../../secrets/x", "a%2Fb", "a\x00", "a\nb"]


@pytest.mark.parametrize("bad", BAD_SEGMENTS)
@pytest.mark.parametrize(
    "call",
    [
        lambda c, bad: c.get(PODS, bad, "default"),
        lambda c, bad: c.get(PODS, "a", bad),
        lambda c, bad: c.get(NODES, bad),
        lambda c, bad: c.get(NODES, "n", subresource=f"proxy/{bad}/.."),
        lambda c, bad: c.list(PODS, bad),
        lambda c, bad: anext(c.list_all(PODS, bad)),
        lambda c, bad: c.watch(
            PODS, bad, resource_version="1", timeout_seconds=1, idle_seconds=1
        ).__aenter__(),
        lambda c, bad: c.create(PODS, {"metadata": {"name": "a", "namespace": bad}}),
        lambda c, bad: c.create(PODS, {"metadata": {"name": "a"}}, bad),
        lambda c, bad: c.update(PODS, pod(bad)),
        lambda c, bad: c.update(PODS, pod(), subresource=f"{bad}/.."),
        lambda c, bad: c.patch(PODS, bad, {}, "default"),
        lambda c, bad: c.patch(PODS, "a", {}, bad),
        lambda c, bad: c.apply(PODS, pod(namespace=bad)),
        lambda c, bad: c.delete(PODS, bad, "default"),
        lambda c, bad: c.delete(NODES, bad),
        lambda c, bad: c.logs(bad, "default"),
        lambda c, bad: c.logs("a", bad),
        lambda c, bad: c.follow_logs(bad, "default").__aenter__(),
        lambda c, bad: c.raw("POST", f"/api/../{bad}"),
        lambda c, bad: c.read(f"/openapi/./{bad}"),
    ],
)
async def test_a_name_that_would_change_the_target_is_not_sent(
    wire: ScriptedTransport, hooks: Hooks, call: Any, bad: str
) -> None:
    with pytest.raises(ValueError, match=r"valid|empty|may not contain"):
        await call(hooks.client(wire), bad)
    assert (wire.seen, hooks.calls) == ([], [])


@pytest.mark.parametrize("name", ["system:node-reader", "a.b", "...", "x y", "ü", "a?b#c"])
async def test_a_name_that_is_one_segment_is_sent_unchanged(wire: ScriptedTransport, name: str) -> None:
    wire.on("GET", f"/api/v1/nodes/{name}", {"kind": "Node", "metadata": {"name": name}})
    assert (await reader(wire).get(NODES, name)).meta.name == name


async def test_delete_sends_its_preconditions_and_policy(wire: ScriptedTransport) -> None:
    wire.on("DELETE", ONE, {"kind": "Status", "status": "Success"})
    client = reader(wire)
    await client.delete(
        PODS, "a", "default", uid="u", resource_version="5", propagation="Foreground", grace_period_seconds=0
    )
    await client.delete(PODS, "a", "default")
    assert wire.seen[0].json == {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "preconditions": {"uid": "u", "resourceVersion": "5"},
        "propagationPolicy": "Foreground",
        "gracePeriodSeconds": 0,
    }
    assert wire.seen[1].json == {"kind": "DeleteOptions", "apiVersion": "v1"}


GONE = ("delete", "Pod", ObjectKey("default", "a"), "uid-a")


@pytest.mark.parametrize(
    ("answer", "uid", "calls"),
    [
        ({"kind": "Status", "status": "Success", "details": {"uid": "uid-a"}}, "", [GONE]),
        ({"kind": "Status", "status": "Success"}, "uid-a", [GONE]),
        ({"kind": "Status", "status": "Success"}, "", []),
        (pod(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}, rv=4), "", [("write", "a", "4")]),
        (pod(), "", [GONE]),
        (missing(), "uid-a", [GONE]),
        (missing(), "", []),
    ],
)
async def test_the_delete_hook_is_called_only_for_certain_deletions(
    wire: ScriptedTransport, hooks: Hooks, answer: Any, uid: str, calls: list[Any]
) -> None:
    wire.on("DELETE", ONE, answer)
    await hooks.client(wire).delete(PODS, "a", "default", uid=uid)
    assert hooks.calls == ["guard", *calls]


async def test_a_missing_object_is_an_error_on_request(wire: ScriptedTransport) -> None:
    wire.on("DELETE", ONE, missing())
    with pytest.raises(NotFound):
        await reader(wire).delete(PODS, "a", "default", missing_ok=False)


STRAY = [
    Answer(404, b"404 page not found\n"),
    Answer(404, b"<html>default backend - 404</html>"),
    Answer(404, b""),
    failure(404, "NotFound", "the server could not find the requested resource"),
    missing("b"),
    missing("a", "secrets"),
    failure(404, "", "unknown", name="a", kind="pods"),
    Answer(404, {"kind": "Pod", "details": {"name": "a", "kind": "pods"}}),
]
"""Responses that do not say that the Pod ``default/a`` does not exist."""


@pytest.mark.parametrize("answer", STRAY)
async def test_a_404_that_does_not_name_the_object_does_not_prove_that_it_is_gone(
    wire: ScriptedTransport, hooks: Hooks, answer: Answer
) -> None:
    wire.on("DELETE", ONE, answer).on("GET", ONE, answer)
    client = hooks.client(wire)
    with pytest.raises(NotServed):
        await client.get(PODS, "a", "default")
    with pytest.raises(NotServed):
        await client.delete(PODS, "a", "default", uid="uid-a")
    assert hooks.calls == ["guard"]


@pytest.mark.parametrize("answer", [missing(), missing("a", "pods/log"), missing("default", "namespaces")])
async def test_a_404_that_names_the_object_or_its_namespace_is_not_found(
    wire: ScriptedTransport, answer: Answer
) -> None:
    wire.on("GET", ONE, answer)
    with pytest.raises(NotFound):
        await reader(wire).get(PODS, "a", "default")


async def test_an_error_names_the_request_in_its_notes(wire: ScriptedTransport) -> None:
    wire.on("GET", ONE, missing())
    with pytest.raises(NotFound) as caught:
        await reader(wire).get(PODS, "a", "default")
    assert caught.value.__notes__ == [f"remedy: {caught.value.remedy}", f"response to GET {ONE}"]


async def test_warnings_of_the_server_are_passed_on(wire: ScriptedTransport) -> None:
    warnings: list[str] = []
    wire.on("GET", ONE, Answer(200, pod(), {"Warning": '299 - "v1 is old"'}), pod())
    client = Client(wire, clock=virtual_clock(), on_warning=warnings.append)
    await client.get(PODS, "a", "default")
    await client.get(PODS, "a", "default")
    assert warnings == ['299 - "v1 is old"']


async def test_with_changes_only_what_is_given(wire: ScriptedTransport, hooks: Hooks) -> None:
    wire.on("PATCH", "*", pod(rv=2))
    first = hooks.client(wire, field_manager="one", field_validation="Strict")
    second = first.with_(field_manager="two", write_guard=None)
    await second.apply(PODS, pod())
    assert hooks.calls == [("write", "a", "2")]
    assert wire.seen[0].query["fieldManager"] == "two"
    assert wire.seen[0].query["fieldValidation"] == "Strict"
    await first.apply(PODS, pod())
    assert wire.seen[1].query["fieldManager"] == "one"
    assert "guard" in hooks.calls
    with pytest.raises(TypeError, match="feild_manager"):
        first.with_(feild_manager="two")


async def test_logs_send_their_options_and_return_the_body_unchanged(wire: ScriptedTransport) -> None:
    wire.on("GET", ONE + "/log", Answer(200, b"\xffraw\n"))
    client = reader(wire)
    assert (
        await client.logs("a", "default", container="c", tail_lines=0, limit_bytes=9, previous=True)
        == b"\xffraw\n"
    )
    assert wire.seen[0].query == {"container": "c", "tailLines": "0", "limitBytes": "9", "previous": "true"}


async def test_followed_logs_are_streamed_in_chunks(wire: ScriptedTransport) -> None:
    wire.on(
        "GET", ONE + "/log", Answer(200, chunks=(b"a", b"b")), failure(400, "BadRequest", "still creating")
    )
    client = reader(wire)
    async with client.follow_logs("a", "default") as pieces:
        assert [piece async for piece in pieces] == [b"a", b"b"]
    assert wire.seen[0].query == {"follow": "true"}
    assert wire.streams == [ONE + "/log"]
    with pytest.raises(Exception, match="still creating"):
        async with client.follow_logs("a", "default"):
            pytest.fail("an error answer has no pieces")


async def test_raw_sends_any_request(wire: ScriptedTransport, hooks: Hooks) -> None:
    wire.on("PUT", "/x", b"yes")
    body = await hooks.client(wire).raw(
        "PUT", "/x", query=(("a", "b"),), body=b"text", content_type="text/plain"
    )
    assert body == b"yes"
    assert (wire.seen[0].query, wire.seen[0].body) == ({"a": "b"}, b"text")
    assert wire.seen[0].headers["Content-Type"] == "text/plain"
    assert hooks.calls == ["guard"]


async def test_a_cluster_scoped_object_needs_no_namespace(wire: ScriptedTransport, hooks: Hooks) -> None:
    wire.on("DELETE", "/api/v1/nodes/n", {"kind": "Status", "status": "Success", "details": {"uid": "u"}})
    await hooks.client(wire).delete(NODES, "n", "ignored")
    assert hooks.calls[-1] == ("delete", "Node", ObjectKey("", "n"), "u")


async def test_the_objects_of_a_list_have_the_requested_resource(wire: ScriptedTransport) -> None:
    things = Resource.untyped("example.com", "v1", "Thing", "things")
    wire.on(
        "GET",
        things.path(),
        {"kind": "ThingList", "metadata": {}, "items": [{"metadata": {"name": "x", "namespace": "n"}}]},
    )
    item: Object[Any] = (await reader(wire).list(things)).items[0]
    assert item.resource is things
