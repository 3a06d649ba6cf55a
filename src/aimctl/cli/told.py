"""Small things that the tellers share: lines for what is missing, what may not be read, and what is merely there.

Contract: like all tellers, pure functions of a :class:`~aimctl.cli.facts.Book`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.api.kinds import CLUSTER_MODELS, CLUSTER_RUNTIME_CONFIGS, MODELS, RUNTIME_CONFIGS
from aimctl.cli.facts import Absent, Denied, Unread, Unserved
from aimctl.cli.kindwords import short_name
from aimctl.cli.lines import Level, Line, place
from aimctl.domain.resolution import DEFAULT_RUNTIME_CONFIG
from aimctl.runtime.kube import Object

if TYPE_CHECKING:
    from aimctl.cli.facts import Answer, Book
    from aimctl.runtime.kube import Resource

__all__ = [
    "FORBIDDEN",
    "config_lines",
    "lookup",
    "missing",
    "model_line",
    "newest",
    "operator_line",
    "present",
    "unreadable",
]


FORBIDDEN = "Forbidden"
"""The reason of a line about what may not be read."""


def missing(kind: str, namespace: str, name: str, reason: str, message: str, *commands: str) -> Line:
    """Something that is referred to and not there."""
    return Line(kind, namespace, name, "Missing", Level.BAD, reason, message, commands=commands)


def unreadable(resource: Resource[Any], namespace: str, name: str, answer: Answer | None) -> Line:
    """Something that may be there."""
    if not resource.namespaced:
        namespace = ""
    match answer:
        case Denied():
            text, reason = f"you may not {answer.right}", FORBIDDEN
        case Unserved():
            text, reason = f"the cluster does not serve {resource.group_resource}", "NotServed"
        case Unread():
            text, reason = answer.message, "Unreadable"
        case _:
            text, reason = "not asked", "Unknown"
    return Line(resource.kind, namespace, name, "Unknown", Level.UNKNOWN, reason, text)


def present(item: Object[Any], note: str = "", message: str = "") -> Line:
    """Something that only has to be there."""
    meta = item.meta
    return Line(
        item.resource.kind,
        meta.namespace,
        meta.name,
        "Present",
        Level.GOOD,
        message=message,
        note=note,
        created=meta.creation_timestamp,
    )


def lookup(
    book: Book, namespaced: Resource[Any], cluster: Resource[Any], name: str, namespace: str
) -> Object[Any] | Line | None:
    """The namespaced object, else the cluster's, as every reference is resolved; None when neither is there, a line
    when that cannot be told.
    """
    if namespace:
        answer = book.get(namespaced, name, namespace)
        if isinstance(answer, Object):
            return answer
        if not isinstance(answer, Absent):
            return unreadable(namespaced, namespace, name, answer)
    answer = book.get(cluster, name)
    if isinstance(answer, Object):
        return answer
    return None if isinstance(answer, Absent) else unreadable(cluster, "", name, answer)


def model_line(book: Book, name: str, namespace: str) -> Line:
    """The model of a template or service: that it is there, and its image."""
    found = lookup(book, MODELS, CLUSTER_MODELS, name, namespace)
    if isinstance(found, Line):
        return found
    if isinstance(found, Object):
        return present(found, message=f"image {found.view.spec.image}")
    kinds = f"{short_name('AIMModel')},{short_name('AIMClusterModel')}" if namespace else "aimclmdl"
    where = f"in namespace {namespace!r} or the cluster" if namespace else "in the cluster"
    return missing(
        "AIMModel" if namespace else "AIMClusterModel",
        namespace,
        name,
        "ModelNotFound",
        f"there is no model of this name {where}; create it, and everything that waits for it goes on by itself",
        book.kubectl("get", kinds, namespace=namespace),
    )


def config_lines(book: Book, name: str, namespace: str) -> tuple[Line, ...]:
    """The runtime config in force; nothing for a missing ``default``, which may be missing.

    Args:
        book: facts.
        name: of the config.
        namespace: where namespaced ones are looked for: the asking object's, else the operator's.
    """
    name = name or DEFAULT_RUNTIME_CONFIG
    found = lookup(book, RUNTIME_CONFIGS, CLUSTER_RUNTIME_CONFIGS, name, namespace)
    if isinstance(found, Line):
        return (found,)
    if isinstance(found, Object):
        return (present(found),)
    if name == DEFAULT_RUNTIME_CONFIG:
        return ()
    return (
        missing(
            "AIMRuntimeConfig",
            namespace,
            name,
            "RuntimeConfigNotFound",
            f"there is no runtime config of this name in namespace {namespace!r} or the cluster; create it, or name"
            " another in spec.runtimeConfigName",
            book.kubectl("get", "aimrcfg,aimcrcfg", namespace=namespace),
        ),
    )


def operator_line(book: Book) -> Line:
    """For an object that the operator has not looked at: is it running?"""
    namespace = book.facts.operator_namespace
    return Line(
        "Operator",
        namespace,
        "aimctl-manager",
        "Unknown",
        Level.UNKNOWN,
        "NotSeenYet",
        "the operator has not looked at it yet; if that stays so, look whether it runs and who leads",
        commands=(
            book.kubectl("get", "deployment,lease", "aimctl-manager", namespace=namespace),
            book.kubectl("logs", "deployment/aimctl-manager", "--tail=20", namespace=namespace),
        ),
    )


def newest(items: tuple[Object[Any], ...]) -> Object[Any] | None:
    """The one that was created last."""
    return max(items, key=lambda item: (item.meta.creation_timestamp, item.meta.name), default=None)


def describe(book: Book, kind: str, name: str, namespace: str) -> str:
    """``kubectl describe``, which shows the Events."""
    return book.kubectl("describe", short_name(kind), name, namespace=namespace)


def shown(resource: Resource[Any], namespace: str, name: str) -> str:
    """As messages name it."""
    return f"{resource.kind} {place(namespace if resource.namespaced else '', name)}"
