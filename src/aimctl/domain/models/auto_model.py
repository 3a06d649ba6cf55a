"""The model that is created for a service that specifies an image for which no model exists.

Contract:
    * The name depends only on the image, so concurrent services of one image create the same model.
    * The model has no owner, because other services may use it.
    * It is namespaced, unless ``model.creationScope`` of an AIMClusterRuntimeConfig is Cluster and one of the globs in
      ``model.allowedImages`` of the same config matches the image. The images of cluster models run in the operator
      namespace, and every user who may create services can name any runtime config and any image.
    * An AIMRuntimeConfig cannot set the scope.
    * A namespaced model has the pull secrets, the service account and the runtime config of the service, which may be
      needed to read the image. A cluster model has no references to namespaced objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.api.v1alpha1 import CLUSTER_MODELS, MODELS, Scope
from aimctl.api.v1alpha1.meta import API_VERSION
from aimctl.api.v1alpha1.runtimeconfigs import CreationScope
from aimctl.domain.images.reference import InvalidImage, parse_image
from aimctl.domain.labels import fits
from aimctl.domain.naming import LABEL_AUTO_GENERATED, LABEL_MANAGED_BY, MANAGED_BY, auto_model_name
from aimctl.domain.resolution import DEFAULT_RUNTIME_CONFIG

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.api.v1alpha1 import RuntimeConfigSpec, ServiceSpec
    from aimctl.domain.resolution import Resolved

__all__ = ["auto_model", "auto_model_scope"]


def auto_model_scope(image: str, runtime_config: Resolved[RuntimeConfigSpec]) -> Scope:
    """The scope of the model of an image."""
    defaults, found = runtime_config.spec.model, runtime_config.reference
    if (
        defaults is None
        or defaults.creation_scope is not CreationScope.CLUSTER
        or found is None
        or found.scope is not Scope.CLUSTER
    ):
        return Scope.NAMESPACE
    return Scope.CLUSTER if _is_allowed(image, defaults.allowed_images) else Scope.NAMESPACE


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
    cluster = auto_model_scope(image, runtime_config) is Scope.CLUSTER
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


def _is_allowed(image: str, globs: Iterable[str]) -> bool:
    """Whether a glob matches the image, written in full so that an image has only one spelling."""
    try:
        full = str(parse_image(image))
    except InvalidImage:
        return False
    return any(fits(full, glob) for glob in globs)
