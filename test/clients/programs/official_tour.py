"""A tour of the official Python client. Usage: official_tour.py KUBECONFIG NAMESPACE."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import kubernetes
import yaml
from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.rest import ApiException
from steps import IMAGE, fails, note
from widgets import widget_definition

GROUP = "official.tours.example.com"


def config_map(name: str, **data: str) -> client.V1ConfigMap:
    return client.V1ConfigMap(
        metadata=client.V1ObjectMeta(name=name, labels={"tour": "official"}), data=data or None
    )


def pod(name: str) -> client.V1Pod:
    container = client.V1Container(
        name="main",
        image=IMAGE,
        args=["dry-run"],
        resources=client.V1ResourceRequirements(requests={"cpu": "100m"}),
    )
    return client.V1Pod(
        metadata=client.V1ObjectMeta(name=name),
        spec=client.V1PodSpec(restart_policy="Never", containers=[container]),
    )


def objects(core: client.CoreV1Api, namespace: str) -> None:
    made = core.create_namespaced_config_map(namespace, config_map("a", x="1"))
    note("create", [made.kind, made.api_version, made.data, made.immutable, made.metadata.labels])
    note("read", core.read_namespaced_config_map("a", namespace).data)
    with fails("create an existing one", ApiException):
        core.create_namespaced_config_map(namespace, config_map("a"))
    with fails("create with a bad name", ApiException):
        core.create_namespaced_config_map(namespace, config_map("A_b"))
    dry = core.create_namespaced_config_map(namespace, config_map("dry"), dry_run="All")
    note("dry run", bool(dry.metadata.uid))
    with fails("read what a dry run created", ApiException):
        core.read_namespaced_config_map("dry", namespace)
    core.patch_namespaced_config_map("a", namespace, {"data": {"y": "2"}})
    core.patch_namespaced_config_map(
        "a", namespace, {"data": {"x": None}}, _content_type="application/merge-patch+json"
    )
    core.patch_namespaced_config_map(
        "a",
        namespace,
        [{"op": "test", "path": "/data/y", "value": "2"}, {"op": "add", "path": "/data/z", "value": "3"}],
        _content_type="application/json-patch+json",
    )
    patched = core.read_namespaced_config_map("a", namespace)
    note("three patches", patched.data)
    patched.data = {"w": "4"}
    replaced = core.replace_namespaced_config_map("a", namespace, patched)
    note("replace", replaced.data)
    with fails("replace an old version", ApiException):
        patched.metadata.resource_version = made.metadata.resource_version
        core.replace_namespaced_config_map("a", namespace, patched)
    for number in range(5):
        core.create_namespaced_config_map(namespace, config_map(f"page-{number}"))
    names, token, remaining = [], None, []
    while token != "":
        page = core.list_namespaced_config_map(
            namespace, label_selector="tour=official", limit=2, _continue=token
        )
        names.append([item.metadata.name for item in page.items])
        remaining.append(page.metadata.remaining_item_count)
        token = page.metadata._continue or ""
    note("pages", [names, remaining])
    selected = core.list_namespaced_config_map(namespace, field_selector="metadata.name=page-3")
    note("field selector", [item.metadata.name for item in selected.items])
    for selector in ("tour notin (official)", "tour", "!tour", "tour==official,absent!=x"):
        found = core.list_namespaced_config_map(namespace, label_selector=selector)
        note(f"label selector {selector}", sorted(item.metadata.name for item in found.items))
    with fails("a bad selector", ApiException):
        core.list_namespaced_config_map(namespace, label_selector="a in b")
    with fails("an unsupported field selector", ApiException):
        core.list_namespaced_config_map(namespace, field_selector="data.x=1")
    deleted = core.delete_collection_namespaced_config_map(namespace, label_selector="tour=official")
    note("delete a collection", deleted.kind)
    left = core.list_namespaced_config_map(namespace, label_selector="tour=official")
    note("left", [item.metadata.name for item in left.items])
    with fails("delete a missing one", ApiException):
        core.delete_namespaced_config_map("a", namespace)


def watching(core: client.CoreV1Api, namespace: str) -> None:
    version = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_config_map(namespace, config_map("watched", x="1"))
    core.patch_namespaced_config_map("watched", namespace, {"data": {"x": "2"}})
    core.patch_namespaced_config_map("watched", namespace, {"metadata": {"labels": {"tour": "left"}}})
    core.delete_namespaced_config_map("watched", namespace)
    for selector in ("", "tour=official"):
        seen = []
        stream = watch.Watch().stream(
            core.list_namespaced_config_map,
            namespace,
            resource_version=version,
            label_selector=selector,
            timeout_seconds=1,
        )
        for event in stream:
            found = event["object"]
            seen.append([event["type"], found.metadata.name, found.data])
        note(f"watch {selector}", seen)


def pods(core: client.CoreV1Api, namespace: str) -> None:
    core.create_namespaced_pod(namespace, pod("worker"))
    phases = []
    stream = watch.Watch().stream(
        core.list_namespaced_pod, namespace, field_selector="metadata.name=worker", timeout_seconds=60
    )
    for event in stream:
        phase = event["object"].status.phase
        if [phase] != phases[-1:]:
            phases.append(phase)
        if phase in ("Succeeded", "Failed"):
            break
    note("phases", phases)
    text = core.read_namespaced_pod_log("worker", namespace)
    note("log", [bool(text), core.read_namespaced_pod_log("worker", namespace, tail_lines=1) in text])
    followed = core.read_namespaced_pod_log("worker", namespace, follow=True, _preload_content=False)
    note("followed log", followed.read().decode() == text)
    with fails("log of a missing pod", ApiException):
        core.read_namespaced_pod_log("none", namespace)
    with fails("log of a missing container", ApiException):
        core.read_namespaced_pod_log("worker", namespace, container="none")
    with fails("change an immutable field", ApiException):
        core.patch_namespaced_pod("worker", namespace, {"spec": {"restartPolicy": "Always"}})
    done = core.read_namespaced_pod("worker", namespace)
    state = done.status.container_statuses[0].state.terminated
    note("container", [state.reason, state.exit_code, done.status.qos_class, bool(done.status.pod_ip)])
    core.create_namespaced_pod(namespace, pod("evicted"))
    eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name="evicted"))
    core.create_namespaced_pod_eviction("evicted", namespace, eviction)
    gone = []
    for _ in range(300):
        listed = core.list_namespaced_pod(namespace, field_selector="metadata.name=evicted").items
        gone.append(not listed)
        if gone[-1]:
            break
        time.sleep(0.1)
    note("evict", gone[-1])


def workloads(api: client.ApiClient, core: client.CoreV1Api, namespace: str, folder: Path) -> None:
    batch, apps = client.BatchV1Api(api), client.AppsV1Api(api)
    template = client.V1PodTemplateSpec(spec=pod("x").spec)
    job = client.V1Job(
        metadata=client.V1ObjectMeta(name="job"), spec=client.V1JobSpec(template=template, completions=2)
    )
    batch.create_namespaced_job(namespace, job)
    for event in watch.Watch().stream(batch.list_namespaced_job, namespace, timeout_seconds=60):
        status = event["object"].status
        if status.completion_time:
            note("job", [status.succeeded, sorted(each.type for each in status.conditions)])
            break
    batch.delete_namespaced_job("job", namespace, propagation_policy="Background")
    for _ in range(300):
        owned = core.list_namespaced_pod(namespace, label_selector="job-name=job").items
        if not owned:
            break
        time.sleep(0.1)
    note("pods of the deleted job", len(owned))
    documents = [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [{"name": "c", "image": IMAGE}]},
                },
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
        },
    ]
    file = folder / "official.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    utils.create_from_yaml(api, str(file), namespace=namespace)
    made = apps.read_namespaced_deployment("web", namespace)
    note(
        "defaults of a deployment",
        [
            made.spec.strategy.type,
            made.spec.revision_history_limit,
            made.spec.progress_deadline_seconds,
            made.spec.template.spec.containers[0].image_pull_policy,
        ],
    )
    service = core.read_namespaced_service("web", namespace)
    port = service.spec.ports[0]
    note(
        "defaults of a service",
        [service.spec.type, port.protocol, port.target_port, bool(service.spec.cluster_ip)],
    )
    with fails("create from YAML again", utils.FailToCreateError):
        utils.create_from_yaml(api, str(file), namespace=namespace)
    scale = apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 0}})
    note("scale", [scale.kind, scale.spec.replicas, scale.status.selector])
    with fails("invalid replicas", ApiException):
        apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": -1}})
    apps.delete_namespaced_deployment("web", namespace)


def custom_kinds(api: client.ApiClient, namespace: str) -> None:
    definitions, custom = client.ApiextensionsV1Api(api), client.CustomObjectsApi(api)
    name = f"widgets.{GROUP}"
    definitions.create_custom_resource_definition(widget_definition(GROUP))
    for event in watch.Watch().stream(
        definitions.list_custom_resource_definition,
        field_selector=f"metadata.name={name}",
        timeout_seconds=30,
    ):
        found = {each.type: each.status for each in event["object"].status.conditions or ()}
        if found.get("Established") == "True":
            break
    note("conditions of a definition", found)
    where = (GROUP, "v1", namespace, "widgets")
    body = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Widget",
        "metadata": {"name": "w"},
        "spec": {"size": "small"},
    }
    for _ in range(100):
        try:
            made = custom.create_namespaced_custom_object(*where, body)
        except ApiException as error:
            if error.status != 404:  # the kind may not be served yet
                raise
            time.sleep(0.1)
        else:
            break
    note("a custom object", [made["spec"], made["metadata"]["generation"], made.get("status")])
    with fails("an invalid custom object", ApiException):
        custom.patch_namespaced_custom_object(*where, "w", {"spec": {"size": "huge"}})
    custom.patch_namespaced_custom_object_status(*where, "w", {"status": {"phase": "Ready", "replicas": 3}})
    changed = custom.patch_namespaced_custom_object(
        *where, "w", {"spec": {"replicas": 2}, "status": {"phase": "no"}}
    )
    note("status and generation", [changed["status"], changed["metadata"]["generation"]])
    note("custom scale", {**custom.get_namespaced_custom_object_scale(*where, "w"), "metadata": None})
    discovered = dynamic.DynamicClient(api)
    resource = discovered.resources.get(api_version=f"{GROUP}/v1", kind="Widget")
    note(
        "discovery",
        [resource.name, resource.namespaced, sorted(resource.verbs), sorted(resource.subresources)],
    )
    applied = resource.server_side_apply(
        body={**body, "spec": {"size": "large"}},
        namespace=namespace,
        field_manager="tour",
        force_conflicts=True,
    )
    note("server-side apply", [applied.spec.size, applied.spec.replicas])
    with fails("apply with a conflict", dynamic.exceptions.ConflictError):
        resource.server_side_apply(
            body={**body, "spec": {"size": "small"}}, namespace=namespace, field_manager="other"
        )
    note("delete a custom object", custom.delete_namespaced_custom_object(*where, "w")["status"])
    definitions.delete_custom_resource_definition(name)


def access(api: client.ApiClient, core: client.CoreV1Api, namespace: str) -> None:
    review = client.V1SelfSubjectAccessReview(
        spec=client.V1SelfSubjectAccessReviewSpec(
            resource_attributes=client.V1ResourceAttributes(
                verb="create", resource="pods", namespace=namespace
            )
        )
    )
    made = client.AuthorizationV1Api(api).create_self_subject_access_review(review)
    note("access review", made.status.allowed)
    token = core.create_namespaced_service_account_token(
        "default",
        namespace,
        client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[])),
    )
    note("parts of a token", token.status.token.count("."))
    lease = client.V1Lease(
        metadata=client.V1ObjectMeta(name="lease"), spec=client.V1LeaseSpec(holder_identity="a")
    )
    coordination = client.CoordinationV1Api(api)
    first = coordination.create_namespaced_lease(namespace, lease)
    first.spec.holder_identity = "b"
    second = coordination.replace_namespaced_lease("lease", namespace, first)
    note("lease", second.spec.holder_identity)
    first.spec.holder_identity = "c"
    with fails("a lost race for a lease", ApiException):
        coordination.replace_namespaced_lease("lease", namespace, first)
    note(
        "all groups",
        sorted(
            group.name for group in client.ApisApi(api).get_api_versions().groups if "." not in group.name
        ),
    )


def main() -> None:
    kubeconfig, namespace = Path(sys.argv[1]), sys.argv[2]
    api = config.new_client_from_config(str(kubeconfig))
    core = kubernetes.client.CoreV1Api(api)
    objects(core, namespace)
    watching(core, namespace)
    pods(core, namespace)
    workloads(api, core, namespace, kubeconfig.parent)
    custom_kinds(api, namespace)
    access(api, core, namespace)


main()
