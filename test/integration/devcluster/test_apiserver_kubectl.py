"""Unmodified kubectl works with the embedded server as with a real one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import yaml

from aimctl.devcluster import ApiServer, DenyRule, DenyRules, HttpFront
from aimctl.devcluster.apiserver.logs import LogKey
from aimctl.devcluster.node.logs import ContainerLogs
from aimctl.runtime.clock import LoopClock
from support.apiserver import PODS, WIDGETS, crd, pod, until, widget
from support.documents import load_yaml
from support.kubectl import Kubectl, kubectl_binaries
from support.proofs import variants

BINARIES = variants(kubectl_binaries())


class Cluster:
    """A served API server, and a kubectl in a thread."""

    def __init__(self, server: ApiServer, kubectl: Kubectl) -> None:
        self.server = server
        self.kubectl = kubectl

    async def __call__(self, *args: str, stdin: str | None = None) -> str:
        return await asyncio.to_thread(self.kubectl, *args, stdin=stdin)

    async def json(self, *args: str):
        return json.loads(await self(*args, "-o", "json"))

    async def fails(self, *args: str, stdin: str | None = None) -> str:
        return await asyncio.to_thread(self.kubectl.fails, *args, stdin=stdin)


@pytest.fixture(params=BINARIES, ids=lambda path: Path(path).parent.parent.name)
async def cluster(request, tmp_path):
    server = ApiServer(clock=LoopClock())
    server.start()
    front = HttpFront(server)
    endpoint = await front.serve()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": endpoint.url}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    yield Cluster(server, Kubectl(tmp_path / "config", tmp_path / "cache", request.param))
    await front.aclose()
    server.close()


def manifest(**data: str) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data})


async def test_client_side_apply_creates_and_changes_objects(cluster):
    assert await cluster("apply", "-f", "-", stdin=manifest(a="1", b="2")) == "configmap/c created\n"
    before = cluster.server.storage.version
    assert await cluster("apply", "-f", "-", stdin=manifest(a="1", b="2")) == "configmap/c unchanged\n"
    assert cluster.server.storage.version == before
    assert await cluster("apply", "-f", "-", stdin=manifest(a="3")) == "configmap/c configured\n"
    assert (await cluster.json("get", "cm", "c"))["data"] == {"a": "3"}


async def test_server_side_apply_keeps_owners_and_rejects_conflicts(cluster):
    apply = ("apply", "--server-side", "-f", "-")
    assert await cluster(*apply, stdin=manifest(a="1")) == "configmap/c serverside-applied\n"
    before = cluster.server.storage.version
    await cluster(*apply, stdin=manifest(a="1"))
    assert cluster.server.storage.version == before
    refused = await cluster.fails(*apply, "--field-manager=other", stdin=manifest(a="2"))
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .data.a' in refused
    await cluster(*apply, "--field-manager=other", "--force-conflicts", stdin=manifest(a="2"))
    fields = (await cluster.json("get", "cm", "c", "--show-managed-fields"))["metadata"]["managedFields"]
    assert {each["manager"]: each["operation"] for each in fields} == {"other": "Apply"}


async def test_get_supports_every_output(cluster):
    await cluster("create", "configmap", "c", "--from-literal=a=1")
    assert (await cluster("get", "cm", "-o", "name")) == "configmap/c\n"
    assert (await cluster("get", "cm", "c", "-o", "jsonpath={.data.a}")) == "1"
    assert load_yaml(await cluster("get", "cm", "c", "-o", "yaml"))["data"] == {"a": "1"}
    assert (await cluster("get", "cm")).split()[:5] == ["NAME", "DATA", "AGE", "c", "1"]
    assert (await cluster("get", "ns", "-o", "wide")).startswith("NAME")
    assert "kube-system" in await cluster("get", "ns", "--chunk-size=1", "-o", "name")
    assert 'configmaps "none" not found' in await cluster.fails("get", "cm", "none")
    assert 'the server doesn\'t have a resource type "nonsense"' in await cluster.fails("get", "nonsense")


async def test_typed_commands_create_objects_with_protobuf(cluster):
    await cluster("create", "namespace", "n")
    await cluster("create", "secret", "generic", "s", "--from-literal=p=q")
    await cluster("create", "job", "j", "--image=busybox", "--", "sleep", "1")
    await cluster("create", "deployment", "d", "--image=nginx", "--replicas=0", "--port=80")
    await cluster("create", "clusterrole", "r", "--verb=get,list", "--resource=pods")
    assert (await cluster.json("get", "secret", "s"))["data"] == {"p": "cQ=="}
    job = await cluster.json("get", "job", "j")
    assert job["spec"]["template"]["spec"]["containers"][0]["command"] == ["sleep", "1"]
    deployment = await cluster.json("get", "deployment", "d")
    assert (
        deployment["spec"]["replicas"],
        deployment["spec"]["template"]["spec"]["containers"][0]["ports"],
    ) == (0, [{"containerPort": 80, "protocol": "TCP"}])
    assert (await cluster.json("get", "clusterrole", "r"))["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}
    ]
    made = await cluster("create", "-f", "-", "--dry-run=server", "-o", "json", stdin=manifest())
    assert json.loads(made)["metadata"]["uid"]
    assert "already exists" in await cluster.fails("create", "namespace", "n")


@pytest.mark.proof
async def test_kinds_of_all_groups_can_be_created_and_pruned(cluster):
    await cluster("create", "cronjob", "cj", "--image=a", "--schedule=0 0 * * *")
    await cluster("create", "ingress", "i", "--rule=a.example.com/c=s:80")
    await cluster("create", "poddisruptionbudget", "p", "--selector=a=b", "--min-available=1")
    await cluster("create", "priorityclass", "hi", "--value=5")
    await cluster("create", "deployment", "d", "--image=a")
    await cluster("autoscale", "deployment", "d", "--max=3")
    listed = await cluster("get", "cj,ing,pdb,pc,deploy,hpa,netpol,endpointslices", "-o", "name")
    assert listed.split() == [
        "cronjob.batch/cj",
        "ingress.networking.k8s.io/i",
        "poddisruptionbudget.policy/p",
        "priorityclass.scheduling.k8s.io/hi",
        "deployment.apps/d",
        "horizontalpodautoscaler.autoscaling/d",
    ]
    one, two = (
        json.dumps(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"s": "p"}}}
        )
        for name in ("one", "two")
    )
    await cluster("apply", "-f", "-", stdin=f"---\n{one}\n---\n{two}")
    assert "configmap/two pruned" in await cluster("apply", "--prune", "-l", "s=p", "-f", "-", stdin=one)
    explained = await cluster("explain", "configmap", "--output=plaintext-openapiv2")
    assert "binaryData\t<map[string]string>" in explained


async def test_patch_label_annotate_and_replace_work(cluster):
    await cluster("create", "configmap", "c", "--from-literal=a=1")
    await cluster("patch", "cm", "c", "-p", '{"data":{"b":"2"}}')
    await cluster("patch", "cm", "c", "--type=merge", "-p", '{"data":{"a":null}}')
    await cluster("patch", "cm", "c", "--type=json", "-p", '[{"op":"add","path":"/data/d","value":"4"}]')
    await cluster("label", "cm", "c", "x=y")
    await cluster("annotate", "cm", "c", "p=q")
    got = await cluster.json("get", "cm", "c")
    assert got["data"] == {"b": "2", "d": "4"}
    assert (got["metadata"]["labels"], got["metadata"]["annotations"]) == ({"x": "y"}, {"p": "q"})
    assert "configmap/c" in await cluster("get", "cm", "-l", "x in (y)", "-o", "name")
    await cluster("replace", "-f", "-", stdin=manifest(z="1"))
    assert (await cluster.json("get", "cm", "c"))["data"] == {"z": "1"}
    assert "invalid" in await cluster.fails("label", "cm", "c", "x=not a label")


async def test_a_custom_kind_can_be_defined_used_and_deleted(cluster):
    columns = [{"name": "Size", "type": "string", "jsonPath": ".spec.size"}]
    await cluster("apply", "-f", "-", stdin=json.dumps(crd(additionalPrinterColumns=columns)))
    await cluster("wait", "--for=condition=Established", "crd/widgets.example.com", "--timeout=10s")
    await cluster("apply", "-f", "-", stdin=json.dumps(widget("w", size="small")))
    assert (await cluster("get", "widgets")).split()[:4] == ["NAME", "SIZE", "w", "small"]
    invalid = await cluster.fails("apply", "-f", "-", stdin=json.dumps(widget("w", size="huge")))
    assert (
        'The Widget "w" is invalid: spec.size: Unsupported value: "huge": supported values: "small", "large"'
        in invalid
    )
    unknown = await cluster.fails("create", "-f", "-", stdin=json.dumps(widget("v", colour="red")))
    assert 'strict decoding error: unknown field "spec.colour"' in unknown
    await cluster(
        "patch", "widget", "w", "--subresource=status", "--type=merge", "-p", '{"status":{"phase":"Ready"}}'
    )
    await cluster("wait", "--for=jsonpath={.status.phase}=Ready", "widget/w", "--timeout=10s")
    assert "size" in await cluster("explain", "widget.spec")
    assert "widgets" in await cluster("api-resources", "--api-group=example.com")
    assert "Spec:" in await cluster("describe", "widget", "w")
    await cluster("delete", "crd", "widgets.example.com")
    assert "the server doesn't have a resource type" in await cluster.fails(
        "get", "widgets", "--cache-dir=/nonexistent"
    )


async def test_wait_notices_a_later_change(cluster):
    await cluster("apply", "-f", "-", stdin=json.dumps(crd()))
    await cluster("apply", "-f", "-", stdin=json.dumps(widget("w", size="small")))
    waiting = asyncio.create_task(
        cluster("wait", "--for=jsonpath={.status.phase}=Ready", "widget/w", "--timeout=20s")
    )
    wakers = cluster.server.storage.collection("widgets.example.com").wakers
    await until(lambda: wakers)
    await cluster(
        "patch", "widget", "w", "--subresource=status", "--type=merge", "-p", '{"status":{"phase":"Ready"}}'
    )
    assert "condition met" in await waiting


async def test_get_watch_prints_changes(cluster):
    base = cluster.kubectl._base
    process = await asyncio.create_subprocess_exec(
        *base, "get", "cm", "-w", "--no-headers", stdout=asyncio.subprocess.PIPE
    )
    wakers = cluster.server.storage.collection("configmaps").wakers
    try:
        async with asyncio.timeout(20):
            await until(lambda: wakers)
            await cluster("create", "configmap", "c", "--from-literal=a=1")
            assert (await process.stdout.readline()).split()[:2] == [b"c", b"1"]
            await cluster("patch", "cm", "c", "-p", '{"data":{"b":"2"}}')
            assert (await process.stdout.readline()).split()[:2] == [b"c", b"2"]
    finally:
        process.terminate()
        await process.wait()


async def test_delete_cascades_and_waits(cluster):
    await cluster("create", "configmap", "a")
    await cluster("create", "configmap", "b")
    assert "deleted" in await cluster("delete", "cm", "--all")
    await cluster("create", "configmap", "c")
    assert "deleted" in await cluster("delete", "cm", "c", "--cascade=foreground", "--wait=false")
    held = await cluster.json("get", "cm", "c")
    assert held["metadata"]["finalizers"] == ["foregroundDeletion"]
    await cluster("patch", "cm", "c", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    await cluster("create", "namespace", "n")
    await cluster("create", "configmap", "inside", "-n", "n")
    await cluster("delete", "namespace", "n", "--timeout=10s")
    assert "not found" in await cluster.fails("get", "namespace", "n")
    await cluster("delete", "cm", "none", "--ignore-not-found")


async def test_auth_can_i_and_whoami_work(cluster):
    assert await cluster("auth", "can-i", "create", "pods") == "yes\n"
    rules = DenyRules([DenyRule("create", "pods")])
    cluster.server.authorizer = rules
    done = await asyncio.to_thread(cluster.kubectl.run, "auth", "can-i", "create", "pods")
    assert done.stdout.startswith("no")
    refused = await cluster.fails("create", "-f", "-", stdin=json.dumps(pod("p")))
    assert (
        'pods is forbidden: User "kubernetes-admin" cannot create resource "pods" in API group "" in the namespace "default"'
        in refused
    )
    assert "kubernetes-admin" in await cluster("auth", "whoami")


async def test_logs_and_describe_show_a_pod(cluster):
    await cluster("create", "-f", "-", stdin=json.dumps(pod("p", nodeName="n")))
    logs = ContainerLogs(clock=LoopClock())
    cluster.server.logs = logs
    key = LogKey("default", "p", "main")
    logs.start(key, "u", b"one\ntwo\n")
    assert await cluster("logs", "p") == "one\ntwo\n"
    assert await cluster("logs", "p", "--tail=1") == "two\n"
    following = asyncio.create_task(cluster("logs", "-f", "p"))
    await asyncio.sleep(0.5)
    logs.write(key, b"three\n")
    logs.end(key)
    assert await following == "one\ntwo\nthree\n"
    assert "Name:             p" in await cluster("describe", "pod", "p")
    assert "not valid for pod p" in await cluster.fails("logs", "p", "-c", "side")
    assert "Pending" in await cluster("get", "pods", "-o", "wide")


async def test_raw_paths_versions_and_resources_are_served(cluster):
    assert await cluster("get", "--raw", "/readyz") == "ok"
    assert "v1.36.3" in await cluster("version")
    resources = await cluster("api-resources", "-o", "name")
    assert {"pods", "jobs.batch", "leases.coordination.k8s.io"} <= set(resources.split())
    assert "batch/v1" in (await cluster("api-versions")).split()
    assert json.loads(await cluster("get", "--raw", PODS))["kind"] == "PodList"
    assert "not find the requested resource" in await cluster.fails("get", "--raw", WIDGETS)
