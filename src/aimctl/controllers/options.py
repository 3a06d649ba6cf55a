"""What the operator can be told."""

from __future__ import annotations

import re
from dataclasses import dataclass

from aimctl.domain.admission import DEFAULT_LIMIT

__all__ = ["OperatorOptions", "is_namespace_name"]

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def is_namespace_name(name: str) -> bool:
    """Whether a namespace can have this name (a DNS label of RFC 1123)."""
    return _DNS_LABEL.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class OperatorOptions:
    """Options of :func:`aimctl.controllers.operator.add_operator`.

    Attributes:
        operator_namespace: where discovery of cluster templates runs, and where their runtime configs are looked for
            before the cluster's.
        discovery_limit: discovery Jobs that may be unfinished at once.
        watch_namespaces: look at these namespaces only; empty for all. The operator namespace is always looked at.
        max_concurrent_reconciles: workers of each reconciler.
    """

    operator_namespace: str = "kaiwo-system"
    discovery_limit: int = DEFAULT_LIMIT
    watch_namespaces: tuple[str, ...] = ()
    max_concurrent_reconciles: int = 4

    def __post_init__(self) -> None:
        """Refuse what cannot work. Raises ValueError that names the field, its value and the rule."""
        for field, name in (
            ("operator_namespace", self.operator_namespace),
            *(("watch_namespaces", name) for name in self.watch_namespaces),
        ):
            if not is_namespace_name(name):
                raise ValueError(
                    f"{field}: {name!r} is no namespace name: use up to 63 lower-case letters, digits and '-'"
                )
        for field in ("discovery_limit", "max_concurrent_reconciles"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field}={getattr(self, field)}: use 1 or more")

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces to look at, the operator's among them; empty for all."""
        if not self.watch_namespaces:
            return ()
        return tuple(dict.fromkeys((*self.watch_namespaces, self.operator_namespace)))
