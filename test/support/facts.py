"""A cluster as a list of objects, for tests of pure evaluation: it answers any question.

    facts = Paper(template("llama"), model("llama")).facts()

``denied`` has missing rights, as ``verb plural`` or ``verb plural namespace``; ``unserved`` has plurals.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from aimctl.api.kinds import INFERENCE_SERVICES, OPERATOR_KINDS
from aimctl.cli.kinds import find_kind
from aimctl.cli.questions.answers import Facts, Problem, Trouble
from aimctl.kubetypes.builtin import CORE_EVENTS, JOBS, LEASES, PODS, PVCS, STORAGE_CLASSES
from aimctl.runtime.kube import Object

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aimctl.cli.questions.answers import Answer, Question

NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
_KINDS = {
    kind.kind: kind
    for kind in (*OPERATOR_KINDS, INFERENCE_SERVICES, STORAGE_CLASSES, JOBS, LEASES, PODS, PVCS)
}
_KINDS["Event"] = CORE_EVENTS


def at(seconds_ago: float) -> str:
    return (NOW - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def thing(kind: str, name: str, namespace: str = "", *, age: float = 60, **body: Any) -> Object[Any]:
    """An object; ``meta`` among the fields adds to its metadata."""
    resource = _KINDS[kind]
    assert bool(namespace) == resource.namespaced, (kind, namespace)
    metadata = {
        "name": name,
        "uid": f"{kind}-{namespace}-{name}",
        "creationTimestamp": at(age),
        "resourceVersion": "1",
        **({"namespace": namespace} if namespace else {}),
        **body.pop("meta", {}),
    }
    return Object.parse(resource, json.dumps({"kind": kind, "metadata": metadata, **body}).encode())


def condition(
    type_: str, status: bool | str, reason: str, message: str = "", *, age: float = 30
) -> dict[str, Any]:
    word = status if isinstance(status, str) else str(status)
    return {
        "type": type_,
        "status": word,
        "reason": reason,
        "message": message or reason,
        "lastTransitionTime": at(age),
    }


def status(
    state: str, reason: str, message: str = "", *more: dict[str, Any], **fields: Any
) -> dict[str, Any]:
    """A status with its condition Ready."""
    good = state in {"Ready", "Running", "Available"}
    return {"status": state, "conditions": [condition("Ready", good, reason, message), *more], **fields}


READY = status("Ready", "ProfilesDiscovered")


def template(
    name: str = "llama", namespace: str = "team", state: dict[str, Any] | None = READY, **fields: Any
) -> Object[Any]:
    kind = "AIMServiceTemplate" if namespace else "AIMClusterServiceTemplate"
    meta = fields.pop("meta", {})
    age = fields.pop("age", 60)
    body: dict[str, Any] = {"spec": {"modelName": "llama", **fields}}
    if state is not None:
        body["status"] = state
    return thing(kind, name, namespace, age=age, meta=meta, **body)


def model(
    name: str = "llama", namespace: str = "team", state: dict[str, Any] | None = None, **spec: Any
) -> Object[Any]:
    kind = "AIMModel" if namespace else "AIMClusterModel"
    body = {
        "spec": {"image": "registry.test/llama:1", **spec},
        "status": state or status("Ready", "Extracted"),
    }
    return thing(kind, name, namespace, **body)


def service(name: str = "chat", state: dict[str, Any] | None = None, **spec: Any) -> Object[Any]:
    body: dict[str, Any] = {"spec": {"model": {"ref": "llama"}, **spec}}
    if state is not None:
        body["status"] = state
    return thing("AIMService", name, "team", **body)


def lease(holder: str, renewed: str | None, **meta: Any) -> Object[Any]:
    """The Lease of the operator."""
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15}
    times = {"renewTime": renewed} if renewed else {}
    return thing("Lease", "aimctl-manager", "kaiwo-system", spec=spec | times, meta=meta)


def reference(item: Object[Any]) -> dict[str, Any]:
    """As ``status.resolved...`` has it."""
    out = {"kind": item.resource.kind, "name": item.meta.name, "uid": item.meta.uid, "scope": "Cluster"}
    return out | ({"namespace": item.meta.namespace, "scope": "Namespace"} if item.meta.namespace else {})


def job(
    owner: Object[Any], name: str = "", *, component: str = "discovery", ended: str = "", **status_: Any
) -> Object[Any]:
    """A Job of a template or model cache."""
    namespace = owner.meta.namespace or "kaiwo-system"
    message = status_.pop("message", "")
    age = status_.pop("age", 20)
    spec = {"suspend": status_.pop("suspend", False)}
    if ended:
        status_["conditions"] = [{"type": ended, "status": "True", "reason": "Why", "message": message}]
    meta = {
        "labels": {
            "app.kubernetes.io/managed-by": "aim",
            "app.kubernetes.io/component": component,
            "aim.silogen.ai/template": owner.meta.name,
        },
        "ownerReferences": [
            {
                "apiVersion": "aim.silogen.ai/v1alpha1",
                "kind": owner.resource.kind,
                "name": owner.meta.name,
                "uid": owner.meta.uid,
                "controller": True,
            }
        ],
    }
    return thing(
        "Job", name or f"discover-{owner.meta.name}", namespace, age=age, meta=meta, spec=spec, status=status_
    )


def pod(owner: Object[Any], phase: str = "Pending", **status_: Any) -> Object[Any]:
    """A pod of a Job."""
    meta = {
        "labels": {"job-name": owner.meta.name},
        "ownerReferences": [
            {"apiVersion": "batch/v1", "kind": "Job", "name": owner.meta.name, "uid": owner.meta.uid}
        ],
    }
    return thing(
        "Pod", f"{owner.meta.name}-x", owner.meta.namespace, meta=meta, status={"phase": phase, **status_}
    )


class Paper(Mapping):
    """The answers to all questions, computed from the objects."""

    def __init__(
        self, *objects: Object[Any], denied: Iterable[str] = (), unserved: Iterable[str] = ()
    ) -> None:
        self.objects = objects
        self.denied = frozenset(denied)
        self.unserved = frozenset(unserved)
        self.asked: dict[Question, Answer] = {}

    def facts(self) -> Facts:
        return Facts(NOW, self)

    def __getitem__(self, question: Question) -> Answer:
        answer = self._answer(question)
        self.asked[question] = answer
        return answer

    def __iter__(self) -> Iterator[Question]:
        return iter(tuple(self.asked))

    def __len__(self) -> int:
        return len(self.asked)

    def _answer(self, question: Question) -> Answer:
        right = question.right
        names = {f"{right.verb} {right.resource}", f"{right.verb} {right.resource} {right.namespace or '*'}"}
        if right.resource in self.unserved:
            return Problem(
                Trouble.UNSERVED,
                question,
                f"the cluster does not serve {question.resource.group_resource}",
            )
        if names & self.denied:
            return Problem(Trouble.DENIED, question, f"you may not {right}")
        own = [item for item in self.objects if item.resource == question.resource]
        if question.name:
            key = (question.namespace, question.name)
            missing = Problem(Trouble.ABSENT, question, "it does not exist")
            return next((item for item in own if item.key == key), missing)
        return tuple(
            item
            for item in own
            if question.namespace in {"", item.meta.namespace}
            and _fits(item, question.labels)
            and _of(item, question.fields)
        )


def _fits(item: Object[Any], labels: str) -> bool:
    pairs = [pair.partition("=") for pair in labels.split(",") if pair]
    return all(item.meta.labels.get(key) == value for key, _, value in pairs)


def _of(item: Object[Any], fields: str) -> bool:
    if not fields:
        return True
    key, _, value = fields.partition("=")
    assert key == "involvedObject.uid", fields
    return bool(item.view.involved_object.uid == value)


def kind_of(word: str) -> Any:
    """The resource of a kind's word."""
    found = find_kind(word)
    assert found is not None
    return _KINDS[found.name]
