"""An operator written with kopf. Run it with ``kopf run``; it writes one line to TOUR_LOG for each call of a handler.

Each Widget gets a ConfigMap, which it owns, a status, and a finalizer. It is paused while its annotation ``paused`` is set.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import kopf
import kubernetes

GROUP = "kopf.tours.example.com"
LOG = Path(os.environ["TOUR_LOG"])
WIDGETS = (GROUP, "v1", "widgets")


def say(*words: Any) -> None:
    with LOG.open("a", encoding="utf-8") as log:
        log.write(json.dumps(words) + "\n")


def core() -> kubernetes.client.CoreV1Api:
    return kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(os.environ["KUBECONFIG"]))


@kopf.on.startup()
async def start(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.persistence.finalizer = f"{GROUP}/finalizer"
    settings.peering.name = "tour"
    settings.peering.mandatory = True
    settings.posting.level = 20


@kopf.index(*WIDGETS)
def sizes(name: str, spec: kopf.Spec, **_: Any) -> dict[str, str]:
    return {spec["size"]: name}


@kopf.on.create(*WIDGETS)
def created(spec: kopf.Spec, name: str, namespace: str, **_: Any) -> dict[str, str]:
    body = {"metadata": {"name": name}, "data": {"size": spec["size"]}}
    kopf.adopt(body)
    made = core().create_namespaced_config_map(namespace, body)
    metadata = {"name": name, "namespace": namespace, "uid": made.metadata.uid}
    kopf.info({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}, reason="Made", message="done")
    say("created", name)
    return {"configmap": made.metadata.name}


@kopf.on.create(*WIDGETS, when=lambda spec, **_: spec["size"] == "large", backoff=0.2)
def retried(name: str, retry: int, **_: Any) -> None:
    if retry < 2:
        raise kopf.TemporaryError("not yet", delay=0.2)
    say("retried", name, retry)


@kopf.on.update(*WIDGETS)
def updated(spec: kopf.Spec, name: str, namespace: str, patch: kopf.Patch, diff: kopf.Diff, **_: Any) -> None:
    core().patch_namespaced_config_map(name, namespace, {"data": {"size": spec["size"]}})
    patch.status["phase"] = "Updated"
    say("updated", name, [[each[0], list(each[1]), *each[2:]] for each in diff])


@kopf.on.field(*WIDGETS, field="spec.replicas")
def replicas(name: str, old: Any, new: Any, **_: Any) -> None:
    say("replicas", name, old, new)


@kopf.on.resume(*WIDGETS)
def resumed(name: str, **_: Any) -> None:
    say("resumed", name)


@kopf.on.delete(*WIDGETS)
def deleted(name: str, **_: Any) -> None:
    say("deleted", name)


@kopf.on.event("", "v1", "configmaps", labels={"watched": kopf.PRESENT})
def event(name: str, type: str | None, **_: Any) -> None:  # noqa: A002 - the name that kopf passes
    say("event", name, type)


@kopf.daemon(*WIDGETS, cancellation_timeout=5)
async def daemon(name: str, stopped: kopf.DaemonStopped, **_: Any) -> None:
    say("daemon", name)
    await stopped.wait(60)
    say("daemon stopped", name)


@kopf.timer(*WIDGETS, interval=0.3, annotations={"timed": kopf.PRESENT})
def timer(name: str, patch: kopf.Patch, sizes: kopf.Index, **_: Any) -> None:
    patch.metadata.annotations["timed"] = None
    say("timer", name, sorted(sizes.get("small", [])))
