"""What an object says about its own state: the state, and the condition that explains it.

Contract:
    * :func:`examine` is pure and looks at one object only. Decisions use condition types and reasons, never messages.
    * An object of the operator is explained by its condition ``Ready``; while that is True, by another condition that
      is not. Other objects (Job, pod, volume claim, InferenceService, Event) are explained by their own status.
    * :meth:`Health.to_json` and :meth:`Node.to_json` have the keys that docs/cli.md describes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import GROUP
from aimctl.cli.questions.answers import Trouble
from aimctl.cli.rendering.levels import Level, level_of
from aimctl.cli.rendering.values import place
from aimctl.domain.events import NEEDS_ACTION
from aimctl.domain.naming import BASE_ANNOTATION, LABEL_COMPONENT
from aimctl.domain.templates.queueing import blocked, retry_time
from aimctl.kubetypes import find_condition
from aimctl.kubetypes.quantity import readable_quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from aimctl.api.v1alpha1 import Condition
    from aimctl.cli.questions.answers import Problem
    from aimctl.runtime.kube import Object

__all__ = ["Health", "Node", "examine", "newest", "unseen"]

_NOT_ABOUT_HEALTH = frozenset({"Progressing", "Failure"})
"""Condition types that repeat ``Ready``."""

_STANDS_STILL = NEEDS_ACTION | {
    "DownloadRefused",
    "DownloadStalled",
    "NoPod",
    "Unschedulable",
    "VolumeRefused",
}
"""Reasons for which nothing proceeds until a user acts, although the state is one of progress."""

_INTENDED = frozenset({"Disabled", "NoLabels"})
"""Reasons of a False condition that is as intended: it explains nothing, unless a reference points at it."""


@final
@dataclass(frozen=True, slots=True)
class Health:
    """The state of one object.

    Attributes:
        kind, namespace, name: which object.
        state: one word.
        level: how good the state is.
        uid: "" for an object that is missing or cannot be read.
        own: whether it is one of the operator's kinds.
        condition, status: type and status of the condition that explains the state; "" if none does.
        reason, message: of that condition, or of the object; "" if there is none. The message is complete.
        note: origin or role, such as "derived from base".
        created, since: creation, and last change of the condition, as RFC 3339; "" if unknown.
        progress: of a download: percent, bytes that have arrived, and bytes in all.
        retry_at: from when a discovery is tried again that failed or could not run, RFC 3339; "" if it is not.
        blocked: why no discovery Job can be created; "" if one can.
    """

    kind: str
    namespace: str
    name: str
    state: str
    level: Level
    uid: str = ""
    own: bool = False
    condition: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    note: str = ""
    created: str = ""
    since: str = ""
    progress: tuple[int, int, int] | None = None
    retry_at: str = ""
    blocked: str = ""

    @property
    def ready(self) -> bool:
        """Whether the object is in its final, good state."""
        return self.level is Level.GOOD

    @property
    def unhealthy(self) -> bool:
        """Whether the object states a reason for not being well, and so may be a cause."""
        if self.own:
            return self.status != "True" and self.reason != ""
        return bool(self.reason) and self.level >= Level.WAITING

    @property
    def title(self) -> str:
        """``AIMServiceTemplate ml-team/llama``."""
        return f"{self.kind} {place(self.namespace, self.name)}".rstrip()

    def to_json(self) -> dict[str, Any]:
        """As part of a document."""
        names = ("percent", "downloadedBytes", "totalBytes")
        out = {
            "kind": self.kind,
            "namespace": self.namespace or None,
            "name": self.name,
            "state": self.state,
            "ready": self.ready,
            "condition": self.condition,
            "reason": self.reason,
            "message": self.message,
            "note": self.note,
            "created": self.created or None,
            "since": self.since or None,
            "progress": dict(zip(names, self.progress, strict=True)) if self.progress else None,
            "retryAt": self.retry_at or None,
        }
        return {key: value for key, value in out.items() if value is not None}


@final
@dataclass(frozen=True, slots=True)
class Node:
    """An object in a tree; ``seen_above`` if an earlier place of the tree shows it in full."""

    health: Health
    children: tuple[Node, ...] = ()
    seen_above: bool = False

    def walk(self) -> Iterator[Node]:
        """This node and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def worst(self) -> Level:
        """The worst level of this node and those below it."""
        return max(node.health.level for node in self.walk())

    def to_json(self) -> dict[str, Any]:
        """As part of a document."""
        children = [child.to_json() for child in self.children]
        return self.health.to_json() | {"seenAbove": self.seen_above, "children": children}


