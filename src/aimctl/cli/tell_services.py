"""What there is to tell about services: runtime config, model, template and how it was chosen, cache, deployment."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aimctl.api.kinds import CLUSTER_MODELS, CLUSTER_TEMPLATES, INFERENCE_SERVICES, MODELS, TEMPLATES
from aimctl.cli.facts import Absent, Unserved
from aimctl.cli.lines import Level, Line, level_of, line_of
from aimctl.cli.tell_caches import template_cache_by_name
from aimctl.cli.tell_models import image_lines
from aimctl.cli.tell_templates import template_line
from aimctl.cli.told import config_lines, describe, lookup, missing, model_line, operator_line, unreadable
from aimctl.domain import conditions
from aimctl.domain.services.selection import READY, SELECTION, TEMPLATE_AMBIGUOUS, TEMPLATE_NOT_FOUND
from aimctl.runtime.kube import Object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.api.v1alpha1 import TemplateMatch
    from aimctl.cli.facts import Book

__all__ = ["inference_line", "service_line"]

_MOST_CANDIDATES = 8
_FAILURE = re.compile("Fail|Err|BackOff|Crash|OOM|ExitCode|Invalid|Exceeded|Unschedulable")
"""In a condition's reason: it is more than not there yet. KServe says ``False`` of both."""


def service_line(book: Book, item: Object[Any]) -> Line:
    """A service and everything it needs."""
    view, meta = item.view, item.meta
    children: list[Line] = []
    if not view.status.status:
        children.append(operator_line(book))
    children += config_lines(book, view.spec.runtime_config_name, meta.namespace)
    children += _model(book, item)
    children += _template(book, item)
    if _has(item, "CacheReady") or view.spec.cache_model:
        children += _cache(book, item, children)
    children += _runtime(book, item)
    line = line_of(item, children=tuple(children))
    if line.good:
        return line
    return replace(
        line, commands=(*_choose(book, item), describe(book, line.kind, meta.name, meta.namespace))
    )


def _model(book: Book, item: Object[Any]) -> list[Line]:
    view, namespace = item.view, item.meta.namespace
    resolved = view.status.resolved_image
    if resolved is not None:
        where = resolved.namespace or ""
        line = model_line(book, resolved.name, where)
        found = book.get(MODELS if where else CLUSTER_MODELS, resolved.name, where)
        if isinstance(found, Object) and _finds_no_template(item):
            line = _why_no_templates(book, line, found)
        return [line]
    if view.spec.model.ref:
        return [model_line(book, view.spec.model.ref, namespace)]
    return []  # an image: what there is to say about its model is in the service's own condition


def _finds_no_template(item: Object[Any]) -> bool:
    status = item.view.status
    resolved = conditions.find(status.conditions, "Resolved")
    return resolved is not None and resolved.reason == TEMPLATE_NOT_FOUND and not status.template_matching


def _why_no_templates(book: Book, line: Line, model: Object[Any]) -> Line:
    """A model that has no templates: what its image has to do with it."""
    unread = tuple(image_lines(book, model))
    read = conditions.find(model.view.status.conditions, "MetadataExtracted")
    if unread or read is None or read.status == "True":
        return replace(line, children=unread)
    return replace(line, message=f"{line.message}; {read.message}")


def _template(book: Book, item: Object[Any]) -> list[Line]:
    view, namespace = item.view, item.meta.namespace
    resolved = view.status.resolved_template
    if resolved is not None:
        where = resolved.namespace or ""
        resource = TEMPLATES if where else CLUSTER_TEMPLATES
        answer = book.get(resource, resolved.name, where)
        if isinstance(answer, Object):
            return [template_line(book, answer, with_model=False)]
        if isinstance(answer, Absent):
            text = "the template in use is gone; another one is looked for"
            return [missing(resource.kind, where, resolved.name, "TemplateNotFound", text)]
        return [unreadable(resource, where, resolved.name, answer)]
    if view.spec.template_ref:
        return [_named(book, view.spec.template_ref, namespace)]
    return [_candidate(book, one, namespace) for one in view.status.template_matching[:_MOST_CANDIDATES]]


def _named(book: Book, name: str, namespace: str) -> Line:
    found = lookup(book, TEMPLATES, CLUSTER_TEMPLATES, name, namespace)
    if isinstance(found, Line):
        return found
    if found is not None:
        return template_line(book, found, with_model=False)
    return missing(
        "AIMServiceTemplate",
        namespace,
        name,
        "TemplateNotFound",
        f"there is no template of this name in namespace {namespace!r} or the cluster; create it, or name another in"
        " spec.templateRef",
        book.kubectl("get", "aimst,aimclst", namespace=namespace),
    )


