"""Owner references, finalizers and conditions: what controllerutil and meta.SetStatusCondition do, as pure functions."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aimctl.kubetypes import (
    AlreadyOwned,
    Condition,
    InvalidOwner,
    MetadataOnly,
    Object,
    Resource,
    add_finalizer,
    append_owner_reference,
    find_condition,
    has_finalizer,
    is_true,
    new_condition,
    remove_finalizer,
    remove_owner_reference,
    set_condition,
    set_controller_reference,
)

TEAMS = Resource.untyped("example.org", "v1", "Team", "teams")
REGIONS = Resource.untyped("example.org", "v1", "Region", "regions", namespaced=False)
T0, T1 = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


def obj(
    name: str, *, uid: str | None = None, resource: Resource[Any] = TEAMS, **metadata: Any
) -> Object[Any]:
    head = {"name": name, "uid": f"uid-{name}" if uid is None else uid, **metadata}
    if resource.namespaced:
        head.setdefault("namespace", "default")
    body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": head, "spec": {"size": 1}}
    return Object.parse(resource, json.dumps(body).encode())


def config(**metadata: Any) -> dict[str, Any]:
    return {
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": "default", **metadata},
        "data": {"a": "b"},
    }


def owners(body: dict[str, Any]) -> list[tuple[str, bool]]:
    return [(one["uid"], one["controller"]) for one in body["metadata"]["ownerReferences"]]


# ---- owner references


def test_a_controller_reference_has_all_fields() -> None:
    before = config()
    body = set_controller_reference(obj("a"), before)
    assert body["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "example.org/v1",
            "kind": "Team",
            "name": "a",
            "uid": "uid-a",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    assert body["data"] == {"a": "b"}
    assert before == config(), "the argument is unchanged"


def test_a_controller_reference_that_is_set_again_is_unchanged() -> None:
    once = set_controller_reference(obj("a"), config())
    assert set_controller_reference(obj("a"), once) == once


def test_an_owner_that_was_created_again_replaces_its_reference() -> None:
    once = set_controller_reference(obj("a", uid="old"), config())
    assert owners(set_controller_reference(obj("a", uid="new"), once)) == [("new", True)]


def test_a_second_controller_is_an_error_that_names_both() -> None:
    once = set_controller_reference(obj("a"), config())
    with pytest.raises(AlreadyOwned, match=r"ConfigMap 'c'.*Team 'a' \(uid uid-a\).*Team 'b'.*another name"):
        set_controller_reference(obj("b"), once)


def test_a_second_owner_is_appended_and_can_be_removed() -> None:
    once = set_controller_reference(obj("a"), config())
    both = append_owner_reference(obj("b"), once)
    assert owners(both) == [("uid-a", True), ("uid-b", False)]
    assert owners(remove_owner_reference(obj("a"), both)) == [("uid-b", False)]
    assert remove_owner_reference(obj("c"), both) == both
    assert remove_owner_reference(obj("a"), config()) == config()


def test_appending_the_controller_does_not_demote_it() -> None:
    once = set_controller_reference(obj("a"), config())
    assert owners(append_owner_reference(obj("a"), once)) == [("uid-a", True)]


def test_a_cluster_scoped_owner_may_own_objects_of_any_namespace() -> None:
    region = obj("r", resource=REGIONS)
    assert owners(set_controller_reference(region, config())) == [("uid-r", True)]
    assert owners(set_controller_reference(region, {"metadata": {"name": "x"}})) == [("uid-r", True)]


@pytest.mark.parametrize("function", [set_controller_reference, append_owner_reference])
@pytest.mark.parametrize(
    ("owner", "namespace", "message"),
    [
        (obj("a"), "other", r"metadata.namespace is 'other', but its owner Team 'a' is in 'default'"),
        (obj("a"), "", r"metadata.namespace is empty.*set metadata.namespace to 'default'"),
        (obj("a", uid=""), "default", r"Team 'a': metadata.uid is empty.*read from the server"),
    ],
)
def test_an_owner_that_the_garbage_collector_would_not_find_is_rejected(
    function: Any, owner: Object[Any], namespace: str, message: str
) -> None:
    with pytest.raises(InvalidOwner, match=message):
        function(owner, config(namespace=namespace))


# ---- finalizers


def test_a_finalizer_is_added_once_and_removed() -> None:
    team = obj("a", finalizers=["example.org/other"], resourceVersion="7")
    body = add_finalizer(team, "example.org/cleanup")
    assert body["metadata"]["finalizers"] == ["example.org/other", "example.org/cleanup"]
    assert (body["metadata"]["resourceVersion"], body["spec"]) == ("7", {"size": 1})
    assert add_finalizer(body, "example.org/cleanup") == body
    assert has_finalizer(body, "example.org/cleanup")
    assert has_finalizer(team, "example.org/other")
    assert not has_finalizer(team, "example.org/cleanup")
    assert remove_finalizer(body, "example.org/cleanup") == team.body()
    assert remove_finalizer(team, "example.org/cleanup") == team.body()


@pytest.mark.parametrize("name", ["cleanup", "", "a/b/c", "Example.org/x", "example.org/"])
def test_an_invalid_finalizer_is_rejected(name: str) -> None:
    with pytest.raises(ValueError, match=r"finalizer .* is not valid; use a domain"):
        add_finalizer(obj("a"), name)


def test_a_finalizer_of_the_garbage_collector_needs_no_domain() -> None:
    assert has_finalizer(add_finalizer(obj("a"), "foregroundDeletion"), "foregroundDeletion")


def test_an_object_of_which_only_the_metadata_is_known_gives_no_body() -> None:
    """An update with such a body would remove everything else."""
    with pytest.raises(MetadataOnly, match=r"Team default/a"):
        add_finalizer(obj("a").without_body(), "example.org/cleanup")


# ---- conditions


def ready(conditions: Any, status: Any, now: datetime = T1, **changes: Any) -> list[dict[str, Any]]:
    values = {"reason": "Because", "message": "text", "observed_generation": 2, **changes}
    return set_condition(conditions, "Ready", status, now=now, **values)


def test_a_new_condition_is_appended() -> None:
    other = {"type": "Other", "status": "True", "lastTransitionTime": "T"}
    assert ready([other], "True") == [
        other,
        {
            "type": "Ready",
            "status": "True",
            "reason": "Because",
            "message": "text",
            "observedGeneration": 2,
            "lastTransitionTime": "2026-01-02T00:00:00Z",
        },
    ]


def test_the_transition_time_changes_only_with_the_status() -> None:
    before = ready([], "False", T0)
    same = ready(before, "False", T1, reason="Other", observed_generation=3)
    assert (same[0]["lastTransitionTime"], same[0]["reason"], same[0]["observedGeneration"]) == (
        before[0]["lastTransitionTime"],
        "Other",
        3,
    )
    assert ready(same, "True", T1)[0]["lastTransitionTime"] == "2026-01-02T00:00:00Z"
    assert ready(before, "False", T1) == before, "the same values cause no write"


def test_typed_conditions_are_accepted() -> None:
    typed = (
        Condition(type="Ready", status="True", last_transition_time="T", observed_generation=1),
        Condition(type="Other", status="False", reason="R"),
    )
    result = ready(typed, "True")
    assert result[0]["lastTransitionTime"] == "T"
    assert result[1] == {"type": "Other", "status": "False", "reason": "R"}
    assert find_condition(typed, "Other") is typed[1]
    assert find_condition(result, "Other") is result[1]
    assert find_condition(None, "Other") is None


def test_the_time_is_written_in_utc() -> None:
    local = datetime.fromisoformat("2026-01-02T05:00:00+05:00") + timedelta(microseconds=9)
    assert new_condition((), "Ready", "True", "R", observed_generation=1, now=local)[
        "lastTransitionTime"
    ] == ("2026-01-02T00:00:00Z")


@pytest.mark.parametrize(
    ("observed", "generation", "expected"), [(2, None, True), (2, 2, True), (2, 3, False), (0, 3, True)]
)
def test_a_condition_about_an_earlier_generation_is_not_true(
    observed: int, generation: int | None, expected: bool
) -> None:
    typed = (Condition(type="Ready", status="True", observed_generation=observed),)
    assert is_true(typed, "Ready", generation=generation) is expected
    assert (
        is_true(ready([], "True", observed_generation=observed), "Ready", generation=generation) is expected
    )


def test_only_the_status_true_is_true() -> None:
    assert not is_true(ready([], "Unknown"), "Ready")
    assert not is_true([], "Ready")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Is Ready", "True", "R"), "condition type 'Is Ready' is not valid"),
        (("Ready", True, "R"), "status True of condition Ready: use one of True, False, Unknown"),
        (("Ready", "True", ""), "reason '' of condition Ready is not valid; use one CamelCase word"),
        (("Ready", "True", "not a word"), "reason 'not a word' of condition Ready"),
        (("Ready", "True", "R", "x" * 32769), "has 32769 characters; shorten it to 32768"),
    ],
)
def test_a_condition_that_the_server_would_reject_is_an_error(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        new_condition((), *arguments, observed_generation=1, now=T0)
