"""A response that is not about the object of the request is an error, and no cache observes it.

A proxy that confuses two requests, or answers by itself, sends such responses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aimctl.kubetypes.builtin import NODES, PODS
from aimctl.runtime.kube import Client, DecodeError, KubeError
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.scripted import ScriptedTransport, pod

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

CALLS: dict[str, tuple[str, Callable[[Client], Awaitable[object]]]] = {
    "get": ("GET", lambda client: client.get(PODS, "a", "default")),
    "create": ("POST", lambda client: client.create(PODS, pod())),
    "update": ("PUT", lambda client: client.update(PODS, pod())),
    "patch": ("PATCH", lambda client: client.patch(PODS, "a", {}, "default")),
    "apply": ("PATCH", lambda client: client.apply(PODS, pod(), subresource="status")),
    "delete": ("DELETE", lambda client: client.delete(PODS, "a", "default", uid="uid-a")),
}


class Observed:
    """A client whose hooks record what a cache would observe."""

    def __init__(self, method: str, answer: Any) -> None:
        self.objects: list[str] = []
        self.unclear = 0
        self.client = Client(
            ScriptedTransport().on(method, "*", answer),
            clock=virtual_clock(),
            on_write=lambda obj: self.objects.append(str(obj.key)),
            on_delete=lambda _, key, __: self.objects.append(str(key)),
            on_unclear=self.left_open,
        )

    def left_open(self) -> None:
        self.unclear += 1


def without(field: str) -> dict[str, Any]:
    body = pod()
    del body["metadata"][field]
    return body


@pytest.mark.parametrize("verb", CALLS)
@pytest.mark.parametrize(
    "answer",
    [pod("b"), pod(namespace="elsewhere"), without("name"), without("namespace"), {"metadata": {}}, {}],
    ids=["another name", "another namespace", "no name", "no namespace", "no metadata", "nothing"],
)
@virtual_time
async def test_a_response_about_another_object_is_an_error(verb: str, answer: Any) -> None:
    method, call = CALLS[verb]
    observed = Observed(method, answer)
    with pytest.raises(DecodeError):
        await call(observed.client)
    assert observed.objects == []
    assert observed.unclear == (verb != "get"), "the write may have been carried out"


@pytest.mark.parametrize("verb", [verb for verb in CALLS if verb != "get"])
@virtual_time
async def test_the_state_of_a_stored_object_has_a_version(verb: str) -> None:
    method, call = CALLS[verb]
    observed = Observed(method, without("resourceVersion"))
    with pytest.raises(DecodeError, match="no metadata"):
        await call(observed.client)
    assert observed.objects == []


@virtual_time
async def test_the_name_that_the_server_chooses_is_accepted() -> None:
    observed = Observed("POST", pod("a-x7k2p"))
    created = await observed.client.create(PODS, {"metadata": {"generateName": "a-"}}, "default")
    assert (created.meta.name, observed.objects) == ("a-x7k2p", ["default/a-x7k2p"])


@virtual_time
async def test_the_namespace_of_a_call_for_a_cluster_scoped_kind_means_nothing() -> None:
    node = {"kind": "Node", "metadata": {"name": "n", "uid": "1", "resourceVersion": "2"}}
    assert (await Observed("GET", node).client.get(NODES, "n", "default")).meta.name == "n"


@pytest.mark.parametrize(
    ("status", "error"),
    [({"code": 409, "reason": "Conflict"}, "Conflict"), ({}, "ServerError")],
    ids=["with a code", "without"],
)
@virtual_time
async def test_a_failure_with_http_200_is_no_deletion(status: dict[str, Any], error: str) -> None:
    answer = {"kind": "Status", "status": "Failure", "details": {"name": "a", "uid": "uid-a"}, **status}
    observed = Observed("DELETE", answer)
    with pytest.raises(KubeError) as raised:
        await CALLS["delete"][1](observed.client)
    assert type(raised.value).__name__ == error
    assert any(note.startswith("response to DELETE /api/v1/") for note in raised.value.__notes__)
    assert (observed.objects, observed.unclear) == ([], 1)
