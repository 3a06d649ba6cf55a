"""The operator's rows on the status page."""

from __future__ import annotations

from typing import Any

import pytest

from aimctl.api.kinds import CLUSTER_MODELS, MODEL_CACHES, SERVICES, TEMPLATE_CACHES, TEMPLATES
from aimctl.controllers.operator import OperatorOptions, add_controllers
from aimctl.controllers.status_sections import object_row
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.manager import LeaderElectionOptions, Manager, ManagerOptions
from support.leaseapi import LeaseApi, LeaseTransport
from support.things import make

SPECS: dict[Any, dict[str, Any]] = {
    TEMPLATES: {"modelName": "m"},
    SERVICES: {"model": {"ref": "m"}},
    CLUSTER_MODELS: {"image": "registry.example/aim:1"},
    MODEL_CACHES: {"sourceURI": "hf://m/m", "size": "1Gi"},
    TEMPLATE_CACHES: {"templateRef": "t"},
}


@pytest.mark.parametrize("kind", SPECS, ids=[kind.kind for kind in SPECS])
def test_a_row_has_the_state_and_the_reason_and_message_of_ready(kind: Any) -> None:
    other = {"type": "Progressing", "status": "False", "reason": "Other", "message": "other"}
    ready = {
        "type": "Ready",
        "status": "False",
        "reason": "Broken",
        "message": "<b>why</b>",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    namespace = "team" if kind.namespaced else ""
    status = {"status": "Failed", "conditions": [other, ready]}
    assert object_row(make("a", namespace, resource=kind, spec=SPECS[kind], status=status)) == {
        "kind": kind.kind,
        "namespace": namespace,
        "name": "a",
        "status": "Failed",
        "reason": "Broken",
        "message": "<b>why</b>",
        "since": "2026-01-02T03:04:05Z",
        "problem": True,
    }


def test_a_new_object_is_no_problem_and_one_that_cannot_be_read_is_one() -> None:
    new = object_row(make("a", "team", resource=SERVICES, spec=SPECS[SERVICES]))
    assert (new["status"], new["reason"], new["problem"]) == ("", "", False)
    unreadable = object_row(make("a", "team", resource=SERVICES, spec={"model": 5}))
    assert (unreadable["reason"], unreadable["problem"]) == ("the object cannot be read", True)


async def test_the_operator_adds_its_sections_before_those_of_the_manager() -> None:
    manager = Manager(LeaseTransport(LeaseApi()), clock=LoopClock())
    add_controllers(manager, OperatorOptions(discovery_limit=7))
    tables = {table.title: table for table in (await manager.endpoints.status.answer()).tables}
    assert list(tables) == [
        "Leader election",
        "Discovery slots",
        "Templates that wait for a slot",
        "Services",
        "Templates",
        "Caches",
        "Models",
        "Controllers",
        "Queues",
        "Caches of the manager",
    ]
    assert tables["Discovery slots"].rows == [{"slots": 7, "used": 0, "templates_waiting": 0}]
    assert all(table.error == "" for table in tables.values())


async def test_a_standby_refers_to_the_leader_instead_of_an_empty_queue() -> None:
    election = LeaderElectionOptions("lock", "default")
    options = ManagerOptions(leader_election=election)
    manager = Manager(LeaseTransport(LeaseApi()), clock=LoopClock(), options=options)
    add_controllers(manager, OperatorOptions())
    tables = {table.title: table for table in (await manager.endpoints.status.answer()).tables}
    for title in ("Discovery slots", "Templates that wait for a slot"):
        (row,) = tables[title].rows
        assert "the leader assigns the slots" in row["standby"]
