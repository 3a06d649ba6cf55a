"""Which webhooks a request is sent to.

Contract: :func:`webhooks` lists the webhooks of the stored configurations in the order in which they are called, by the
name of the configuration. :meth:`Webhook.matches` applies rules, selectors and match conditions. It does no I/O.

A rule matches the version of the request only: with ``matchPolicy: Equivalent`` the real server also converts objects.
Objects of webhook configurations are never sent, so that a wrong configuration can be corrected.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

from aimctl.devcluster.apiserver.schema.expressions import CompileError, EvaluationError, compile_expression

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimctl.devcluster.apiserver.schema.expressions import Expression
    from aimctl.devcluster.storage.records import Record

__all__ = ["Attributes", "ConditionFailed", "Webhook", "webhooks"]

_CONFIGURATIONS = frozenset({"mutatingwebhookconfigurations", "validatingwebhookconfigurations"})
_VARIABLES = frozenset({"object", "oldObject", "request"})

Operation = Literal["CREATE", "UPDATE", "DELETE"]


class ConditionFailed(Exception):  # noqa: N818 - the text is a part of a message
    """A match condition cannot be evaluated."""


@final
@dataclass(frozen=True, slots=True)
class Attributes:
    """A write as webhooks see it.

    Attributes:
        operation: of the write.
        group: of the kind.
        version: of the request.
        resource: the plural name.
        subresource: "" or ``status``.
        namespace: "" for cluster-scoped objects.
        namespace_labels: of the object's namespace, or of a Namespace itself; None for other cluster-scoped objects.
        new: the object, or None for a deletion.
        old: the present object, or None for a creation.
    """

    operation: Operation
    group: str
    version: str
    resource: str
    subresource: str
    namespace: str
    namespace_labels: Mapping[str, str] | None
    new: Mapping[str, Any] | None
    old: Mapping[str, Any] | None


@final
@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook of a configuration; ``body`` is its entry, with the defaults of the kind."""

    configuration: str
    body: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name in messages."""
        return str(self.body.get("name", ""))

    @property
    def ignores_failures(self) -> bool:
        """Whether a failed call allows the request."""
        return self.body.get("failurePolicy") == "Ignore"

    @property
    def reinvoked(self) -> bool:
        """Whether it is called again if a later webhook changes the object."""
        return self.body.get("reinvocationPolicy") == "IfNeeded"

    @property
    def supports_dry_run(self) -> bool:
        """Whether it may be called for a dry run."""
        return self.body.get("sideEffects") in ("None", "NoneOnDryRun")

    @property
    def timeout_seconds(self) -> int:
        """The limit of a call."""
        return int(self.body.get("timeoutSeconds") or 10)

    def matches(self, write: Attributes, request: Mapping[str, Any]) -> bool:
        """Whether the write is sent to it. ``request`` is the variable of match conditions.

        Raises:
            ConditionFailed: a match condition cannot be evaluated, and no other one is false.
        """
        if write.group == "admissionregistration.k8s.io" and write.resource in _CONFIGURATIONS:
            return False
        if not any(_rule_matches(rule, write) for rule in self.body.get("rules") or ()):
            return False
        if write.namespace_labels is not None and not _selects(
            self.body.get("namespaceSelector"), write.namespace_labels
        ):
            return False
        selector = self.body.get("objectSelector")
        objects = [each for each in (write.new, write.old) if each is not None]
        if selector and not any(
            _selects(selector, (each.get("metadata") or {}).get("labels") or {}) for each in objects
        ):
            return False
        return self._conditions_hold(write, request)

    def _conditions_hold(self, write: Attributes, request: Mapping[str, Any]) -> bool:
        failures = []
        variables = {"object": write.new, "oldObject": write.old, "request": request}
        for condition in self.body.get("matchConditions") or ():
            try:
                if _compiled(condition["expression"]).evaluate(variables) is not True:
                    return False
            except (CompileError, EvaluationError) as error:
                failures.append(f"expression '{condition['expression']}' resulted in error: {error}")
        if failures:
            raise ConditionFailed(", ".join(failures))
        return True


def webhooks(configurations: Iterable[Record]) -> list[Webhook]:
    """The webhooks of the configurations, in order."""
    ordered = sorted(configurations, key=lambda record: record.name)
    return [
        Webhook(record.name, body) for record in ordered for body in record.object().get("webhooks") or ()
    ]


@functools.lru_cache(maxsize=256)
def _compiled(source: str) -> Expression:
    return compile_expression(source, _VARIABLES)


def _rule_matches(rule: Mapping[str, Any], write: Attributes) -> bool:
    scope = rule.get("scope") or "*"
    return (
        _listed(rule.get("operations"), write.operation)
        and _listed(rule.get("apiGroups"), write.group)
        and _listed(rule.get("apiVersions"), write.version)
        and scope in ("*", "Namespaced" if write.namespace else "Cluster")
        and any(_resource_matches(each, write) for each in rule.get("resources") or ())
    )


def _listed(values: Any, value: str) -> bool:
    return bool(values) and ("*" in values or value in values)


def _resource_matches(pattern: str, write: Attributes) -> bool:
    resource, _, subresource = pattern.partition("/")
    return resource in ("*", write.resource) and (
        subresource == write.subresource or (subresource == "*" and "/" in pattern)
    )


def _selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    selector = selector or {}
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for each in selector.get("matchExpressions") or ():
        found, values = labels.get(each.get("key", "")), each.get("values") or ()
        holds = {
            "In": found in values,
            "NotIn": found not in values,
            "Exists": found is not None,
            "DoesNotExist": found is None,
        }
        if not holds.get(each.get("operator", ""), False):
            return False
    return True
