"""The operator with exactly the rights that ``aimctl manifests rbac`` grants, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aimctl.api import kinds
from aimctl.api.kinds import KINDS
from aimctl.controllers.manifests import manifests
from aimctl.devcluster.faults import Answer, Match
from aimctl.kubetypes.builtin import PVCS, SECRETS
from aimctl.runtime.kube import Resource
from aimctl.testing.virtualtime import virtual_time
from support.operator import world
from support.roles import Grant, Roles


def generated() -> Roles:
    texts = manifests()
    return Roles([texts["rbac/manager-role.yaml"], texts["rbac/leader-election-role.yaml"]])


@pytest.mark.proof
@virtual_time
async def test_every_action_of_the_operator_is_granted_and_every_right_is_used():
    async with world() as w:
        roles = w.cluster.server.authorizer = generated()
        await w.model("good")
        await w.model("bad", image="aim-broken:1")
        await w.model("slow", image="aim-slow:1")
        await w.config("default")
        await w.template("works", "team", "good")
        await w.template("works", "", "good")
        await w.template("fails", "team", "bad")
        # the operator finds out which objects that the pods name do not exist
        await w.template("account", "team", "good", serviceAccountName="runner")
        reference = {"configMapKeyRef": {"name": "settings", "key": "token"}}
        await w.template("settings", "team", "good", env=[{"name": "A", "valueFrom": reference}])
        # one creation gets no response and is not executed: the operator must read whether it was
        lost = w.faults.add(Answer(500), Match(verb="create", resource="jobs"), times=1)
        w.start(election=True)
        await w.until_state("works", "team", "Ready")
        await w.until_state("works", "", "Ready")
        await w.until_state("fails", "team", "Failed", 600)
        assert lost.hits == 1
        # a Job whose result is no longer needed is deleted; a repeated Event is patched
        await w.template("turns", "team", "slow")
        await w.until(lambda: w.ledger.jobs_of("turns", "team"))
        await w.model("slow", image="aim-quick:1")
        await w.until_state("turns", "team", "Ready")
        for number in range(3):
            await w.annotate("fails", "team", rediscover=str(number))
            await asyncio.sleep(400)
        await asyncio.sleep(1000)
        await w.close()
    assert roles.refused == []
    used = roles.used | await _used_for_services()
    # A real server also needs these: with OwnerReferencesPermissionEnforcement, and when an apply creates an object.
    unasked = {
        Grant("update", "aim.silogen.ai", f"{kind.plural}/finalizers")
        for kind in KINDS
        if "RuntimeConfig" not in kind.name
    } | {Grant("create", "serving.kserve.io", "inferenceservices")}
    assert roles.granted - used == unasked


def _typed(resource: Resource[Any], body: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": resource.api_version, "kind": resource.kind, **body}


async def _used_for_services() -> set[Grant]:
    """The rights used for services, derivation, caching and models; none is missing."""
    static = {"modelSources": [{"name": "w", "sourceURI": "hf://example/w", "size": "1Gi"}]}
    stuck = {"modelSources": [{"name": "w", "sourceURI": "hf://example/endless", "size": "1Gi"}]}
    # Informers of a server before 1.34 begin with lists.
    async with world(kserve=True, kubernetes="1.33.0") as w:
        roles = w.cluster.server.authorizer = generated()
        # The first status of each kind is rejected once as a conflict: the operator then reads the current state.
        for kind in KINDS:
            w.faults.add(
                Answer(409), Match(verb="patch", resource=kind.plural, subresource="status"), times=1
            )
        login = {
            "metadata": {"name": "login", "namespace": "team"},
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": {".dockerconfigjson": "{}"},
        }
        await w.namespace("team")
        await w.namespace("other")
        await w.client.create(SECRETS, _typed(SECRETS, login), "team")
        # A claim of another owner has the name that a cache needs: the operator reads it.
        taken = {"metadata": {"name": "taken", "namespace": "team"}}
        cache = {"sourceURI": "hf://example/taken", "size": "1Gi"}
        await w.client.create(kinds.MODEL_CACHES, _typed(kinds.MODEL_CACHES, taken | {"spec": cache}), "team")
        claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
        await w.client.create(PVCS, _typed(PVCS, taken | {"spec": claim}), "team")
        await w.config("shared", model={"creationScope": "Cluster", "allowedImages": ["*"]})
        await w.model("m")
        await w.model("private", "team", image="aim-private:1", imagePullSecrets=[{"name": "login"}])
        await w.model("own", image="aim-mistral-small-24b:1")
        await w.template("base", "team", "m", **static)
        await w.template("cached", "team", "m", caching={"enabled": True}, **static)
        await w.template("stuck", "team", "m", caching={"enabled": True}, **stuck)
        w.start()
        await w.service("image", "team", model={"image": "aim-mistral-small-24b:2"})
        await w.service(
            "image", "other", model={"image": "aim-mistral-small-24b:3"}, runtimeConfigName="shared"
        )
        for name in ("one", "two"):
            await w.service(
                name, "team", model={"ref": "m"}, templateRef="base", overrides={"metric": "throughput"}
            )
        await w.until_state("cached", "team", "Ready", 120)
        await asyncio.sleep(60)
        await w.template(
            "cached", "team", "m", caching={"enabled": True, "env": [{"name": "A", "value": "b"}]}
        )
        await w.template(
            "stuck", "team", "m", caching={"enabled": True, "env": [{"name": "A", "value": "b"}]}, **stuck
        )
        await asyncio.sleep(60)
        await w.template("stuck", "team", "m", caching={"enabled": False}, **stuck)
        for name in ("one", "two"):
            await w.service(name, "team", model={"ref": "m"}, templateRef="base")
        await asyncio.sleep(300)
        await w.close()
    assert roles.refused == []
    return roles.used


@virtual_time
async def test_a_missing_right_makes_the_test_above_fail():
    async with world() as w:
        roles = w.cluster.server.authorizer = generated()
        roles.granted.discard(Grant("create", "batch", "jobs"))
        await w.model("good")
        await w.template("works", "team", "good")
        w.start()
        await w.until(lambda: roles.refused)
        assert roles.refused[0] == Grant("create", "batch", "jobs", "team")
