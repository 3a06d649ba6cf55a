"""Deletion: finalizers, grace, policies, collections, namespaces."""

from __future__ import annotations

import pytest

from aimctl.testing.virtualtime import virtual_time
from support.apiserver import CONFIG_MAPS, CRDS, MERGE, PODS, WIDGETS, Api, config_map, crd, pod, widget


def with_finalizer(body: dict, *finalizers: str) -> dict:
    body["metadata"]["finalizers"] = list(finalizers or ("example.com/hold",))
    return body


@virtual_time
async def test_an_object_without_finalizers_is_deleted_at_once_and_named_in_the_status() -> None:
    api = Api()
    made = await api.ok("POST", CONFIG_MAPS, config_map("c"))
    answer = await api.ok("DELETE", f"{CONFIG_MAPS}/c")
    assert answer["status"] == "Success"
    assert answer["details"] == {"name": "c", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    missing = await api("DELETE", f"{CONFIG_MAPS}/c")
    assert (missing.status, missing.body["reason"]) == (404, "NotFound")


@virtual_time
async def test_a_finalizer_keeps_the_marked_object_until_it_is_removed() -> None:
    api = Api()
    await api.ok("POST", CRDS, crd())
    await api.ok("POST", WIDGETS, with_finalizer(widget("w", size="small")))
    marked = await api.ok("DELETE", f"{WIDGETS}/w")
    metadata = marked["metadata"]
    assert (
        metadata["deletionTimestamp"],
        metadata["deletionGracePeriodSeconds"],
        metadata["generation"],
    ) == ("2026-01-01T00:00:00Z", 0, 2)
    again = await api.ok("DELETE", f"{WIDGETS}/w")
    assert again == marked
    answer = await api(
        "PATCH",
        f"{WIDGETS}/w",
        {"metadata": {"finalizers": ["example.com/hold", "example.com/new"]}},
        media=MERGE,
    )
    assert answer.status == 422
    assert (
        'no new finalizers can be added if the object is being deleted, found new finalizers []string{"example.com/new"}'
        in answer.message
    )
    version = str(api.server.storage.version)
    async with api.watch(WIDGETS, {"resourceVersion": version}) as lines:
        freed = await api.ok("PATCH", f"{WIDGETS}/w", {"metadata": {"finalizers": None}}, media=MERGE)
        assert await lines.seen(1) == [("DELETED", "w")]
    assert freed["metadata"]["name"] == "w"
    assert (await api("GET", f"{WIDGETS}/w")).status == 404


@virtual_time
@pytest.mark.parametrize(
    ("options", "finalizers"),
    [
        ({"propagationPolicy": "Foreground"}, ["example.com/hold", "foregroundDeletion"]),
        ({"propagationPolicy": "Orphan"}, ["example.com/hold", "orphan"]),
        ({"propagationPolicy": "Background"}, ["example.com/hold"]),
        ({"orphanDependents": True}, ["example.com/hold", "orphan"]),
        ({}, ["example.com/hold"]),
    ],
)
async def test_the_propagation_policy_becomes_a_finalizer_for_the_garbage_collector(
    options: dict, finalizers: list[str]
) -> None:
    api = Api()
    await api.ok("POST", CONFIG_MAPS, with_finalizer(config_map("c")))
    answer = await api.ok(
        "DELETE", f"{CONFIG_MAPS}/c", {"kind": "DeleteOptions", "apiVersion": "v1", **options}
    )
    assert answer["metadata"]["finalizers"] == finalizers


@virtual_time
async def test_foreground_deletion_keeps_an_object_without_other_finalizers() -> None:
    api = Api()
    await api.ok("POST", CONFIG_MAPS, config_map("c"))
    answer = await api.ok("DELETE", f"{CONFIG_MAPS}/c", None, {"propagationPolicy": "Foreground"})
    assert answer["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert (await api("GET", f"{CONFIG_MAPS}/c")).status == 200


@virtual_time
async def test_preconditions_are_checked() -> None:
    api = Api()
    made = await api.ok("POST", CONFIG_MAPS, config_map("c"))
    answer = await api("DELETE", f"{CONFIG_MAPS}/c", {"preconditions": {"uid": "other"}})
    assert answer.status == 409
    assert "the UID in the precondition (other) does not match the UID in record" in answer.message
    answer = await api("DELETE", f"{CONFIG_MAPS}/c", {"preconditions": {"resourceVersion": "1"}})
    assert (
        "the ResourceVersion in the precondition (1) does not match the ResourceVersion in record"
        in answer.message
    )
    await api.ok(
        "DELETE",
        f"{CONFIG_MAPS}/c",
        {
            "preconditions": {
                "uid": made["metadata"]["uid"],
                "resourceVersion": made["metadata"]["resourceVersion"],
            }
        },
    )


@virtual_time
async def test_contradictory_options_are_rejected() -> None:
    api = Api()
    await api.ok("POST", CONFIG_MAPS, config_map("c"))
    both = await api("DELETE", f"{CONFIG_MAPS}/c", {"orphanDependents": True, "propagationPolicy": "Orphan"})
    assert "orphanDependents and deletionPropagation cannot be both set" in both.message
    odd = await api("DELETE", f"{CONFIG_MAPS}/c", {"propagationPolicy": "Sideways"})
    assert 'propagationPolicy: Unsupported value: "Sideways"' in odd.message


@virtual_time
async def test_a_running_pod_has_a_grace_period_that_can_only_be_shortened() -> None:
    api = Api()
    await api.ok("POST", PODS, pod("p", nodeName="n"))
    marked = (await api.ok("DELETE", f"{PODS}/p"))["metadata"]
    assert (marked["deletionTimestamp"], marked["deletionGracePeriodSeconds"]) == ("2026-01-01T00:00:30Z", 30)
    longer = (await api.ok("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 60}))["metadata"]
    assert longer == marked
    shorter = (await api.ok("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 5}))["metadata"]
    assert (shorter["deletionTimestamp"], shorter["deletionGracePeriodSeconds"]) == (
        "2026-01-01T00:00:05Z",
        5,
    )
    gone = await api.ok("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 0})
    assert gone["kind"] == "Pod"
    assert (await api("GET", f"{PODS}/p")).status == 404


@virtual_time
async def test_a_pod_without_a_node_or_a_finished_pod_is_deleted_at_once() -> None:
    api = Api()
    await api.ok("POST", PODS, pod("waiting"))
    await api.ok("POST", PODS, pod("over", nodeName="n"))
    await api.ok("PATCH", f"{PODS}/over/status", {"status": {"phase": "Succeeded"}}, media=MERGE)
    for name in ("waiting", "over"):
        await api.ok("DELETE", f"{PODS}/{name}")
        assert (await api("GET", f"{PODS}/{name}")).status == 404


@virtual_time
async def test_a_collection_is_deleted_by_selector() -> None:
    api = Api()
    for name in "abc":
        body = config_map(name)
        body["metadata"]["labels"] = {"go": "no" if name == "b" else "yes"}
        await api.ok("POST", CONFIG_MAPS, body)
    deleted = await api.ok("DELETE", CONFIG_MAPS, None, {"labelSelector": "go=yes"})
    assert [item["metadata"]["name"] for item in deleted["items"]] == ["a", "c"]
    left = await api.ok("GET", CONFIG_MAPS)
    assert [item["metadata"]["name"] for item in left["items"]] == ["b"]


@virtual_time
async def test_deleting_a_namespace_deletes_its_objects() -> None:
    api = Api()
    await api.ok("POST", CRDS, crd())
    made = await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
    assert (made["status"]["phase"], made["spec"]["finalizers"]) == ("Active", ["kubernetes"])
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "n"}
    await api.ok("POST", "/api/v1/namespaces/n/configmaps", config_map("c"))
    await api.ok("POST", WIDGETS.replace("/default/", "/n/"), widget("w"))
    answer = await api.ok("DELETE", "/api/v1/namespaces/n")
    assert answer["status"]["phase"] == "Terminating"
    assert (await api("GET", "/api/v1/namespaces/n")).status == 404
    assert (await api.ok("GET", "/api/v1/configmaps"))["items"] == []


@virtual_time
async def test_a_terminating_namespace_waits_for_finalizers_and_rejects_new_objects() -> None:
    api = Api()
    await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
    path = "/api/v1/namespaces/n/configmaps"
    await api.ok("POST", path, with_finalizer(config_map("held")))
    await api.ok("DELETE", "/api/v1/namespaces/n")
    assert (await api.ok("GET", "/api/v1/namespaces/n"))["status"]["phase"] == "Terminating"
    refused = await api("POST", path, config_map("late"))
    assert refused.status == 403
    assert (
        refused.message
        == 'configmaps "late" is forbidden: unable to create new content in namespace n because it is being terminated'
    )
    assert refused.body["details"]["causes"] == [
        {
            "reason": "NamespaceTerminating",
            "message": "namespace n is being terminated",
            "field": "metadata.namespace",
        }
    ]
    await api.ok("PATCH", f"{path}/held", {"metadata": {"finalizers": None}}, media=MERGE)
    assert (await api("GET", "/api/v1/namespaces/n")).status == 404


@virtual_time
async def test_a_namespace_with_another_finalizer_waits_for_finalize() -> None:
    api = Api()
    made = await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
    made["spec"]["finalizers"].append("example.com/mine")
    await api.ok("PUT", "/api/v1/namespaces/n/finalize", made)
    await api.ok("DELETE", "/api/v1/namespaces/n")
    left = await api.ok("GET", "/api/v1/namespaces/n")
    assert left["spec"]["finalizers"] == ["example.com/mine"]
    left["spec"]["finalizers"] = []
    await api.ok("PUT", "/api/v1/namespaces/n/finalize", left)
    assert (await api("GET", "/api/v1/namespaces/n")).status == 404


@virtual_time
async def test_permanent_namespaces_cannot_be_deleted() -> None:
    answer = await Api()("DELETE", "/api/v1/namespaces/default")
    assert (answer.status, answer.message) == (
        403,
        'namespaces "default" is forbidden: this namespace may not be deleted',
    )
