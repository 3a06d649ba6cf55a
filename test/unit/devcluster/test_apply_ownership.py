"""Server-side apply: ownership, conflicts, and the removal of fields."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aimctl.devcluster.apiserver.apply.fieldsets import fields_from_wire, fields_to_wire, path_text
from aimctl.devcluster.apiserver.apply.merging import compare, fields_of, merge
from aimctl.devcluster.apiserver.apply.server_side import (
    ApplyConflict,
    ApplyError,
    record_update,
    reset_fields,
    server_side_apply,
)
from aimctl.devcluster.apiserver.schema import Schema

API = "aim.silogen.ai/v1alpha1"
CONDITION = {
    "type": "object",
    "required": ["type", "status"],
    "properties": {"type": {"type": "string"}, "status": {"type": "string"}, "reason": {"type": "string"}},
}
SCHEMA = Schema.from_crd(
    {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "metric": {"type": "string"},
                    "precision": {"type": "string"},
                    "gpuSelector": {
                        "type": "object",
                        "properties": {"count": {"type": "integer"}, "model": {"type": "string"}},
                    },
                    "args": {"type": "array", "items": {"type": "string"}},
                    "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
                    "selector": {
                        "type": "object",
                        "x-kubernetes-map-type": "atomic",
                        "additionalProperties": {"type": "string"},
                    },
                    "ports": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["port", "protocol"],
                        "items": {
                            "type": "object",
                            "required": ["port"],
                            "properties": {
                                "port": {"type": "integer"},
                                "protocol": {"type": "string", "default": "TCP"},
                                "name": {"type": "string"},
                            },
                        },
                    },
                    "engine": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                },
            },
            "status": {
                "type": "object",
                "properties": {
                    "status": {"type": "string"},
                    "modelSources": {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                    "conditions": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["type"],
                        "items": CONDITION,
                    },
                },
            },
        },
    }
)  # fmt: skip


def config(**parts: Any) -> dict[str, Any]:
    metadata = {"name": "t", "namespace": "ml", **parts.pop("metadata", {})}
    return {"apiVersion": API, "kind": "AIMServiceTemplate", "metadata": metadata, **parts}


def apply(
    live: dict[str, Any] | None,
    applied: dict[str, Any],
    manager: str,
    *,
    force: bool = False,
    subresource: str = "",
    now: str = "2026-01-01T00:00:00Z",
) -> dict[str, Any]:
    return server_side_apply(
        live,
        applied,
        manager=manager,
        force=force,
        schema=SCHEMA,
        api_version=API,
        subresource=subresource,
        now=now,
        reset=reset_fields(status_subresource=True, subresource=subresource),
    )


def update(
    old: dict[str, Any] | None, new: dict[str, Any], manager: str, *, now: str = "2026-01-01T00:00:00Z"
) -> dict[str, Any]:
    return record_update(old, new, manager=manager, schema=SCHEMA, api_version=API, now=now)


def owned(obj: dict[str, Any], manager: str, operation: str = "Apply", subresource: str = "") -> list[str]:
    for entry in obj["metadata"].get("managedFields", []):
        if (entry["manager"], entry["operation"], entry.get("subresource", "")) == (
            manager,
            operation,
            subresource,
        ):
            return sorted(path_text(path) for path in fields_from_wire(entry["fieldsV1"]))
    return []


def test_applying_creates_and_owns_exactly_the_configuration() -> None:
    obj = apply(
        None,
        config(
            metadata={"labels": {"a": "b"}, "ownerReferences": [{"uid": "u1", "name": "o", "kind": "K", "apiVersion": "v1"}]},
            spec={
                "metric": "latency",
                "gpuSelector": {"count": 1},
                "args": ["x"],
                "tags": ["one"],
                "selector": {"k": "v"},
                "ports": [{"port": 80, "name": "http"}],
                "engine": {"deep": {"er": 1}},
            },
        ),
        "me",
    )  # fmt: skip
    (entry,) = obj["metadata"]["managedFields"]
    assert entry == {
        "manager": "me",
        "operation": "Apply",
        "apiVersion": API,
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {
            "f:metadata": {"f:labels": {"f:a": {}}, "f:ownerReferences": {'k:{"uid":"u1"}': {}}},
            "f:spec": {
                "f:args": {},
                "f:engine": {"f:deep": {".": {}, "f:er": {}}},
                "f:gpuSelector": {"f:count": {}},
                "f:metric": {},
                "f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:port": {}}},
                "f:selector": {},
                "f:tags": {'v:"one"': {}},
            },
        },
    }


def test_a_repeated_identical_apply_changes_nothing_not_even_the_time() -> None:
    applied = config(spec={"metric": "latency", "tags": ["b", "a"], "gpuSelector": {"count": 1}})
    first = apply(None, applied, "me")
    assert apply(first, applied, "me", now="2030-01-01T00:00:00Z") == first


def test_another_managers_value_is_a_conflict_with_the_servers_message() -> None:
    live = apply(None, config(spec={"metric": "latency"}), "other")
    with pytest.raises(ApplyConflict) as caught:
        apply(live, config(spec={"metric": "throughput"}), "me")
    assert str(caught.value) == 'Apply failed with 1 conflict: conflict with "other": .spec.metric'
    live = update(None, config(spec={"metric": "latency"}), "kubectl-create")
    with pytest.raises(ApplyConflict) as caught:
        apply(live, config(spec={"metric": "throughput"}), "me")
    assert (
        str(caught.value)
        == f'Apply failed with 1 conflict: conflict with "kubectl-create" using {API}: .spec.metric'
    )
    assert caught.value.causes() == [
        {
            "reason": "FieldManagerConflict",
            "message": f'conflict with "kubectl-create" using {API}',
            "field": ".spec.metric",
        }
    ]


def test_several_conflicts_are_listed_by_manager() -> None:
    live = apply(None, config(spec={"metric": "a", "precision": "b"}), "one")
    live = apply(live, config(spec={"gpuSelector": {"count": 1}}), "two")
    with pytest.raises(ApplyConflict) as caught:
        apply(live, config(spec={"metric": "x", "precision": "x", "gpuSelector": {"count": 2}}), "me")
    assert str(caught.value) == (
        'Apply failed with 3 conflicts: conflicts with "one":\n- .spec.metric\n- .spec.precision\n'
        'conflicts with "two":\n- .spec.gpuSelector.count'
    )


def test_force_takes_the_field_from_its_owner() -> None:
    live = apply(None, config(spec={"metric": "a", "precision": "b"}), "other")
    obj = apply(live, config(spec={"metric": "x"}), "me", force=True)
    assert obj["spec"] == {"metric": "x", "precision": "b"}
    assert owned(obj, "me") == [".spec.metric"]
    assert owned(obj, "other") == [".spec.precision"]


def test_a_shared_value_stays_until_its_last_owner_omits_it() -> None:
    live = apply(None, config(spec={"metric": "a"}), "one")
    live = apply(live, config(spec={"metric": "a"}), "two")
    assert owned(live, "one") == owned(live, "two") == [".spec.metric"]
    live = apply(live, config(), "one")
    assert live["spec"] == {"metric": "a"}
    live = apply(live, config(), "two")
    assert "metric" not in live.get("spec", {})
    assert "managedFields" not in live["metadata"]


def test_a_field_that_is_no_longer_applied_is_removed_with_its_emptied_parents() -> None:
    live = apply(None, config(spec={"metric": "a", "gpuSelector": {"count": 1, "model": "m"}}), "me")
    live = apply(live, config(spec={"metric": "a", "gpuSelector": {"count": 1}}), "me")
    assert live["spec"]["gpuSelector"] == {"count": 1}
    live = apply(live, config(spec={"metric": "a"}), "me")
    assert live["spec"] == {"metric": "a"}


def test_fields_of_other_managers_stay_when_a_field_is_removed() -> None:
    live = apply(None, config(spec={"gpuSelector": {"count": 1}}), "me")
    changed = copy.deepcopy(live)
    changed["spec"]["gpuSelector"]["model"] = "m"
    live = update(live, changed, "editor")
    live = apply(live, config(spec={}), "me")
    assert live["spec"] == {"gpuSelector": {"model": "m"}}
    assert owned(live, "editor", "Update") == [".spec.gpuSelector.model"]


def test_unowned_values_like_defaults_are_not_removed() -> None:
    live = apply(None, config(spec={"gpuSelector": {"model": "m"}}), "me")
    live["spec"]["gpuSelector"]["count"] = 1
    live = apply(live, config(spec={}), "me")
    assert live["spec"] == {"gpuSelector": {"count": 1}}


def test_managers_own_different_conditions_of_one_list() -> None:
    live = update(None, config(spec={"metric": "a"}), "kubectl-create")
    for manager, kind in (("discovery", "Discovered"), ("caching", "CacheWarm"), ("templates", "Ready")):
        status = {"conditions": [{"type": kind, "status": "True", "reason": "R"}]}
        live = apply(live, config(status=status), manager, subresource="status")
    assert [condition["type"] for condition in live["status"]["conditions"]] == [
        "Discovered",
        "CacheWarm",
        "Ready",
    ]
    assert owned(live, "caching", subresource="status") == [
        '.status.conditions[type="CacheWarm"]',
        '.status.conditions[type="CacheWarm"].reason',
        '.status.conditions[type="CacheWarm"].status',
        '.status.conditions[type="CacheWarm"].type',
    ]
    flipped = {"conditions": [{"type": "CacheWarm", "status": "False"}]}
    live = apply(live, config(status=flipped), "caching", subresource="status")
    assert live["status"]["conditions"][1] == {"type": "CacheWarm", "status": "False"}
    with pytest.raises(
        ApplyConflict,
        match=r'conflict with "caching" with subresource "status": \.status\.conditions\[type="CacheWarm"\]\.status',
    ):
        apply(live, config(status={"conditions": [{"type": "CacheWarm", "status": "True"}]}), "templates", subresource="status")  # fmt: skip
    live = apply(live, config(status={}), "caching", subresource="status")
    assert [condition["type"] for condition in live["status"]["conditions"]] == ["Discovered", "Ready"]


def test_the_main_resource_does_not_change_status_nor_the_subresource_spec() -> None:
    live = apply(None, config(spec={"metric": "a"}, status={"status": "Ready"}), "me")
    assert "status" not in live
    assert owned(live, "me") == [".spec.metric"]
    live = apply(live, config(spec={"metric": "b"}, status={"status": "Ready"}), "me", subresource="status")
    assert live["spec"] == {"metric": "a"}
    assert owned(live, "me", subresource="status") == [".status.status"]


def test_a_manager_has_one_entry_for_each_subresource() -> None:
    live = apply(None, config(spec={"metric": "a"}), "me")
    live = apply(live, config(status={"status": "Ready"}), "me", subresource="status")
    assert owned(live, "me") == [".spec.metric"]
    assert owned(live, "me", subresource="status") == [".status.status"]
    live = apply(live, config(spec={"metric": "a"}), "me")
    assert live["status"] == {"status": "Ready"}


def test_atomic_lists_and_maps_are_owned_as_a_whole() -> None:
    live = apply(None, config(spec={"args": ["a"], "selector": {"k": "v"}}), "one")
    with pytest.raises(ApplyConflict) as caught:
        apply(live, config(spec={"args": ["a", "b"], "selector": {"k": "v", "l": "w"}}), "two")
    assert [field for field, _ in caught.value.conflicts] == [".spec.args", ".spec.selector"]
    live = apply(live, config(spec={"args": ["b"], "selector": {"l": "w"}}), "two", force=True)
    assert live["spec"] == {"args": ["b"], "selector": {"l": "w"}}
    assert owned(live, "one") == []


def test_sets_hold_items_of_several_owners() -> None:
    live = apply(None, config(spec={"tags": ["a", "b"]}), "one")
    live = apply(live, config(spec={"tags": ["b", "c"]}), "two")
    assert live["spec"]["tags"] == ["a", "b", "c"]
    live = apply(live, config(spec={"tags": ["a"]}), "one")
    assert live["spec"]["tags"] == ["a", "b", "c"]
    live = apply(live, config(spec={}), "two")
    assert live["spec"]["tags"] == ["a"]


def test_shared_items_have_the_applied_order_and_others_keep_their_position() -> None:
    ports = [{"port": port} for port in (1, 2, 3)]
    live = apply(None, config(spec={"ports": ports}), "one")
    live = apply(live, config(spec={"ports": [{"port": 4}, {"port": 3}, {"port": 1}]}), "two")
    assert [port["port"] for port in live["spec"]["ports"]] == [4, 3, 1, 2]


def test_several_managers_can_apply_owner_references() -> None:
    def reference(uid: str) -> dict[str, Any]:
        return {"apiVersion": API, "kind": "AIMService", "name": uid, "uid": uid}

    live = apply(None, config(metadata={"ownerReferences": [reference("1")]}), "svc-1")
    live = apply(live, config(metadata={"ownerReferences": [reference("2")]}), "svc-2")
    assert [ref["uid"] for ref in live["metadata"]["ownerReferences"]] == ["1", "2"]
    live = apply(live, config(), "svc-1")
    assert [ref["uid"] for ref in live["metadata"]["ownerReferences"]] == ["2"]


def test_a_list_item_without_its_key_cannot_be_applied() -> None:
    with pytest.raises(ApplyError) as caught:
        apply(None, config(spec={"ports": [{"name": "x"}]}), "me")
    assert str(caught.value) == (
        "failed to create typed patch object (ml/t; aim.silogen.ai/v1alpha1, Kind=AIMServiceTemplate): "
        '.spec.ports: element 0: associative list with keys has an element that omits key field "port" '
        "(and doesn't have default value)"
    )


def test_an_unknown_field_cannot_be_applied() -> None:
    with pytest.raises(ApplyError, match=r"\.spec\.foo: field not declared in schema"):
        apply(None, config(spec={"foo": 1}), "me")


def test_managed_fields_or_another_version_in_the_configuration_are_rejected() -> None:
    with pytest.raises(ApplyError, match=r"metadata\.managedFields must be nil"):
        apply(None, config(metadata={"managedFields": []}), "me")
    with pytest.raises(ApplyError, match="Incorrect version specified in apply patch"):
        apply(None, {**config(), "apiVersion": "aim.silogen.ai/v1"}, "me")


def test_an_update_owns_what_it_changed() -> None:
    old = update(
        None, config(spec={"metric": "a", "tags": ["x"]}, metadata={"labels": {"l": "1"}}), "creator"
    )
    assert owned(old, "creator", "Update") == [
        ".metadata.labels",
        ".metadata.labels.l",
        ".spec",
        ".spec.metric",
        ".spec.tags",
        '.spec.tags[="x"]',
    ]
    changed = copy.deepcopy(old)
    changed["spec"]["metric"] = "b"
    del changed["metadata"]["labels"]
    new = update(old, changed, "editor", now="2027-01-01T00:00:00Z")
    assert owned(new, "editor", "Update") == [".spec.metric"]
    assert owned(new, "creator", "Update") == [".spec", ".spec.tags", '.spec.tags[="x"]']


def test_an_update_that_changes_nothing_keeps_managers_and_times() -> None:
    old = update(None, config(spec={"metric": "a"}), "creator")
    assert update(old, copy.deepcopy(old), "editor", now="2027-01-01T00:00:00Z") == old
    without = copy.deepcopy(old)
    del without["metadata"]["managedFields"]
    assert update(old, without, "creator", now="2027-01-01T00:00:00Z") == old


def test_another_value_in_an_owned_field_keeps_the_time_of_an_update_entry() -> None:
    old = update(None, config(spec={"metric": "a"}), "creator")
    changed = copy.deepcopy(old)
    changed["spec"]["metric"] = "b"
    new = update(old, changed, "creator", now="2027-01-01T00:00:00Z")
    assert new["metadata"]["managedFields"] == old["metadata"]["managedFields"]


@pytest.mark.parametrize("reset", [[], [{}]])
def test_managed_fields_can_be_removed_and_start_again_with_the_next_apply(reset: list[Any]) -> None:
    old = update(None, config(spec={"metric": "a"}), "creator")
    new = copy.deepcopy(old)
    new["metadata"]["managedFields"] = reset
    new = update(old, new, "editor")
    assert "managedFields" not in new["metadata"]
    assert "managedFields" not in update(new, {**new, "spec": {"metric": "b"}}, "editor")["metadata"]
    applied = apply(new, config(spec={"precision": "fp8"}), "me")
    assert owned(applied, "before-first-apply", "Update") == [".spec", ".spec.metric"]
    with pytest.raises(ApplyConflict, match=r"before-first-apply"):
        apply(new, config(spec={"metric": "z"}), "me")


def test_a_client_may_edit_the_managed_fields() -> None:
    """kubectl turns client-side into server-side ownership by rewriting managedFields."""
    old = update(None, config(spec={"metric": "a"}), "kubectl-client-side-apply")
    new = copy.deepcopy(old)
    new["metadata"]["managedFields"][0].update(manager="kubectl", operation="Apply")
    new = update(old, new, "kubectl")
    assert [(e["manager"], e["operation"]) for e in new["metadata"]["managedFields"]] == [
        ("kubectl", "Apply")
    ]


def test_an_apply_with_a_changed_value_updates_its_time() -> None:
    live = apply(None, config(spec={"metric": "a"}), "me")
    live = apply(live, config(spec={"metric": "b"}), "me", now="2027-01-01T00:00:00Z")
    assert live["metadata"]["managedFields"][0]["time"] == "2027-01-01T00:00:00Z"


def test_kubectl_takes_over_only_the_fields_of_its_client_side_apply() -> None:
    note = "kubectl.kubernetes.io/last-applied-configuration"
    applied = config(spec={"metric": "a"})
    first = config(spec={"metric": "a"}, metadata={"annotations": {note: json.dumps(applied)}})
    live = update(None, first, "kubectl-client-side-apply")
    with pytest.raises(ApplyConflict):
        apply(live, config(spec={"metric": "b"}), "somebody-else")
    taken = apply(live, config(spec={"metric": "b"}), "kubectl")
    assert taken["spec"] == {"metric": "b"}
    assert json.loads(taken["metadata"]["annotations"][note])["spec"] == {"metric": "b"}
    assert apply(taken, config(spec={"metric": "b"}), "kubectl", now="2030-01-01T00:00:00Z") == taken
    changed = copy.deepcopy(live)
    changed["spec"]["metric"] = "c"
    with pytest.raises(ApplyConflict, match=r"editor"):
        apply(update(live, changed, "editor"), config(spec={"metric": "b"}), "kubectl")


# Properties ---------------------------------------------------------------------------------------------------------

words = st.sampled_from(["a", "b", "c"])


def _port_number(port: Any) -> Any:
    return port["port"]


specs = st.fixed_dictionaries(
    {},
    optional={
        "metric": words,
        "precision": words,
        "gpuSelector": st.fixed_dictionaries({}, optional={"count": st.integers(1, 3), "model": words}),
        "args": st.lists(words, max_size=2),
        # An empty set or list-map has no owner, as on the real server, so none is generated here.
        "tags": st.lists(words, min_size=1, max_size=3, unique=True),
        "selector": st.dictionaries(words, words, max_size=2),
        "ports": st.lists(
            st.fixed_dictionaries({"port": st.integers(1, 3)}, optional={"name": words}),
            min_size=1,
            max_size=3,
            unique_by=_port_number,
        ),
        "engine": st.dictionaries(
            words, st.one_of(words, st.dictionaries(words, words, max_size=2)), max_size=2
        ),
    },
)
histories = st.lists(st.tuples(st.sampled_from(["one", "two", "three"]), specs), min_size=1, max_size=5)


def run(history: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    live: dict[str, Any] | None = None
    for step, (manager, spec) in enumerate(history):
        live = apply(live, config(spec=spec), manager, force=True, now=f"2026-01-01T00:00:{step:02}Z")
    assert live is not None
    return live


@given(histories)
def test_applying_again_is_always_a_no_op(history: list[tuple[str, dict[str, Any]]]) -> None:
    live = run(history)
    manager, spec = history[-1]
    assert apply(live, config(spec=spec), manager, now="2030-01-01T00:00:00Z") == live


@given(histories)
def test_the_managers_together_own_exactly_the_fields_of_the_object(
    history: list[tuple[str, dict[str, Any]]],
) -> None:
    live = run(history)
    entries = [fields_from_wire(entry["fieldsV1"]) for entry in live["metadata"].get("managedFields", [])]
    everything = {path for path in fields_of(live, SCHEMA.root) if path[0] == "f:spec"}
    owned_by_someone = set().union(*entries)
    leaves = {
        path
        for path in everything
        if not any(other[: len(path)] == path and other != path for other in everything)
    }
    assert leaves <= owned_by_someone | {("f:spec",)}
    assert owned_by_someone <= everything | {
        path[:depth] for path in everything for depth in range(len(path))
    }


@given(histories)
def test_the_last_applied_values_are_in_the_object(
    history: list[tuple[str, dict[str, Any]]],
) -> None:
    live = run(history)
    _, spec = history[-1]
    merged = merge(live.get("spec", {}), spec, SCHEMA.root.properties["spec"])
    # An apply that only changes the order of a set or list-map is a no-op, as on the real server.
    assert _unordered(merged) == _unordered(live.get("spec", {}))


@given(histories)
def test_when_all_managers_omit_their_fields_nothing_is_left(
    history: list[tuple[str, dict[str, Any]]],
) -> None:
    live = run(history)
    for manager in ("one", "two", "three"):
        live = apply(live, config(), manager)
    assert live.get("spec", {}) == {}
    assert "managedFields" not in live["metadata"]


def _unordered(spec: dict[str, Any]) -> dict[str, Any]:
    ordered = dict(spec)
    for name, key in (("tags", str), ("ports", _port_number)):
        if name in ordered:
            ordered[name] = sorted(ordered[name], key=key)
    return ordered


@given(specs, specs)
@example({"tags": ["a", "b", "c"]}, {"tags": ["a", "c", "b"]})
def test_an_update_by_comparison_explains_every_difference(old: dict[str, Any], new: dict[str, Any]) -> None:
    difference = compare({"spec": old}, {"spec": new}, SCHEMA.root)
    assert difference.same == (_unordered(old) == _unordered(new)), "order says nothing in sets and list-maps"
    assert not difference.added & difference.removed
    assert not difference.modified & (difference.added | difference.removed)


@given(specs)
def test_parsing_serialised_field_sets_returns_equal_sets(spec: dict[str, Any]) -> None:
    fields = fields_of({"spec": spec}, SCHEMA.root)
    assert fields_from_wire(fields_to_wire(fields)) == fields
