"""What the operator can be told."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aimctl.domain.images.reference import is_host
from aimctl.domain.templates.admission import DEFAULT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ALL_REGISTRIES", "OperatorOptions", "is_namespace_name", "mirror_problem"]

ALL_REGISTRIES = "*"
"""Stands for every registry that has no mirror of its own."""

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def is_namespace_name(name: str) -> bool:
    """Whether a namespace can have this name (a DNS label of RFC 1123)."""
    return _DNS_LABEL.fullmatch(name) is not None


def mirror_problem(host: str, url: str) -> str:
    """Why a registry cannot have this mirror; "" when it can."""
    if host != ALL_REGISTRIES and not is_host(host):
        return f"{host!r} is no registry: write its host name, with a port if it has one, or '*' for all"
    try:
        parts = urlsplit(url)
        usable = (
            parts.scheme in ("http", "https") and is_host(parts.netloc) and not parts.query + parts.fragment
        )
    except ValueError:
        usable = False
    # Without what may be a login: this text is printed.
    shown = url.rpartition("@")[2]
    return (
        "" if usable else f"{shown!r} is no base URL: write http://host:port or https://host, without a login"
    )


@dataclass(frozen=True, slots=True)
class OperatorOptions:
    """Options of :func:`aimctl.controllers.operator.add_operator`.

    Attributes:
        operator_namespace: where discovery of cluster templates runs, and where their runtime configs are looked for
            before the cluster's.
        discovery_limit: discovery Jobs that may be unfinished at once.
        watch_namespaces: look at these namespaces only; empty for all. The operator namespace is always looked at.
        max_concurrent_reconciles: workers of each reconciler.
        registry_mirrors: an image registry's host -> base URL to read from instead; ``*`` for all others.
    """

    operator_namespace: str = "kaiwo-system"
    discovery_limit: int = DEFAULT_LIMIT
    watch_namespaces: tuple[str, ...] = ()
    max_concurrent_reconciles: int = 4
    registry_mirrors: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot work. Raises ValueError that names the field, its value and the rule."""
        for option, name in (
            ("operator_namespace", self.operator_namespace),
            *(("watch_namespaces", name) for name in self.watch_namespaces),
        ):
            if not is_namespace_name(name):
                raise ValueError(
                    f"{option}: {name!r} is no namespace name: use up to 63 lower-case letters, digits and '-'"
                )
        for option in ("discovery_limit", "max_concurrent_reconciles"):
            if getattr(self, option) < 1:
                raise ValueError(f"{option}={getattr(self, option)}: use 1 or more")
        for host, url in self.registry_mirrors.items():
            problem = mirror_problem(host, url)
            if problem:
                raise ValueError(f"registry_mirrors: {problem}")

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces to look at, the operator's among them; empty for all."""
        if not self.watch_namespaces:
            return ()
        return tuple(dict.fromkeys((*self.watch_namespaces, self.operator_namespace)))
