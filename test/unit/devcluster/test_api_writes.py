"""Create, update and patch, with the messages of the real server."""

from __future__ import annotations

import asyncio

import pytest

from aimctl.testing.virtualtime import virtual_time
from support.apiserver import (
    APPLY,
    CONFIG_MAPS,
    CRDS,
    JSON_PATCH,
    MERGE,
    PODS,
    STRATEGIC,
    WIDGETS,
    Api,
    config_map,
    crd,
    pod,
    widget,
)

JOBS = "/apis/batch/v1/namespaces/default/jobs"


@virtual_time
async def test_a_creation_sets_uid_time_version_and_generation() -> None:
    api = Api()
    await api.ok("POST", CRDS, crd())
    answer = await api("POST", WIDGETS, widget("w", size="small"))
    assert answer.status == 201
    metadata = answer.body["metadata"]
    assert (metadata["generation"], metadata["namespace"]) == (1, "default")
    assert metadata["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert len(metadata["uid"]) == 36
    assert metadata["managedFields"][0]["manager"] == "tester"
    assert "generation" not in (await api.ok("POST", CONFIG_MAPS, config_map("c")))["metadata"]


@virtual_time
async def test_generated_names_have_a_suffix_of_five_characters() -> None:
    api = Api()
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "job-"}}
    names = {(await api.ok("POST", CONFIG_MAPS, body))["metadata"]["name"] for _ in range(20)}
    assert len(names) == 20
    for name in names:
        assert name.startswith("job-")
        assert set(name[4:]) <= set("bcdfghjklmnpqrstvwxz2456789")
        assert len(name) == 9


@virtual_time
async def test_a_second_object_with_the_same_name_already_exists() -> None:
    api = Api()
    await api.ok("POST", CONFIG_MAPS, config_map("c"))
    answer = await api("POST", CONFIG_MAPS, config_map("c"))
    assert (answer.status, answer.body["reason"], answer.message) == (
        409,
        "AlreadyExists",
        'configmaps "c" already exists',
    )
    assert answer.body["details"] == {"name": "c", "kind": "configmaps"}


@virtual_time
@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (
            {"kind": "ConfigMap", "apiVersion": "v2", "metadata": {"name": "c"}},
            400,
            'no kind "ConfigMap" is registered for version "v2"',
        ),
        (
            {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "c"}},
            400,
            "cannot be handled as a ConfigMap",
        ),
        (
            {"metadata": {"name": "c", "namespace": "other"}},
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        ({"metadata": {}}, 422, "metadata.name: Required value: name or generateName is required"),
        (
            {"metadata": {"name": "c", "resourceVersion": "3"}},
            500,
            "resourceVersion should not be set on objects to be created",
        ),
        (
            {"metadata": {"name": "c", "labels": {"a": "b c"}}},
            422,
            'metadata.labels: Invalid value: "b c": a valid label must be an empty string or consist of',
        ),
        (
            {"metadata": {"name": "c", "labels": {"a": 1}}},
            400,
            "cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            {"metadata": {"name": "c", "annotations": {"a": "x" * 262144}}},
            422,
            "metadata.annotations: Too long: may not be more than 262144 bytes",
        ),
        (
            {
                "metadata": {
                    "name": "c",
                    "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": ""}],
                }
            },
            422,
            'metadata.ownerReferences.uid: Invalid value: "": must not be empty',
        ),
        (
            {"metadata": {"name": "c", "finalizers": ["a b"]}},
            422,
            'metadata.finalizers: Invalid value: "a b": name part must consist of',
        ),
    ],
)
async def test_an_invalid_object_is_rejected_with_the_messages_of_the_server(
    body, status: int, text: str
) -> None:
    api = Api()
    before = api.server.storage.version
    answer = await api("POST", CONFIG_MAPS, body)
    assert answer.status == status
    assert text in answer.message
    assert api.server.storage.version == before


