"""The model that is created for a service that specifies an image for which no model exists.

Contract:
    * The name depends only on the image, so concurrent services of one image create the same model.
    * The model has no owner, because other services may use it.
    * It is namespaced, unless ``model.creationScope`` of an AIMClusterRuntimeConfig is Cluster. An AIMRuntimeConfig
      cannot set this: a user with access to one namespace could otherwise create cluster-scoped objects whose images
      run in the operator namespace.
    * A namespaced model has the pull secrets, the service account and the runtime config of the service, which may be
      needed to read the image. A cluster model has no references to namespaced objects.
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
    """The scope of the model."""
    defaults, found = runtime_config.spec.model, runtime_config.reference
    requested = defaults is not None and defaults.creation_scope is CreationScope.CLUSTER
    permitted = found is not None and found.scope is Scope.CLUSTER
    return Scope.CLUSTER if requested and permitted else Scope.NAMESPACE


def auto_model(
    image: str, namespace: str, service: ServiceSpec, runtime_config: Resolved[RuntimeConfigSpec]
) -> dict[str, Any]:
    """The manifest of the model. Its scope follows from :func:`auto_model_scope`.

    Args:
        image: ``spec.model.image`` of the service.
        namespace: of the service.
        service: the spec of the service.
        runtime_config: the runtime config of the service.
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
