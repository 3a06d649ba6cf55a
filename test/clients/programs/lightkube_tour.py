"""A tour of lightkube. Usage: lightkube_tour.py KUBECONFIG NAMESPACE."""

from __future__ import annotations

import asyncio
import sys
import time

import yaml
from lightkube import ApiError, AsyncClient, Client, KubeConfig, codecs, operators
from lightkube.core.exceptions import ConditionError
from lightkube.generic_resource import load_in_cluster_generic_resources
from lightkube.models.apps_v1 import DeploymentSpec
from lightkube.models.autoscaling_v1 import ScaleSpec
from lightkube.models.batch_v1 import JobSpec
from lightkube.models.core_v1 import Container, PodSpec, PodTemplateSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import ConfigMap, Namespace, Pod, Secret, ServiceAccount
from lightkube.types import CascadeType, PatchType
from steps import IMAGE, fails, note
from widgets import widget_definition

GROUP = "lightkube.tours.example.com"


def config_map(name: str, **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, labels={"tour": "lightkube"}), data=data or None)


def pod_spec() -> PodSpec:
    return PodSpec(restartPolicy="Never", containers=[Container(name="main", image=IMAGE, args=["dry-run"])])


def names(items) -> list[str]:
    return sorted(item.metadata.name for item in items)


def objects(client: Client) -> None:
    made = client.create(config_map("a", x="1"))
    note("create", [made.data, made.kind, made.apiVersion])
    with fails("create an existing one", ApiError):
        client.create(config_map("a"))
    note("dry run", bool(client.create(config_map("dry"), dry_run=True).metadata.uid))
    with fails("get a missing one", ApiError):
        client.get(ConfigMap, name="dry")
    note("strategic patch", client.patch(ConfigMap, "a", {"data": {"y": "2"}}).data)
    note("merge patch", client.patch(ConfigMap, "a", {"data": {"x": None}}, patch_type=PatchType.MERGE).data)
    operations = [{"op": "add", "path": "/data/z", "value": "3"}]
    note("JSON patch", client.patch(ConfigMap, "a", operations, patch_type=PatchType.JSON).data)
    with fails("a JSON patch whose test fails", ApiError):
        test = [{"op": "test", "path": "/data/z", "value": "4"}]
        client.patch(ConfigMap, "a", test, patch_type=PatchType.JSON)
    changed = client.set(ConfigMap, "a", labels={"more": "yes", "tour": None}, annotations={"why": "tour"})
    note("set", [changed.metadata.labels, changed.metadata.annotations])
    changed.data = {"w": "4"}
    replaced = client.replace(changed)
    note("replace", replaced.data)
    with fails("replace an old version", ApiError):
        client.replace(changed)
    body = ConfigMap(
        apiVersion="v1", kind="ConfigMap", metadata=ObjectMeta(name="applied"), data={"a": "1", "b": "2"}
    )
    client.apply(body, field_manager="one")
    body.data = {"a": "1"}
    note("apply again", client.apply(body, field_manager="one").data)
    body.data = {"a": "9"}
    with fails("apply with a conflict", ApiError):
        client.apply(body, field_manager="two")
    forced = client.apply(body, field_manager="two", force=True)
    note("owners", sorted([each.manager, each.operation] for each in forced.metadata.managedFields))
    for number in range(5):
        client.create(config_map(f"page-{number}"))
    note("list in chunks", names(client.list(ConfigMap, labels={"tour": "lightkube"}, chunk_size=2)))
    found = client.list(
        ConfigMap, labels={"tour": operators.not_in(["other"]), "more": operators.not_exists()}
    )
    note("operators", names(found))
    note("fields", names(client.list(ConfigMap, fields={"metadata.name": "page-1"})))
    client.deletecollection(ConfigMap)
    note("left", names(client.list(ConfigMap)))
    client.create(config_map("a"))
    client.delete(ConfigMap, "a")
    with fails("delete a missing one", ApiError):
        client.delete(ConfigMap, "a")
    note("a global resource", client.get(Namespace, name="kube-system").status.phase)


def watching(client: Client) -> None:
    listed = client.list(ConfigMap)
    names(listed)  # the version is known once the list was read
    version = listed.resourceVersion
    client.create(config_map("watched"))
    client.patch(ConfigMap, "watched", {"data": {"x": "1"}})
    client.delete(ConfigMap, "watched")
    seen = []
    for event, found in client.watch(ConfigMap, resource_version=version, labels={"tour": "lightkube"}):
        seen.append([event, found.metadata.name, found.data])
        if event == "DELETED":
            break
    note("watch", seen)