def examine(item: Object[Any], aspect: str = "") -> Health:
    """The state of an object of any kind; of one of the operator's, as the condition of type ``aspect`` explains it."""
    meta, kind = item.meta, item.resource.kind
    own = item.resource.group == GROUP
    fields = _own(item, aspect) if own else _OTHERS.get(kind, _present)(item)
    defaults = {"level": level_of(fields["state"]), "created": meta.creation_timestamp, "uid": meta.uid}
    return Health(kind, meta.namespace, meta.name, own=own, **{**defaults, **fields})


def unseen(problem: Problem) -> Health:
    """An object that is referred to and does not exist, or cannot be read."""
    absent, question = problem.trouble is Trouble.ABSENT, problem.question
    state = "Missing" if absent else "Unknown"
    reason = "" if absent else str(problem.trouble)
    return Health(
        question.resource.kind,
        question.namespace,
        question.name,
        state,
        level_of(state),
        reason=reason,
        message=problem.message,
    )


def newest(items: Iterable[Object[Any]]) -> Object[Any] | None:
    """The object that was created last."""
    return max(items, key=lambda item: (item.meta.creation_timestamp, item.meta.name), default=None)


def _present(_: Object[Any]) -> dict[str, Any]:
    return {"state": "Present"}


# ---- the operator's kinds


def _own(item: Object[Any], aspect: str) -> dict[str, Any]:
    meta, status = item.meta, item.view.status
    if meta.deleting:
        waits = f"; these finalizers remain: {', '.join(meta.finalizers)}" if meta.finalizers else ""
        message = f"it is being deleted{waits}"
        return {
            "state": "Deleting",
            "reason": "Deleting",
            "message": message,
            "since": meta.deletion_timestamp,
        }
    if not hasattr(status, "status"):
        return _present(item)
    if not status.status:
        message = "the operator has not written a status yet; check that it is running"
        return {"state": "New", "reason": "NotReconciled", "message": message}
    base, progress = item.annotations.get(BASE_ANNOTATION), getattr(status, "progress", None)
    out: dict[str, Any] = {"state": status.status, "note": f"derived from {base}" if base else ""}
    if progress is not None and progress.total_bytes:
        out["progress"] = (progress.percent, progress.downloaded_bytes, progress.total_bytes)
    if hasattr(status, "discovery"):
        out |= {"retry_at": retry_time(status), "blocked": blocked(status)}
    chosen = _explaining(status.conditions, aspect or "Ready", free=not aspect)
    if chosen is None:
        return out
    # Between Failed and Progressing, Ready does not change, but the other two do.
    types = {chosen.type, *_NOT_ABOUT_HEALTH} if chosen.type == "Ready" else {chosen.type}
    stands_still = level_of(out["state"]) is Level.BUSY and chosen.reason in _STANDS_STILL
    return (
        out
        | ({"level": Level.WAITING} if stands_still else {})
        | {
            "condition": chosen.type,
            "status": chosen.status,
            "reason": chosen.reason,
            "message": chosen.message,
            "since": max(one.last_transition_time for one in status.conditions if one.type in types),
        }
    )


def _explaining(found: Sequence[Condition], type_: str, *, free: bool) -> Condition | None:
    """The condition of the type; if ``free`` and it is True, one that is not, if there is one."""
    chosen = find_condition(found, type_)
    if not free or chosen is None or chosen.status != "True":
        return chosen
    others = (one for one in found if one.type not in _NOT_ABOUT_HEALTH and one.reason not in _INTENDED)
    return next((one for one in others if one.status != "True"), chosen)


