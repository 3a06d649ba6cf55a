"""Get and list: pages, resource versions, selectors and forms."""

from __future__ import annotations

import json

import pytest

from aimctl.testing.virtualtime import virtual_time
from support.apiserver import CONFIG_MAPS, CRDS, MERGE, PODS, WIDGETS, Api, config_map, crd, pod, widget

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


async def filled(count: int = 5) -> Api:
    api = Api()
    for number in range(count):
        body = config_map(f"c{number}")
        body["metadata"]["labels"] = {"parity": "even" if number % 2 == 0 else "odd"}
        await api.ok("POST", CONFIG_MAPS, body)
    return api


def names(listed: dict) -> list[str]:
    return [item["metadata"]["name"] for item in listed["items"]]


@virtual_time
async def test_pages_contain_every_object_once_and_the_number_of_remaining_ones() -> None:
    api = await filled()
    first = await api.ok("GET", CONFIG_MAPS, None, {"limit": "2"})
    assert (names(first), first["metadata"]["remainingItemCount"]) == (["c0", "c1"], 3)
    second = await api.ok("GET", CONFIG_MAPS, None, {"limit": "2", "continue": first["metadata"]["continue"]})
    assert (names(second), second["metadata"]["remainingItemCount"]) == (["c2", "c3"], 1)
    last = await api.ok("GET", CONFIG_MAPS, None, {"limit": "2", "continue": second["metadata"]["continue"]})
    assert names(last) == ["c4"]
    assert set(last["metadata"]) == {"resourceVersion"}
    assert {page["metadata"]["resourceVersion"] for page in (first, second, last)} == {
        str(api.server.storage.version)
    }


