"""What there is to tell about service templates: model, runtime config, GPU, discovery, cache."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aimctl.api.v1alpha1 import AIMServiceTemplate
from aimctl.cli.kindwords import short_name
from aimctl.cli.lines import Level, Line, line_of
from aimctl.cli.tell_caches import template_cache_by_name
from aimctl.cli.tell_jobs import discovery_job, job_line, slot_line
from aimctl.cli.told import config_lines, describe, model_line, operator_line
from aimctl.domain import conditions
from aimctl.domain.naming import BASE_ANNOTATION
from aimctl.domain.templates.discovery_decision import AWAITING_DISCOVERY, DISCOVERED, DISCOVERY_FAILED
from aimctl.domain.templates.queueing import waits_for_slot

if TYPE_CHECKING:
    from aimctl.cli.facts import Book
    from aimctl.runtime.kube import Object

__all__ = ["template_line", "template_note"]

_MODELS = frozenset({"AIMModel", "AIMClusterModel"})
_GPU_COLUMNS = "amd.com/gpu.device-id,amd.com/gpu.family,nvidia.com/gpu.product"


def template_line(book: Book, item: Object[Any], *, with_model: bool = True) -> Line:
    """A template and everything it needs."""
    view, meta = item.view, item.meta
    children: list[Line] = []
    if not view.status.status:
        children.append(operator_line(book))
    if with_model:
        children.append(model_line(book, view.spec.model_name, meta.namespace))
    children += config_lines(
        book, view.spec.runtime_config_name, meta.namespace or book.facts.operator_namespace
    )
    children += _gpu(book, item)
    if not view.spec.model_sources:
        children += _discovery(book, item)
    if isinstance(view, AIMServiceTemplate) and view.spec.caching is not None and view.spec.caching.enabled:
        children.append(template_cache_by_name(book, meta.name, meta.namespace))
    line = line_of(item, note=template_note(item), children=tuple(children))
    return replace(line, commands=tuple(_commands(book, item, line)))


def template_note(item: Object[Any]) -> str:
    """Where a template comes from, if not from a person."""
    base = item.annotations.get(BASE_ANNOTATION, "")
    return f"derived from {base}" if base else ""


def _gpu(book: Book, item: Object[Any]) -> list[Line]:
    ready = conditions.find(item.view.status.conditions, "Ready")
    selector = item.view.spec.gpu_selector
    if ready is None or ready.reason != "GPUNotAvailable" or selector is None:
        return []
    return [
        Line(
            "GPU",
            "",
            selector.model or "",
            "Missing",
            Level.BAD,
            ready.reason,
            f"{ready.message}; it goes on by itself when such a node comes",
            commands=(book.kubectl("get", "nodes", "-L", _GPU_COLUMNS),),
        )
    ]


def _discovery(book: Book, item: Object[Any]) -> list[Line]:
    status = item.view.status
    job = discovery_job(book, item)
    if isinstance(job, Line):
        return [job] if status.status != "Ready" else []
    unfinished = job is not None and not job.view.finished
    lines: list[Line] = []
    if job is not None and (unfinished or _tells_something(item, job)):
        lines.append(job_line(book, job, "discovery"))
    if waits_for_slot(status, unfinished_job=unfinished) and not item.meta.deleting:
        lines.append(_refusal(book, item) or slot_line(book, item))
    return lines


def _tells_something(item: Object[Any], job: Object[Any]) -> bool:
    """Whether a finished Job explains the state; one that failed once means nothing when the template is well."""
    return bool(job.view.complete or item.view.status.status != "Ready")


def _refusal(book: Book, item: Object[Any]) -> Line | None:
    """The API server's own refusal of the Job, instead of a place in the queue."""
    discovered = conditions.find(item.view.status.conditions, DISCOVERED)
    if discovered is None or discovered.reason != AWAITING_DISCOVERY or "refused" not in discovered.message:
        return None
    namespace = item.meta.namespace or book.facts.operator_namespace
    return Line(
        "Job",
        namespace,
        "",
        "Missing",
        Level.BAD,
        "DiscoveryJobRefused",
        f"{discovered.message}; it is tried again",
        note="discovery",
        since=discovered.last_transition_time,
        commands=(
            book.kubectl("get", "resourcequota,limitrange", namespace=namespace),
            describe(book, item.resource.kind, item.meta.name, item.meta.namespace),
        ),
    )


def _commands(book: Book, item: Object[Any], line: Line) -> list[str]:
    if line.good:
        return []
    meta = item.meta
    out = []
    if line.reason == DISCOVERY_FAILED:
        model = next((one for one in line.children if one.kind in _MODELS), None)
        if "spec.image" in line.message and model is not None:
            out.append(book.kubectl("edit", short_name(model.kind), model.name, namespace=model.namespace))
        scope = () if meta.namespace else ("--cluster",)
        out.append(book.aimctl("rediscover", meta.name, *scope, namespace=meta.namespace))
        if "pull secret" in line.message:
            namespace = meta.namespace or book.facts.operator_namespace
            secrets = [one.name for one in item.view.spec.image_pull_secrets]
            out.append(book.kubectl("get", "secret", *secrets, namespace=namespace))
    return [*out, describe(book, line.kind, meta.name, meta.namespace)]