@virtual_time
@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("/api/v1/namespaces", {"metadata": {"name": "a.b"}}, "must not contain dots"),
        (
            "/api/v1/namespaces",
            {"metadata": {"name": "a_b"}},
            "a lowercase RFC 1123 label must consist of lower case",
        ),
        ("/api/v1/namespaces", {"metadata": {"name": "x" * 64}}, "must be no more than 63 bytes"),
        (
            "/api/v1/namespaces/default/services",
            {"metadata": {"name": "A1"}, "spec": {"ports": [{"port": 80}]}},
            "a lowercase RFC 1123 label must consist of",
        ),
        (CONFIG_MAPS, {"metadata": {"name": "A_b"}}, "a lowercase RFC 1123 subdomain must consist of"),
        (CONFIG_MAPS, {"metadata": {"name": "x" * 254}}, "must be no more than 253 characters"),
    ],
)
async def test_names_are_checked_by_their_kinds_rule(path: str, body, text: str) -> None:
    answer = await Api()("POST", path, body)
    assert answer.status == 422
    assert text in answer.message


@virtual_time
async def test_rbac_names_may_be_any_path_segment() -> None:
    api = Api()
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    assert (await api("POST", path, {"metadata": {"name": "system:Reader"}, "rules": []})).status == 201
    assert (
        "may not contain '/'" in (await api("POST", path, {"metadata": {"name": "a/b"}, "rules": []})).message
    )


@virtual_time
async def test_a_namespace_must_exist() -> None:
    answer = await Api()("POST", "/api/v1/namespaces/nowhere/configmaps", config_map("c"))
    assert (answer.status, answer.message) == (404, 'namespaces "nowhere" not found')


@virtual_time
async def test_an_update_with_an_old_version_conflicts_and_one_without_a_version_depends_on_the_kind() -> (
    None
):
    api = Api()
    await api.ok("POST", CRDS, crd())
    made = await api.ok("POST", CONFIG_MAPS, config_map("c", a="1"))
    await api.ok("PUT", f"{CONFIG_MAPS}/c", config_map("c", a="2"))
    answer = await api("PUT", f"{CONFIG_MAPS}/c", made)
    assert (answer.status, answer.body["reason"]) == (409, "Conflict")
    assert answer.message == (
        'Operation cannot be fulfilled on configmaps "c": the object has been modified;'
        " please apply your changes to the latest version and try again"
    )
    await api.ok("POST", WIDGETS, widget("w", size="small"))
    answer = await api("PUT", f"{WIDGETS}/w", widget("w", size="large"))
    assert answer.status == 422
    assert "metadata.resourceVersion: Invalid value" in answer.message
    assert "must be specified for an update" in answer.message


@virtual_time
async def test_an_update_for_another_uid_conflicts() -> None:
    api = Api()
    await api.ok("POST", CONFIG_MAPS, config_map("c"))
    body = config_map("c")
    body["metadata"]["uid"] = "other"
    answer = await api("PUT", f"{CONFIG_MAPS}/c", body)
    assert answer.status == 409
    assert "Precondition failed: UID in precondition: other" in answer.message


@virtual_time
async def test_an_update_that_changes_nothing_keeps_the_resource_version() -> None:
    api = Api()
    made = await api.ok("POST", CONFIG_MAPS, config_map("c", a="1"))
    before = api.server.storage.version
    for method, body, type_ in (
        ("PUT", made, "application/json"),
        ("PUT", config_map("c", a="1"), "application/json"),
        ("PATCH", {"data": {"a": "1"}}, MERGE),
        ("PATCH", {"data": {"a": "1"}}, STRATEGIC),
        ("PATCH", [{"op": "replace", "path": "/data/a", "value": "1"}], JSON_PATCH),
    ):
        assert await api.ok(method, f"{CONFIG_MAPS}/c", body, media=type_) == made
    assert api.server.storage.version == before