@virtual_time
async def test_pages_show_the_same_state_despite_writes_between_them() -> None:
    api = await filled()
    first = await api.ok("GET", CONFIG_MAPS, None, {"limit": "2"})
    await api.ok("DELETE", f"{CONFIG_MAPS}/c2")
    await api.ok("POST", CONFIG_MAPS, config_map("c22"))
    await api.ok("PATCH", f"{CONFIG_MAPS}/c3", {"data": {"new": "1"}}, media=MERGE)
    rest = await api.ok("GET", CONFIG_MAPS, None, {"continue": first["metadata"]["continue"]})
    assert names(rest) == ["c2", "c3", "c4"]
    assert "data" not in rest["items"][1]
    assert rest["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


@virtual_time
async def test_an_expired_page_has_a_token_for_an_inconsistent_continuation() -> None:
    api = await filled()
    first = await api.ok("GET", CONFIG_MAPS, None, {"limit": "2"})
    await api.ok("DELETE", f"{CONFIG_MAPS}/c3")
    api.server.storage.compact()
    expired = await api("GET", CONFIG_MAPS, None, {"limit": "2", "continue": first["metadata"]["continue"]})
    assert (expired.status, expired.body["reason"]) == (410, "Expired")
    assert expired.message.startswith(
        "The provided continue parameter is too old to display a consistent list result."
    )
    rest = await api.ok(
        "GET", CONFIG_MAPS, None, {"limit": "2", "continue": expired.body["metadata"]["continue"]}
    )
    assert names(rest) == ["c2", "c4"]


@virtual_time
@pytest.mark.parametrize(
    "token",
    [
        "!!",
        "e30",
        "eyJ2IjoieCIsInJ2IjoxLCJzdGFydCI6ImEifQ",
        "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MCwic3RhcnQiOiJhIn0",
    ],
)
async def test_an_invalid_token_is_rejected(token: str) -> None:
    answer = await (await filled(1))("GET", CONFIG_MAPS, None, {"continue": token})
    assert answer.status == 400
    assert answer.message.startswith("invalid continue token: continue key is not valid: ")


@virtual_time
async def test_the_remaining_count_is_omitted_with_selectors() -> None:
    api = await filled()
    page = await api.ok("GET", CONFIG_MAPS, None, {"limit": "1", "labelSelector": "parity=odd"})
    assert names(page) == ["c1"]
    assert "remainingItemCount" not in page["metadata"]
    page = await api.ok(
        "GET",
        CONFIG_MAPS,
        None,
        {"limit": "1", "labelSelector": "parity=odd", "continue": page["metadata"]["continue"]},
    )
    assert names(page) == ["c3"]
    assert "continue" not in page["metadata"]


@virtual_time
async def test_resource_version_and_its_match_select_the_state() -> None:
    api = await filled(2)
    then = str(api.server.storage.version)
    await api.ok("POST", CONFIG_MAPS, config_map("new"))

    async def listed(**query: str) -> list[str]:
        return names(await api.ok("GET", CONFIG_MAPS, None, query))

    assert await listed() == ["c0", "c1", "new"]
    assert await listed(resourceVersion="0") == ["c0", "c1", "new"]
    assert await listed(resourceVersion=then) == ["c0", "c1", "new"]
    assert await listed(resourceVersion=then, resourceVersionMatch="NotOlderThan") == ["c0", "c1", "new"]
    assert await listed(resourceVersion=then, resourceVersionMatch="Exact") == ["c0", "c1"]
    assert await listed(resourceVersion=then, limit="9") == ["c0", "c1"]
    api.server.storage.compact()
    gone = await api("GET", CONFIG_MAPS, None, {"resourceVersion": then, "resourceVersionMatch": "Exact"})
    assert (gone.status, gone.message) == (410, "The resourceVersion for the provided list is too old.")


@virtual_time
async def test_a_future_resource_version_is_a_timeout_with_a_cause() -> None:
    api = await filled(1)
    for path in (CONFIG_MAPS, f"{CONFIG_MAPS}/c0"):
        answer = await api("GET", path, None, {"resourceVersion": "999"})
        assert (answer.status, answer.body["reason"]) == (504, "Timeout")
        assert (
            answer.message
            == f"Timeout: Too large resource version: 999, current: {api.server.storage.version}"
        )
        assert answer.body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


@virtual_time
@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ({"resourceVersion": "abc"}, 400, "invalid resource version"),
        (
            {"resourceVersionMatch": "Exact"},
            422,
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        ),
        ({"resourceVersion": "1", "resourceVersionMatch": "Newest"}, 422, 'Unsupported value: "Newest"'),
        (
            {"resourceVersion": "0", "resourceVersionMatch": "Exact"},
            422,
            'resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
        ),
        ({"sendInitialEvents": "true"}, 422, "sendInitialEvents is forbidden for list"),
        (
            {"watch": "1", "sendInitialEvents": "true"},
            422,
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
        ({"labelSelector": "a in b"}, 400, "unable to parse requirement"),
        (
            {"fieldSelector": "spec.x=1"},
            400,
            '"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
        ({"limit": "many"}, 400, 'parsing "many": invalid syntax'),
    ],
)
async def test_invalid_queries_are_rejected(query: dict, status: int, text: str) -> None:
    answer = await (await filled(1))("GET", CONFIG_MAPS, None, query)
    assert answer.status == status
    assert text in answer.message


@virtual_time
async def test_a_list_covers_all_namespaces_or_one() -> None:
    api = await filled(1)
    await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "other"}})
    await api.ok("POST", "/api/v1/namespaces/other/configmaps", config_map("o"))
    assert names(await api.ok("GET", "/api/v1/configmaps")) == ["c0", "o"]
    assert names(await api.ok("GET", "/api/v1/namespaces/other/configmaps")) == ["o"]
    assert names(
        await api.ok("GET", "/api/v1/configmaps", None, {"fieldSelector": "metadata.namespace!=other"})
    ) == ["c0"]


@virtual_time
async def test_pods_are_selected_by_node_and_phase_and_secrets_by_type() -> None:
    api = Api()
    await api.ok("POST", PODS, pod("a", nodeName="n1"))
    await api.ok("POST", PODS, pod("b"))
    await api.ok("PATCH", f"{PODS}/b/status", {"status": {"phase": "Running"}}, media=MERGE)
    assert names(await api.ok("GET", PODS, None, {"fieldSelector": "spec.nodeName=n1"})) == ["a"]
    assert names(await api.ok("GET", PODS, None, {"fieldSelector": "status.phase!=Pending"})) == ["b"]
    secrets = "/api/v1/namespaces/default/secrets"
    await api.ok("POST", secrets, {"metadata": {"name": "s"}, "type": "x/y"})
    assert names(await api.ok("GET", secrets, None, {"fieldSelector": "type=x/y"})) == ["s"]
    assert names(await api.ok("GET", secrets, None, {"fieldSelector": "type=Opaque"})) == []


