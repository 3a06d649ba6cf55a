"""The model and the runtime config that a reference means.

Contract:
    * The caller looks up both places and passes what exists; nothing here reads.
    * A namespaced object hides the cluster-scoped object of its name. Nothing is merged, with one exception: which
      labels are propagated is always decided by the AIMClusterRuntimeConfig. Labels of pods select network policies and
      admission rules, which the users of a namespace must not choose.
    * Cluster templates use cluster models only. Their runtime config is looked up in the operator's namespace first.
    * The runtime config ``default`` may be missing; any other must exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final

from aimctl.api.v1alpha1 import ModelSpec, RuntimeConfigSpec, Scope

if TYPE_CHECKING:
    from aimctl.api.v1alpha1 import AIMClusterModel, AIMClusterRuntimeConfig, AIMModel, AIMRuntimeConfig
    from aimctl.kubetypes import Object

__all__ = [
    "DEFAULT_RUNTIME_CONFIG",
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
class Reference:
    """An object, as in ``status.resolved...``."""

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
        """The value in the status; cluster-scoped objects have no namespace."""
        out = {"kind": self.kind, "name": self.name, "scope": str(self.scope), "uid": self.uid}
        return out | {"namespace": self.namespace} if self.namespace else out


@final
@dataclass(frozen=True, slots=True)
class Resolved(Generic[S]):
    """The spec of what was found. The missing runtime config ``default`` has no reference, and the default values."""

    spec: S
    reference: Reference | None


@final
@dataclass(frozen=True, slots=True)
class Missing:
    """Nothing was found: the reason of a condition, and a message with what is missing and where it may be created."""

    reason: str
    message: str


def resolve_model(
    name: str,
    namespace: str,
    *,
    namespaced: Object[AIMModel] | None,
    cluster: Object[AIMClusterModel] | None,
    similar: str = "",
    remedy: str = "",
) -> Resolved[ModelSpec] | Missing:
    """The model of a template or service.

    Args:
        name: the name in the reference.
        namespace: of the object that refers to it; "" for cluster templates, for which ``namespaced`` is ignored.
        namespaced: the AIMModel of that name in the namespace.
        cluster: the AIMClusterModel of that name.
        similar: from :func:`~aimctl.domain.naming.similar`.
        remedy: what to do instead of creating the model, as a clause.
    """
    found = namespaced if namespaced is not None and namespace else cluster
    if found is not None:
        return Resolved(found.view.spec, Reference.of(found))
    if namespace:
        return Missing(
            "ModelNotFound",
            f"no AIMModel {name!r} in namespace {namespace!r} and no AIMClusterModel of that name{similar}; create one"
            f"{', or ' if remedy else ''}{remedy}",
        )
    return Missing(
        "ModelNotFound",
        f"no AIMClusterModel {name!r}{similar}; create it{', or ' if remedy else ''}{remedy} (cluster templates use no"
        " AIMModels)",
    )


def resolve_runtime_config(
    name: str,
    namespace: str,
    *,
    namespaced: Object[AIMRuntimeConfig] | None,
    cluster: Object[AIMClusterRuntimeConfig] | None,
    similar: str = "",
) -> Resolved[RuntimeConfigSpec] | Missing:
    """The runtime config of any object.

    Args:
        name: the name in the reference; "" means ``default``.
        namespace: where namespaced ones are looked up: that of the object that refers to it, for cluster-scoped objects
            that of the operator.
        namespaced: the AIMRuntimeConfig of that name in the namespace.
        cluster: the AIMClusterRuntimeConfig of that name.
        similar: from :func:`~aimctl.domain.naming.similar`.
    """
    if namespaced is not None:
        spec, labels = namespaced.view.spec, None if cluster is None else cluster.view.spec.label_propagation
        if spec.label_propagation != labels:
            spec = spec.model_copy(update={"label_propagation": labels})
        return Resolved(spec, Reference.of(namespaced))
    if cluster is not None:
        return Resolved(cluster.view.spec, Reference.of(cluster))
    if name in ("", DEFAULT_RUNTIME_CONFIG):
        return Resolved(RuntimeConfigSpec(), None)
    return Missing(
        "RuntimeConfigNotFound",
        f"no AIMRuntimeConfig {name!r} in namespace {namespace!r} and no AIMClusterRuntimeConfig of that name{similar};"
        " create one, or name another in spec.runtimeConfigName",
    )