@virtual_time
async def test_a_number_that_becomes_a_boolean_is_a_change() -> None:
    api = Api()
    await api.ok("POST", CRDS, crd())
    await api.ok("POST", WIDGETS, widget("w", size="small"))
    first = await api.ok("PATCH", f"{WIDGETS}/w/status", {"status": {"on": 1}}, media=MERGE)
    second = await api.ok("PATCH", f"{WIDGETS}/w/status", {"status": {"on": True}}, media=MERGE)
    assert second["status"]["on"] is True
    assert second["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]


@virtual_time
async def test_the_generation_increases_only_with_the_spec() -> None:
    api = Api()
    await api.ok("POST", CRDS, crd())
    await api.ok("POST", WIDGETS, widget("w", size="small"))

    async def generation(path: str, patch: dict) -> int:
        return (await api.ok("PATCH", path, patch, media=MERGE))["metadata"]["generation"]

    assert await generation(f"{WIDGETS}/w", {"metadata": {"labels": {"a": "b"}}}) == 1
    assert await generation(f"{WIDGETS}/w/status", {"status": {"phase": "Ready"}}) == 1
    assert await generation(f"{WIDGETS}/w", {"spec": {"size": "large"}}) == 2
    assert await generation(f"{WIDGETS}/w", {"metadata": {"generation": 9}}) == 2


@virtual_time
async def test_the_status_subresource_changes_only_the_status() -> None:
    api = Api()
    await api.ok("POST", CRDS, crd())
    made = await api.ok("POST", WIDGETS, {**widget("w", size="small"), "status": {"phase": "Forged"}})
    assert "status" not in made
    body = {**made, "status": {"phase": "Ready"}, "spec": {"size": "large"}}
    body["metadata"]["labels"] = {"sneaked": "in"}
    changed = await api.ok("PUT", f"{WIDGETS}/w/status", body)
    assert changed["status"] == {"phase": "Ready"}
    assert changed["spec"]["size"] == "small"
    assert "labels" not in changed["metadata"]
    changed["status"] = {"phase": "Forged"}
    again = await api.ok("PUT", f"{WIDGETS}/w", changed)
    assert again == {**changed, "status": {"phase": "Ready"}}
    assert (await api("GET", f"{CONFIG_MAPS}/c/status")).status == 404


@virtual_time
async def test_fields_set_by_the_server_cannot_be_changed() -> None:
    api = Api()
    await api.ok("POST", CONFIG_MAPS, config_map("c"))
    before = await api.ok("GET", f"{CONFIG_MAPS}/c")
    patch = {"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z", "generation": 7, "selfLink": "x"}}
    assert await api.ok("PATCH", f"{CONFIG_MAPS}/c", patch, media=MERGE) == before
    answer = await api(
        "PATCH", f"{CONFIG_MAPS}/c", {"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z"}}, media=MERGE
    )
    assert "metadata.deletionTimestamp: Invalid value" in answer.message
    answer = await api("PATCH", f"{CONFIG_MAPS}/c", {"metadata": {"name": "d"}}, media=MERGE)
    assert (answer.status, answer.message) == (
        400,
        "the name of the object (d) does not match the name on the URL (c)",
    )


@virtual_time
async def test_each_type_of_patch_is_applied_or_rejected() -> None:
    api = Api()
    await api.ok("POST", CRDS, crd())
    await api.ok("POST", CONFIG_MAPS, config_map("c", a="1", b="2"))
    path = f"{CONFIG_MAPS}/c"
    assert (await api.ok("PATCH", path, {"data": {"a": None}}, media=MERGE))["data"] == {"b": "2"}
    assert (await api.ok("PATCH", path, [{"op": "add", "path": "/data/c", "value": "3"}], media=JSON_PATCH))[
        "data"
    ] == {"b": "2", "c": "3"}
    assert (await api.ok("PATCH", path, {"data": {"d": "4"}}, media=STRATEGIC))["data"] == {
        "b": "2",
        "c": "3",
        "d": "4",
    }
    failed = await api("PATCH", path, [{"op": "test", "path": "/data/c", "value": "9"}], media=JSON_PATCH)
    assert (failed.status, failed.body["reason"]) == (422, "Invalid")
    assert failed.message == "the server rejected our request due to an error in our request"
    assert (await api("PATCH", path, b"{", media=MERGE)).status == 400
    assert (await api("PATCH", path, [], media=MERGE)).status == 400
    stale = await api("PATCH", path, {"metadata": {"resourceVersion": "1"}, "data": {"x": "y"}}, media=MERGE)
    assert stale.status == 409
    assert (await api("PATCH", f"{CONFIG_MAPS}/missing", {}, media=MERGE)).status == 404
    await api.ok("POST", WIDGETS, widget("w", size="small"))
    wrong = await api("PATCH", f"{WIDGETS}/w", {}, media=STRATEGIC)
    assert wrong.status == 415
    assert wrong.message == (
        "the body of the request was in an unknown format - accepted media types include:"
        " application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    )


@virtual_time
async def test_apply_creates_owns_conflicts_and_can_be_forced() -> None:
    api = Api()
    path = f"{CONFIG_MAPS}/c"
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: '1'}\n"
    assert "fieldManager: Required value" in (await api("PATCH", path, body, media=APPLY)).message
    first = await api("PATCH", path, body, {"fieldManager": "one"}, media=APPLY)
    assert first.status == 201
    again = await api("PATCH", path, body, {"fieldManager": "one"}, media=APPLY)
    assert (again.status, again.body) == (200, first.body)
    other = await api("PATCH", path, body.replace(b"'1'", b"'2'"), {"fieldManager": "two"}, media=APPLY)
    assert other.status == 409
    assert other.message == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    forced = await api.ok(
        "PATCH", path, body.replace(b"'1'", b"'2'"), {"fieldManager": "two", "force": "true"}, media=APPLY
    )
    assert forced["data"] == {"a": "2"}
    mismatch = await api(
        "PATCH", path, body.replace(b"ConfigMap", b"Secret"), {"fieldManager": "one"}, media=APPLY
    )
    assert mismatch.status == 400
    assert (await api("PATCH", path, {}, {"force": "true"}, media=MERGE)).status == 422