# ---- other kinds


def _job(item: Object[Any]) -> dict[str, Any]:
    view, note = item.view, item.meta.labels.get(LABEL_COMPONENT, "")
    if view.complete:
        return {"state": "Complete", "note": note}
    ended, failed = find_condition(view.status.conditions, "Failed"), view.status.failed or 0
    if view.failed and ended is not None:
        return {"state": "Failed", "note": note} | _from(ended)
    message = f"failed attempts so far: {failed}" if failed else ""
    if view.spec.suspend:
        message = "it is suspended (spec.suspend), for example by a queue of Kueue"
    state = "Running" if view.status.ready or failed else "Waiting"
    return {"state": state, "note": note, "message": message}


def _pod(item: Object[Any]) -> dict[str, Any]:
    status = item.view.status
    out = {"state": status.phase or "Pending", "reason": status.reason, "message": status.message}
    for container in item.view.container_statuses:
        waiting, ended = container.state.waiting, container.state.terminated
        if waiting is not None and waiting.reason not in {"", "PodInitializing", "ContainerCreating"}:
            return out | {"level": Level.BAD, "reason": waiting.reason, "message": waiting.message}
        if ended is not None and ended.exit_code:
            message = ended.message or f"container {container.name} ended with exit code {ended.exit_code}"
            return out | {"level": Level.BAD, "reason": ended.reason or "Error", "message": message}
    scheduled = find_condition(status.conditions, "PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        return out | {"level": Level.BAD} | _from(scheduled)
    return out


def _from(found: Any) -> dict[str, Any]:
    return {
        "condition": found.type,
        "status": found.status,
        "reason": found.reason or found.type,
        "message": found.message or "",
    }


def _claim(item: Object[Any]) -> dict[str, Any]:
    requested = readable_quantity((item.view.spec.resources.requests or {}).get("storage", ""))
    note = ", ".join(filter(None, (requested, item.view.spec.storage_class_name)))
    return {"state": item.view.status.phase or "Pending", "note": note}


def _event(item: Object[Any]) -> dict[str, Any]:
    return {"state": item.view.type or "Normal", "reason": item.view.reason, "message": item.view.message}


_PARTS = ("PredictorReady", "TransformerReady", "ExplainerReady")
"""The conditions of an InferenceService on which its other conditions depend."""

_LOAD_FAILURES = frozenset({"BlockedByFailedLoad", "InvalidSpec"})
"""Values of ``status.modelStatus.transitionStatus`` for a failure that no condition states."""


def _inference_service(item: Object[Any]) -> dict[str, Any]:
    status: Mapping[str, Any] = item.view.get("status") or {}
    found = {str(one.get("type")): one for one in status.get("conditions") or ()}
    ready: Mapping[str, Any] = found.get("Ready") or {}
    state = {"True": "Ready", "False": "NotReady"}.get(str(ready.get("status")), "Pending")
    out: dict[str, Any] = {"state": state, "note": str(status.get("url") or "")}
    if state == "Ready":
        return out
    model: Mapping[str, Any] = status.get("modelStatus") or {}
    if state == "NotReady" and model.get("transitionStatus") in _LOAD_FAILURES:
        failure = {"reason": model["transitionStatus"], **(model.get("lastFailureInfo") or {})}
        return out | {"state": "Failed", "reason": failure["reason"], "message": failure.get("message", "")}
    found.pop("Stopped", None)  # False while the InferenceService runs
    parts = (found[type_] for type_ in _PARTS if type_ in found)
    why = next((one for one in (*parts, *found.values()) if one.get("status") == "False"), ready)
    keys = ("condition", "type"), ("status", "status"), ("reason", "reason"), ("message", "message")
    return out | {key: str(why.get(name) or "") for key, name in (*keys, ("since", "lastTransitionTime"))}


_OTHERS: Mapping[str, Callable[[Object[Any]], dict[str, Any]]] = {
    "Job": _job,
    "Pod": _pod,
    "PersistentVolumeClaim": _claim,
    "Event": _event,
    "InferenceService": _inference_service,
}
