"""Test cases for the EndpointSlices of Services, which run against the embedded cluster and the real controller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.kubetypes.builtin import PODS
from aimctl.kubetypes.kinds import ENDPOINT_SLICES, REPLICA_SETS, SERVICES
from support.workload_cases import WorkloadWorld, becomes_equal, change_spec, read, read_all, workload

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SERVICE_CASES"]

_LABELS = {
    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    "kubernetes.io/service-name": "web",
}
READY = {"ready": True, "serving": True, "terminating": False}
HTTP = {"name": "http", "port": 8080, "protocol": "TCP"}


def service(**spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}, {"name": "tls", "port": 443}]
    return {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": ports, **spec}}


async def start_pods(world: WorkloadWorld, replicas: int) -> None:
    body = workload(replicas=replicas)
    body["spec"]["template"]["spec"]["containers"][0]["ports"] = [{"name": "http", "containerPort": 8080}]
    await world.client.create(REPLICA_SETS, body, world.namespace)


async def slices(world: WorkloadWorld) -> list[tuple[Any, Any]]:
    """The ports of each slice, and the conditions of its endpoints by pod."""
    found = []
    for each in await read_all(world, ENDPOINT_SLICES):
        endpoints = {item["targetRef"]["name"]: item["conditions"] for item in each["endpoints"] or ()}
        found.append((each["ports"], endpoints))
    return found


async def pods_with(world: WorkloadWorld, conditions: Mapping[str, bool]) -> dict[str, Any]:
    return {pod["metadata"]["name"]: conditions for pod in await read_all(world, PODS)}


async def have_all_pods(world: WorkloadWorld, ports: list[Any], replicas: int) -> None:
    async def observe() -> Any:
        pods = await pods_with(world, READY)
        return await slices(world) == [(ports, pods)] and len(pods) == replicas

    await becomes_equal(world, observe, wanted=True)


async def a_service_has_the_pods_that_it_selects(world: WorkloadWorld) -> None:
    await world.client.create(SERVICES, service(), world.namespace)
    await becomes_equal(world, lambda: slices(world), [(None, {})])
    (empty,) = await read_all(world, ENDPOINT_SLICES)
    await start_pods(world, 2)
    ports = [HTTP, {"name": "tls", "port": 443, "protocol": "TCP"}]
    await have_all_pods(world, ports, 2)
    (found,) = await read_all(world, ENDPOINT_SLICES)
    assert found["metadata"]["name"] == empty["metadata"]["name"]
    assert found["metadata"]["generateName"] == "web-"
    assert found["metadata"]["labels"] == _LABELS
    assert found["addressType"] == "IPv4"
    (reference,) = found["metadata"]["ownerReferences"]
    assert (reference["kind"], reference["controller"]) == ("Service", True)
    pods = {pod["metadata"]["name"]: pod for pod in await read_all(world, PODS)}
    for endpoint in found["endpoints"]:
        pod = pods[endpoint["targetRef"]["name"]]
        assert endpoint["addresses"] == [pod["status"]["podIP"]]
        assert endpoint["nodeName"] == pod["spec"]["nodeName"]
        assert endpoint["targetRef"]["uid"] == pod["metadata"]["uid"]
    await change_spec(world, REPLICA_SETS, replicas=0)
    await becomes_equal(world, lambda: slices(world), [(None, {})])


async def ports_and_labels_of_slices_follow_the_service(world: WorkloadWorld) -> None:
    await world.client.create(SERVICES, service(clusterIP="None"), world.namespace)
    await start_pods(world, 1)
    await have_all_pods(world, [HTTP, {"name": "tls", "port": 443, "protocol": "TCP"}], 1)
    await world.client.patch(SERVICES, "web", {"metadata": {"labels": {"tier": "front"}}}, world.namespace)
    await change_spec(world, SERVICES, ports=[{"name": "metrics", "port": 9, "targetPort": 9090}])
    await have_all_pods(world, [{"name": "metrics", "port": 9090, "protocol": "TCP"}], 1)
    (found,) = await read_all(world, ENDPOINT_SLICES)
    assert found["metadata"]["labels"] == {
        **_LABELS,
        "tier": "front",
        "service.kubernetes.io/headless": "",
    }


async def slices_are_deleted_with_their_service(world: WorkloadWorld) -> None:
    await world.client.create(SERVICES, service(), world.namespace)
    await becomes_equal(world, lambda: slices(world), [(None, {})])
    (found,) = await read_all(world, ENDPOINT_SLICES)
    await world.client.delete(ENDPOINT_SLICES, found["metadata"]["name"], world.namespace)
    await becomes_equal(world, lambda: slices(world), [(None, {})])
    await world.client.delete(SERVICES, "web", world.namespace)
    await becomes_equal(world, lambda: slices(world), [])


async def a_service_without_a_selector_has_no_slices(world: WorkloadWorld) -> None:
    await world.client.create(SERVICES, service(selector=None), world.namespace)
    other = service()
    other["metadata"]["name"] = "other"
    await world.client.create(SERVICES, other, world.namespace)
    await becomes_equal(world, lambda: slices(world), [(None, {})])
    assert (await read(world, SERVICES))["spec"].get("selector") is None


async def a_pod_that_is_deleted_is_terminating(world: WorkloadWorld) -> None:
    await start_pods(world, 1)
    await world.client.create(SERVICES, service(ports=[{"name": "http", "port": 8080}]), world.namespace)
    await have_all_pods(world, [HTTP], 1)
    await change_spec(world, REPLICA_SETS, replicas=0)
    await becomes_equal(world, lambda: slices(world), [(None, {})])


SERVICE_CASES = (
    a_service_has_the_pods_that_it_selects,
    ports_and_labels_of_slices_follow_the_service,
    slices_are_deleted_with_their_service,
    a_service_without_a_selector_has_no_slices,
    a_pod_that_is_deleted_is_terminating,
)