@virtual_time
async def test_two_managers_share_a_status_by_apply() -> None:
    api = Api()
    schema = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    condition = {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"type": "string"}, "status": {"type": "string"}},
    }
    schema["properties"]["status"] = {
        "type": "object",
        "properties": {
            "conditions": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": condition,
            }
        },
    }
    await api.ok("POST", CRDS, crd(schema={"openAPIV3Schema": schema}))
    await api.ok("POST", WIDGETS, widget("w", size="small"))

    async def applied(manager: str, type_: str) -> dict:
        body = {
            "apiVersion": "example.com/v1",
            "kind": "Widget",
            "metadata": {"name": "w"},
            "status": {"conditions": [{"type": type_, "status": "True"}]},
        }
        return await api.ok("PATCH", f"{WIDGETS}/w/status", body, {"fieldManager": manager}, media=APPLY)

    await applied("one", "A")
    both = await applied("two", "B")
    assert [each["type"] for each in both["status"]["conditions"]] == ["A", "B"]
    assert await applied("one", "A") == both
    moved = await applied("one", "C")
    assert sorted(each["type"] for each in moved["status"]["conditions"]) == ["B", "C"]


@virtual_time
async def test_unknown_fields_are_ignored_warned_about_or_rejected() -> None:
    api = Api()
    await api.ok("POST", CRDS, crd())
    body = widget("w", size="small", color="red")
    strict = await api("POST", WIDGETS, body, {"fieldValidation": "Strict"})
    assert strict.status == 400
    assert (
        strict.message
        == 'Widget in version "v1" cannot be handled as a Widget: strict decoding error: unknown field "spec.color"'
    )
    warned = await api("POST", WIDGETS, body, {"dryRun": "All"})
    assert warned.headers["Warning"] == r'299 - "unknown field \"spec.color\""'
    quiet = await api("POST", WIDGETS, body, {"fieldValidation": "Ignore"})
    assert "Warning" not in quiet.headers
    assert quiet.body["spec"] == {"size": "small", "replicas": 1}
    patched = await api(
        "PATCH", f"{WIDGETS}/w", {"spec": {"color": "red"}}, {"fieldValidation": "Strict"}, media=MERGE
    )
    assert patched.status == 422
    assert 'strict decoding error: unknown field "spec.color"' in patched.message
    odd = await api("POST", WIDGETS, body, {"fieldValidation": "Loud"})
    assert odd.message.startswith(
        'CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "Loud"'
    )


@virtual_time
async def test_an_object_that_violates_its_schema_is_rejected_with_causes() -> None:
    api = Api()
    await api.ok("POST", CRDS, crd())
    answer = await api("POST", WIDGETS, widget("w", size="huge"))
    assert (
        answer.message
        == 'Widget.example.com "w" is invalid: spec.size: Unsupported value: "huge": supported values: "small", "large"'
    )
    assert answer.body["details"]["causes"][0]["field"] == "spec.size"


