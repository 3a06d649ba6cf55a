"""The built-in kinds and the helpers for writes on a real API server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from kubernetes_asyncio import client as asyncio_client

from aimctl.kubetypes import kinds
from aimctl.runtime import (
    CONFIG_MAPS,
    CRDS,
    DEPLOYMENTS,
    LEASES,
    NETWORK_POLICIES,
    PODS,
    ROLES,
    SECRETS,
    Client,
    Conflict,
    HttpTransport,
    LoopClock,
    Resource,
    create_or_apply,
    discover,
    from_kubeconfig,
    k8s,
    set_controller_reference,
    to_body,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.controlplane import ControlPlane

pytestmark = pytest.mark.envtest


@pytest_asyncio.fixture
async def client(plane: ControlPlane) -> AsyncIterator[Client]:
    clock = LoopClock()
    info = await from_kubeconfig(str(plane.kubeconfig), clock=clock)
    async with HttpTransport(info, clock=clock) as transport:
        yield Client(transport, clock=clock, field_manager="kinds", field_validation="Strict")


async def test_every_kind_is_served_with_its_name_and_scope(client: Client) -> None:
    served = await discover(client)
    for name in kinds.__all__:
        kind: Resource[Any] = getattr(kinds, name)
        (found,) = [
            one
            for one in served.resources
            if (one.group, one.version, one.plural) == (kind.group, kind.version, kind.plural)
        ]
        assert (found.kind, found.namespaced) == (kind.kind, kind.namespaced), name


async def test_every_kind_can_be_listed_and_its_views_read(client: Client) -> None:
    for name in kinds.__all__:
        kind: Resource[Any] = getattr(kinds, name)
        for obj in (await client.list(kind, limit=20)).items:
            assert obj.view.metadata.name == obj.meta.name


def typed(namespace: str) -> list[tuple[Resource[Any], Any]]:
    """Typed bodies, as a program writes them."""
    labels = {"app": "web"}

    def meta(name: str) -> k8s.ObjectMeta:
        return k8s.ObjectMeta(name=name, namespace=namespace, labels=labels)

    pod_spec = k8s.PodSpec(
        containers=(
            k8s.Container(
                name="web",
                image="example",
                ports=(k8s.ContainerPort(container_port=80),),
                env=(k8s.EnvVar(name="A", value="b"),),
                liveness_probe=k8s.Probe(http_get=k8s.HTTPGetAction(path="/", port="http")),
                resources=k8s.ResourceRequirements(limits={"cpu": "0.5", "memory": "1024Mi"}),
                volume_mounts=(k8s.VolumeMount(name="scratch", mount_path="/scratch"),),
            ),
        ),
        volumes=(k8s.Volume(name="scratch", empty_dir=k8s.EmptyDirVolumeSource(size_limit="1024Ki")),),
        automount_service_account_token=False,
        termination_grace_period_seconds=0,
    )
    template = k8s.PodTemplateSpec(metadata=k8s.ObjectMeta(labels=labels), spec=pod_spec)
    selector = k8s.LabelSelector(match_labels=labels)
    return [
        (PODS, k8s.Pod(metadata=meta("web"), spec=pod_spec)),
        (
            DEPLOYMENTS,
            k8s.Deployment(
                metadata=meta("web"),
                spec=k8s.DeploymentSpec(replicas=0, selector=selector, template=template),
            ),
        ),
        (SECRETS, k8s.Secret(metadata=meta("web"), data={"key": b"text"}, string_data={"other": "text"})),
        (
            NETWORK_POLICIES,
            k8s.NetworkPolicy(
                metadata=meta("web"),
                spec=k8s.NetworkPolicySpec(
                    pod_selector=k8s.LabelSelector(),
                    ingress=(
                        k8s.NetworkPolicyIngressRule(
                            from_=(k8s.NetworkPolicyPeer(namespace_selector=k8s.LabelSelector()),),
                            ports=(k8s.NetworkPolicyPort(port=80),),
                        ),
                    ),
                ),
            ),
        ),
        (
            ROLES,
            k8s.Role(
                metadata=meta("web"),
                rules=(k8s.PolicyRule(api_groups=("",), resources=("pods",), verbs=("get",)),),
            ),
        ),
    ]


async def test_typed_bodies_are_accepted_and_applied_once(client: Client, namespace: str) -> None:
    for kind, body in typed(namespace):
        created = await create_or_apply(client, kind, body)
        again = await create_or_apply(client, kind, body, current=created.object)
        assert (created.result, again.result) == ("created", "unchanged"), kind
        assert created.object.view.metadata.labels == {"app": "web"}


async def test_the_times_of_client_models_are_accepted(client: Client, namespace: str) -> None:
    """A MicroTime needs six decimals, also if they are zero."""
    noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
    lease = asyncio_client.V1Lease(
        metadata=asyncio_client.V1ObjectMeta(name="l", namespace=namespace),
        spec=asyncio_client.V1LeaseSpec(holder_identity="me", acquire_time=noon, renew_time=noon),
    )
    created = await client.create(LEASES, lease)
    assert created.view.spec.renew_time == "2026-01-02T12:00:00.000000Z"


@pytest.mark.parametrize("again", [False, True], ids=["deleted", "deleted and created again"])
async def test_an_object_that_was_deleted_in_the_meantime_is_not_created(
    client: Client, namespace: str, again: bool
) -> None:
    body = {"metadata": {"name": "c", "namespace": namespace}, "data": {"a": "1"}}
    created = await create_or_apply(client, CONFIG_MAPS, body)
    await client.delete(CONFIG_MAPS, "c", namespace)
    if again:
        await client.create(CONFIG_MAPS, {**body, "data": {"b": "theirs"}})
    with pytest.raises(Conflict):
        await create_or_apply(client, CONFIG_MAPS, {**body, "data": {"a": "2"}}, current=created.object)
    left = [
        one.view.data for one in (await client.list(CONFIG_MAPS, namespace)).items if one.meta.name == "c"
    ]
    assert left == ([{"b": "theirs"}] if again else [])


async def test_an_owned_object_with_fewer_fields_loses_the_others(client: Client, namespace: str) -> None:
    owner = await client.create(CONFIG_MAPS, {"metadata": {"name": "owner", "namespace": namespace}})
    body = {"metadata": {"name": "owned", "namespace": namespace}, "data": {"a": "1", "b": "2"}}
    first = await create_or_apply(client, CONFIG_MAPS, set_controller_reference(owner, body))
    fewer = set_controller_reference(owner, {**body, "data": {"a": "1"}})
    second = await create_or_apply(client, CONFIG_MAPS, fewer, current=first.object)
    assert (second.result, second.object.view.data) == ("applied", {"a": "1"})
    assert second.object.meta.controller is not None


async def test_the_schema_of_a_crd_is_read(client: Client) -> None:
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    crd = {
        "metadata": {"name": "gadgets.kinds.example"},
        "spec": {
            "group": "kinds.example",
            "scope": "Namespaced",
            "names": {"kind": "Gadget", "plural": "gadgets"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            ],
        },
    }
    created = await client.create(CRDS, crd)
    version = created.view.spec.versions[0]
    assert version.schema is not None
    assert to_body(version.schema) == {"openAPIV3Schema": schema}
