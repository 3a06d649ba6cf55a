"""Which model and which runtime config a reference means.

Contract:
    * The caller looks both places up and passes what it found; nothing here reads.
    * A namespaced object hides the cluster's of the same name entirely; nothing is merged.
    * Cluster templates see cluster models only. Their runtime config is looked for in the operator
      namespace first.
    * The runtime config ``default`` may be missing; any other must exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final

from aimctl.api.v1alpha1 import (
    CLUSTER_MODELS,
    CLUSTER_RUNTIME_CONFIGS,
    MODELS,
    RUNTIME_CONFIGS,
    ModelSpec,
    RuntimeConfigSpec,
    Scope,
)

if TYPE_CHECKING:
    from aimctl.api.v1alpha1 import Kind
    from aimctl.kubetypes import Object

__all__ = [
    "DEFAULT_RUNTIME_CONFIG",
    "Found",
    "Missing",
    "Reference",
    "Resolved",
    "resolve_model",
    "resolve_runtime_config",
]

DEFAULT_RUNTIME_CONFIG = "default"

S = TypeVar("S", ModelSpec, RuntimeConfigSpec)


@final
@dataclass(frozen=True, slots=True)
class Found(Generic[S]):
    """An object that exists: its name, where, its UID and spec."""

    name: str
    namespace: str
    uid: str
    spec: S


@final
@dataclass(frozen=True, slots=True)
class Reference:
    """The object a reference led to, as ``status.resolved...`` shows it."""

    kind: str
    name: str
    namespace: str
    scope: Scope
    uid: str

    @classmethod
    def of(cls, obj: Object[Any]) -> Reference:
        """A reference to this object."""
        meta = obj.meta
        scope = Scope.NAMESPACE if meta.namespace else Scope.CLUSTER
        return cls(obj.resource.kind, meta.name, meta.namespace, scope, meta.uid)

    def to_json(self) -> dict[str, Any]:
        """As the status carries it; no namespace for cluster-scoped objects."""
        out = {"kind": self.kind, "name": self.name, "scope": str(self.scope), "uid": self.uid}
        return out | {"namespace": self.namespace} if self.namespace else out


@final
@dataclass(frozen=True, slots=True)
class Resolved(Generic[S]):
    """What was found. Without a reference it is the missing ``default`` runtime config, with its defaults."""

    spec: S
    reference: Reference | None


@final
@dataclass(frozen=True, slots=True)
class Missing:
    """Nothing was found: a reason for a condition, and a message that names what is missing and where it
    may be.
    """

    reason: str
    message: str


def resolve_model(
    name: str, namespace: str, *, namespaced: Found[ModelSpec] | None, cluster: Found[ModelSpec] | None
) -> Resolved[ModelSpec] | Missing:
    """The model of a template or service.

    Args:
        name: the name that is asked for.
        namespace: of the asking object; "" for cluster templates, for which ``namespaced`` is not looked at.
        namespaced: the AIMModel of that name in the namespace.
        cluster: the AIMClusterModel of that name.
    """
    found = _choose(MODELS, CLUSTER_MODELS, namespaced if namespace else None, cluster)
    if found is not None:
        return found
    if namespace:
        return Missing(
            "ModelNotFound",
            f"no AIMModel {name!r} in namespace {namespace!r} and no AIMClusterModel {name!r}; create"
            f" one of them",
        )
    return Missing(
        "ModelNotFound", f"no AIMClusterModel {name!r}; create it (cluster templates see no AIMModels)"
    )


def resolve_runtime_config(
    name: str,
    namespace: str,
    *,
    namespaced: Found[RuntimeConfigSpec] | None,
    cluster: Found[RuntimeConfigSpec] | None,
) -> Resolved[RuntimeConfigSpec] | Missing:
    """The runtime config of anything.

    Args:
        name: the name that is asked for; "" means ``default``.
        namespace: where namespaced ones are looked for: the asking object's, for cluster-scoped objects the
            operator's.
        namespaced: the AIMRuntimeConfig of that name in the namespace.
        cluster: the AIMClusterRuntimeConfig of that name.

    Returns:
        For a missing ``default``: the built-in defaults, with no reference.
    """
    found = _choose(RUNTIME_CONFIGS, CLUSTER_RUNTIME_CONFIGS, namespaced, cluster)
    if found is not None:
        return found
    if name in ("", DEFAULT_RUNTIME_CONFIG):
        return Resolved(RuntimeConfigSpec(), None)
    return Missing(
        "RuntimeConfigNotFound",
        f"no AIMRuntimeConfig {name!r} in namespace {namespace!r} and no AIMClusterRuntimeConfig {name!r};"
        " create one of them or name another in spec.runtimeConfigName",
    )


def _choose(
    kind: Kind[Any], cluster_kind: Kind[Any], namespaced: Found[S] | None, cluster: Found[S] | None
) -> Resolved[S] | None:
    if namespaced is not None:
        return Resolved(
            namespaced.spec,
            Reference(kind.name, namespaced.name, namespaced.namespace, Scope.NAMESPACE, namespaced.uid),
        )
    if cluster is not None:
        return Resolved(
            cluster.spec, Reference(cluster_kind.name, cluster.name, "", Scope.CLUSTER, cluster.uid)
        )
    return None