@virtual_time
async def test_a_dry_run_does_not_store() -> None:
    api = Api()
    made = await api.ok("POST", CONFIG_MAPS, config_map("c", a="1"))
    before = api.server.storage.version
    new = await api.ok("POST", CONFIG_MAPS, config_map("d"), {"dryRun": "All"})
    assert new["metadata"]["uid"]
    assert "resourceVersion" not in new["metadata"]
    changed = await api.ok("PATCH", f"{CONFIG_MAPS}/c", {"data": {"a": "2"}}, {"dryRun": "All"}, media=MERGE)
    assert changed["data"] == {"a": "2"}
    await api.ok("DELETE", f"{CONFIG_MAPS}/c", None, {"dryRun": "All"})
    assert await api.ok("GET", f"{CONFIG_MAPS}/c") == made
    assert (await api("GET", f"{CONFIG_MAPS}/d")).status == 404
    assert api.server.storage.version == before
    assert (await api("POST", CONFIG_MAPS, config_map("e"), {"dryRun": "Some"})).status == 422


@virtual_time
async def test_the_body_may_be_json_or_yaml() -> None:
    api = Api()
    await api.ok(
        "POST", CONFIG_MAPS, b"metadata: {name: yaml}\ndata: {a: '2026-01-01'}\n", media="application/yaml"
    )
    assert (await api.ok("GET", f"{CONFIG_MAPS}/yaml"))["data"] == {"a": "2026-01-01"}
    answer = await api("POST", CONFIG_MAPS, b"name=x", media="application/x-www-form-urlencoded")
    assert (answer.status, answer.body["reason"]) == (415, "UnsupportedMediaType")
    assert (await api("POST", CONFIG_MAPS, b"{")).status == 400
    assert (await api("POST", CONFIG_MAPS, b"[]")).status == 400


@virtual_time
async def test_a_body_above_the_limit_is_too_large() -> None:
    answer = await Api()("POST", CONFIG_MAPS, config_map("c", a="x" * (3 * 1024 * 1024)))
    assert (answer.status, answer.body["reason"]) == (413, "RequestEntityTooLarge")


@virtual_time
async def test_a_lease_is_created_by_an_update_and_not_overwritten_without_a_version() -> None:
    api = Api()
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l"
    body = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "l"},
        "spec": {"holderIdentity": "a"},
    }
    made = await api("PUT", path, body)
    assert made.status == 201
    assert (await api("PUT", path, body)).status == 422
    made.body["spec"]["holderIdentity"] = "b"
    await api.ok("PUT", path, made.body)
    made.body["spec"]["holderIdentity"] = "c"
    assert (await api("PUT", path, made.body)).status == 409


@virtual_time
async def test_a_job_gets_its_selector_and_keeps_its_template() -> None:
    api = Api()
    spec = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "x"}]}}}
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": spec}
    made = await api.ok("POST", JOBS, body)
    uid = made["metadata"]["uid"]
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert labels["batch.kubernetes.io/job-name"] == labels["job-name"] == "j"
    assert (made["spec"]["backoffLimit"], made["spec"]["completions"]) == (6, 1)
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "y"}]}}}}
    answer = await api("PATCH", f"{JOBS}/j", patch, media=STRATEGIC)
    assert answer.status == 422
    assert "spec.template: Invalid value" in answer.message
    assert answer.message.endswith("field is immutable")
    spec["template"]["spec"]["restartPolicy"] = "Always"
    answer = await api("POST", JOBS, {**body, "metadata": {"name": "k"}})
    assert (
        'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'
        in answer.message
    )


@virtual_time
async def test_string_data_of_secrets_is_encoded_and_immutable_secrets_do_not_change() -> None:
    api = Api()
    path = "/api/v1/namespaces/default/secrets"
    made = await api.ok(
        "POST", path, {"metadata": {"name": "s"}, "stringData": {"a": "b"}, "immutable": True}
    )
    assert (made["data"], made["type"]) == ({"a": "Yg=="}, "Opaque")
    assert "stringData" not in made
    answer = await api("PATCH", f"{path}/s", {"data": {"a": "Yw=="}}, media=MERGE)
    assert "data: Forbidden: field is immutable when `immutable` is set" in answer.message
    answer = await api("PATCH", f"{path}/s", {"type": "other"}, media=MERGE)
    assert 'type: Invalid value: "other": field is immutable' in answer.message
    answer = await api("POST", path, {"metadata": {"name": "t"}, "data": {"a": "***"}})
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")


