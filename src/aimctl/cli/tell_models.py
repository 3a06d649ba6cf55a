"""What there is to tell about models and runtime configs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aimctl.api.kinds import CLUSTER_TEMPLATES, MODELS, TEMPLATES
from aimctl.cli.lines import Level, Line, line_of
from aimctl.cli.tell_caches import storage_class_line
from aimctl.cli.tell_templates import template_line
from aimctl.cli.told import config_lines, describe, operator_line, present
from aimctl.domain import conditions

if TYPE_CHECKING:
    from aimctl.cli.facts import Book
    from aimctl.runtime.kube import Object

__all__ = ["image_lines", "model_lines", "runtime_config_line"]

_SETTLED = frozenset({"Extracted", "Disabled", "NoLabels"})


def model_lines(book: Book, item: Object[Any]) -> Line:
    """A model, what its image says, and its templates."""
    view, meta = item.view, item.meta
    children = list(
        config_lines(book, view.spec.runtime_config_name, meta.namespace or book.facts.operator_namespace)
    )
    if not view.status.status:
        children.append(operator_line(book))
    children += image_lines(book, item)
    children += [_briefly(template_line(book, one, with_model=False)) for one in _templates(book, item)]
    line = line_of(item, note=view.spec.image, children=tuple(children))
    if line.good:
        return line
    return replace(line, commands=(describe(book, line.kind, meta.name, meta.namespace),))


def _briefly(line: Line) -> Line:
    """Of a template that is well, what it needs is of no interest here."""
    return replace(line, children=()) if line.good and not list(line.causes()) else line


def image_lines(book: Book, item: Object[Any]) -> list[Line]:
    """What keeps a model's image from being read; empty when nothing does."""
    read = conditions.find(item.view.status.conditions, "MetadataExtracted")
    if read is None or read.reason in _SETTLED:
        return []
    spec, meta = item.view.spec, item.meta
    namespace = meta.namespace or book.facts.operator_namespace
    secrets = [one.name for one in spec.image_pull_secrets]
    commands = [describe(book, item.resource.kind, meta.name, meta.namespace)]
    if secrets or read.reason in {"AccessDenied", "PullSecretNotFound"}:
        commands.insert(0, book.kubectl("get", "secret", *secrets, namespace=namespace))
    pending = read.status == "Unknown" or item.view.status.status == "Pending"
    return [
        Line(
            "Image",
            "",
            spec.image,
            "Pending" if pending else "Failed",
            Level.WAITS if pending else Level.BAD,
            read.reason,
            read.message,
            since=read.last_transition_time,
            commands=tuple(commands),
        )
    ]


def _templates(book: Book, item: Object[Any]) -> list[Object[Any]]:
    """The templates that run this model; those that are not Ready first."""
    if item.resource == MODELS:
        every = book.list(TEMPLATES, item.meta.namespace)
    else:
        every = (*book.list(CLUSTER_TEMPLATES), *book.list(TEMPLATES))
    own = [one for one in every if one.view.spec.model_name == item.meta.name and _resolves_to(one, item)]
    return sorted(own, key=lambda one: (one.view.status.status == "Ready", one.key))


def _resolves_to(template: Object[Any], model: Object[Any]) -> bool:
    resolved = template.view.status.resolved_image
    if resolved is None:
        return template.meta.namespace == model.meta.namespace
    return bool(resolved.uid == model.meta.uid)


def runtime_config_line(book: Book, item: Object[Any]) -> Line:
    """A runtime config, and the storage class it names."""
    name = item.view.spec.default_storage_class_name
    children = (storage_class_line(book, name),) if name else ()
    line = present(item)
    bad = [child for child in children if child.level is Level.BAD]
    if not bad:
        return replace(line, children=children)
    return replace(
        line,
        state="Degraded",
        level=Level.BAD,
        reason=bad[0].reason,
        message=f"storage class {name} of spec.defaultStorageClassName does not exist: no cache can get a volume",
        children=children,
        commands=(
            book.kubectl(
                "edit", "aimrcfg" if line.namespace else "aimcrcfg", line.name, namespace=line.namespace
            ),
        ),
    )