@virtual_time
async def test_only_list_items_of_custom_kinds_have_a_kind() -> None:
    api = await filled(1)
    await api.ok("POST", CRDS, crd())
    await api.ok("POST", WIDGETS, widget("w"))
    listed = await api.ok("GET", CONFIG_MAPS)
    assert (listed["kind"], listed["apiVersion"]) == ("ConfigMapList", "v1")
    assert "kind" not in listed["items"][0]
    assert (await api.ok("GET", WIDGETS))["items"][0]["kind"] == "Widget"


@virtual_time
async def test_partial_object_metadata_contains_only_metadata() -> None:
    api = await filled(1)
    one = await api.ok("GET", f"{CONFIG_MAPS}/c0", Accept=PARTIAL)
    assert set(one) == {"kind", "apiVersion", "metadata"}
    assert (one["kind"], one["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
    listed = await api.ok("GET", CONFIG_MAPS, Accept=PARTIAL_LIST)
    assert listed["kind"] == "PartialObjectMetadataList"
    assert listed["items"][0]["metadata"] == one["metadata"]


@virtual_time
async def test_tables_have_columns_rows_and_the_lists_metadata() -> None:
    api = await filled(3)
    table = await api.ok("GET", CONFIG_MAPS, None, {"limit": "2"}, Accept=TABLE)
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [column["name"] for column in table["columnDefinitions"]][:2] == ["Name", "Data"]
    assert [row["cells"][0] for row in table["rows"]] == ["c0", "c1"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert table["metadata"]["continue"]
    assert (await api("GET", CONFIG_MAPS, None, {"includeObject": "Some"}, Accept=TABLE)).status == 400


@virtual_time
async def test_yaml_is_returned_on_request_and_an_unsupported_form_is_406() -> None:
    api = await filled(1)
    answer = await api("GET", f"{CONFIG_MAPS}/c0", Accept="application/yaml")
    assert answer.headers["content-type"] == "application/yaml"
    assert "name: c0\n" in answer.body
    answer = await api("GET", CONFIG_MAPS, Accept="text/html")
    assert (answer.status, answer.body["reason"]) == (406, "NotAcceptable")
    assert (
        await api("GET", CONFIG_MAPS, Accept="application/vnd.kubernetes.protobuf,application/json")
    ).status == 200


@virtual_time
async def test_versions_of_a_kind_share_their_objects() -> None:
    api = Api()
    body = crd()
    second = json.loads(json.dumps(body["spec"]["versions"][0]))
    second.update(name="v2", storage=False, deprecated=True)
    body["spec"]["versions"].append(second)
    await api.ok("POST", CRDS, body)
    await api.ok("POST", WIDGETS, widget("w", size="small"))
    path = WIDGETS.replace("/v1/", "/v2/")
    got = await api.ok("GET", f"{path}/w")
    assert (got["apiVersion"], got["spec"]["size"]) == ("example.com/v2", "small")
    assert (await api.ok("GET", path))["items"][0]["apiVersion"] == "example.com/v2"
    answer = await api("PATCH", f"{path}/w", {"spec": {"size": "large"}}, media=MERGE)
    assert "example.com/v2 Widget is deprecated" in answer.headers["Warning"]
    assert (await api.ok("GET", f"{WIDGETS}/w"))["spec"]["size"] == "large"


@virtual_time
async def test_unknown_methods_and_paths_are_rejected() -> None:
    api = await filled(1)
    unknown = await api("GET", "/apis/nothing.example/v1/things")
    assert (unknown.status, unknown.body) == (404, "404 page not found\n")
    assert (await api("GET", "/api/v1/namespaces/default/nodes")).status == 404
    assert (await api("GET", f"{CONFIG_MAPS}/c0/scale")).status == 404
    for method, path in (
        ("POST", f"{CONFIG_MAPS}/c0"),
        ("PUT", CONFIG_MAPS),
        ("PATCH", CONFIG_MAPS),
        ("POST", "/api/v1/configmaps"),
    ):
        answer = await api(method, path, {}, media=MERGE if method == "PATCH" else "application/json")
        assert (answer.status, answer.body["reason"]) == (405, "MethodNotAllowed")
    missing = await api("GET", f"{CONFIG_MAPS}/none")
    assert (missing.status, missing.message) == (404, 'configmaps "none" not found')
