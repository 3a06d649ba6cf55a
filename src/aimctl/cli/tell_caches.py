"""What there is to tell about template caches, model caches, volumes and storage classes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aimctl.api.kinds import (
    CLUSTER_TEMPLATES,
    MODEL_CACHES,
    TEMPLATE_CACHES,
    TEMPLATES,
)
from aimctl.cli.facts import Absent, Denied, ListAll
from aimctl.cli.lines import Level, Line, level_of, line_of, size, span
from aimctl.cli.tell_jobs import download_job, job_line
from aimctl.cli.told import (
    config_lines,
    describe,
    lookup,
    missing,
    newest,
    operator_line,
    present,
    unreadable,
)
from aimctl.domain import conditions
from aimctl.domain.naming import LABEL_MANAGED_BY, MANAGED_BY
from aimctl.domain.templates.decision import WARM_FAILED, WARM_REQUESTED
from aimctl.kubetypes.builtin import CORE_EVENTS, PVCS, STORAGE_CLASSES
from aimctl.runtime.kube import Object

if TYPE_CHECKING:
    from aimctl.cli.facts import Book

_WARMS = frozenset({"Warming", WARM_FAILED, WARM_REQUESTED})
"""Why a template is not Ready when nothing but its cache is awaited."""

__all__ = ["model_cache_line", "storage_class_line", "template_cache_by_name", "template_cache_line"]


def template_cache_by_name(book: Book, name: str, namespace: str) -> Line:
    """The template cache that a template or service wants."""
    answer = book.get(TEMPLATE_CACHES, name, namespace)
    if isinstance(answer, Object):
        return template_cache_line(book, answer, with_template=False)
    if isinstance(answer, Absent):
        return missing(
            "AIMTemplateCache",
            namespace,
            name,
            "NotCreatedYet",
            "it is made as soon as the template's model sources are known",
        )
    return unreadable(TEMPLATE_CACHES, namespace, name, answer)


def template_cache_line(book: Book, item: Object[Any], *, with_template: bool) -> Line:
    """A template cache and its model caches."""
    view, namespace = item.view, item.meta.namespace
    children: list[Line] = []
    if with_template:
        children.append(_cached_template(book, view.spec.template_ref, namespace))
    children += config_lines(book, view.spec.runtime_config_name, namespace)
    for model in view.status.models:
        if not model.model_cache:
            continue
        answer = book.get(MODEL_CACHES, model.model_cache, namespace)
        if isinstance(answer, Object):
            children.append(model_cache_line(book, answer, with_config=False))
        elif isinstance(answer, Absent):
            children.append(
                missing(
                    "AIMModelCache",
                    namespace,
                    model.model_cache,
                    "NotCreatedYet",
                    f"for {model.source}; it is made anew",
                )
            )
        else:
            children.append(unreadable(MODEL_CACHES, namespace, model.model_cache, answer))
    if not view.status.status:
        children.append(operator_line(book))
    line = line_of(item, children=tuple(children))
    return line if line.good else _with(line, describe(book, line.kind, line.name, namespace))


def _cached_template(book: Book, name: str, namespace: str) -> Line:
    found = lookup(book, TEMPLATES, CLUSTER_TEMPLATES, name, namespace)
    if isinstance(found, Line):
        return found
    if found is None:
        return missing(
            "AIMServiceTemplate",
            namespace,
            name,
            "TemplateNotFound",
            f"there is no template of this name in namespace {namespace!r} or the cluster; create it, or delete the"
            " cache",
            book.kubectl("get", "aimst,aimclst", namespace=namespace),
        )
    line = line_of(found)
    if line.good:
        return line
    if line.reason in _WARMS:
        return replace(line, message="it waits for this cache", awaits=True)
    return _with(
        line, book.aimctl("explain", "aimst" if line.namespace else "aimclst", name, namespace=line.namespace)
    )


def model_cache_line(book: Book, item: Object[Any], *, with_config: bool) -> Line:
    """A model cache, its volume and its download."""
    view, meta = item.view, item.meta
    status = view.status
    children: list[Line] = []
    if with_config:
        children += config_lines(book, view.spec.runtime_config_name, meta.namespace)
    available = status.status == "Available"
    children += _volume(book, item)
    if not available:
        job = download_job(book, item)
        if isinstance(job, Line):
            children.append(job)
        elif job is not None:
            children.append(job_line(book, job, "download"))
    if not status.status:
        children.append(operator_line(book))
    line = line_of(item, note=view.spec.source_uri, children=tuple(children))
    if line.good:
        return line
    extra = []
    if line.progress is not None and status.status == "Progressing":
        extra.append(
            f"{size(line.progress.downloaded_bytes)} of {size(line.progress.total_bytes)} have arrived"
        )
    if status.failed_downloads:
        extra.append(f"{status.failed_downloads} download{'s' * (status.failed_downloads > 1)} failed")
    wait = _seconds_until(book, status.next_download_at)
    if wait is not None:
        extra.append(f"the next is tried in {span(wait)}" if wait > 0 else "the next is due")
    if extra:
        line = _replaced(line, message="; ".join(filter(None, (line.message, *extra))))
    return _with(
        line, *_secrets(book, item, line.reason), describe(book, line.kind, line.name, meta.namespace)
    )


def _secrets(book: Book, item: Object[Any], reason: str) -> list[str]:
    """Where the refused token comes from, if from anywhere."""
    if reason != "AccessDenied":
        return []
    refs = [one.value_from.secret_key_ref for one in item.view.spec.env if one.value_from is not None]
    names = list(dict.fromkeys(ref.name for ref in refs if ref is not None))
    namespace = item.meta.namespace
    if names:
        return [book.kubectl("get", "secret", *names, namespace=namespace)]
    if item.meta.labels.get(LABEL_MANAGED_BY) == MANAGED_BY:
        return []  # its env is its template's, which stands above
    return [book.kubectl("edit", "aimmc", item.meta.name, namespace=namespace)]


def _volume(book: Book, item: Object[Any]) -> list[Line]:
    view, namespace = item.view, item.meta.namespace
    name = view.status.persistent_volume_claim
    storage = conditions.find(view.status.conditions, "StorageReady")
    refused = storage is not None and storage.status == "False"
    lines: list[Line] = []
    if refused and storage is not None and "StorageClass" in storage.reason:
        lines += _storage(book, view.spec.storage_class_name, storage.reason, storage.message)
    if not name:
        return lines
    answer = book.get(PVCS, name, namespace)
    if isinstance(answer, Object):
        lines.append(_claim(book, answer))
    elif isinstance(answer, Absent):
        reason = storage.reason if refused and storage is not None else "VolumeMissing"
        lines.append(
            missing(
                "PersistentVolumeClaim",
                namespace,
                name,
                reason,
                "the volume is gone; the model is downloaded anew",
                describe(book, "AIMModelCache", item.meta.name, namespace),
            )
        )
    else:
        lines.append(unreadable(PVCS, namespace, name, answer))
    return lines


def _storage(book: Book, name: str | None, reason: str, message: str) -> list[Line]:
    """Why there can be no volume."""
    lines = [storage_class_line(book, name)] if name else []
    if any(not line.good for line in lines):
        return lines
    return [
        Line(
            "StorageClass",
            "",
            name or "(default)",
            "Missing",
            Level.BAD,
            reason,
            message,
            commands=(book.kubectl("get", "storageclass"),),
        )
    ]


def storage_class_line(book: Book, name: str) -> Line:
    """A storage class that somebody names."""
    answer = book.get(STORAGE_CLASSES, name)
    if isinstance(answer, Object):
        return present(answer)
    if isinstance(answer, Absent):
        return missing(
            "StorageClass",
            "",
            name,
            "StorageClassNotFound",
            "there is no storage class of this name; create it, or name another",
            book.kubectl("get", "storageclass"),
        )
    return unreadable(STORAGE_CLASSES, "", name, answer)


def _claim(book: Book, claim: Object[Any]) -> Line:
    phase = claim.view.status.phase or "Pending"
    meta = claim.meta
    message = reason = ""
    asked = (claim.view.spec.resources.requests or {}).get("storage", "")
    if phase == "Pending":
        reason, message = _last_event(book, claim)
        # Classes that bind on first use leave the claim pending until the download's pod comes: no fault of anybody.
        message = message or "no volume has been bound to it yet"
    elif phase == "Lost":
        reason, message = "VolumeLost", "its volume is gone; restore it, or delete the claim to download anew"
    return Line(
        "PersistentVolumeClaim",
        meta.namespace,
        meta.name,
        phase,
        level_of(phase),
        reason,
        message,
        note=", ".join(filter(None, (asked, claim.view.spec.storage_class_name))),
        created=meta.creation_timestamp,
        commands=()
        if phase == "Bound"
        else (describe(book, "PersistentVolumeClaim", meta.name, meta.namespace),),
    )


def _last_event(book: Book, item: Object[Any]) -> tuple[str, str]:
    """Reason and message of the newest Event about it; empty where there is none, or none may be read."""
    question = ListAll(CORE_EVENTS, item.meta.namespace, fields=f"involvedObject.uid={item.meta.uid}")
    answer = book.answer(question)
    events = () if isinstance(answer, Denied) or not isinstance(answer, tuple) else answer
    last = newest(events)
    return ("", "") if last is None else (last.view.reason, last.view.message)


def _seconds_until(book: Book, timestamp: str | None) -> float | None:
    from aimctl.runtime.clock import parse_time

    if not timestamp:
        return None
    try:
        return max(0.0, (parse_time(timestamp) - book.facts.now).total_seconds())
    except ValueError:
        return None


def _with(line: Line, *commands: str) -> Line:
    return _replaced(line, commands=(*line.commands, *commands))


def _replaced(line: Line, **fields: Any) -> Line:
    from dataclasses import replace

    return replace(line, **fields)
