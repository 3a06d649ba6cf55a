"""A tour of kr8s. Usage: kr8s_tour.py KUBECONFIG NAMESPACE."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import kr8s
import kr8s.asyncio
import yaml
from kr8s.asyncio.objects import Pod as AsyncPod
from kr8s.objects import (
    ConfigMap,
    CustomResourceDefinition,
    Deployment,
    Job,
    Node,
    Pod,
    Secret,
    new_class,
    object_from_spec,
    objects_from_files,
)
from steps import IMAGE, fails, note
from widgets import widget_definition

GROUP = "kr8s.tours.example.com"


def config_map(name: str, **data: str) -> dict:
    metadata = {"name": name, "labels": {"tour": "kr8s"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def pod_spec() -> dict:
    return {"restartPolicy": "Never", "containers": [{"name": "main", "image": IMAGE, "args": ["dry-run"]}]}


def objects(api) -> None:
    one = ConfigMap(config_map("a", x="1"), api=api)
    note("absent", one.exists())
    one.create()
    note("create", [one.exists(), dict(one.data)])
    with fails("create an existing one", kr8s.ServerError):
        ConfigMap(config_map("a"), api=api).create()
    one.patch({"data": {"y": "2"}})
    one.patch([{"op": "remove", "path": "/data/x"}], type="json")
    note("patches", dict(one.data))
    with fails("an invalid patch", kr8s.ServerError):
        one.patch({"data": {"not a key!": "1"}})
    one.label(more="yes")
    one.annotate({"why": "tour"})
    one.remove_label("tour")
    one.refresh()
    note("labels and annotations", [dict(one.labels), dict(one.annotations)])
    other = ConfigMap.get("a", namespace=api.namespace, api=api)
    note("get", dict(other.data))
    with fails("get a missing one", kr8s.NotFoundError):
        ConfigMap.get("none", namespace=api.namespace, api=api, timeout=0.5)
    child = ConfigMap(config_map("child"), api=api)
    child.create()
    one.adopt(child)
    child.refresh()
    note("adopt", [[each.kind, each.name] for each in child.metadata.ownerReferences])
    one.delete()
    child.wait("delete", timeout=60)
    note("the collector deletes what was adopted", child.exists())
    with fails("delete a missing one", kr8s.NotFoundError):
        one.delete()
    for number in range(5):
        ConfigMap(config_map(f"page-{number}"), api=api).create()
    found = api.get("configmaps", label_selector={"tour": "kr8s"})
    note("list", sorted(each.name for each in found))
    found = api.get("cm", field_selector={"metadata.name": "page-2"})
    note("list by field and short name", sorted(each.name for each in found))
    named = api.get("configmaps", "page-1", "page-3")
    note("list by names", sorted(each.name for each in named))
    table = next(iter(api.get("configmaps", as_object=kr8s.objects.Table, label_selector="tour=kr8s")))
    note(
        "table",
        [[each["name"] for each in table.column_definitions], [row["cells"][:2] for row in table.rows]],
    )
    secret = Secret({"metadata": {"name": "s"}, "stringData": {"a": "b"}}, api=api)
    secret.create()
    note("secret", dict(Secret.get("s", namespace=api.namespace, api=api).data))


def watching(api) -> None:
    one = ConfigMap(config_map("watched"), api=api)
    one.create()
    other = ConfigMap.get("watched", namespace=api.namespace, api=api)
    other.patch({"data": {"x": "1"}})
    other.delete()
    seen = []
    for event, found in one.watch():  # from the version after the creation
        seen.append([event, dict(found.raw.get("data") or {})])
        if event == "DELETED":
            break
    note("watch", seen)


def workloads(api, folder: Path) -> None:
    pod = Pod({"metadata": {"name": "worker"}, "spec": pod_spec()}, api=api)
    pod.create()
    pod.wait("jsonpath='{.status.phase}'=Succeeded", timeout=60)
    lines = list(pod.logs())
    note("log", [bool(lines), list(pod.logs(tail_lines=1)) == lines[-1:], pod.ready()])
    pod.delete()
    pod.wait("delete", timeout=60)
    note("a deleted pod", pod.exists())
    generated = Pod.gen(name="generated", image=IMAGE, ports=8080, restart="Never", namespace=api.namespace)
    made = Pod(generated.raw, api=api)
    made.create()
    note("a generated pod", [list(made.spec.containers[0].ports), made.spec.restartPolicy])
    job = Job({"metadata": {"name": "job"}, "spec": {"template": {"spec": pod_spec()}}}, api=api)
    job.create()
    job.wait(["condition=Complete", "condition=Failed"], timeout=60)
    job.refresh()
    note("job", job.status.succeeded)
    job.delete(propagation_policy="Foreground")
    job.wait("delete", timeout=60)
    spec = {
        "replicas": 0,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": pod_spec()["containers"]},
        },
    }
    deployment = Deployment({"metadata": {"name": "web"}, "spec": spec}, api=api)
    deployment.create()
    deployment.scale(0)
    note("deployment", [deployment.replicas, deployment.spec.strategy.type])
    with fails("an immutable selector", kr8s.ServerError):
        deployment.patch({"spec": {"selector": {"matchLabels": {"app": "other"}}}})
    deployment.delete()
    documents = [config_map("from-file-1", x="1"), config_map("from-file-2", x="2")]
    for document in documents:
        document["metadata"]["namespace"] = api.namespace
    (folder / "kr8s.yaml").write_text(yaml.safe_dump_all(documents))
    for each in objects_from_files(folder / "kr8s.yaml", api=api):
        each.create()
    note(
        "objects of a file", sorted(each.name for each in api.get("configmaps", "from-file-1", "from-file-2"))
    )


def nodes(api) -> None:
    node = Node({"metadata": {"name": "kr8s-tour", "labels": {"tour": "kr8s"}}}, api=api)
    node.create()
    node.cordon()
    note("cordon", node.unschedulable)
    node.uncordon()
    note("uncordon", node.raw.spec.get("unschedulable", False))
    node.taint("a", "b", effect="NoSchedule")
    node.refresh()
    note("taint", [[each.key, each.value, each.effect] for each in node.taints if each.key == "a"])
    node.delete()


def custom_kinds(api) -> None:
    definition = CustomResourceDefinition(widget_definition(GROUP), api=api)
    definition.create()
    established = False
    for _ in range(300):
        definition.refresh()
        conditions = (definition.raw.get("status") or {}).get("conditions") or []  # null at first
        established = any(each["type"] == "Established" and each["status"] == "True" for each in conditions)
        if established:
            break
        time.sleep(0.1)
    note("established", established)
    Widget = new_class(f"Widget.{GROUP}/v1", asyncio=False, scalable=True, scalable_spec="replicas")
    body = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Widget",
        "metadata": {"name": "w"},
        "spec": {"size": "small"},
    }
    widget = Widget(body, api=api, namespace=api.namespace)
    for _ in range(100):
        try:
            widget.create()
        except (kr8s.ServerError, kr8s.NotFoundError):  # the kind may not be served yet
            continue
        break
    note("create", [dict(widget.spec), widget.metadata.generation])
    with fails("an invalid custom object", kr8s.ServerError):
        widget.patch({"spec": {"size": "huge"}})
    widget.patch({"status": {"phase": "Ready", "replicas": 1}}, subresource="status")
    note("status", dict(widget.status))
    widget.scale(3)
    note("scale", [widget.replicas, widget.metadata.generation])
    known = object_from_spec({**body, "metadata": {"name": "w", "namespace": api.namespace}}, api=api)
    known.refresh()
    note("object of a spec", dict(known.spec))
    kinds = {each["name"]: each["verbs"] for each in api.api_resources() if each["version"].startswith(GROUP)}
    note("resources", {name: sorted(verbs) for name, verbs in kinds.items()})
    note("kind of a plural", list(api.lookup_kind(f"widgets.{GROUP}/v1")))
    definition.delete()


async def asynchronous(kubeconfig: str, namespace: str) -> None:
    api = await kr8s.asyncio.api(kubeconfig=kubeconfig, namespace=namespace)
    pod = await AsyncPod({"metadata": {"name": "async"}, "spec": pod_spec()}, api=api)
    await pod.create()
    await pod.wait(["jsonpath='{.status.phase}'=Succeeded", "jsonpath='{.status.phase}'=Failed"], timeout=60)
    note("asynchronous log", bool([line async for line in pod.logs()]))
    note("asynchronous list", [each.name async for each in api.get("pods", "async")])
    await pod.delete()


def main() -> None:
    kubeconfig, namespace = sys.argv[1], sys.argv[2]
    api = kr8s.api(kubeconfig=kubeconfig, namespace=namespace)
    objects(api)
    watching(api)
    workloads(api, Path(kubeconfig).parent)
    nodes(api)
    custom_kinds(api)
    asyncio.run(asynchronous(kubeconfig, namespace))


main()
