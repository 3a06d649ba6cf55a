"""The model that is made for a service that names an image without a model: a catalogue entry that others may use.

Contract: the same image gives the same name, so services that ask in the same instant meet in one model. Nothing
owns it. Namespaced, or cluster-scoped where ``model.creationScope`` of an AIMClusterRuntimeConfig says so; the
namespaced one takes the service's pull secrets, service account and runtime config over, because without them its image
may not be readable. The cluster's takes none of what lives in namespaces.

An AIMRuntimeConfig cannot ask for the cluster's: whoever may edit one namespace could then make objects of the cluster,
and have their images run in the operator's namespace.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from aimctl.api.v1alpha1 import CLUSTER_MODELS, MODELS, Scope
from aimctl.api.v1alpha1.meta import API_VERSION
from aimctl.api.v1alpha1.runtimeconfigs import CreationScope
from aimctl.domain.naming import LABEL_AUTO_GENERATED, LABEL_MANAGED_BY, MANAGED_BY
from aimctl.domain.resolution import DEFAULT_RUNTIME_CONFIG

if TYPE_CHECKING:
    from aimctl.api.v1alpha1 import RuntimeConfigSpec, ServiceSpec
    from aimctl.domain.resolution import Resolved

__all__ = ["auto_model", "auto_model_name", "auto_model_scope"]


def auto_model_name(image: str) -> str:
    """``auto-<10 hex of SHA-256(image)>``."""
    return f"auto-{sha256(image.encode(errors='surrogatepass')).hexdigest()[:10]}"


def auto_model_scope(runtime_config: Resolved[RuntimeConfigSpec]) -> Scope:
    """Where the model is made."""
    defaults, found = runtime_config.spec.model, runtime_config.reference
    wanted = defaults is not None and defaults.creation_scope is CreationScope.CLUSTER
    heard = found is not None and found.scope is Scope.CLUSTER
    return Scope.CLUSTER if wanted and heard else Scope.NAMESPACE


def auto_model(
    image: str, namespace: str, service: ServiceSpec, runtime_config: Resolved[RuntimeConfigSpec]
) -> dict[str, Any]:
    """The manifest of the model; its ``kind`` says the scope.

    Args:
        image: what the service asks for.
        namespace: the service's.
        service: the service's spec.
        runtime_config: what the service's runtime config resolved to.
    """
    cluster = auto_model_scope(runtime_config) is Scope.CLUSTER
    spec: dict[str, Any] = {"image": image}
    if service.runtime_config_name not in ("", DEFAULT_RUNTIME_CONFIG):
        spec["runtimeConfigName"] = service.runtime_config_name
    if not cluster:
        if service.image_pull_secrets:
            spec["imagePullSecrets"] = [secret.to_json() for secret in service.image_pull_secrets]
        if service.service_account_name:
            spec["serviceAccountName"] = service.service_account_name
    metadata: dict[str, Any] = {
        "name": auto_model_name(image),
        "labels": {LABEL_MANAGED_BY: MANAGED_BY, LABEL_AUTO_GENERATED: "true"},
    }
    if not cluster:
        metadata["namespace"] = namespace
    return {
        "apiVersion": API_VERSION,
        "kind": (CLUSTER_MODELS if cluster else MODELS).name,
        "metadata": metadata,
        "spec": spec,
    }