def workloads(client: Client) -> None:
    client.create(Pod(metadata=ObjectMeta(name="worker"), spec=pod_spec()))
    client.wait(Pod, "worker", for_conditions=["PodScheduled"], raise_for_conditions=["DisruptionTarget"])
    while client.get(Pod, "worker").status.phase != "Succeeded":
        time.sleep(0.1)
    note("wait for a pod")
    lines = list(client.log("worker", follow=True))
    note("log", [bool(lines), list(client.log("worker", tail_lines=1)) == lines[-1:]])
    with fails("log of a missing pod", ApiError):
        list(client.log("none"))
    job = Job(metadata=ObjectMeta(name="job"), spec=JobSpec(template=PodTemplateSpec(spec=pod_spec())))
    client.create(job)
    done = client.wait(Job, "job", for_conditions=["Complete"], raise_for_conditions=["Failed"])
    note("wait for a job", done.status.succeeded)
    client.delete(Job, "job", cascade=CascadeType.FOREGROUND)
    deleted = []
    while not deleted:
        deleted = [each for each in ["job"] if each not in names(client.list(Job))]
        time.sleep(0.1)
    note("a job deleted in the foreground", deleted)
    failing = pod_spec()
    failing.containers[0].image = "registry.test/aim-crashing:1"
    broken = JobSpec(template=PodTemplateSpec(spec=failing), backoffLimit=0)
    client.create(Job(metadata=ObjectMeta(name="broken"), spec=broken))
    with fails("a failed job", ConditionError):
        client.wait(Job, "broken", for_conditions=["Complete"], raise_for_conditions=["Failed"])
    template = PodTemplateSpec(
        metadata=ObjectMeta(labels={"a": "b"}), spec=PodSpec(containers=pod_spec().containers)
    )
    spec = DeploymentSpec(selector=LabelSelector(matchLabels={"a": "b"}), template=template, replicas=0)
    client.create(Deployment(metadata=ObjectMeta(name="web"), spec=spec))
    scale = Deployment.Scale(metadata=ObjectMeta(name="web"), spec=ScaleSpec(replicas=0))
    note("replace the scale", client.replace(scale, "web").spec.replicas)
    note("get the scale", client.get(Deployment.Scale, name="web").spec.replicas)
    with fails("an invalid scale", ApiError):
        client.patch(Deployment.Scale, "web", {"spec": {"replicas": -1}})
    status = {"status": {"observedGeneration": 1, "conditions": []}}
    note("patch a status", client.patch(Deployment.Status, "web", status).status.observedGeneration)
    client.delete(Deployment, "web")


def custom_kinds(client: Client) -> None:
    client.create(CustomResourceDefinition.from_dict(widget_definition(GROUP)))
    client.wait(CustomResourceDefinition, f"widgets.{GROUP}", for_conditions=["Established"])
    load_in_cluster_generic_resources(client)
    text = yaml.safe_dump_all(
        [
            {
                "apiVersion": f"{GROUP}/v1",
                "kind": "Widget",
                "metadata": {"name": "w"},
                "spec": {"size": "small"},
            },
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "made"}},
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "made"}, "stringData": {"a": "b"}},
        ]
    )
    loaded = codecs.load_all_yaml(text)
    widget = type(loaded[0])
    for each in loaded:
        for _ in range(100):
            try:
                client.create(each)
            except ApiError as error:
                if error.status.code not in (None, 404):  # the kind may not be served yet
                    raise
                time.sleep(0.1)
            else:
                break
    note("created from YAML", [client.get(widget, "w").spec, client.get(Secret, "made").data])
    note("an account", client.get(ServiceAccount, "made").metadata.name)
    with fails("an invalid custom object", ApiError):
        client.patch(widget, "w", {"spec": {"size": "huge"}}, patch_type=PatchType.MERGE)
    patched = client.patch(
        widget.Status, "w", {"status": {"phase": "Ready", "replicas": 3}}, patch_type=PatchType.MERGE
    )
    note("status", [patched.status, patched.metadata.generation])
    scaled = client.patch(widget.Scale, "w", {"spec": {"replicas": 4}}, patch_type=PatchType.MERGE)
    note("scale", [scaled.spec.replicas, scaled.status.replicas, client.get(widget, "w").spec])
    client.delete(CustomResourceDefinition, f"widgets.{GROUP}")


async def asynchronous(configuration: KubeConfig, namespace: str) -> None:
    client = AsyncClient(config=configuration, namespace=namespace)
    await client.create(config_map("async", x="1"))
    note("asynchronous get", (await client.get(ConfigMap, name="async")).data)
    note(
        "asynchronous list",
        names([each async for each in client.list(ConfigMap, labels={"tour": "lightkube"})]),
    )
    await client.delete(ConfigMap, "async")
    with fails("asynchronous get of a missing one", ApiError):
        await client.get(ConfigMap, name="async")
    await client.close()


def main() -> None:
    configuration, namespace = KubeConfig.from_file(sys.argv[1]), sys.argv[2]
    with Client(config=configuration, namespace=namespace, field_manager="tour") as client:
        objects(client)
        watching(client)
        workloads(client)
        custom_kinds(client)
    asyncio.run(asynchronous(configuration, namespace))


main()
