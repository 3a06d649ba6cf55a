from __future__ import annotations

from typing import Any

import pytest

from aimctl.runtime.kube import Client, DecodeError, Forbidden
from aimctl.runtime.kube.discovery import ServedApis, discover, server_version
from aimctl.testing.virtualtime import virtual_clock
from support.scripted import Answer, ScriptedTransport, failure


def aggregated(*groups: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": list(groups),
    }


def group(name: str, **versions: list[dict[str, Any]]) -> dict[str, Any]:
    listed = [
        {"version": version, "freshness": "Current", "resources": resources}
        for version, resources in versions.items()
    ]
    return {
        "metadata": {"name": name, "creationTimestamp": None} if name else {"creationTimestamp": None},
        "versions": listed,
    }


def resource(plural: str, kind: str, **more: Any) -> dict[str, Any]:
    return {
        "resource": plural,
        "responseKind": {"group": "", "version": "", "kind": kind},
        "scope": "Namespaced",
        "singularResource": kind.lower(),
        "verbs": ["get", "list", "watch"],
        **more,
    }


AGGREGATED = ScriptedTransport
OLD_CORE = {"kind": "APIVersions", "versions": ["v1"]}


def old_group(name: str, *versions: str, preferred: str) -> dict[str, Any]:
    return {
        "name": name,
        "versions": [{"groupVersion": f"{name}/{version}", "version": version} for version in versions],
        "preferredVersion": {"groupVersion": f"{name}/{preferred}", "version": preferred},
    }


async def found(wire: ScriptedTransport) -> ServedApis:
    return await discover(Client(wire, clock=virtual_clock()))


async def test_aggregated_discovery_takes_two_requests() -> None:
    pods = resource(
        "pods",
        "Pod",
        shortNames=["po"],
        categories=["all"],
        subresources=[{"subresource": "log"}, {"subresource": "status"}],
    )
    wire = ScriptedTransport()
    wire.on("GET", "/api", aggregated(group("", v1=[pods, resource("nodes", "Node", scope="Cluster")])))
    wire.on(
        "GET",
        "/apis",
        aggregated(group("batch", v1=[resource("jobs", "Job")], v1beta1=[resource("jobs", "Job")])),
    )
    served = await found(wire)
    assert sorted(seen.path for seen in wire.seen) == ["/api", "/apis"]
    assert all(
        seen.headers["Accept"].startswith("application/json;g=apidiscovery.k8s.io;v=v2;")
        for seen in wire.seen
    )
    pod = served.find("", "Pod")
    assert pod is not None
    assert (pod.plural, pod.short_names, pod.categories, pod.namespaced) == ("pods", ("po",), ("all",), True)
    assert pod.subresources == {"log", "status"}
    assert pod.verbs == {"get", "list", "watch"}
    assert pod.resource.path("n") == "/api/v1/namespaces/n/pods"
    node = served.preferred("", "nodes")
    assert node is not None
    assert not node.namespaced
    job = served.find("batch", "Job")
    assert job is not None
    assert job.version == "v1"
    old = served.find("batch", "Job", "v1beta1")
    assert old is not None
    assert old.resource.api_version == "batch/v1beta1"
    assert served.find("batch", "CronJob") is None
    assert served.preferred("serving.kserve.io", "inferenceservices") is None
    assert len(list(served)) == 4


async def test_a_group_that_is_not_available_is_listed_as_failed_and_the_others_are_found() -> None:
    stale = {
        "metadata": {"name": "metrics.k8s.io"},
        "versions": [{"version": "v1beta1", "freshness": "Stale"}],
    }
    wire = ScriptedTransport().on("GET", "/api", aggregated(group("", v1=[resource("pods", "Pod")])))
    wire.on("GET", "/apis", aggregated(stale, group("batch", v1=[resource("jobs", "Job")])))
    served = await found(wire)
    assert list(served.failed) == ["metrics.k8s.io/v1beta1"]
    assert served.find("batch", "Job") is not None