@virtual_time
async def test_only_some_fields_of_a_pod_spec_can_change() -> None:
    api = Api()
    made = await api.ok("POST", PODS, pod("p"))
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert made["spec"]["serviceAccountName"] == "default"
    answer = await api("PATCH", f"{PODS}/p", {"spec": {"hostname": "h"}}, media=MERGE)
    assert answer.message.startswith(
        'Pod "p" is invalid: spec: Forbidden: pod updates may not change fields other than'
    )
    await api.ok(
        "PATCH", f"{PODS}/p", {"spec": {"containers": [{"name": "main", "image": "other"}]}}, media=STRATEGIC
    )


@virtual_time
async def test_an_admission_hook_may_change_or_reject_a_write() -> None:
    from aimctl.devcluster.apiserver.wire import statuses

    api = Api()

    class Hook:
        def admit(self, kind, new, old, subresource) -> None:
            if kind.resource.plural == "configmaps":
                if "bad" in new.get("data", {}):
                    raise statuses.forbidden(kind.resource, new["metadata"]["name"], "no bad things")
                new["data"] = {**new.get("data", {}), "seen": "created" if old is None else "updated"}

    api.server.admission.append(Hook())
    assert (await api.ok("POST", CONFIG_MAPS, config_map("c", a="1")))["data"] == {
        "a": "1",
        "seen": "created",
    }
    assert (await api.ok("PUT", f"{CONFIG_MAPS}/c", config_map("c")))["data"] == {"seen": "updated"}
    answer = await api("POST", CONFIG_MAPS, config_map("d", bad="1"))
    assert (answer.status, answer.message) == (403, 'configmaps "d" is forbidden: no bad things')


@virtual_time
async def test_events_of_both_groups_are_one_collection() -> None:
    api = Api()
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "e"},
        "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
        "note": "hello",
        "reason": "R",
        "type": "Normal",
        "action": "A",
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "c",
        "reportingInstance": "i",
    }
    made = await api.ok("POST", "/apis/events.k8s.io/v1/namespaces/default/events", event)
    assert made["note"] == "hello"
    listed = await api.ok(
        "GET",
        "/api/v1/namespaces/default/events",
        None,
        {"fieldSelector": "involvedObject.name=p,type=Normal"},
    )
    assert [(each["message"], each["reportingComponent"]) for each in listed["items"]] == [("hello", "c")]
    again = await api.ok("GET", "/apis/events.k8s.io/v1/namespaces/default/events/e")
    assert again == made
    made["series"] = {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"}
    await api.ok("PUT", "/apis/events.k8s.io/v1/namespaces/default/events/e", made)
    assert (await api.ok("GET", "/api/v1/namespaces/default/events/e"))["series"]["count"] == 2


@virtual_time
async def test_an_empty_list_removes_the_managed_fields() -> None:
    api = Api()
    made = await api.ok("POST", CONFIG_MAPS, config_map("c", a="1"))
    assert made["metadata"]["managedFields"]
    made["metadata"]["managedFields"] = []
    assert "managedFields" not in (await api.ok("PUT", f"{CONFIG_MAPS}/c", made))["metadata"]


@virtual_time
@pytest.mark.parametrize(
    "metadata",
    ["text", [], {"name": 5}, {"name": "c", "labels": ["a"]}, {"name": "c", "ownerReferences": ["x"]}],
)
async def test_metadata_with_wrong_types_is_a_bad_request(metadata) -> None:
    api = Api()
    await api.ok("POST", CRDS, crd())
    for path, body in ((CONFIG_MAPS, {}), (WIDGETS, {"apiVersion": "example.com/v1", "kind": "Widget"})):
        answer = await api("POST", path, {**body, "metadata": metadata})
        assert (answer.status, "cannot unmarshal" in answer.message) == (400, True)


@virtual_time
async def test_an_event_expires_an_hour_after_its_last_write() -> None:
    api = Api()
    path = "/api/v1/namespaces/default/events"

    async def written(name: str) -> None:
        await api.ok(
            "POST",
            path,
            {"metadata": {"name": name}, "involvedObject": {"namespace": "default"}, "message": "m"},
        )

    async def names() -> list[str]:
        return [item["metadata"]["name"] for item in (await api.ok("GET", path))["items"]]

    await written("quiet")
    await written("repeated")
    await asyncio.sleep(1800)
    await api.ok("PATCH", f"{path}/repeated", {"count": 2}, media=MERGE)
    await asyncio.sleep(1799)
    await written("later")
    assert await names() == ["later", "quiet", "repeated"]
    await asyncio.sleep(1)
    await written("last")
    assert await names() == ["last", "later", "repeated"]
