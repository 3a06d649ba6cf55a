"""The options of the operator."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aimctl.domain.images.reference import is_host
from aimctl.domain.templates.admission import DEFAULT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ALL_REGISTRIES",
    "LEASE_NAME",
    "LIMIT_LABEL",
    "OperatorOptions",
    "is_namespace_name",
    "mirror_problem",
]

ALL_REGISTRIES = "*"
"""Key of ``registry_mirrors`` for all registries without a mirror of their own."""

LEASE_NAME = "aimctl-manager"
"""The Lease of leader election."""

LIMIT_LABEL = "aim.silogen.ai/discovery-limit"
"""Label of the Lease: the number of discovery slots of the leader, for clients that show the queue."""

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def is_namespace_name(name: str) -> bool:
    """Whether this is a valid name of a namespace (a DNS label of RFC 1123)."""
    return _DNS_LABEL.fullmatch(name) is not None


def mirror_problem(host: str, url: str) -> str:
    """Why this is not a valid mirror of a registry; "" if it is."""
    if host != ALL_REGISTRIES and not is_host(host):
        return f"{host!r} is not a registry: use a host name with an optional port, or '*' for all registries"
    try:
        parts = urlsplit(url)
        usable = (
            parts.scheme in ("http", "https") and is_host(parts.netloc) and not parts.query + parts.fragment
        )
    except ValueError:
        usable = False
    # Without a possible password, because the message is printed.
    shown = url.rpartition("@")[2]
    return (
        ""
        if usable
        else f"{shown!r} is not a base URL: use http://host:port or https://host, without credentials"
    )


@dataclass(frozen=True, slots=True)
class OperatorOptions:
    """Options of the operator.

    Attributes:
        operator_namespace: where discovery of cluster templates runs. Runtime configs of this namespace take precedence
            over cluster runtime configs for cluster-scoped objects.
        discovery_limit: maximum number of unfinished discovery Jobs.
        watch_namespaces: the namespaces to watch, in addition to the operator namespace; empty for all.
        max_concurrent_reconciles: of each controller.
        registry_mirrors: base URL of the mirror by host of the image registry; ``*`` for all other registries.
        allowed_registries: hosts of the image registries that may be read, in which ``*`` stands for a part of a label,
            such as ``*.example.org``; empty for all.
    """

    operator_namespace: str = "kaiwo-system"
    discovery_limit: int = DEFAULT_LIMIT
    watch_namespaces: tuple[str, ...] = ()
    max_concurrent_reconciles: int = 4
    registry_mirrors: Mapping[str, str] = field(default_factory=dict)
    allowed_registries: tuple[str, ...] = ()

    @property
    def lease_labels(self) -> tuple[tuple[str, str], ...]:
        """The labels that a leader with these options adds to the Lease."""
        return ((LIMIT_LABEL, str(self.discovery_limit)),)

    def __post_init__(self) -> None:
        """Raise ValueError with the field, the value and the rule if an option is not valid."""
        for option, name in (
            ("operator_namespace", self.operator_namespace),
            *(("watch_namespaces", name) for name in self.watch_namespaces),
        ):
            if not is_namespace_name(name):
                raise ValueError(
                    f"{option}: {name!r} is not a namespace name: use up to 63 lower-case letters, digits and '-'"
                )
        for option in ("discovery_limit", "max_concurrent_reconciles"):
            if getattr(self, option) < 1:
                raise ValueError(f"{option}={getattr(self, option)}: use 1 or more")
        for host in self.allowed_registries:
            if not is_host(host.replace("*", "x")):
                raise ValueError(f"allowed_registries: {host!r} is not a host name with an optional port")
        for host, url in self.registry_mirrors.items():
            problem = mirror_problem(host, url)
            if problem:
                raise ValueError(f"registry_mirrors: {problem}")

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces to watch, with the operator namespace; empty for all."""
        if not self.watch_namespaces:
            return ()
        return tuple(dict.fromkeys((*self.watch_namespaces, self.operator_namespace)))