async def test_an_older_server_is_discovered_group_by_group() -> None:
    wire = ScriptedTransport().on("GET", "/api", OLD_CORE)
    groups = [old_group("batch", "v1beta1", "v1", preferred="v1"), old_group("down.io", "v1", preferred="v1")]
    wire.on("GET", "/apis", {"kind": "APIGroupList", "groups": groups})
    core = [
        {
            "name": "pods",
            "kind": "Pod",
            "namespaced": True,
            "singularName": "",
            "shortNames": ["po"],
            "verbs": ["get"],
        },
        {"name": "pods/log", "kind": "Pod", "namespaced": True, "verbs": ["get"]},
    ]
    jobs = [{"name": "jobs", "kind": "Job", "namespaced": True, "verbs": ["get"]}]
    wire.on("GET", "/api/v1", {"kind": "APIResourceList", "groupVersion": "v1", "resources": core})
    wire.on(
        "GET", "/apis/batch/v1", {"kind": "APIResourceList", "groupVersion": "batch/v1", "resources": jobs}
    )
    wire.on(
        "GET",
        "/apis/batch/v1beta1",
        {"kind": "APIResourceList", "groupVersion": "batch/v1beta1", "resources": jobs},
    )
    wire.on("GET", "/apis/down.io/v1", failure(503, "ServiceUnavailable", "unavailable"))
    served = await found(wire)
    pod = served.find("", "Pod")
    assert pod is not None
    assert (pod.singular, set(pod.subresources)) == ("pod", {"log"})
    job = served.find("batch", "Job")
    assert job is not None
    assert job.version == "v1"
    assert dict(served.failed) == {"down.io/v1": "unavailable"}


@pytest.mark.parametrize("name", ["pods", "pod", "po", "Pod", "PODS"])
async def test_a_resource_is_found_by_any_of_its_names(name: str) -> None:
    wire = ScriptedTransport().on(
        "GET", "/api", aggregated(group("", v1=[resource("pods", "Pod", shortNames=["po"])]))
    )
    wire.on(
        "GET",
        "/apis",
        aggregated(group("metrics.k8s.io", v1=[resource("pods", "PodMetrics", singularResource="pod")])),
    )
    served = await found(wire)
    one = served.by_name(name)
    assert one is not None
    assert one.group == ""
    other = served.by_name("pods.metrics.k8s.io")
    assert other is not None
    assert other.kind == "PodMetrics"
    assert served.by_name("nope") is None


async def test_an_error_of_discovery_is_raised_unchanged() -> None:
    wire = ScriptedTransport().on("GET", "/api", failure(403, "Forbidden")).on("GET", "/apis", aggregated())
    with pytest.raises(Forbidden):
        await found(wire)


async def test_a_response_that_is_not_a_discovery_document_is_a_decode_error() -> None:
    wire = ScriptedTransport().on("GET", "/api", b"<html>").on("GET", "/apis", b"<html>")
    with pytest.raises(DecodeError, match="/api"):
        await found(wire)


@pytest.mark.parametrize(
    ("body", "numbers", "text"),
    [
        (b'{"major": "1", "minor": "34", "gitVersion": "v1.34.2"}', (1, 34), "v1.34.2"),
        (b'{"major": "1", "minor": "34+"}', (1, 34), ""),
        (b'{"major": "x", "minor": ""}', (0, 0), ""),
        (b'{"major": "1", "minor": "%b"}' % (b"9" * 5000), (1, 999_999_999), ""),
    ],
)
async def test_the_version_of_a_server(body: bytes, numbers: tuple[int, int], text: str) -> None:
    wire = ScriptedTransport().on("GET", "/version", Answer(200, body))
    version = await server_version(Client(wire, clock=virtual_clock()))
    assert (version.numbers, version.text) == (numbers, text)


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", b'{"major": "\xff"}', b"[" * 100_000])
async def test_a_response_that_is_no_version_is_an_error(body: bytes) -> None:
    wire = ScriptedTransport().on("GET", "/version", Answer(200, body))
    with pytest.raises(DecodeError, match="/version is not a version"):
        await server_version(Client(wire, clock=virtual_clock()))