def _candidate(book: Book, match: TemplateMatch, namespace: str) -> Line:
    """A template that was looked at; one that only is not Ready yet is followed."""
    resource = CLUSTER_TEMPLATES if match.scope == "Cluster" else TEMPLATES
    where = namespace if resource.namespaced else ""
    if match.dropped_by == READY:
        answer = book.get(resource, match.name, where)
        if isinstance(answer, Object):
            return replace(template_line(book, answer, with_model=False), note="candidate")
    fits = _fits(match)
    return Line(
        resource.kind,
        where,
        match.name,
        "Fits" if fits else "Dropped",
        Level.UNKNOWN,
        "" if fits else match.dropped_by or "",
        match.message or "",
        note="candidate",
    )


def _fits(match: TemplateMatch) -> bool:
    """Whether nothing speaks against it; the last step drops only because there are others."""
    return match.dropped_by in {None, SELECTION}


def _choose(book: Book, item: Object[Any]) -> list[str]:
    """How to say which of several templates is meant."""
    resolved = conditions.find(item.view.status.conditions, "Resolved")
    if resolved is None or resolved.reason != TEMPLATE_AMBIGUOUS:
        return []
    fitting = [one.name for one in item.view.status.template_matching if _fits(one)]
    patch = json.dumps(
        {"spec": {"templateRef": fitting[0] if fitting else "TEMPLATE"}}, separators=(",", ":")
    )
    meta = item.meta
    return [book.kubectl("patch", "aimsvc", meta.name, "--type=merge", "-p", patch, namespace=meta.namespace)]


def _cache(book: Book, item: Object[Any], told: list[Line]) -> list[Line]:
    resolved = item.view.status.resolved_template
    if resolved is None:
        return []
    if any(line.kind == "AIMTemplateCache" for child in told for line in child.walk()):
        return []  # the template told of it
    return [template_cache_by_name(book, resolved.name, item.meta.namespace)]


def _runtime(book: Book, item: Object[Any]) -> list[Line]:
    meta = item.meta
    ready = conditions.find(item.view.status.conditions, "RuntimeReady")
    if ready is None:
        return []
    if ready.reason == "RuntimeNotInstalled":
        return [
            missing(
                "InferenceService",
                meta.namespace,
                meta.name,
                ready.reason,
                ready.message,
                book.kubectl("get", "crd", "inferenceservices.serving.kserve.io"),
            )
        ]
    answer = book.get(INFERENCE_SERVICES, meta.name, meta.namespace)
    if isinstance(answer, Object):
        line = inference_line(book, answer)
        if ready.reason == "NameTaken":
            line = replace(line, state="Failed", level=Level.BAD, reason=ready.reason, message=ready.message)
        return [line]
    if answer is None or isinstance(answer, Absent | Unserved):
        return []
    return [unreadable(INFERENCE_SERVICES, meta.namespace, meta.name, answer)]


def inference_line(book: Book, item: Object[Any]) -> Line:
    """KServe's object, by its condition ``Ready``: ``Failed`` only where it names a failure."""
    meta = item.meta
    status: Mapping[str, Any] = item.view.get("status") or {}
    listed = [one for one in status.get("conditions") or () if isinstance(one.get("type"), str)]
    ready: Mapping[str, Any] = next((one for one in listed if one["type"] == "Ready"), {})
    state = {"True": "Ready", "False": "NotReady"}.get(str(ready.get("status")), "Pending")
    why = ready
    if state == "NotReady":  # the parts say more than their sum, and what failed more than what waits for it
        parts = [one for one in listed if one.get("status") == "False" and one.get("message")]
        failed = _failed_load(status)
        failed += [one for one in (*parts, ready) if _FAILURE.search(str(one.get("reason")))]
        state = "Failed" if failed else state
        why = next(iter((*failed, *parts)), ready)
    line = Line(
        item.resource.kind,
        meta.namespace,
        meta.name,
        state,
        level_of(state),
        str(why.get("reason") or ""),
        str(why.get("message") or ""),
        note=str(status.get("url") or ""),
        created=meta.creation_timestamp,
        since=str(why.get("lastTransitionTime") or ready.get("lastTransitionTime") or ""),
    )
    if line.good:
        return line
    pods = book.kubectl(
        "get", "pods", "-l", f"serving.kserve.io/inferenceservice={meta.name}", namespace=meta.namespace
    )
    return replace(line, commands=(describe(book, "InferenceService", meta.name, meta.namespace), pods))


def _failed_load(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """How a container of the model ended, if that is why there is no model; no condition has it."""
    model: Mapping[str, Any] = status.get("modelStatus") or {}
    if model.get("transitionStatus") not in {"BlockedByFailedLoad", "InvalidSpec"}:
        return []
    return [{"reason": model["transitionStatus"], **(model.get("lastFailureInfo") or {})}]


def _has(item: Object[Any], type_: str) -> bool:
    return conditions.find(item.view.status.conditions, type_) is not None
