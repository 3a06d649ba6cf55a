"""What an API server does with objects of a generated CRD; the same for the embedded and for a real server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from aimctl.runtime import CRDS, Client, Invalid, NotFound, Resource
from support.adminapi import eventually
from support.custom_kinds import OLD_SITES, site

if TYPE_CHECKING:
    from aimctl.runtime import CustomKind

__all__ = ["check_custom_kind"]


async def check_custom_kind(client: Client, kind: CustomKind[Any], namespace: str) -> None:
    """Install the CRD, and check defaults, validation, lists, both versions and the scale; then delete it and wait until it is gone."""
    await client.create(CRDS, kind.crd())
    try:
        await _served(client, kind, namespace)
        await _check_objects(client, kind, namespace)
    finally:
        await client.delete(CRDS, kind.crd_name)
        # A real server first deletes the objects. Another definition of the same kind must not be created until then.
        await eventually(lambda: _gone(client, kind), within=60)


async def _gone(client: Client, kind: CustomKind[Any]) -> bool:
    try:
        await client.get(CRDS, kind.crd_name)
    except NotFound:
        return True
    return False


async def _served(client: Client, kind: CustomKind[Any], namespace: str) -> None:
    async def served() -> bool:
        crd = await client.get(CRDS, kind.crd_name)
        conditions = {one.type: one for one in crd.view.status.conditions or ()}
        assert "NonStructuralSchema" not in conditions, conditions
        if "Established" not in conditions or conditions["Established"].status != "True":
            return False
        try:
            await client.list(kind.resource, namespace)
        except NotFound:
            return False
        return True

    await eventually(served)


async def _check_objects(client: Client, kind: CustomKind[Any], namespace: str) -> None:
    ports = [{"name": "http", "target": "web"}, {"name": "metrics"}]
    inner = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"any": [1]}}
    created = await client.create(
        kind.resource,
        site(
            "a", ports=ports, aliases=["b.example.org"], scaling={}, template=inner, anything={"x": 1}, typo=1
        ),
        namespace,
    )
    spec = created.view.spec
    assert (spec.replicas, spec.weight, spec.paused, spec.args) == (1, 0.5, False, ("--verbose",))
    assert [(port.name, port.target, port.protocol) for port in spec.ports] == [
        ("http", "web", "TCP"),
        ("metrics", 80, "TCP"),
    ]
    assert (spec.scaling.min_replicas, spec.scaling.max_replicas) == (1, 10)
    assert (spec.template, spec.anything) == (inner, {"x": 1})
    assert b"typo" not in created.raw
    for wrong, message in (
        ({"replicas": 101}, "spec.replicas"),
        ({"ports": [{"name": "a"}, {"name": "a"}]}, "Duplicate value"),
        ({"ports": [{"name": "Not a label"}]}, "spec.ports[0].name"),
        ({"ports": [{"name": "a", "protocol": "SCTP"}]}, "Unsupported value"),
        ({"aliases": ["a", "a"]}, "Duplicate value"),
        ({"scaling": {"minReplicas": 5, "maxReplicas": 4}}, "minReplicas must not exceed maxReplicas"),
        ({"scaling": {"maxReplicas": 1000}}, "spec.scaling.maxReplicas"),
        ({"template": {"kind": "Pod"}}, "spec.template.apiVersion: Required value"),
        ({"template": {"apiVersion": "v1"}}, "spec.template.kind: Required value"),
        ({"headers": {"a": "x" * 65}}, "spec.headers"),
    ):
        with pytest.raises(Invalid, match=re.escape(message)):
            await client.create(kind.resource, site("bad", **wrong), namespace)
    changed = {"spec": {"domain": "other.example.org"}}
    with pytest.raises(Invalid, match="the domain is immutable"):
        await client.patch(kind.resource, "a", changed, namespace)
    status = {"metadata": {"name": "a", "namespace": namespace}, "status": {"phase": "Ready", "replicas": 1}}
    applied = await client.apply(kind.resource, status, subresource="status")
    assert (applied.view.status.phase, applied.view.status.replicas) == ("Ready", 1)
    scale = msgspec.json.decode(await client.raw("GET", kind.resource.path(namespace, "a", "scale")))
    assert (scale["kind"], scale["spec"]["replicas"], scale["status"]["replicas"]) == ("Scale", 1, 1)
    old = Resource.untyped(kind.group, OLD_SITES.version, kind.name, kind.plural)
    converted = await client.get(old, "a", namespace)
    assert converted.view["apiVersion"] == f"{kind.group}/{OLD_SITES.version}"
    assert converted.view["spec"]["domain"] == "example.org"
