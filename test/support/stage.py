"""A namespace of its own for each test of a shared cluster, and cluster-scoped names that no other test uses.

All reads use the official ``kubernetes`` client, which shares no code with the product.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kubernetes
from kubernetes.client.exceptions import ApiException

from aimctl.api.kinds import KINDS
from support.clusters import API_VERSION
from support.waiting import eventually

if TYPE_CHECKING:
    from support.clusters import RunningCluster

__all__ = ["Document", "Stage"]

Document = dict[str, Any]

_GROUP = API_VERSION.split("/", 1)
_PLURALS = {kind.name: (kind.plural, kind.namespaced) for kind in KINDS}
PATIENCE = 60.0


class Stage:
    """The namespace of one test.

    Args:
        cluster: a cluster in which an operator runs.
        stem: the start of the namespace's name, which is also the prefix of cluster-scoped names: see :meth:`named`.
    """

    def __init__(self, cluster: RunningCluster, stem: str) -> None:
        self.cluster = cluster
        self.namespace = cluster.new_namespace(stem)
        self.core = kubernetes.client.CoreV1Api(cluster.api)
        self._batch = kubernetes.client.BatchV1Api(cluster.api)

    def named(self, name: str) -> str:
        """The name for a cluster-scoped object of this test."""
        return f"{self.namespace}-{name}"

    # ---- making

    def document(self, kind: str, name: str, spec: Document, **metadata: Any) -> Document:
        """An object of one of our kinds, in this namespace if it has one."""
        own = {"namespace": self.namespace} if _PLURALS[kind][1] else {}
        return {
            "apiVersion": API_VERSION,
            "kind": kind,
            "metadata": {"name": name, **own, **metadata},
            "spec": spec,
        }

    def make(self, kind: str, name: str, spec: Document, **metadata: Any) -> Document:
        """Create one; the answer."""
        body = self.document(kind, name, spec, **metadata)
        plural, namespaced = _PLURALS[kind]
        custom = self.cluster.custom
        if namespaced:
            return custom.create_namespaced_custom_object(*_GROUP, self.namespace, plural, body)
        return custom.create_cluster_custom_object(*_GROUP, plural, body)

    def model(self, name: str = "model", image: str = "quick", **spec: Any) -> Document:
        """An AIMModel whose image the simulated node knows; nothing is read from a registry unless asked for."""
        spec = {"image": self.cluster.image(image), "discovery": {"enabled": False}, **spec}
        return self.make("AIMModel", name, spec)

    def template(self, name: str = "template", *, model: str = "model", **spec: Any) -> Document:
        """An AIMServiceTemplate."""
        return self.make("AIMServiceTemplate", name, {"modelName": model, **spec})

    def service(self, name: str = "service", *, model: str = "model", **spec: Any) -> Document:
        """An AIMService."""
        return self.make("AIMService", name, {"model": {"ref": model}, **spec})

    def edit(self, kind: str, name: str, spec: Document, **metadata: Any) -> Document:
        """Merge into the spec, and the metadata."""
        plural, namespaced = _PLURALS[kind]
        custom = self.cluster.custom
        body = {"spec": spec, **({"metadata": metadata} if metadata else {})}
        if namespaced:
            return custom.patch_namespaced_custom_object(*_GROUP, self.namespace, plural, name, body)
        return custom.patch_cluster_custom_object(*_GROUP, plural, name, body)

    def delete(self, kind: str, name: str) -> None:
        """Delete, as ``kubectl delete`` does."""
        plural, namespaced = _PLURALS[kind]
        custom = self.cluster.custom
        if namespaced:
            custom.delete_namespaced_custom_object(*_GROUP, self.namespace, plural, name)
        else:
            custom.delete_cluster_custom_object(*_GROUP, plural, name)

    # ---- looking

    def get(self, kind: str, name: str) -> Document | None:
        """The object; None when there is none."""
        plural, namespaced = _PLURALS[kind]
        custom = self.cluster.custom
        try:
            if namespaced:
                return custom.get_namespaced_custom_object(*_GROUP, self.namespace, plural, name)
            return custom.get_cluster_custom_object(*_GROUP, plural, name)
        except ApiException as error:
            if error.status == 404:
                return None
            raise

    def list(self, kind: str) -> list[Document]:
        """All of this kind, in this namespace if it has one."""
        plural, namespaced = _PLURALS[kind]
        custom = self.cluster.custom
        if namespaced:
            return custom.list_namespaced_custom_object(*_GROUP, self.namespace, plural)["items"]
        return custom.list_cluster_custom_object(*_GROUP, plural)["items"]

    def status(self, kind: str, name: str) -> Document:
        """Its status; {} without one."""
        return (self.get(kind, name) or {}).get("status") or {}

    def jobs(self, selector: str = "", namespace: str = "") -> list[Any]:
        """The Jobs of a namespace."""
        return self._batch.list_namespaced_job(namespace or self.namespace, label_selector=selector).items

    # ---- waiting

    def until(self, kind: str, name: str, state: str, seconds: float = PATIENCE) -> Document:
        """Wait until ``status.status`` is so; the status."""
        return eventually(
            lambda: (status := self.status(kind, name)).get("status") == state and status,
            seconds,
            f"{kind} {name} is {state}",
            otherwise=lambda: self.status(kind, name),
        )

    def until_condition(
        self, kind: str, name: str, type_: str, reason: str, seconds: float = PATIENCE
    ) -> Document:
        """Wait until a condition has a reason; the condition."""
        return eventually(
            lambda: (one := condition(self.status(kind, name), type_)).get("reason") == reason and one,
            seconds,
            f"{type_} of {kind} {name} says {reason}",
            otherwise=lambda: self.status(kind, name),
        )

    def until_resolved(self, service: str, template: str, seconds: float = PATIENCE) -> Document:
        """Wait until the service uses this template; its status."""
        return eventually(
            lambda: (
                (status := self.status("AIMService", service)).get("resolvedTemplate", {}).get("name")
                == template
                and status
            ),
            seconds,
            f"service {service} uses {template}",
            otherwise=lambda: self.status("AIMService", service),
        )

    def until_gone(self, kind: str, name: str, seconds: float = PATIENCE) -> None:
        """Wait until there is none."""
        eventually(
            lambda: self.get(kind, name) is None,
            seconds,
            f"{kind} {name} is gone",
            otherwise=lambda: self.get(kind, name),
        )


def condition(status: Document, type_: str) -> Document:
    """One condition; {} without it."""
    return next((item for item in status.get("conditions", ()) if item["type"] == type_), {})


def said(status: Document) -> dict[str, tuple[str, str]]:
    """Type -> status and reason."""
    return {item["type"]: (item["status"], item["reason"]) for item in status.get("conditions", ())}
